//! `ldap …`: directories.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::Context as _;
use auth_core::clock::{Clock as _, SystemClock};
use auth_core::connector::ldap::{DiagnoseUser, DiagnosisRequest};
use auth_core::secret::Secret;
use serde_json::{Value, json};

use super::user::read_stdin_password;
use super::{ldap_ids, load};
use crate::app;
use crate::cli::LdapCommand;
use crate::exit::Exit;
use crate::output;

/// Runs `ldap …`.
pub(crate) async fn run(command: LdapCommand, file: Option<&Path>) -> anyhow::Result<Exit> {
    match command {
        LdapCommand::Test { directory, user, password_stdin, json } => {
            test(file, &directory.directory, user, password_stdin, json).await
        }
        LdapCommand::MigrateId { directory, to, undo, undo_from, dry_run, json } => {
            let id = directory.directory;
            let options = ldap_ids::Options { undo, dry_run, json };
            match (to, undo_from) {
                (Some(to), _) => ldap_ids::migrate(file, &id, &to, &options).await,
                (None, Some(from)) => ldap_ids::take_back(file, &id, &from, &options).await,
                (None, None) => Ok(Exit::Usage),
            }
        }
    }
}

/// `ldap test`: needs neither the store nor a running daemon.
async fn test(
    file: Option<&Path>,
    id: &str,
    user: Option<String>,
    password_stdin: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    crate::telemetry::start_log("error");
    let loaded = match load(file) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    let known: Vec<String> =
        loaded.config.directories.iter().map(|directory| directory.id.clone()).collect();
    let failures_per_account = loaded.config.throttle.failures_per_account;
    let Some(directory) = app::directory(loaded.config, id)? else {
        output::message(&format!(
            "there is no directory {id:?} in the configuration; it names: {}",
            known.join(", ")
        ));
        return Ok(Exit::Configuration);
    };
    let user = match user {
        Some(name) => {
            let password = password(&name, password_stdin)?;
            Some(DiagnoseUser { name, password })
        }
        None => None,
    };
    let request = DiagnosisRequest { user, failures_per_account: Some(failures_per_account) };
    let steps = directory.diagnose(request, SystemClock.now()).await;
    let ok = steps.iter().all(|step| step.ok);
    // The directory can be used; only the two limits do not fit each other.
    let works = steps.iter().all(|step| step.ok || step.step == "lockout");
    if as_json {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| {
                json!({
                    "step": step.step,
                    "ok": step.ok,
                    "detail": step.detail,
                    "repair": step.repair,
                })
            })
            .collect();
        output::json(&json!({ "steps": steps, "ok": ok }));
    } else {
        for step in &steps {
            let mark = if step.ok { "ok  " } else { "FAIL" };
            output::line(&format!("{mark}  {:<12} {}", step.step, output::plain(&step.detail)));
            if let Some(repair) = &step.repair {
                output::line(&format!("      {:<12} {}", "", output::plain(repair)));
            }
        }
    }
    Ok(match (ok, works) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Findings,
        (false, false) => Exit::Failed,
    })
}

fn password(name: &str, from_stdin: bool) -> anyhow::Result<Option<Secret>> {
    if from_stdin {
        return read_stdin_password().map(Some);
    }
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let typed = rpassword::prompt_password(format!("Password of {name} (empty: do not sign in): "))
        .context("reading the password")?;
    Ok((!typed.is_empty()).then(|| Secret::new(typed)))
}
