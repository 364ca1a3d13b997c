//! A throw-away 389 Directory Server with the memberOf plug-in, a certificate of its own and two
//! groups of people.
//!
//! Needs root and Debian's `389-ds-base`; [`Ds389::missing`] says what is not there. Its tools want
//! systemd and fixed folders: the instance gets a name of its own, is started without systemd, and
//! is removed when the value is dropped. Making one takes half a minute.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::port;
use super::run_program::{run, run_with_input};

const BASE_DN: &str = "dc=example,dc=org";
const ADMIN_DN: &str = "cn=Directory Manager";
const ADMIN_PASSWORD: &str = "Directory-Secret-1";
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// Makes an instance by the server's own library, which would ask systemd to start it.
const MAKE: &str = r"
import logging, sys
from lib389 import DirSrv
from lib389.instance.setup import SetupDs
DirSrv.with_systemd = lambda self: False
DirSrv.with_systemd_running = lambda self: False
made = SetupDs(verbose=False, dryrun=False, log=logging.getLogger('make')).create_from_inf(sys.argv[1])
sys.exit(0 if made else 1)
";

/// A running server. People `alice bob carol` with the password `secret-NAME`; `disabled` is
/// inactivated. Group `staff` has alice and bob, `all` has staff and carol.
#[derive(Debug)]
pub struct Ds389 {
    name: String,
    port: u16,
    tls_port: u16,
}

impl Ds389 {
    /// Why none can be started here; `None` when one can.
    #[must_use]
    pub fn missing() -> Option<String> {
        if fs::metadata("/proc/self").map_or(true, |process| process.uid() != 0) {
            return Some("389 Directory Server is set up by root only".to_owned());
        }
        let needed = ["/usr/sbin/ns-slapd", "/usr/sbin/dsctl", "/usr/bin/python3"];
        let missing = needed.iter().find(|path| !Path::new(path).exists())?;
        Some(format!("{missing} is missing: install 389-ds-base"))
    }

    /// Makes and starts one.
    ///
    /// # Errors
    /// When a program fails.
    pub fn start() -> Result<Self> {
        let (port, tls_port) = (port::free()?, port::free()?);
        let server = Self { name: format!("test{port}"), port, tls_port };
        let folder = tempfile::tempdir()?;
        let inf = folder.path().join("instance.inf");
        fs::write(
            &inf,
            format!(
                "[general]\nconfig_version = 2\nfull_machine_name = localhost.localdomain\n\
                 strict_host_checking = False\nsystemd = False\nselinux = False\n\
                 [slapd]\ninstance_name = {}\nport = {port}\nsecure_port = {tls_port}\n\
                 root_password = {ADMIN_PASSWORD}\nself_sign_cert = True\n\
                 [backend-userroot]\nsuffix = {BASE_DN}\ncreate_suffix_entry = True\n",
                server.name
            ),
        )?;
        // The system's Python: the library is one of its packages.
        run(Command::new("/usr/bin/python3").args(["-c", MAKE]).arg(&inf))?;
        server.modify(&content())?;
        Ok(server)
    }

    /// `ldap://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// `ldaps://localhost.localdomain:PORT`, as the certificate has it.
    #[must_use]
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://localhost.localdomain:{}", self.tls_port)
    }

    /// The certificate authority's certificate, PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        PathBuf::from(format!("/etc/dirsrv/slapd-{}/ca.crt", self.name))
    }

    /// DN of the account that searches.
    #[must_use]
    pub fn bind_dn(&self) -> &'static str {
        ADMIN_DN
    }

    /// Its password.
    #[must_use]
    pub fn bind_password(&self) -> &'static str {
        ADMIN_PASSWORD
    }

    /// The suffix.
    #[must_use]
    pub fn base_dn(&self) -> &'static str {
        BASE_DN
    }

    /// Applies LDIF change records as the administrator.
    ///
    /// # Errors
    /// With the server's message.
    pub fn modify(&self, ldif: &str) -> Result<()> {
        let mut command = Command::new("ldapmodify");
        command.args(["-x", "-H", &self.url(), "-D", ADMIN_DN, "-w", ADMIN_PASSWORD]);
        run_with_input(&mut command, ldif).map(drop)
    }

    fn remove(&self) -> Result<()> {
        let file = format!("/run/dirsrv/slapd-{}.pid", self.name);
        if let Ok(pid) = fs::read_to_string(&file) {
            let pid: u32 = pid.trim().parse().context("a process id")?;
            run(Command::new("kill").arg(pid.to_string()))?;
            let deadline = Instant::now() + STOPPED_WITHIN;
            while Path::new(&format!("/proc/{pid}")).exists() {
                ensure!(Instant::now() < deadline, "the server does not end");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        run(Command::new("/usr/sbin/dsctl").args([&self.name, "remove", "--do-it"])).map(drop)
    }
}

impl Drop for Ds389 {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("the instance {} of 389 Directory Server stays: {error}", self.name);
        }
    }
}

fn content() -> String {
    let people: String = ["alice", "bob", "carol", "disabled"]
        .iter()
        .map(|uid| {
            let locked = if *uid == "disabled" { "nsAccountLock: true\n" } else { "" };
            format!(
                "dn: uid={uid},ou=people,{BASE_DN}\nchangetype: add\nobjectClass: inetOrgPerson\n\
                 objectClass: inetUser\nuid: {uid}\ncn: {uid}\nsn: Test\nmail: {uid}@example.org\n\
                 userPassword: secret-{uid}\n{locked}\n"
            )
        })
        .collect();
    let group = |name: &str, members: &[String]| {
        let members: String = members.iter().map(|dn| format!("member: {dn}\n")).collect();
        format!(
            "dn: cn={name},{BASE_DN}\nchangetype: add\nobjectClass: groupOfNames\n\
             objectClass: inetUser\ncn: {name}\n{members}\n"
        )
    };
    let person = |uid: &str| format!("uid={uid},ou=people,{BASE_DN}");
    format!(
        "dn: cn=config\nchangetype: modify\nreplace: nsslapd-dynamic-plugins\n\
         nsslapd-dynamic-plugins: on\n\n\
         dn: cn=MemberOf Plugin,cn=plugins,cn=config\nchangetype: modify\n\
         replace: nsslapd-pluginEnabled\nnsslapd-pluginEnabled: on\n\n\
         dn: ou=people,{BASE_DN}\nchangetype: add\nobjectClass: organizationalUnit\nou: people\n\n\
         {people}{}{}",
        group("staff", &[person("alice"), person("bob")]),
        group("all", &[format!("cn=staff,{BASE_DN}"), person("carol")]),
    )
}
