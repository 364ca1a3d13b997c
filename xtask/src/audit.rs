//! `cargo xtask audit`: the checks that take too long for every change, one after the other, and a
//! table of what came of each at the end.
//!
//! A check whose tool is not there and cannot be installed is skipped, which is told and never
//! counts as passed.

use std::path::PathBuf;
use std::process::Command;

use crate::steps::{self, Profile, cargo, finish, programs, show, workspace};
use crate::{Failure, fuzz, group, packages};

/// Seconds for each fuzz target.
const FUZZ: u32 = 60;

/// People of the synchronisation that is measured.
const PEOPLE: &str = "1000000";

/// Exit code where nothing failed, but something could not be done (EX_UNAVAILABLE).
pub(crate) const SKIPPED: u8 = 69;

/// A check, by the name that stands in the table and can be asked for.
type Check = (&'static str, fn() -> Result<Outcome, Failure>);

const CHECKS: [Check; 7] = [
    ("dependencies", dependencies),
    ("spelling", spelling),
    ("oldest-compiler", oldest_compiler),
    ("fuzz", fuzzing),
    ("keycloak", keycloak),
    ("389-ds", directory_server_389),
    ("million-people", million_people),
];

/// What came of a check that did not fail.
pub(crate) enum Outcome {
    Passed,
    /// It was not made, for this reason.
    Skipped(String),
}

/// Makes the check `only`, or all of them. All are made, also after one that failed.
pub(crate) fn run(only: Option<&str>) -> Result<(), Failure> {
    let chosen: Vec<&Check> =
        CHECKS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
        let message = format!("no such check; there are {}", names.join(", "));
        return Err(Failure { code: 64, message });
    }
    let mut table = Vec::new();
    let (mut failed, mut skipped) = (0, 0);
    for (name, check) in chosen {
        println!("\n==> audit: {name}");
        table.push(match check() {
            Ok(Outcome::Passed) => format!("{name:<18} passed"),
            Ok(Outcome::Skipped(reason)) => {
                skipped += 1;
                format!("{name:<18} SKIPPED: {reason}")
            }
            Err(failure) => {
                failed += 1;
                format!("{name:<18} FAILED: {}", failure.message)
            }
        });
    }
    println!("\n{}", table.join("\n"));
    match (failed, skipped) {
        (0, 0) => Ok(()),
        (0, _) => Err(Failure { code: SKIPPED, message: format!("{skipped} checks skipped") }),
        _ => Err(Failure::new(format!("{failed} checks failed, {skipped} skipped"))),
    }
}

/// Advisories, licences, sources and doubles of what we depend on: `deny.toml`.
fn dependencies() -> Result<Outcome, Failure> {
    let deny = match tool("cargo-deny", "cargo-deny") {
        Ok(path) => path,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    // What needs no network first: its findings count also where the advisories cannot be had.
    let mut local = Command::new(&deny);
    local.args(["--workspace", "check", "bans", "licenses", "sources"]);
    finish("dependencies", local.current_dir(workspace()))?;
    let mut fetch = Command::new(&deny);
    let fetched = fetch.args(["fetch", "db"]).current_dir(workspace()).status();
    if !fetched.is_ok_and(|status| status.success()) {
        let reason = "the list of advisories cannot be fetched; licences and sources passed";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let mut advisories = Command::new(&deny);
    advisories.args(["--workspace", "check", "--disable-fetch", "advisories"]);
    finish("advisories", advisories.current_dir(workspace()))?;
    Ok(Outcome::Passed)
}

/// Typing errors: `typos.toml`.
fn spelling() -> Result<Outcome, Failure> {
    match tool("typos", "typos-cli") {
        Ok(path) => {
            finish("spelling", Command::new(path).current_dir(workspace()))?;
            Ok(Outcome::Passed)
        }
        Err(reason) => Ok(Outcome::Skipped(reason)),
    }
}

/// The compiler that the manifest promises to work with.
fn oldest_compiler() -> Result<Outcome, Failure> {
    let manifest = workspace().join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)
        .map_err(|error| Failure::new(format!("{}: {error}", manifest.display())))?;
    let version =
        promised(&text).ok_or_else(|| Failure::new("the manifest has no rust-version"))?.to_owned();
    let toolchain = format!("+{version}");
    let has_it = || {
        let answer = Command::new("cargo").args([&toolchain, "--version"]).output();
        answer.is_ok_and(|output| output.status.success())
    };
    if !has_it() {
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", &version, "--profile", "minimal"]);
        let installed = finish("compiler", &mut install);
        if installed.is_err() || !has_it() {
            let reason = format!("Rust {version} is not there and rustup cannot install it");
            return Ok(Outcome::Skipped(reason));
        }
    }
    // Not the folder of the usual compiler: each would build everything anew after the other.
    let mut check = Command::new("cargo");
    check.args([&toolchain, "check", "--workspace", "--all-targets", "--target-dir"]);
    check.arg(programs(false)?.with_file_name("oldest-compiler"));
    // Set by the cargo that runs this program, for its own compiler.
    check.env_remove("RUSTUP_TOOLCHAIN").current_dir(workspace());
    finish(&format!("Rust {version}"), &mut check)?;
    Ok(Outcome::Passed)
}

fn fuzzing() -> Result<Outcome, Failure> {
    Ok(match fuzz::run(FUZZ)? {
        fuzz::Led::ByCoverage => Outcome::Passed,
        fuzz::Led::ByChance => Outcome::Skipped(
            "no nightly compiler with cargo-fuzz; mutations by chance passed".to_owned(),
        ),
    })
}

fn keycloak() -> Result<Outcome, Failure> {
    group::run("keycloak")
}

/// A real 389 Directory Server, which only root can set up.
fn directory_server_389() -> Result<Outcome, Failure> {
    if !packages::is_root()? {
        return Ok(Outcome::Skipped("389 Directory Server is set up by root only".to_owned()));
    }
    if let Err(failure) = packages::install_these(&["389-ds-base"]) {
        return Ok(Outcome::Skipped(failure.message));
    }
    steps::build_programs(Profile::Debug)?;
    let mut tests = cargo(&["test", "--workspace", "--test", "behaviour", "--"]);
    tests.args(["directory_server_389", "--nocapture"]);
    tests.env("AUTH_TEST_389DS", "1").env("AUTH_BINARIES", programs(false)?);
    finish("389-ds", &mut tests)?;
    Ok(Outcome::Passed)
}

/// A synchronisation as large as any.
fn million_people() -> Result<Outcome, Failure> {
    steps::build_programs(Profile::Release)?;
    let folder = programs(true)?;
    let mut bench = Command::new(folder.join("bench"));
    bench.args(["sync", PEOPLE]).env("AUTH_BINARIES", &folder).current_dir(workspace());
    finish("a million people", &mut bench)?;
    Ok(Outcome::Passed)
}

/// A program of crates.io: one that is there already, else installed below the build folder. The
/// error says why there is none.
fn tool(program: &str, package: &str) -> Result<PathBuf, String> {
    if Command::new(program).arg("--version").output().is_ok_and(|it| it.status.success()) {
        return Ok(PathBuf::from(program));
    }
    let target = programs(false).map_err(|failure| failure.message)?;
    let root = target.with_file_name("audit-tools");
    let path = root.join("bin").join(program);
    if !path.is_file() {
        let mut install = cargo(&["install", "--locked", "--root"]);
        install.arg(&root).arg(package);
        finish(program, &mut install)
            .map_err(|_| format!("{program} is missing and `{}` failed", show(&install)))?;
    }
    Ok(path)
}

/// The `rust-version` of a manifest, as a toolchain is called: `1.2` is `1.2.0`.
fn promised(manifest: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.trim_start().starts_with("rust-version"))?;
    let version = line.split('"').nth(1)?;
    Some(if version.matches('.').count() == 1 {
        format!("{version}.0")
    } else {
        version.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promise_is_read() {
        let own = std::fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
        assert!(promised(&own).unwrap().starts_with("1."));
        assert_eq!(promised("[package]\nrust-version = \"1.2\"\n"), Some("1.2.0".to_owned()));
        assert_eq!(promised("[package]\n"), None);
    }

    #[test]
    fn an_unknown_check_is_no_success() {
        assert_eq!(run(Some("everything")).unwrap_err().code, 64);
    }
}
