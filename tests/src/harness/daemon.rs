//! The daemon as a program of its own: built binary, written configuration, real sockets.
//!
//! The configuration of [`Daemon::builder`] is the smallest that runs: SQLite in a temporary
//! folder, no second factor, free ports. A test changes or adds what it is about.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use toml::{Table, Value as Setting};

use super::process::Process;
use super::{port, program};

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);
const ATTEMPTS: usize = 5;

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

/// A configuration that is still being written.
#[derive(Debug)]
pub struct Builder {
    settings: Table,
    environment: Vec<(String, String)>,
    files: Vec<(String, String)>,
    error: Option<anyhow::Error>,
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
        let settings = toml::toml! {
            [listen]
            admin = "127.0.0.1:0"
            [storage]
            url = "sqlite://auth.db"
            [keys]
            ring_file = "auth-daemon.keys"
            [mfa]
            policy = "off"
        };
        Builder { settings, environment: Vec::new(), files: Vec::new(), error: None }
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

impl Builder {
    /// Sets one value by its path, for example `("session.idle_timeout", "30m")`.
    #[must_use]
    pub fn set(mut self, path: &str, value: impl Into<Setting>) -> Self {
        let mut value = value.into();
        for key in path.rsplit('.') {
            let mut table = Table::new();
            table.insert(key.to_owned(), value);
            value = Setting::Table(table);
        }
        if let Setting::Table(table) = value {
            merge(&mut self.settings, table);
        }
        self
    }

    /// Adds TOML text: tables are merged, arrays of tables (`[[directory]]`) are appended.
    #[must_use]
    pub fn toml(mut self, text: &str) -> Self {
        match text.parse::<Table>() {
            Ok(table) => merge(&mut self.settings, table),
            Err(error) => {
                self.error = Some(anyhow::Error::from(error).context("configuration text"))
            }
        }
        self
    }

    /// Adds a confidential `oidc` client.
    #[must_use]
    pub fn client(self, id: &str, secret: &str, redirect_uris: &[&str]) -> Self {
        let uris = redirect_uris.iter().map(|uri| Setting::from(*uri)).collect::<Vec<_>>();
        let mut client = Table::new();
        client.insert("id".into(), id.into());
        client.insert("kind".into(), "oidc".into());
        client.insert("secret".into(), secret.into());
        client.insert("redirect_uris".into(), Setting::Array(uris));
        self.array_entry("client", client)
    }

    /// Adds one `[[name]]` table.
    #[must_use]
    pub fn array_entry(mut self, name: &str, entry: Table) -> Self {
        let mut table = Table::new();
        table.insert(name.into(), Setting::Array(vec![Setting::Table(entry)]));
        merge(&mut self.settings, table);
        self
    }

    /// Puts a file into the daemon's folder; the configuration names it by `name`.
    #[must_use]
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.into(), content.into()));
        self
    }

    /// Sets an environment variable of the daemon and its command line.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Writes the configuration and starts the daemon; returns when both listeners are open.
    ///
    /// # Errors
    /// The program is not built, or ends before it listens; the message holds its log.
    pub async fn start(mut self) -> Result<Daemon> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        for attempt in 1.. {
            let port = port::free()?;
            let public_url = Url::parse(&format!("http://localhost:{port}"))?;
            let files = self.write(port)?;
            match serve(&files).await {
                Ok((process, listeners)) => {
                    return Ok(Daemon {
                        process: Some(process),
                        files,
                        public_url,
                        listeners,
                        earlier_lines: Vec::new(),
                    });
                }
                Err(error) if attempt < ATTEMPTS && port_was_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        bail!("no port was free")
    }

    /// Writes the configuration and runs one command on it, without a daemon beside it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub async fn run(mut self, arguments: &[&str]) -> Result<Output> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.write(port::free()?)?.run(arguments, None).await
    }

    fn write(&self, port: u16) -> Result<Files> {
        let mut settings = self.settings.clone();
        let public_url = format!("http://localhost:{port}");
        settings.entry("public_url").or_insert(public_url.into());
        if let Some(Setting::Table(listen)) = settings.get_mut("listen") {
            listen.entry("public").or_insert(format!("127.0.0.1:{port}").into());
        }
        let folder = tempfile::Builder::new().prefix("auth-daemon-").tempdir()?;
        for (name, content) in &self.files {
            std::fs::write(folder.path().join(name), content)?;
        }
        let config = folder.path().join("auth-daemon.toml");
        std::fs::write(&config, toml::to_string(&settings)?)?;
        Ok(Files { folder, config, environment: self.environment.clone() })
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

fn port_was_taken(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}").to_ascii_lowercase();
    text.contains("address already in use") || text.contains("address in use")
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Setting::Table(old)), Setting::Table(new)) => merge(old, new),
            (Some(Setting::Array(old)), Setting::Array(new))
                if new.iter().chain(old.iter()).all(Setting::is_table) =>
            {
                old.extend(new);
            }
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
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

    #[test]
    fn settings_are_merged_and_tables_of_arrays_appended() {
        let builder = Daemon::builder()
            .set("session.idle_timeout", "30m")
            .set("mfa.policy", "required")
            .client("one", "s", &["http://localhost/a"])
            .toml("[[client]]\nid = \"two\"\n[session]\nabsolute_timeout = \"1d\"");
        let folder = builder.write(1).unwrap();
        let written: Table = std::fs::read_to_string(&folder.config).unwrap().parse().unwrap();
        assert_eq!(written["public_url"].as_str(), Some("http://localhost:1"));
        assert_eq!(written["listen"]["public"].as_str(), Some("127.0.0.1:1"));
        assert_eq!(written["mfa"]["policy"].as_str(), Some("required"));
        assert_eq!(written["client"].as_array().unwrap().len(), 2);
        assert_eq!(written["session"].as_table().unwrap().len(), 2);
    }
}
