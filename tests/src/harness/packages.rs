//! Programs of npm and PyPI, installed once into a folder below the build folder and used from
//! there.
//!
//! Where they cannot be had (no network, no npm), the test says why and is skipped; in continuous
//! integration that is an error.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::run_program::run;
use super::{artifact_folder, in_ci};

const NODE: &[&str] = &["openid-client@6"];
const PYTHON: &[&str] = &["authlib", "requests"];
const SYNAPSE: &[&str] = &["matrix-synapse[oidc]"];

/// One installation at a time.
static INSTALLING: Mutex<()> = Mutex::new(());

/// A folder from which Node.js finds `openid-client`; `None` when it cannot be had.
///
/// # Errors
/// It cannot be had in continuous integration.
pub fn node() -> Result<Option<PathBuf>> {
    or_skip("openid-client (npm)", || {
        let folder = artifact_folder("relying-parties/node")?;
        if !folder.join("node_modules/openid-client/package.json").is_file() {
            let manifest = r#"{"private":true,"type":"module"}"#;
            std::fs::write(folder.join("package.json"), manifest)?;
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund"]).args(NODE).current_dir(&folder);
            run(&mut npm)?;
        }
        Ok(folder)
    })
}

/// A Python that has Authlib; `None` when it cannot be had.
///
/// # Errors
/// It cannot be had in continuous integration.
pub fn authlib() -> Result<Option<PathBuf>> {
    or_skip("authlib (PyPI)", || python_with("authlib", PYTHON))
}

/// A Python that has the Matrix homeserver Synapse; `None` when it cannot be had.
///
/// # Errors
/// It cannot be had in continuous integration.
pub fn synapse() -> Result<Option<PathBuf>> {
    or_skip("matrix-synapse (PyPI)", || python_with("synapse", SYNAPSE))
}

fn python_with(module: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = artifact_folder("relying-parties")?.join("python");
    let python = folder.join("bin/python");
    if !python.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    let has_it = || imports(&python, module);
    if !has_it() {
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(&python).args(pip).args(packages))?;
    }
    run(Command::new(&python).args(["-c", &format!("import {module}")]))?;
    Ok(python)
}

fn imports(python: &Path, module: &str) -> bool {
    run(Command::new(python).args(["-c", &format!("import {module}")])).is_ok()
}

fn or_skip(what: &str, install: impl FnOnce() -> Result<PathBuf>) -> Result<Option<PathBuf>> {
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    match install().with_context(|| what.to_owned()) {
        Ok(path) => Ok(Some(path)),
        Err(error) if in_ci() => Err(error),
        Err(error) => {
            println!("SKIPPED: {error:#}");
            Ok(None)
        }
    }
}
