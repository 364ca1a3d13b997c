//! A throw-away Samba Active Directory domain controller with an own certificate authority.
//!
//! Needs root and Debian's `samba samba-ad-dc samba-dsdb-modules samba-ad-provision
//! python3-samba`; [`SambaAd::missing`] says what is not there. Active Directory speaks on fixed
//! ports, so each server takes a loopback address of its own. It ends when the value is dropped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::run_program::{openssl, run, run_with_input};

const BASE_DN: &str = "DC=ad,DC=example,DC=test";
const ADMIN: &str = "administrator@ad.example.test";
const ADMIN_PASSWORD: &str = "Passw0rd!x9";
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running domain controller of the domain `ad.example.test` (`ADTEST`).
///
/// People `alice bob carol` are usable; `disabled mustchange accexpired hours wkst` are what their
/// names say; password `Secret-NAME!`. Group `inner` (alice, bob) is in `middle`, that in `outer`
/// (carol too). Three wrong passwords lock an account.
#[derive(Debug)]
pub struct SambaAd {
    folder: TempDir,
    child: Child,
    address: Ipv4Addr,
}

impl SambaAd {
    /// Why none can be started here; `None` when one can.
    #[must_use]
    pub fn missing() -> Option<String> {
        if fs::metadata("/proc/self").map_or(true, |process| process.uid() != 0) {
            return Some("Samba AD needs root for its ports".to_owned());
        }
        let needed = [
            ("/usr/sbin/samba", "samba-ad-dc"),
            ("/usr/bin/samba-tool", "samba"),
            ("/usr/share/samba/setup/provision.ldif", "samba-ad-provision"),
        ];
        let (_, package) = needed.iter().find(|(path, _)| !Path::new(path).exists())?;
        Some(format!("the package {package} is not installed"))
    }

    /// Provisions and starts one.
    ///
    /// # Errors
    /// When a program fails, or the server is not ready within a minute.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("samba-").tempdir()?;
        let address = free_address()?;
        provision(folder.path(), address)?;
        write_certificates(folder.path(), address)?;
        write_configuration(folder.path())?;
        let log = File::create(folder.path().join("samba.log"))?;
        let child = Command::new("/usr/sbin/samba")
            .args(["-i", "-M", "single", "--debug-stdout", "-s"])
            .arg(folder.path().join("dc/etc/smb.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self { folder, child, address };
        server.wait_until_ready()?;
        server.modify(&people_and_groups())?;
        Ok(server)
    }

    /// `ldap://ADDRESS`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// `ldaps://ADDRESS`.
    #[must_use]
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://{}", self.address)
    }

    /// The certificate authority's certificate, PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// An account that may search.
    #[must_use]
    pub fn bind_dn(&self) -> &'static str {
        ADMIN
    }

    /// Its password.
    #[must_use]
    pub fn bind_password(&self) -> &'static str {
        ADMIN_PASSWORD
    }

    /// The domain's base.
    #[must_use]
    pub fn base_dn(&self) -> &'static str {
        BASE_DN
    }

    /// Applies LDIF change records as the domain's administrator.
    ///
    /// # Errors
    /// With the server's message.
    pub fn modify(&self, ldif: &str) -> Result<()> {
        let mut command = Command::new("ldapmodify");
        command.args(["-x", "-H", &self.ldaps_url(), "-D", ADMIN, "-w", ADMIN_PASSWORD]);
        command.env("LDAPTLS_CACERT", self.ca_file());
        run_with_input(&mut command, ldif).map(drop)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        // The port of TLS opens last; the first answer through it proves the rest.
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("samba ended early ({status}): {}", self.log());
            }
            if TcpStream::connect((self.address, 636)).is_ok() && self.answers() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "samba is not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        let mut command = Command::new("ldapsearch");
        command.args(["-x", "-H", &self.ldaps_url(), "-D", ADMIN, "-w", ADMIN_PASSWORD]);
        command.args(["-o", "nettimeout=1", "-b", "", "-s", "base", "1.1"]);
        run(command.env("LDAPTLS_CACERT", self.ca_file())).is_ok()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("samba.log")).unwrap_or_default()
    }
}

impl Drop for SambaAd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address on which the LDAP port is free. It is bound only later: none is given twice
/// in a process.
fn free_address() -> Result<Ipv4Addr> {
    static GIVEN: AtomicU8 = AtomicU8::new(0);
    let process = std::process::id().to_be_bytes();
    std::iter::repeat_with(|| GIVEN.fetch_add(1, Ordering::Relaxed) % 64)
        .take(64)
        .map(|number| Ipv4Addr::new(127, 64 + number, process[2], process[3].clamp(1, 254)))
        .find(|&address| TcpListener::bind((address, 389)).is_ok())
        .context("no loopback address with a free port 389")
}

fn provision(folder: &Path, address: Ipv4Addr) -> Result<()> {
    let target = folder.join("dc");
    fs::create_dir_all(target.join("etc"))?;
    let mut command = Command::new("samba-tool");
    command.args(["domain", "provision", "--configfile=/dev/null", "--realm=AD.EXAMPLE.TEST"]);
    command.args(["--domain=ADTEST", "--server-role=dc", "--dns-backend=NONE", "--host-name=dc1"]);
    command.arg(format!("--adminpass={ADMIN_PASSWORD}"));
    command.arg(format!("--host-ip={address}"));
    command.arg(format!("--targetdir={}", target.display()));
    command.arg(format!("--option=interfaces={address}/8"));
    command.arg("--option=bind interfaces only=yes");
    run(&mut command)?;
    Ok(())
}

/// Only the services that a directory client needs, and nothing outside the folder.
fn write_configuration(folder: &Path) -> Result<()> {
    let dc = folder.join("dc");
    let file = dc.join("etc/smb.conf");
    for name in ["run", "ncalrpc"] {
        fs::create_dir_all(dc.join(name))?;
    }
    let (dc, tls) = (dc.display(), folder.display());
    let mut text = String::new();
    for line in fs::read_to_string(&file)?.lines() {
        if line.contains("server services") {
            continue;
        }
        if line.starts_with("[sysvol]") {
            text += &format!(
                "\tserver services = ldap, cldap, kdc\n\tlog file = {dc}/log.%m\n\
                 \tpid directory = {dc}/run\n\tncalrpc dir = {dc}/ncalrpc\n\
                 \ttls keyfile = {tls}/server.key\n\ttls certfile = {tls}/server.pem\n\
                 \ttls cafile = {tls}/ca.pem\n\tldap server require strong auth = yes\n\n"
            );
        }
        text += line;
        text.push('\n');
    }
    fs::write(&file, text)?;
    let mut command = Command::new("samba-tool");
    command.args(["domain", "passwordsettings", "set", "--account-lockout-threshold=3", "-s"]);
    command.arg(&file).arg("-H").arg(folder.join("dc/private/sam.ldb"));
    run(&mut command)?;
    Ok(())
}

/// The certificate that samba makes for itself has no subject alternative name.
fn write_certificates(folder: &Path, address: Ipv4Addr) -> Result<()> {
    let key = "-newkey rsa:2048 -nodes";
    openssl(
        folder,
        &format!(
            "req -x509 {key} -days 30 -subj /CN=Test-AD-CA -keyout ca.key -out ca.pem \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
        ),
    )?;
    fs::write(
        folder.join("server.ext"),
        format!(
            "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n\
             subjectAltName=DNS:dc1.ad.example.test,IP:{address}\n"
        ),
    )?;
    openssl(
        folder,
        &format!("req {key} -subj /CN=dc1.ad.example.test -keyout server.key -out server.csr"),
    )?;
    openssl(
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out server.pem \
         -extfile server.ext",
    )
}

fn people_and_groups() -> String {
    let people = [
        ("alice", 512, ""),
        ("bob", 512, ""),
        ("carol", 512, ""),
        ("disabled", 514, ""),
        ("mustchange", 512, "pwdLastSet: 0\n"),
        ("accexpired", 512, "accountExpires: 132000000000000000\n"),
        ("hours", 512, "logonHours:: AAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"),
        ("wkst", 512, "userWorkstations: OTHERPC\n"),
    ];
    let groups: [(&str, &[&str]); 3] =
        [("inner", &["alice", "bob"]), ("middle", &["inner"]), ("outer", &["middle", "carol"])];
    let people = people.iter().map(|(name, control, more)| {
        let quoted: Vec<u8> =
            format!("\"Secret-{name}!\"").encode_utf16().flat_map(u16::to_le_bytes).collect();
        format!(
            "dn: CN={name},CN=Users,{BASE_DN}\nchangetype: add\nobjectClass: user\n\
             sAMAccountName: {name}\nuserPrincipalName: {name}@ad.example.test\ngivenName: {name}\n\
             sn: Test\ndisplayName: {name} Test\nmail: {name}@example.test\nunicodePwd:: {}\n\
             userAccountControl: {control}\n{more}\n",
            STANDARD.encode(quoted)
        )
    });
    let groups = groups.iter().map(|(name, members)| {
        let members: String = members
            .iter()
            .map(|member| format!("member: CN={member},CN=Users,{BASE_DN}\n"))
            .collect();
        format!(
            "dn: CN={name},CN=Users,{BASE_DN}\nchangetype: add\nobjectClass: group\n\
             sAMAccountName: {name}\n{members}\n"
        )
    });
    people.chain(groups).collect()
}
