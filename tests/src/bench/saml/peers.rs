//! python3-saml and node-saml, installed below the build folder when they are first needed: exact
//! versions, from the registries that `pip` and `npm` are set to.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::text;
use crate::harness::artifact_folder;
use crate::saml_corpus::{Case, folder};

const PYTHON: &str = include_str!("python3_saml.py");
const NODE: &str = include_str!("node_saml.mjs");
const PYTHON_PACKAGES: [&str; 4] =
    ["python3-saml==1.16.0", "xmlsec==1.3.17", "lxml==6.1.3", "isodate==0.7.2"];
const NODE_PACKAGE: &str = "@node-saml/node-saml@5.1.0";

/// Another implementation: a program that verifies for some time and prints how often per second.
#[derive(Debug)]
pub(super) struct Peer {
    name: &'static str,
    program: PathBuf,
    script: PathBuf,
}

impl Peer {
    /// Both of them, installed.
    pub(super) fn all() -> Result<Vec<Self>> {
        Ok(vec![Self::python()?, Self::node()?])
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    fn python() -> Result<Self> {
        let home = artifact_folder("saml-peers")?;
        let venv = home.join("python");
        let program = venv.join("bin/python");
        if !venv.join("done").exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            run(Command::new(&program).args(["-m", "pip", "install", "-q"]).args(PYTHON_PACKAGES))?;
            std::fs::write(venv.join("done"), "")?;
        }
        let script = home.join("python3_saml.py");
        std::fs::write(&script, PYTHON)?;
        Ok(Self { name: "python3-saml", program, script })
    }

    fn node() -> Result<Self> {
        let home = artifact_folder("saml-peers")?.join("node");
        std::fs::create_dir_all(&home)?;
        if !home.join("done").exists() {
            std::fs::write(home.join("package.json"), "{\"private\": true}")?;
            let mut install = Command::new("npm");
            install.args(["install", "--no-audit", "--no-fund", NODE_PACKAGE]).current_dir(&home);
            run(&mut install)?;
            std::fs::write(home.join("done"), "")?;
        }
        let script = home.join("node_saml.mjs");
        std::fs::write(&script, NODE)?;
        Ok(Self { name: "node-saml", program: "node".into(), script })
    }

    /// Verifications per second of this document.
    pub(super) fn rate(&self, case: &Case, document: &[u8], window: Duration) -> Result<f64> {
        let keys = folder("keys");
        let own = |what: &str| format!("https://sso.example.com/saml/{}/{what}", case.connection);
        let order = json!({
            "response": STANDARD.encode(document),
            "seconds": window.as_secs_f64(),
            "now": case.now()?.seconds(),
            "request": case.in_response_to,
            "entity": own("metadata"),
            "acs": own("acs"),
            "idp": "https://idp.example.org/metadata",
            "certificate": text(&keys.join("idp.pem"))?,
            "key": text(&keys.join("sp.pem"))?,
            "name_id": case.name_id,
        });
        let mut child = Command::new(&self.program)
            .arg(&self.script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        child.stdin.take().context("its input")?.write_all(order.to_string().as_bytes())?;
        let output = child.wait_with_output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{} ({}) failed: {printed}", self.name, case.name);
        printed.trim().parse().with_context(|| format!("{} printed {printed}", self.name))
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {errors}");
    Ok(())
}
