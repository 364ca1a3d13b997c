//! Runs programs to their end; a failure carries what they wrote.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Runs `openssl` in a folder; the arguments hold no blanks.
pub(super) fn openssl(folder: &Path, arguments: &str) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args(arguments.split_whitespace()).current_dir(folder);
    run(&mut command).map(drop)
}

/// Runs a program without input.
pub(super) fn run(command: &mut Command) -> Result<Output> {
    run_with_input(command, "")
}

/// Runs a program with `input` on its standard input.
pub(super) fn run_with_input(command: &mut Command, input: &str) -> Result<Output> {
    let name = format!("{:?}", command.get_program());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} cannot be started; is its package installed?"))?;
    // Beside the reading: a program that writes much before it has read all would wait for ever.
    let writing = child.stdin.take().map(|mut stdin| {
        let input = input.to_owned();
        // A program that ends without reading its input says why by its exit status.
        std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())))
    });
    let output = child.wait_with_output()?;
    drop(writing.map(std::thread::JoinHandle::join));
    ensure!(
        output.status.success(),
        "{name} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}
