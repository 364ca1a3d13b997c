//! The measurements of `cargo xtask bench [NAME [PEOPLE]]`, on the programs of a release build.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use auth_tests::bench::{self, NAMES, bare};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [] => measure(None, None),
        [only] if *only == bare::OPTION => serve(),
        [name] if !name.starts_with('-') => measure(Some(name), None),
        [name @ "sync", people] if people.parse::<usize>().is_ok_and(|it| it >= 100) => {
            measure(Some(name), people.parse().ok())
        }
        _ => {
            eprintln!("usage: bench [{}], or bench sync PEOPLE (at least 100)", NAMES.join("|"));
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The clients have one thread, so that they take little from the server beside them.
fn measure(name: Option<&str>, people: Option<usize>) -> Result<()> {
    let program: PathBuf = std::env::current_exe().context("path of this program")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(bench::run(name, people, &program))
}

fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bare::serve())
}
