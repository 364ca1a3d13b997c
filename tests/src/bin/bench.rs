//! The measurements of `cargo xtask bench [NAME]`, on the programs of a release build.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use auth_tests::bench::{self, NAMES, bare};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [] => measure(None),
        [only] if *only == bare::OPTION => serve(),
        [name] if !name.starts_with('-') => measure(Some(name)),
        _ => {
            eprintln!("usage: bench [{}]", NAMES.join("|"));
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
fn measure(name: Option<&str>) -> Result<()> {
    let program: PathBuf = std::env::current_exe().context("path of this program")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(bench::run(name, &program))
}

fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bare::serve())
}
