//! A throw-away PostgreSQL server: `initdb` and `postgres` of the newest installed version, in a
//! temporary folder, reached by a Unix socket in that folder. Nothing outside it is touched.
//!
//! PostgreSQL refuses to run as root, so for root it runs as the user `postgres` or `nobody`. It
//! is ready when it answers a query; it ends when the value is dropped. Durability is as in
//! production (`fsync` on).

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Where Debian, and then others, have the programs of each version.
const FOLDERS: [&str; 2] = ["/usr/lib/postgresql", "/usr/pgsql"];
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A running server. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct PostgresServer {
    programs: PathBuf,
    user: Option<User>,
    folder: TempDir,
    settings: Vec<String>,
    /// TCP port with TLS, if there is one.
    port: Option<u16>,
    child: Option<Child>,
    databases: AtomicU32,
}

/// Whom the server runs as when we are root.
#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl PostgresServer {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start; the message holds its log.
    pub fn start() -> Result<Self> {
        let mut server = Self::make()?;
        server.settings.push("listen_addresses=".to_owned());
        server.restart()?;
        Ok(server)
    }

    /// Makes a cluster that is reached over TCP and TLS too, see [`PostgresServer::tls_url`], and
    /// starts it. Needs `openssl`.
    ///
    /// # Errors
    /// PostgreSQL or `openssl` is not installed, or it does not start.
    pub fn start_with_tls() -> Result<Self> {
        let mut server = Self::make()?;
        server.write_certificates()?;
        let port = super::port::free()?;
        server.port = Some(port);
        server.settings.extend([
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", server.file("server.pem").display()),
            format!("ssl_key_file={}", server.file("server.key").display()),
        ]);
        server.restart()?;
        Ok(server)
    }

    fn make() -> Result<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("auth-pg-").tempdir()?;
        let user = (fs::metadata("/proc/self")?.uid() == 0).then(unprivileged).transpose()?;
        if let Some(user) = user {
            chown(folder.path(), Some(user.uid), Some(user.gid))?;
        }
        let server = Self {
            programs,
            user,
            folder,
            settings: Vec::new(),
            port: None,
            child: None,
            databases: AtomicU32::new(0),
        };
        server.init()?;
        Ok(server)
    }

    /// URL of a database on this server, of libpq's form.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().to_string_lossy().replace('/', "%2F");
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("postgres://postgres@{folder}{port}/{database}")
    }

    /// URL of a database by TCP and TLS. The server's certificate is for `localhost` only and
    /// issued by [`PostgresServer::authority`].
    pub fn tls_url(&self, host: &str, database: &str) -> String {
        let port = self.port.unwrap_or_default();
        format!("postgres://postgres@{host}:{port}/{database}?sslmode=verify-full")
    }

    /// The certificate of the authority that issued the server's.
    pub fn authority(&self) -> PathBuf {
        self.file("authority.pem")
    }

    /// Makes an empty database and returns its name.
    ///
    /// # Errors
    /// The server refuses or is not there.
    pub fn create_database(&self) -> Result<String> {
        self.copy_database("template1")
    }

    /// Makes a copy of a database that nobody is connected to, and returns its name.
    ///
    /// # Errors
    /// The server refuses or is not there.
    pub fn copy_database(&self, template: &str) -> Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.query("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"))?;
        Ok(name)
    }

    /// Runs statements and returns the first column of the rows that they give.
    ///
    /// # Errors
    /// The server refuses or is not there.
    pub fn query(&self, database: &str, sql: &str) -> Result<Vec<String>> {
        let (url, sql) = (self.url(database), sql.to_owned());
        // A thread of its own, so that this can be called from inside a runtime too.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(simple_query(&url, &sql))
        })
        .join()
        .map_err(|_| anyhow::anyhow!("the query's thread panicked"))?
    }

    /// Lets the server forget what it was told in case of a crash, which makes it faster. For
    /// tests of many small databases that crash nothing.
    ///
    /// # Errors
    /// The server refuses or is not there.
    pub fn forgo_durability(&self) -> Result<()> {
        self.query("postgres", "ALTER SYSTEM SET fsync = off")?;
        self.query("postgres", "SELECT pg_reload_conf()").map(drop)
    }

    /// Stops the server: running statements are aborted, all connections closed.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop(&mut self) -> Result<()> {
        self.end("INT")
    }

    /// Ends the server as a crash would.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn kill(&mut self) -> Result<()> {
        self.end("KILL")
    }

    /// Changes a setting, `name=value`, from the next start on.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Starts the server (stops it before, if it runs) and waits until it answers.
    ///
    /// # Errors
    /// It does not start; the message holds its log.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let deadline = Instant::now() + LIMIT;
        loop {
            self.child = Some(self.spawn()?);
            match self.wait_until_ready(deadline) {
                Ok(()) => return Ok(()),
                // After a crash the old server's processes may still be going away.
                Err(_) if self.log().contains("still in use") && Instant::now() < deadline => {
                    std::thread::sleep(POLL);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What the server has said since it was started last.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn init(&self) -> Result<()> {
        let mut command = self.command("initdb");
        command
            .arg("--pgdata")
            .arg(self.data())
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"])
            .args(["--no-sync", "--no-instructions"]);
        let output = command.output().context("running initdb")?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn spawn(&self) -> Result<Child> {
        let socket = self.folder.path().display();
        let log = File::create(self.log_file()).context("making the server's log")?;
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args([
                "-c",
                "max_connections=200",
                "-c",
                "shared_buffers=64MB",
                "-c",
                "max_wal_size=256MB",
            ])
            .args(["-c", &format!("unix_socket_directories={socket}")])
            .stdout(log.try_clone()?)
            .stderr(log);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.spawn().context("starting postgres")
    }

    /// A program of PostgreSQL, to be run as an unprivileged user.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match self.user {
            None => Command::new(program),
            Some(User { uid, gid }) => {
                let mut command = Command::new("setpriv");
                command
                    .args([format!("--reuid={uid}"), format!("--regid={gid}")])
                    .args(["--clear-groups", "--"])
                    .arg(program);
                command
            }
        };
        command.current_dir(self.folder.path()).stdin(Stdio::null()).env("LC_ALL", "C");
        command
    }

    fn wait_until_ready(&mut self, deadline: Instant) -> Result<()> {
        loop {
            let failed = match self.query("postgres", "SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if let Some(status) = self.exit_status()? {
                self.child = None;
                bail!("postgres ended with {status}: {}", self.log());
            }
            if Instant::now() > deadline {
                bail!("postgres does not answer ({failed:#}): {}", self.log());
            }
            std::thread::sleep(POLL);
        }
    }

    fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => child.try_wait().context("asking for the end of postgres"),
            None => Ok(None),
        }
    }

    fn end(&mut self, signal: &str) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        if child.try_wait()?.is_none() {
            let id = child.id().to_string();
            Command::new("kill").args(["-s", signal, &id]).status().context("running kill")?;
        }
        let deadline = Instant::now() + LIMIT;
        while self.exit_status()?.is_none() {
            ensure!(Instant::now() < deadline, "postgres does not end: {}", self.log());
            std::thread::sleep(POLL);
        }
        self.child = None;
        Ok(())
    }

    fn write_certificates(&self) -> Result<()> {
        const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30";
        fs::write(self.file("server.ext"), "subjectAltName=DNS:localhost\n")?;
        for arguments in [
            format!("req -x509 {KEY} -subj /CN=Test-CA -keyout authority.key -out authority.pem"),
            format!("req {KEY} -subj /CN=localhost -keyout server.key -out server.csr"),
            "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial \
             -days 30 -extfile server.ext -out server.pem"
                .to_owned(),
        ] {
            let mut command = Command::new("openssl");
            command.args(arguments.split_whitespace()).current_dir(self.folder.path());
            let output = command.output().context("running openssl")?;
            ensure!(
                output.status.success(),
                "openssl: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        if let Some(User { uid, gid }) = self.user {
            chown(self.file("server.key"), Some(uid), Some(gid))?;
        }
        fs::set_permissions(self.file("server.key"), fs::Permissions::from_mode(0o600))?;
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.file("data")
    }

    fn log_file(&self) -> PathBuf {
        self.file("server.log")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if self.end("QUIT").is_err()
            && let Some(child) = &mut self.child
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn simple_query(url: &str, sql: &str) -> Result<Vec<String>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driver = tokio::spawn(connection);
    let messages = client.simple_query(sql).await?;
    drop(client);
    driver.await??;
    Ok(messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        })
        .collect())
}

/// The folder of the newest version's programs.
fn programs() -> Result<PathBuf> {
    let newest = FOLDERS
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|version| version.join("bin/initdb").is_file())
        .max_by_key(|version| number_of(version));
    match newest {
        Some(version) => Ok(version.join("bin")),
        None => bail!("PostgreSQL is not installed: no {}/VERSION/bin/initdb", FOLDERS[0]),
    }
}

fn number_of(version: &Path) -> u32 {
    version.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
}

fn unprivileged() -> Result<User> {
    let users = fs::read_to_string("/etc/passwd").context("reading the users")?;
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let user = fields.next()?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            (user == name).then_some(User { uid, gid })
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .context("PostgreSQL does not run as root, and there is neither `postgres` nor `nobody`")
}
