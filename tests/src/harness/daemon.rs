//! The daemon as a program of its own: built binary, written configuration, real sockets.
//!
//! The configuration of [`Daemon::builder`] is the smallest that runs: SQLite in a temporary
//! folder, no second factor, free ports. A test changes or adds what it is about.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::process::Process;
use super::program;

mod builder;

pub use builder::Builder;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);

/// A daemon and its folder. Dropping it kills the program and removes the folder.
#[derive(Debug)]
pub struct Daemon {
    process: Option<Process>,
    files: Files,
    public_url: Url,
    listeners: BTreeMap<String, SocketAddr>,
    earlier_lines: Vec<String>,
}

/// What stays when the program does not run.
#[derive(Debug)]
struct Files {
    folder: TempDir,
    config: PathBuf,
    environment: Vec<(String, String)>,
}

/// What a run of the command line printed.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; -1 when a signal ended the program.
    pub code: i32,
    /// Standard output: the data.
    pub stdout: String,
    /// Standard error: progress and messages.
    pub stderr: String,
}

impl Daemon {
    /// The smallest configuration that runs.
    pub fn builder() -> Builder {
        Builder::smallest()
    }

    /// The issuer, without a slash at its end.
    pub fn issuer(&self) -> &str {
        self.public_url.as_str().trim_end_matches('/')
    }

    /// An address of the public listener, for example `/login`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    /// An address of the administration listener.
    ///
    /// # Errors
    /// The daemon never said where that listens.
    pub fn admin_url(&self, path: &str) -> Result<String> {
        let address = self.listeners.get("admin").context("no administration listener")?;
        Ok(format!("http://{address}{path}"))
    }

    /// The folder with configuration, store and keys.
    pub fn folder(&self) -> &Path {
        self.files.folder.path()
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.files.config
    }

    /// Everything the daemon has logged, earlier runs included.
    pub fn log(&self) -> Vec<String> {
        let mut lines = self.earlier_lines.clone();
        lines.extend(self.process.iter().flat_map(Process::lines));
        lines
    }

    /// The log lines that are JSON, as one flat object each: what tracing puts below `fields`
    /// stands beside the rest.
    pub fn events(&self) -> Vec<Value> {
        self.log().iter().filter_map(|line| flat(line)).map(Value::Object).collect()
    }

    /// Waits until a log line is accepted, old or new.
    ///
    /// # Errors
    /// The daemon ended, or `limit` passed.
    pub async fn wait_for_log(
        &mut self,
        what: &str,
        limit: Duration,
        accept: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let process = self.running()?;
        process.wait_for(what, limit, |line| accept(line).then(|| line.to_owned())).await
    }

    /// Process id.
    ///
    /// # Errors
    /// The daemon is stopped.
    pub fn process_id(&mut self) -> Result<u32> {
        Ok(self.running()?.id())
    }

    /// Exit status, when the program has ended although nobody stopped it.
    ///
    /// # Errors
    /// The daemon was stopped.
    pub fn try_exit(&mut self) -> Result<Option<ExitStatus>> {
        self.running()?.try_exit()
    }

    /// Sends a signal by its name without `SIG`, for example `HUP`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// The daemon has ended.
    pub fn signal(&mut self, name: &str) -> Result<()> {
        self.running()?.signal(name)
    }

    /// SIGKILL: the machine loses power. The folder stays.
    ///
    /// # Errors
    /// The daemon was not running.
    pub fn kill(&mut self) -> Result<()> {
        self.running()?.kill()?;
        self.forget_process();
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// The daemon was not running, or does not end within 30 seconds.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        let process = self.running()?;
        process.signal("TERM")?;
        let status = process.wait_exit(STOP).await?;
        self.forget_process();
        Ok(status)
    }

    /// Starts the daemon again on the same folder and port; a running one is stopped first.
    ///
    /// # Errors
    /// It does not stop, or does not start.
    pub async fn restart(&mut self) -> Result<()> {
        if self.process.is_some() {
            let status = self.stop().await?;
            ensure!(status.success(), "the daemon ended with {status}");
        }
        let (process, listeners) = serve(&self.files).await?;
        (self.process, self.listeners) = (Some(process), listeners);
        Ok(())
    }

    /// Runs `auth-daemon --config FILE` with these arguments.
    ///
    /// # Errors
    /// The program cannot be started. An exit code other than 0 is no error here.
    pub async fn cli(&self, arguments: &[&str]) -> Result<Output> {
        self.files.run(arguments, None).await
    }

    /// As [`Self::cli`], with a text on standard input (`--password-stdin`).
    ///
    /// # Errors
    /// The program cannot be started.
    pub async fn cli_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        self.files.run(arguments, Some(input)).await
    }

    /// Makes a local account with a password.
    ///
    /// # Errors
    /// The command line refuses.
    pub async fn create_user(&self, name: &str, email: &str, password: &str) -> Result<()> {
        let arguments = ["user", "create", name, "--email", email, "--password-stdin"];
        self.cli_with_input(&arguments, password).await?.success()?;
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the daemon is stopped")
    }

    fn forget_process(&mut self) {
        if let Some(process) = self.process.take() {
            self.earlier_lines.extend(process.lines());
        }
    }
}

impl Output {
    /// The output when the exit code is 0.
    ///
    /// # Errors
    /// Any other code; the message holds both streams.
    pub fn success(self) -> Result<Self> {
        self.expect(0)
    }

    /// The output when the exit code is this one.
    ///
    /// # Errors
    /// Any other code; the message holds both streams.
    pub fn expect(self, code: i32) -> Result<Self> {
        ensure!(
            self.code == code,
            "exit code {}, expected {code}:\n{}",
            self.code,
            self.describe()
        );
        Ok(self)
    }

    /// Standard output as one JSON value.
    ///
    /// # Errors
    /// It is not.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| self.describe())
    }

    /// Standard output as one JSON value a line.
    ///
    /// # Errors
    /// A line is none.
    pub fn json_lines(&self) -> Result<Vec<Value>> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().with_context(|| self.describe())
    }

    fn describe(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

impl Files {
    fn command(&self) -> Result<Command> {
        let mut command = Command::new(program("auth-daemon")?);
        command.current_dir(self.folder.path()).arg("--config").arg(&self.config);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    async fn run(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.command()?);
        command.args(arguments).kill_on_drop(true);
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting auth-daemon")?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            // A program that refuses its arguments does not read: its exit code tells.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output())
            .await
            .with_context(|| format!("auth-daemon {arguments:?} does not end"))??;
        Ok(Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

async fn serve(files: &Files) -> Result<(Process, BTreeMap<String, SocketAddr>)> {
    let mut command = files.command()?;
    command.arg("serve");
    let mut process = Process::start("auth-daemon", command)?;
    let mut listeners = BTreeMap::new();
    process
        .wait_for("both listeners", START, |line| {
            listeners.extend(listening(line));
            (listeners.contains_key("public") && listeners.contains_key("admin")).then_some(())
        })
        .await?;
    Ok((process, listeners))
}

/// The listeners that a log line announces: fields `public` and `admin` with an address each, or
/// one `listener` and its `address`.
fn listening(line: &str) -> Vec<(String, SocketAddr)> {
    let Some(fields) = flat(line) else { return Vec::new() };
    if fields.get("event").and_then(Value::as_str) != Some("listening") {
        return Vec::new();
    }
    let address = |value: &Value| {
        let text = value.as_str()?;
        text.split_once("://").map_or(text, |(_, rest)| rest).parse::<SocketAddr>().ok()
    };
    let name = ["listener", "name"].iter().find_map(|key| fields.get(*key)?.as_str());
    let found = fields.iter().filter_map(|(key, value)| Some((key, address(value)?)));
    found
        .map(|(key, address)| match (key.as_str(), name) {
            ("public" | "admin", _) | (_, None) => (key.clone(), address),
            (_, Some(name)) => (name.to_owned(), address),
        })
        .collect()
}

fn flat(line: &str) -> Option<serde_json::Map<String, Value>> {
    let Ok(Value::Object(mut object)) = serde_json::from_str(line) else { return None };
    if let Some(Value::Object(fields)) = object.remove("fields") {
        object.extend(fields);
    }
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_listening_event_are_read() {
        let nested = r#"{"timestamp":"x","fields":{"message":"m","event":"listening","public":"127.0.0.1:1","admin":"127.0.0.1:2"}}"#;
        let single = r#"{"event":"listening","listener":"admin","address":"http://127.0.0.1:2"}"#;
        assert_eq!(listening(nested).len(), 2);
        assert_eq!(listening(single), [("admin".into(), "127.0.0.1:2".parse().unwrap())]);
        assert!(listening(r#"{"event":"started","public":"127.0.0.1:1"}"#).is_empty());
        assert!(listening("listening").is_empty());
    }
}
