//! `wrk` as the client of the check measurements: the same for both servers, on cores of its own,
//! with requests that are written out beforehand and taken in turn.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::cores::Split;

const CONNECTIONS: usize = 32;

/// A script for `wrk`.
#[derive(Debug)]
pub(super) struct Load {
    folder: TempDir,
}

impl Load {
    /// A load of these requests, as bytes on the wire.
    pub(super) fn new(requests: &[Vec<u8>]) -> Result<Self> {
        let mut script = String::from("local requests = {\n");
        for request in requests {
            let _ = writeln!(script, "{},", lua_string(request));
        }
        script.push_str(
            "}\nlocal count = #requests\nlocal turn = 0\n\
             function request()\n  turn = turn % count + 1\n  return requests[turn]\nend\n",
        );
        let folder = tempfile::Builder::new().prefix("auth-bench-").tempdir()?;
        std::fs::write(folder.path().join("load.lua"), script)?;
        Ok(Self { folder })
    }

    /// Requests per second that the server at `address` answers with a success, all of them.
    pub(super) async fn run(&self, address: &str, cores: &Split, seconds: u32) -> Result<f64> {
        let mut command = tokio::process::Command::from(cores.on_client("wrk"));
        // wrk wants at least one connection for each of its threads.
        let threads = cores.client_threads().min(CONNECTIONS);
        command
            .args([format!("-t{threads}"), format!("-c{CONNECTIONS}"), format!("-d{seconds}s")])
            .arg("-s")
            .arg(self.folder.path().join("load.lua"))
            .arg(format!("http://{address}"))
            .kill_on_drop(true);
        let output = command.output().await.context("running wrk (Debian package wrk)")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "wrk: {text}{errors}");
        rate(&text)
    }
}

fn rate(output: &str) -> Result<f64> {
    for trouble in ["Non-2xx", "Socket errors"] {
        ensure!(!output.contains(trouble), "wrk saw failures:\n{output}");
    }
    let line = output.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate = line.and_then(|rate| rate.trim().parse().ok());
    rate.with_context(|| format!("no rate in the output of wrk:\n{output}"))
}

fn lua_string(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:03}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_a_lua_string() {
        assert_eq!(lua_string(b"a\"b\\c\r\n1"), "\"a\\\"b\\\\c\\013\\0101\"");
    }

    #[test]
    fn failures_are_no_rate() {
        assert_eq!(rate("x\nRequests/sec:   1234.50\n").unwrap(), 1234.5);
        for bad in [
            "Requests/sec: 9\n  Non-2xx or 3xx responses: 3\n",
            "Requests/sec: 9\n  Socket errors: connect 0, read 1, write 0, timeout 0\n",
            "nothing",
        ] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
