//! A throw-away OpenLDAP `slapd` with the people of `fixtures/ldap`, an own certificate authority,
//! and the memberof and ppolicy overlays. Nothing outside its temporary folder is touched.
//!
//! Needs Debian's `slapd`, `ldap-utils` and `openssl`. It is ready when its last listener answers
//! and the groups were added; it ends when the value is dropped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::run_program::{openssl, run, run_with_input};

const BASE_DN: &str = "dc=example,dc=org";
const ADMIN_DN: &str = "cn=admin,dc=example,dc=org";
const ADMIN_PASSWORD: &str = "admin-secret";
const READY_WITHIN: Duration = Duration::from_secs(20);

/// What differs from the usual server.
#[derive(Clone, Debug, Default)]
pub struct SlapdOptions {
    /// Lines for the global part of `slapd.conf`, e.g. `TLSVerifyClient demand`.
    pub extra_global: String,
    /// Lines for the end of the database part.
    pub extra_database: String,
    /// Writes no log of operations; for measurements.
    pub quiet: bool,
    /// A file of further entries (LDIF) that are loaded before the start.
    pub further_entries: Option<PathBuf>,
    /// Has no certificate, so that StartTLS and `ldaps://` do not work.
    pub without_tls: bool,
    /// Does not offer content synchronisation (RFC 4533).
    pub without_sync: bool,
    /// The service account may read everything in one piece, and deletions are kept in a log: as
    /// an administrator sets a server up for content synchronisation.
    pub for_content_sync: bool,
    /// Access rules before all others.
    pub first_access: String,
    /// Shows a certificate that expired.
    pub expired_certificate: bool,
}

/// A running server. See the module.
#[derive(Debug)]
pub struct Slapd {
    folder: TempDir,
    child: Option<Child>,
    port: u16,
    tls_port: u16,
    quiet: bool,
}

impl Slapd {
    /// Starts one on free ports and waits until it is ready.
    ///
    /// # Errors
    /// When a needed program is missing, or the server does not get ready within 20 s.
    pub fn start() -> Result<Self> {
        Self::start_with(&SlapdOptions::default())
    }

    /// Starts one that differs by `options`.
    ///
    /// # Errors
    /// As [`Slapd::start`].
    pub fn start_with(options: &SlapdOptions) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("slapd-").tempdir()?;
        write_certificates(folder.path(), options.expired_certificate)?;
        write_configuration(folder.path(), options)?;
        let people = fixtures().join("people.ldif");
        let mut load = Command::new(program("slapadd"));
        load.arg("-q").arg("-f").arg(folder.path().join("slapd.conf")).arg("-l").arg(people);
        run(&mut load)?;
        if let Some(entries) = &options.further_entries {
            let mut load = Command::new(program("slapadd"));
            load.arg("-q").arg("-f").arg(folder.path().join("slapd.conf")).arg("-l").arg(entries);
            run(&mut load)?;
        }

        let mut server = Self { folder, child: None, port: 0, tls_port: 0, quiet: options.quiet };
        // A free port can be taken by somebody else before slapd binds it; then it ends at once.
        let mut attempts = 0;
        loop {
            (server.port, server.tls_port) = (free_port()?, free_port()?);
            attempts += 1;
            match server.launch() {
                Ok(()) => break,
                Err(_) if attempts < 5 => {}
                Err(error) => return Err(error),
            }
        }
        server.modify(&fs::read_to_string(fixtures().join("groups.ldif"))?)?;
        Ok(server)
    }

    /// `ldap://127.0.0.1:PORT`, without TLS or for StartTLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// `ldaps://127.0.0.1:PORT`.
    #[must_use]
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls_port)
    }

    /// The certificate authority's certificate, PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A client certificate of the same authority, PEM.
    #[must_use]
    pub fn client_certificate_file(&self) -> PathBuf {
        self.folder.path().join("client.pem")
    }

    /// The key of the client certificate, PEM.
    #[must_use]
    pub fn client_key_file(&self) -> PathBuf {
        self.folder.path().join("client.key")
    }

    /// SHA-256 of the server's certificate (DER), in lower-case hexadecimal.
    ///
    /// # Errors
    /// When the certificate file cannot be read.
    pub fn certificate_sha256(&self) -> Result<String> {
        let pem = fs::read_to_string(self.folder.path().join("server.pem"))?;
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(body)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
        Ok(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// DN of the service account that may search.
    #[must_use]
    pub fn bind_dn(&self) -> &'static str {
        "cn=reader,dc=example,dc=org"
    }

    /// Password of [`Slapd::bind_dn`].
    #[must_use]
    pub fn bind_password(&self) -> &'static str {
        "reader-secret"
    }

    /// The suffix.
    #[must_use]
    pub fn base_dn(&self) -> &'static str {
        BASE_DN
    }

    /// The folder with configuration, certificates and database.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Applies LDIF change records as the administrator (`ldapmodify`). A record without
    /// `changetype` is an error.
    ///
    /// # Errors
    /// With the server's message.
    pub fn modify(&self, ldif: &str) -> Result<()> {
        self.modify_as(ADMIN_DN, ADMIN_PASSWORD, ldif)
    }

    /// The same as somebody else.
    ///
    /// # Errors
    /// With the server's message.
    pub fn modify_as(&self, dn: &str, password: &str, ldif: &str) -> Result<()> {
        let mut command = Command::new("ldapmodify");
        command.args(["-x", "-H", &self.url(), "-D", dn, "-w", password]);
        run_with_input(&mut command, ldif).map(drop)
    }

    /// Adds an entry (LDIF without `changetype`) with the operational attributes that it names, such
    /// as its old `entryUUID`, as a restored backup has them.
    ///
    /// # Errors
    /// With the server's message.
    pub fn restore(&self, ldif: &str) -> Result<()> {
        let mut command = Command::new("ldapadd");
        command.args(["-x", "-e", "relax", "-H", &self.url(), "-D", ADMIN_DN]);
        command.args(["-w", ADMIN_PASSWORD]);
        run_with_input(&mut command, ldif).map(drop)
    }

    /// The values of one attribute of the one entry that `filter` (`attribute=value`) finds, read
    /// as the service account.
    ///
    /// # Errors
    /// When there is no such entry or value.
    pub fn attribute(&self, filter: &str, attribute: &str) -> Result<Vec<String>> {
        let mut command = Command::new("ldapsearch");
        command.args(["-x", "-LLL", "-o", "ldif-wrap=no", "-H", &self.url()]);
        command.args(["-D", self.bind_dn(), "-w", self.bind_password(), "-b", BASE_DN]);
        command.args([filter, attribute]);
        let output = run(&mut command)?;
        let text = String::from_utf8(output.stdout)?;
        let values: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix(attribute)?.strip_prefix(": "))
            .map(str::to_owned)
            .collect();
        ensure!(!values.is_empty(), "{filter} has no {attribute}: {text}");
        Ok(values)
    }

    /// Adds people `PREFIX1` to `PREFIXn` with the password `secret-UID`, for load tests.
    ///
    /// # Errors
    /// With the server's message.
    pub fn add_people(&self, prefix: &str, count: usize) -> Result<()> {
        let ldif: String = (1..=count)
            .map(|number| {
                let uid = format!("{prefix}{number}");
                format!(
                    "dn: uid={uid},ou=people,{BASE_DN}\nchangetype: add\nobjectClass: inetOrgPerson\n\
                     uid: {uid}\ncn: {uid}\nsn: {prefix}\nmail: {uid}@example.org\n\
                     userPassword: secret-{uid}\n\n"
                )
            })
            .collect();
        self.modify(&ldif)
    }

    /// What the server wrote of connections and operations so far (empty with `quiet`).
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.folder.path().join("slapd.log"))?).into_owned())
    }

    /// Ends it in good order (SIGTERM). The database stays for [`Slapd::start_again`].
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.signal("TERM")?;
        if let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        Ok(())
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Stops it from answering without closing a connection (SIGSTOP).
    ///
    /// # Errors
    /// When it is not running.
    pub fn pause(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Undoes [`Slapd::pause`].
    ///
    /// # Errors
    /// When it is not running.
    pub fn resume(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Starts it again after [`Slapd::stop`] or [`Slapd::kill`], on the same ports with the same data.
    ///
    /// # Errors
    /// As [`Slapd::start`].
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the server is still running");
        self.launch()
    }

    fn launch(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let socket = folder.join("ldapi");
        // A socket file that a killed server left behind would refuse, not answer.
        let _ = fs::remove_file(&socket);
        let encoded = socket.display().to_string().replace('/', "%2F");
        // The local socket stands last: when it answers, the ports before it are bound.
        let listeners = format!("{} {} ldapi://{encoded}", self.url(), self.ldaps_url());
        let log = File::options().create(true).append(true).open(folder.join("slapd.log"))?;
        let child = Command::new(program("slapd"))
            .arg("-f")
            .arg(folder.join("slapd.conf"))
            .args(["-h", &listeners, "-d", if self.quiet { "0" } else { "stats" }])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("slapd cannot be started; install the package slapd")?;
        self.child = Some(child);
        match self.wait_until_ready(&socket) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.kill()?;
                Err(error)
            }
        }
    }

    fn wait_until_ready(&mut self, socket: &Path) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while UnixStream::connect(socket).is_err() {
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().transpose()) {
                bail!("slapd ended early ({:?}): {}", status, self.log().unwrap_or_default());
            }
            ensure!(Instant::now() < deadline, "slapd is not ready: {}", self.log()?);
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn signal(&self, name: &str) -> Result<()> {
        let child = self.child.as_ref().context("the server is not running")?;
        run(Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string())).map(drop)
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the folder goes away in any case.
        let _ = self.kill();
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/ldap")
}

/// `slapd` and `slapadd` stand in `/usr/sbin`, which is not on every user's path.
fn program(name: &str) -> PathBuf {
    let path = Path::new("/usr/sbin").join(name);
    if path.exists() { path } else { PathBuf::from(name) }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn write_configuration(folder: &Path, options: &SlapdOptions) -> Result<()> {
    fs::create_dir(folder.join("db"))?;
    let modules = ["/usr/lib/ldap", "/usr/lib/openldap", "/usr/lib64/openldap"]
        .into_iter()
        .find(|path| Path::new(path).join("back_mdb.so").exists())
        .context("back_mdb.so is not found; install the package slapd")?;
    let text = fs::read_to_string(fixtures().join("slapd.conf"))?
        .replace("@DIR@", &folder.display().to_string())
        .replace("@MODULES@", modules)
        .replace(
            "access to attrs=userPassword",
            &format!("{}access to attrs=userPassword", options.first_access),
        )
        .replace("@EXTRA_GLOBAL@", &options.extra_global)
        .replace("@EXTRA@", &options.extra_database);
    let text = match options.for_content_sync {
        true => text
            .replace("size.soft=500 size.hard=500 size.pr=1000", "size=unlimited size.pr=1000")
            .replace("overlay syncprov", "overlay syncprov\nsyncprov-sessionlog 100000"),
        false => text,
    };
    let text: String = text
        .lines()
        .filter(|line| !options.without_tls || !line.starts_with("TLSC"))
        .filter(|line| !options.without_sync || !line.contains("syncprov"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(folder.join("slapd.conf"), text)?;
    Ok(())
}

fn write_certificates(folder: &Path, expired: bool) -> Result<()> {
    // A validity that ends before it begins has ended.
    let days = if expired { "-days -1" } else { "-days 30" };
    // Each server has an authority of its own name, so that one never stands for another.
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
         -subj /CN=Test-CA-{name} -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE \
         -addext keyUsage=critical,keyCertSign,cRLSign"
        ),
    )?;
    for (name, usage) in [("server", "serverAuth"), ("client", "clientAuth")] {
        fs::write(
            folder.join(format!("{name}.ext")),
            format!(
                "basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n\
                 subjectAltName=DNS:localhost,DNS:dc1.example.test,IP:127.0.0.1,IP:::1\n"
            ),
        )?;
        openssl(
            folder,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} \
                 -keyout {name}.key -out {name}.csr"
            ),
        )?;
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial {days} \
                 -out {name}.pem -extfile {name}.ext"
            ),
        )?;
    }
    Ok(())
}
