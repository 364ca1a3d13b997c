//! A child process whose output is kept line by line, and which is gone when the value is.
//!
//! The child stays in the process group of its parent, so that Ctrl-C in a terminal reaches it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::watch;

const TAIL: usize = 40;
const POLL: Duration = Duration::from_millis(10);

/// A running program. Dropping it kills the program and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Output {
    lines: Mutex<Vec<String>>,
    count: watch::Sender<usize>,
}

impl Process {
    /// Starts `command`; standard output and standard error are collected together.
    ///
    /// # Errors
    /// The program cannot be started, for example because it is not installed.
    pub fn start(name: &str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {name} ({:?})", command.get_program()))?;
        let output = Arc::new(Output { lines: Mutex::default(), count: watch::Sender::new(0) });
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(output.clone().collect(stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(output.clone().collect(stderr));
        }
        Ok(Self { name: name.into(), child, output, readers })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything the program has printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.output.snapshot(0)
    }

    /// The last lines, for an error message.
    pub fn tail(&self) -> String {
        let lines = self.lines();
        let start = lines.len().saturating_sub(TAIL);
        lines.get(start..).unwrap_or_default().join("\n")
    }

    /// Waits until `pick` accepts a line, old or new, and returns what it made of it.
    ///
    /// # Errors
    /// The program ended before, or `limit` passed; the message holds the end of its output.
    pub async fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        let mut count = self.output.count.subscribe();
        let mut seen = 0;
        loop {
            // Asked before the output is read: what a dead program said last is still looked at.
            let ended = self.try_exit()?;
            if ended.is_some() {
                self.join_readers();
            }
            let news = self.output.snapshot(seen);
            seen += news.len();
            if let Some(found) = news.iter().find_map(|line| pick(line)) {
                return Ok(found);
            }
            if let Some(status) = ended {
                bail!("{} ended with {status} before {what}:\n{}", self.name, self.tail());
            }
            if Instant::now() >= deadline {
                bail!("{}: no {what} within {limit:?}:\n{}", self.name, self.tail());
            }
            // The pause only bounds how late the program's end is noticed.
            let _ = tokio::time::timeout(Duration::from_millis(50), count.changed()).await;
        }
    }

    /// Exit status, when the program has ended.
    ///
    /// # Errors
    /// The operating system refuses the question.
    pub fn try_exit(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("asking for the end of {}", self.name))
    }

    /// Waits until the program has ended by itself.
    ///
    /// # Errors
    /// `limit` passed.
    pub async fn wait_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.try_exit()? {
                self.join_readers();
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("{} still runs after {limit:?}:\n{}", self.name, self.tail());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends a signal by its name without `SIG`, for example `TERM`, `HUP`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// The program has ended, or the signal is unknown.
    pub fn signal(&mut self, name: &str) -> Result<()> {
        if let Some(status) = self.try_exit()? {
            bail!("{} has ended with {status}:\n{}", self.name, self.tail());
        }
        // `kill` is built into every shell; the id is ours until the child has been waited for.
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &self.id().to_string()])
            .status()
            .context("running sh")?;
        if !status.success() {
            bail!("signal {name} to {} was refused", self.name);
        }
        Ok(())
    }

    /// SIGKILL; returns when the program is gone.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("killing {}", self.name))?;
        self.child.wait().with_context(|| format!("waiting for {}", self.name))?;
        Ok(())
    }

    // A grandchild may hold the pipe open, so this is bounded.
    fn join_readers(&mut self) {
        let deadline = Instant::now() + Duration::from_millis(500);
        for reader in self.readers.drain(..) {
            while !reader.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            if reader.is_finished() {
                let _ = reader.join();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Output {
    fn collect(self: Arc<Self>, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(length) if length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if let Ok(mut lines) = self.lines.lock() {
                    lines.push(text);
                    self.count.send_replace(lines.len());
                }
            }
        })
    }

    fn snapshot(&self, from: usize) -> Vec<String> {
        match self.lines.lock() {
            Ok(lines) => lines.get(from..).map(<[String]>::to_vec).unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("shell", command).unwrap()
    }

    #[tokio::test]
    async fn a_line_is_found_and_a_signal_ends_the_program() {
        let mut process = shell("echo one >&2; echo two; exec sleep 60");
        let limit = Duration::from_secs(10);
        process.wait_for("two", limit, |line| (line == "two").then_some(())).await.unwrap();
        process.wait_for("one", limit, |line| (line == "one").then_some(())).await.unwrap();
        process.signal("TERM").unwrap();
        assert!(!process.wait_exit(limit).await.unwrap().success());
        assert!(process.signal("TERM").is_err());
    }

    #[tokio::test]
    async fn the_end_of_the_program_is_an_error_with_its_output() {
        let mut process = shell("echo reason; exit 78");
        let error = process
            .wait_for("never", Duration::from_secs(10), |line| (line == "never").then_some(()))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("78") && error.contains("reason"), "{error}");
    }

    #[test]
    fn a_dropped_program_is_gone() {
        let process = shell("exec sleep 60");
        let entry = std::path::PathBuf::from(format!("/proc/{}", process.id()));
        assert!(entry.exists());
        drop(process);
        assert!(!entry.exists());
    }
}
