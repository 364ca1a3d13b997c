//! The programs around a test, one file each: the daemon, a browser by HTTP, Chromium, the relying
//! party's side of OpenID Connect, a Mattermost server, a receiver of posts. A program is ready when a condition says so (a line in
//! its log, a port that answers), never after a pause.

pub mod browser;
pub mod chat_server;
pub mod daemon;
pub mod ds389;
pub mod fake_dns;
pub mod fake_ldap;
pub mod html;
pub mod http;
pub mod keycloak;
pub mod mattermost;
pub mod nginx;
pub mod oidc;
pub mod packages;
pub mod port;
pub mod postgres;
pub mod process;
pub mod receiver;
mod run_program;
pub mod samba;
pub mod script;
pub mod simplesamlphp;
pub mod slapd;
pub mod upstream_oidc;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The folder of the workspace: where cargo runs the tests, else where they were built.
pub fn workspace() -> PathBuf {
    let tests = environment("CARGO_MANIFEST_DIR");
    let tests = tests.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    tests.parent().map(PathBuf::from).unwrap_or(tests)
}

/// Path of one of the workspace's own programs, built beforehand with `cargo build --bins`.
///
/// `AUTH_BINARIES` names the folder to look in; without it, that is the folder of the running test
/// or its parent (`target/debug`).
///
/// # Errors
/// The program is not there; the message names the command that builds it.
pub fn program(name: &str) -> Result<PathBuf> {
    let mut folders = Vec::new();
    if let Some(folder) = environment("AUTH_BINARIES") {
        folders.push(PathBuf::from(folder));
    } else {
        let running = std::env::current_exe().context("path of the running program")?;
        folders.extend(running.ancestors().skip(1).take(2).map(PathBuf::from));
    }
    let candidates: Vec<PathBuf> = folders.iter().map(|folder| folder.join(name)).collect();
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => bail!(
            "program {name} is not built (looked for {candidates:?}); run `cargo build --workspace --bins`"
        ),
    }
}

/// A folder below the build folder for files that a person looks at after a run, for example
/// `target/screenshots`.
///
/// # Errors
/// The folder cannot be made.
pub fn artifact_folder(name: &str) -> Result<PathBuf> {
    let running = std::env::current_exe().context("path of the running program")?;
    let target = running
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .map_or_else(|| workspace().join("target"), PathBuf::from);
    let folder = target.join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// Whether this run must not skip a group whose program is missing.
pub fn in_ci() -> bool {
    environment("CI").is_some_and(|value| value == "true" || value == "1")
}

/// Whether a group that is not part of every run was asked for by an environment variable.
pub fn is_asked_for(name: &str) -> bool {
    environment(name).is_some_and(|value| value == "1" || value == "true")
}

#[expect(clippy::disallowed_methods, reason = "a test run is steered by its environment")]
fn environment(name: &str) -> Option<OsString> {
    std::env::var(name).ok().map(OsString::from)
}
