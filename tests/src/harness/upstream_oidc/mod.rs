//! Upstream OpenID providers: npm's `oidc-provider` as a program of its own, and a scripted one in
//! this process that lies as a test wants it to.

mod scripted;
mod signing;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::{artifact_folder, in_ci, port, workspace};

pub use scripted::{Endpoint, IssuerParameter, ScriptedProvider};
pub use signing::Signing;

const START: Duration = Duration::from_secs(60);

/// Our client id at the provider.
pub const CLIENT_ID: &str = "broker";
/// Our client secret at the provider.
pub const CLIENT_SECRET: &str = "secret-of-the-broker-at-its-upstream";

/// A running `oidc-provider`. It ends when the value is dropped.
#[derive(Debug)]
pub struct UpstreamProvider {
    port: u16,
    process: Option<Process>,
    folder: TempDir,
    program: PathBuf,
}

impl UpstreamProvider {
    /// Chooses its address; it does not run before [`Self::start`]. `None`, with the reason
    /// printed, where npm cannot install it; never in CI.
    ///
    /// # Errors
    /// In CI, that it cannot be installed.
    pub fn prepare() -> Result<Option<Self>> {
        match install() {
            Ok(program) => {
                let folder = tempfile::Builder::new().prefix("upstream-").tempdir()?;
                Ok(Some(Self { port: port::free()?, process: None, folder, program }))
            }
            Err(error) if in_ci() => Err(error),
            Err(error) => {
                println!("SKIPPED: no upstream OpenID provider: {error:#}");
                Ok(None)
            }
        }
    }

    /// Its issuer.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it for the daemon at `public_url` with the connection `id`. `accounts` are claims by
    /// account name, which is the subject.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(&mut self, public_url: &str, id: &str, accounts: &Value) -> Result<()> {
        let settings = json!({
            "issuer": self.issuer(),
            "port": self.port,
            "accounts": accounts,
            "clients": [{
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "redirect_uris": [format!("{public_url}/oidc/{id}/callback")],
                "post_logout_redirect_uris": [format!("{public_url}/login")],
                "backchannel_logout_uri": format!("{public_url}/oidc/{id}/backchannel-logout"),
                "backchannel_logout_session_required": true,
            }],
        });
        let file = self.folder.path().join("settings.json");
        std::fs::write(&file, settings.to_string())?;
        let mut command = Command::new("node");
        command.arg(&self.program).arg(&file);
        self.process = None;
        let mut process = Process::start("oidc-provider", command)?;
        process
            .wait_for("the listener", START, |line| {
                line.starts_with("upstream listens").then_some(())
            })
            .await?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until the provider printed this line.
    ///
    /// # Errors
    /// It does not within `limit`.
    pub async fn wait_for(&mut self, text: &str, limit: Duration) -> Result<()> {
        let process = self.process.as_mut().context("the provider does not run")?;
        process.wait_for(text, limit, |line| line.contains(text).then_some(())).await
    }
}

/// Installs the provider once for all runs, below the build folder.
fn install() -> Result<PathBuf> {
    let source = workspace().join("tests/src/harness/upstream_oidc");
    let folder = artifact_folder("upstream-oidc")?;
    let program = folder.join("server.mjs");
    let wanted = std::fs::read_to_string(source.join("package.json"))?;
    copy_if_changed(&source.join("server.mjs"), &program)?;
    let done = folder.join("installed.json");
    if std::fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return Ok(program);
    }
    // Two test programs may come here at once: each installs into a folder of its own, and the
    // first one to finish puts it in place.
    let own = tempfile::Builder::new().prefix("install-").tempdir_in(&folder)?;
    std::fs::write(own.path().join("package.json"), &wanted)?;
    let output = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"])
        .current_dir(own.path())
        .output()
        .context("npm (Debian package npm)")?;
    if !output.status.success() {
        bail!("npm install: {}", String::from_utf8_lossy(&output.stderr));
    }
    let modules = folder.join("node_modules");
    if std::fs::rename(own.path().join("node_modules"), &modules).is_err() {
        // Another version stands there, or the other test program was faster.
        let aside = own.path().join("old");
        let _ = std::fs::rename(&modules, &aside);
        let _ = std::fs::rename(own.path().join("node_modules"), &modules);
    }
    ensure!(modules.join("oidc-provider").is_dir(), "npm installed no oidc-provider");
    std::fs::write(folder.join("package.json"), &wanted)?;
    std::fs::write(&done, &wanted)?;
    Ok(program)
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let text = std::fs::read(from)?;
    if std::fs::read(to).is_ok_and(|old| old == text) {
        return Ok(());
    }
    // Renamed into place, so that nobody reads half of it.
    let folder = to.parent().context("a folder")?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, &text)?;
    file.persist(to)?;
    Ok(())
}
