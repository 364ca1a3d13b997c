//! `user …`: accounts.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use auth_core::broker::accounts::{AccountDetails, NewLocalAccount};
use auth_core::secret::Secret;
use auth_core::store::AccountPage;
use serde_json::{Value, json};

use super::Context;
use super::output;
use crate::exit::Exit;

/// Accounts that one page of the store's listing holds.
const PAGE: usize = 500;

/// `user list`.
pub(crate) async fn list(context: &Context, as_json: bool) -> anyhow::Result<Exit> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = AccountPage { after: after.take(), limit: PAGE };
        let accounts = context.broker.list_accounts(page).await?;
        let Some(last) = accounts.last() else { break };
        after = Some(last.account.username_key.clone());
        let full = accounts.len() == PAGE;
        rows.extend(accounts.iter().map(object));
        if !full {
            break;
        }
    }
    if as_json {
        output::json(&Value::Array(rows))?;
    } else {
        output::table(
            &["username", "email", "active", "roles", "identities", "factors", "last_login_at"],
            &rows,
        )?;
    }
    Ok(Exit::Done)
}

/// `user show NAME`.
pub(crate) async fn show(context: &Context, name: &str, as_json: bool) -> anyhow::Result<Exit> {
    let object = object(&context.broker.show_account(name).await?);
    if as_json { output::json(&object)? } else { output::facts(&object)? }
    Ok(Exit::Done)
}

/// `user create`.
pub(crate) async fn create(
    context: &Context,
    mut new: NewLocalAccount,
    password_stdin: bool,
    no_password: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    if !no_password {
        new.password = Some(read_new_password(password_stdin)?);
    }
    let account = context
        .broker
        .create_local_account(new, &context.password_rules, &context.origin)
        .await?;
    if as_json {
        output::json(&object(&context.broker.show_account(&account.id.to_string()).await?))?;
    } else {
        output::note(&format!("created {} ({})", account.username, account.id));
    }
    Ok(Exit::Done)
}

/// `user disable|enable NAME`.
pub(crate) async fn set_active(
    context: &Context,
    name: &str,
    active: bool,
    dry_run: bool,
) -> anyhow::Result<Exit> {
    let word = if active { "enabled" } else { "disabled" };
    let account = context.broker.find_account(name).await?;
    if account.active == active {
        output::note(&format!("{} is {word} already", account.username));
        return Ok(Exit::Done);
    }
    if dry_run {
        output::note(&format!("{} would be {word}", account.username));
        return Ok(Exit::Done);
    }
    context.broker.set_active(name, active, &context.origin).await?;
    let ended = if active { "" } else { "; the account's sessions are ended" };
    output::note(&format!("{} is {word}{ended}", account.username));
    Ok(Exit::Done)
}

/// `user set-password NAME`.
pub(crate) async fn set_password(
    context: &Context,
    name: &str,
    password_stdin: bool,
    dry_run: bool,
) -> anyhow::Result<Exit> {
    let account = context.broker.find_account(name).await?;
    if dry_run {
        output::note(&format!(
            "the password of {} would be replaced and its sessions ended",
            account.username
        ));
        return Ok(Exit::Done);
    }
    let password = read_new_password(password_stdin)?;
    let origin = &context.origin;
    context.broker.set_password(name, password, &context.password_rules, origin).await?;
    output::note(&format!(
        "the password of {} is replaced and its sessions are ended",
        account.username
    ));
    Ok(Exit::Done)
}

/// `user reset-mfa NAME`.
pub(crate) async fn reset_mfa(
    context: &Context,
    name: &str,
    dry_run: bool,
) -> anyhow::Result<Exit> {
    let details = context.broker.show_account(name).await?;
    if dry_run {
        output::note(&format!(
            "{} second factors of {} would be removed",
            details.factors.len(),
            details.account.username
        ));
        return Ok(Exit::Done);
    }
    let removed = context.broker.reset_factors(name, &context.origin).await?;
    output::note(&format!(
        "{removed} second factors of {} and its recovery codes are removed",
        details.account.username
    ));
    Ok(Exit::Done)
}

fn object(details: &AccountDetails) -> Value {
    let account = &details.account;
    let identities: Vec<Value> = details
        .identities
        .iter()
        .map(|identity| json!({ "connector": identity.connector, "subject": identity.subject }))
        .collect();
    let factors: Vec<Value> = details
        .factors
        .iter()
        .map(|factor| {
            json!({ "kind": factor.kind.as_str(), "created_at": factor.created_at.rfc3339() })
        })
        .collect();
    json!({
        "id": account.id,
        "numeric_id": account.numeric_id,
        "username": account.username,
        "email": account.email,
        "first_name": account.first_name,
        "last_name": account.last_name,
        "nickname": account.nickname,
        "position": account.position,
        "locale": account.locale,
        "active": account.active,
        "inactive_reason": account.inactive_reason,
        "roles": account.roles,
        "groups": account.groups,
        "identities": identities,
        "factors": factors,
        "created_at": account.created_at.rfc3339(),
        "last_login_at": account.last_login_at.map(|at| at.rfc3339()),
    })
}

/// Reads a new password: the first line of standard input, or twice from the terminal.
fn read_new_password(from_stdin: bool) -> anyhow::Result<Secret> {
    if from_stdin {
        return read_stdin_password();
    }
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "no terminal to ask for a password on: give it on standard input with --password-stdin"
    );
    let first = rpassword::prompt_password("New password: ").context("reading the password")?;
    let again = rpassword::prompt_password("Once more: ").context("reading the password")?;
    let first = Secret::new(first);
    anyhow::ensure!(first.matches(&again), "the two passwords differ; nothing was changed");
    drop(Secret::new(again));
    Ok(first)
}

/// Reads a password from standard input; one line break at its end is cut.
pub(crate) fn read_stdin_password() -> anyhow::Result<Secret> {
    let mut text = String::new();
    std::io::stdin()
        .take(64 * 1024)
        .read_to_string(&mut text)
        .context("standard input: the password must be UTF-8 text")?;
    let end = text.trim_end_matches(['\n', '\r']).len();
    let cut = text.len() - end;
    let keep = text.len() - cut.min(if text.ends_with("\r\n") { 2 } else { 1 });
    text.truncate(keep);
    Ok(Secret::new(text))
}
