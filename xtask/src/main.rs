//! The project's habits as commands, from a machine with nothing but a Rust toolchain.
//!
//! Depends on nothing, so that it compiles in seconds and can install what everything else needs.

mod audit;
mod fuzz;
mod group;
mod packages;
mod steps;

use std::process::ExitCode;

use packages::Use;

const HELP: &str = "\
Usage: cargo xtask COMMAND

  demo [--once]    installs what is missing, builds, starts a directory, the daemon and an example
                   chat server, checks one login from end to end, prints addresses and accounts;
                   Ctrl-C stops it all. --once exits after the check: 0 it worked, 1 it did not
  test [FILTER]    installs what is missing, then format, lints, documentation and all tests;
                   FILTER narrows the tests to those whose name contains it
  test --group G   the tests of a group that is not part of every run: keycloak; exit code 69 and
                   the reason where it cannot run
  audit [CHECK]    what takes too long for every change: dependencies, spelling, oldest-compiler,
                   fuzz, keycloak, 389-ds, million-people; tells of each whether it passed, failed or
                   was skipped; exit code 69 where nothing failed, but something was skipped
  bench [NAME]     measures a release build; NAME narrows it to one measurement
  bench sync [N]   measures the synchronisation of a directory of N people (100000)
  fuzz [SECONDS]   runs each fuzz target for 60 or SECONDS seconds: by cargo-fuzz where a nightly
                   compiler and cargo-fuzz are there, else as a plain loop of mutations
  fixtures         writes the SAML corpus anew; fails when a file changed
  second-opinion   compares the verdicts on the SAML corpus with those of saml-rs
  schema           writes the schema and reference of the configuration into docs/
  packages         prints the Debian packages that are missing, installs nothing
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), Failure> {
    match arguments {
        ["demo"] => demo(&[]),
        ["demo", "--once"] => demo(&["--once"]),
        ["test"] => test(None),
        ["test", filter] if !filter.starts_with('-') => test(Some(filter)),
        ["test", "--group", name] => match group::run(name)? {
            audit::Outcome::Passed => Ok(()),
            audit::Outcome::Skipped(reason) => {
                Err(Failure { code: audit::SKIPPED, message: format!("SKIPPED {name}: {reason}") })
            }
        },
        ["audit"] => audit::run(None),
        ["audit", check] if !check.starts_with('-') => audit::run(Some(check)),
        ["bench"] => bench(&[]),
        ["bench", name] if !name.starts_with('-') => bench(&[name]),
        ["bench", "sync", people] if !people.starts_with('-') => bench(&["sync", people]),
        ["fuzz"] => fuzz::run(60).map(drop),
        ["fuzz", seconds] if !seconds.starts_with('-') => match seconds.parse() {
            Ok(seconds) => fuzz::run(seconds).map(drop),
            Err(_) => Err(Failure { code: 64, message: format!("{seconds} is no number") }),
        },
        ["fixtures"] => steps::fixtures(),
        ["second-opinion"] => steps::second_opinion(),
        ["schema"] => steps::schema(),
        ["packages"] => {
            let missing = packages::missing(Use::Tests)?;
            missing.iter().for_each(|name| println!("{name}"));
            Ok(())
        }
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            Err(Failure { code: 64, message: format!("unknown arguments {arguments:?}\n\n{HELP}") })
        }
    }
}

fn demo(options: &[&str]) -> Result<(), Failure> {
    packages::install(Use::Demo)?;
    steps::build_programs(steps::Profile::Debug)?;
    Err(steps::become_program("demo", false, options))
}

fn test(filter: Option<&str>) -> Result<(), Failure> {
    packages::install(Use::Tests)?;
    steps::format()?;
    steps::lints()?;
    steps::documentation()?;
    // The behaviour tests run the built programs; `cargo test` alone does not build them.
    steps::build_programs(steps::Profile::Debug)?;
    steps::tests(filter)
}

fn bench(arguments: &[&str]) -> Result<(), Failure> {
    packages::install(Use::Tests)?;
    steps::build_programs(steps::Profile::Release)?;
    Err(steps::become_program("bench", true, arguments))
}

/// Why a command ends, and with which exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }
}
