//! `config init`, `config check`, `config schema`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use auth_core::clock::{Clock as _, SystemClock};
use serde::Serialize;

use super::reachability;
use crate::cli::ConfigCommand;
use crate::config::{Config, DEFAULT_FILES, Finding, STARTER, Severity, reference, schema};
use crate::exit::Exit;
use crate::output;

/// Runs a command of the group.
pub(super) async fn run(command: ConfigCommand, file: Option<&Path>) -> Exit {
    match command {
        ConfigCommand::Init { file: target, force } => {
            let [default, _] = DEFAULT_FILES;
            let target = target.as_deref().or(file).unwrap_or_else(|| Path::new(default));
            init(target, force)
        }
        ConfigCommand::Check { offline, json } => check(file, offline, json).await,
        ConfigCommand::Schema { markdown } => {
            if markdown {
                output::line(reference().trim_end());
            } else {
                output::json(&schema());
            }
            Exit::Done
        }
    }
}

/// Writes the starter file, complete or not at all.
fn init(target: &Path, force: bool) -> Exit {
    match write_starter(target, force) {
        Ok(()) => {
            output::message(&format!("{} written; set public_url in it", target.display()));
            Exit::Done
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            output::message(&format!(
                "{} is there already and was left as it is; --force overwrites it",
                target.display()
            ));
            Exit::Refused
        }
        Err(error) => {
            output::message(&format!("{} cannot be written: {error}", target.display()));
            Exit::Failed
        }
    }
}

fn write_starter(target: &Path, force: bool) -> std::io::Result<()> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Written beside the target and then put in its place, so that a full disk leaves no half
    // file and --force no moment without one.
    let draft = folder.join(format!(".auth-daemon-{}.toml", std::process::id()));
    let written = create_private(&draft).and_then(|mut opened| {
        opened.write_all(STARTER.as_bytes())?;
        opened.sync_all()?;
        if force { std::fs::rename(&draft, target) } else { std::fs::hard_link(&draft, target) }
    });
    // After a rename it is gone already.
    let _ = std::fs::remove_file(&draft);
    written
}

fn create_private(file: &Path) -> std::io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// What `config check --json` prints.
#[derive(Serialize)]
struct Report {
    path: Option<PathBuf>,
    ok: bool,
    findings: Vec<Finding>,
}

async fn check(file: Option<&Path>, offline: bool, json: bool) -> Exit {
    let (path, findings) = match Config::load(file) {
        Ok(loaded) => {
            let mut findings = loaded.warnings;
            findings.extend(crate::app::saml::findings(&loaded.config, SystemClock.now()));
            if !offline {
                findings.extend(reachability::check(&loaded.config).await);
            }
            (Some(loaded.path), findings)
        }
        Err(errors) => (errors.path, errors.findings),
    };
    let ok = findings.iter().all(|finding| finding.severity != Severity::Error);
    let report = Report { path, ok, findings };
    if json {
        output::json(&report);
    } else {
        print(&report);
    }
    if ok { Exit::Done } else { Exit::Configuration }
}

fn print(report: &Report) {
    if !report.findings.is_empty() {
        output::table(
            ["", "KEY", "PROBLEM", "REPAIR"],
            report.findings.iter().map(|finding| {
                let id = finding.id.as_ref().map(|id| format!(" ({id})"));
                let variable = finding.variable.as_ref().map(|name| format!(" [from {name}]"));
                let key = [Some(finding.key.clone()), id, variable];
                [
                    finding.severity.as_str().to_owned(),
                    key.into_iter().flatten().collect(),
                    finding.problem.clone(),
                    finding.repair.clone(),
                ]
            }),
        );
    }
    let path = report.path.as_ref().map(|path| path.display().to_string());
    let path = path.as_deref().unwrap_or("configuration");
    output::message(&if report.ok {
        format!("{path}: ok")
    } else {
        format!("{path}: cannot be used")
    });
}
