//! Which cores the server has and which the client, so that neither takes from the other: half of
//! those that this process may use for each. On one core they share it.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Connections to a daemon under 1,000 logins, and as many again in this process, with room.
const FILES: usize = 8192;

/// Cores of both sides, in the form of `taskset --cpu-list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
    server: Vec<usize>,
    client: Vec<usize>,
}

impl Split {
    /// Halves the cores that this process may use.
    ///
    /// # Errors
    /// `/proc` does not say which these are.
    pub(super) fn halves() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        Self::of(&list.and_then(parse).context("no Cpus_allowed_list")?)
    }

    fn of(cores: &[usize]) -> Result<Self> {
        ensure!(!cores.is_empty(), "no cores");
        if cores.len() == 1 {
            return Ok(Self { server: cores.to_vec(), client: cores.to_vec() });
        }
        let (server, client) = cores.split_at(cores.len() / 2);
        Ok(Self { server: server.to_vec(), client: client.to_vec() })
    }

    /// How many threads a server should have for its share.
    pub(super) fn server_threads(&self) -> usize {
        self.server.len()
    }

    /// How many threads a client should have for its share.
    pub(super) fn client_threads(&self) -> usize {
        self.client.len()
    }

    /// Moves a running server, all its threads, to its share.
    ///
    /// # Errors
    /// `taskset` refuses.
    pub(super) fn pin_server(&self, process: u32) -> Result<()> {
        let mut command = Command::new("taskset");
        command.args(["--all-tasks", "--cpu-list", "--pid", &list(&self.server)]);
        finish(command.arg(process.to_string()))
    }

    /// A command that runs on the client's share.
    pub(super) fn on_client(&self, program: &str) -> Command {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &list(&self.client), program]);
        command
    }
}

/// Lets this process and those that it starts open enough connections.
///
/// # Errors
/// The system's limit is lower.
pub(super) fn allow_many_files() -> Result<()> {
    let own = std::process::id().to_string();
    let limits = std::fs::read_to_string("/proc/self/limits").context("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let now = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    if now.is_some_and(|now| now >= FILES) {
        return Ok(());
    }
    let mut command = Command::new("prlimit");
    finish(command.args(["--pid", &own, &format!("--nofile={FILES}:")]))
        .with_context(|| format!("{FILES} open files are needed (see `ulimit -n`)"))
}

fn finish(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// For example `0-3,8`.
fn parse(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(parse(" 0-1\n"), Some(vec![0, 1]));
        assert_eq!(parse("0,2-4,9"), Some(vec![0, 2, 3, 4, 9]));
        assert_eq!(parse("x"), None);
    }

    #[test]
    fn the_cores_are_halved() {
        let split = Split::of(&[0, 1, 2]).unwrap();
        assert_eq!((split.server_threads(), split.client_threads()), (1, 2));
        let shared = Split::of(&[5]).unwrap();
        assert_eq!((list(&shared.server), list(&shared.client)), ("5".into(), "5".into()));
        assert!(Split::of(&[]).is_err());
    }
}
