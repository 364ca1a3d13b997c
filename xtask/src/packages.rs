//! Debian packages: which are missing, and how they get installed.
//!
//! Nothing is run when nothing is missing. The distribution's own services are not started: a
//! policy of our own forbids it during the installation, unless the machine has one already.

use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::steps::{finish, show};

/// What the packages are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// The demonstration: a compiler and a directory.
    Demo,
    /// The tests: a database, a browser and a few judges as well.
    Tests,
}

/// The libraries are what `auth-xmlsec` links; `libclang-dev` reads their headers.
const DEMO: &[&str] = &[
    "ca-certificates",
    "gcc",
    "ldap-utils",
    "libc6-dev",
    "libclang-dev",
    "libssl-dev",
    "libxml2-dev",
    "libxmlsec1-dev",
    "libxslt1-dev",
    "make",
    "openssl",
    "pkg-config",
    "procps",
    "slapd",
];
/// `slapd-contrib` holds overlays, `oathtool` is a second opinion on one-time passwords, `wrk`
/// makes load, the packages of Samba are an Active Directory domain controller, `simplesamlphp` under
/// `php-cli` is a SAML identity provider, `xmlsec1` a second opinion on XML signatures, `strace` sees
/// what a program opens, nginx and Apache's module are relying parties. What comes from npm and PyPI
/// is installed by the tests.
const TESTS: &[&str] = &[
    "chromium",
    "chromium-driver",
    "libapache2-mod-auth-openidc",
    "nginx",
    "oathtool",
    "php-cli",
    "php-curl",
    "php-mbstring",
    "php-xml",
    "postgresql",
    "python3-samba",
    "python3-venv",
    "samba",
    "samba-ad-dc",
    "samba-ad-provision",
    "samba-dsdb-modules",
    "simplesamlphp",
    "slapd-contrib",
    "strace",
    "wrk",
    "xmlsec1",
];

/// One script, so that the policy is removed again whatever ends it.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --yes --quiet --no-install-recommends "$@"
"#;

/// Installs what is missing; prints it first.
pub(crate) fn install(purpose: Use) -> Result<(), Failure> {
    install_these(&wanted(purpose))
}

/// The same for these.
pub(crate) fn install_these(wanted: &[&str]) -> Result<(), Failure> {
    let missing = missing_of(wanted)?;
    if missing.is_empty() {
        return Ok(());
    }
    println!("Debian packages to install: {}", missing.join(" "));
    let mut command = Command::new("sh");
    if !is_root()? {
        command = Command::new("sudo");
        command.arg("sh");
    }
    command.args(["-c", INSTALL, "xtask"]).args(&missing);
    finish("installing packages", &mut command)
}

/// The packages that are not installed.
pub(crate) fn missing(purpose: Use) -> Result<Vec<&'static str>, Failure> {
    missing_of(&wanted(purpose))
}

fn missing_of<'n>(wanted: &[&'n str]) -> Result<Vec<&'n str>, Failure> {
    if !Path::new("/usr/bin/dpkg-query").exists() {
        eprintln!("xtask: not a Debian system; needed are: {}", wanted.join(" "));
        return Ok(Vec::new());
    }
    let mut command = Command::new("dpkg-query");
    command.args(["--show", "--showformat=${db:Status-Abbrev} ${Package}\n"]);
    // Fails when one of the packages is unknown, and tells of the others all the same.
    let output = command
        .args(wanted)
        .output()
        .map_err(|error| Failure::new(format!("{} cannot be started: {error}", show(&command))))?;
    let installed = String::from_utf8_lossy(&output.stdout);
    Ok(wanted.iter().copied().filter(|name| !is_installed(&installed, name)).collect())
}

fn wanted(purpose: Use) -> Vec<&'static str> {
    let mut names = DEMO.to_vec();
    if purpose == Use::Tests {
        names.extend(TESTS);
        // Many machines have Node.js from elsewhere.
        if Command::new("npm").arg("--version").output().is_err() {
            names.extend(["nodejs", "npm"]);
        }
    }
    names
}

/// A line is the wanted and the actual state (`ii`, `hi`, `rc`, `un`), then the name.
fn is_installed(listing: &str, name: &str) -> bool {
    listing.lines().any(|line| {
        let (state, package) = line.split_once(' ').unwrap_or_default();
        state.get(1..2) == Some("i") && package.trim() == name
    })
}

/// Whether this runs as root.
pub(crate) fn is_root() -> Result<bool, Failure> {
    let output = Command::new("id").arg("-u").output();
    let output = output.map_err(|error| Failure::new(format!("id cannot be started: {error}")))?;
    Ok(output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_installed_package_counts() {
        let listing = "ii  slapd\nrc  wrk\nun  chromium\nhi  openssl\n";
        assert!(is_installed(listing, "slapd") && is_installed(listing, "openssl"));
        assert!(!is_installed(listing, "wrk") && !is_installed(listing, "chromium"));
        assert!(!is_installed(listing, "slap") && !is_installed("", "slapd"));
    }
}
