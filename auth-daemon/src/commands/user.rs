//! `user …`: accounts.

mod totp_import;

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::Context as _;
use auth_core::broker::accounts::{AccountDetails, NewLocalAccount};
use auth_core::secret::Secret;
use auth_core::store::AccountPage;
use serde_json::{Value, json};

use super::{Context, bulk, identity, migrate, with_context};
use crate::cli::{CreateUser, ExportFormat, UserCommand};
use crate::exit::Exit;
use crate::output;

/// Accounts that one page of the store's listing holds.
const PAGE: usize = 500;

/// Runs `user …`.
pub(crate) async fn run(command: UserCommand, file: Option<&Path>) -> anyhow::Result<Exit> {
    match command {
        command => with_context(file, async |context| dispatch(command, context).await).await,
    }
}

async fn dispatch(command: UserCommand, context: &Context) -> anyhow::Result<Exit> {
    match command {
        UserCommand::List { without_factor, json } => list(context, without_factor, json).await,
        UserCommand::Show { name, json } => show(context, &name, json).await,
        UserCommand::Create(arguments) => create(context, arguments).await,
        UserCommand::Disable { name, dry_run, json } => {
            set_active(context, &name, false, dry_run, json).await
        }
        UserCommand::Enable { name, json } => set_active(context, &name, true, false, json).await,
        UserCommand::SetPassword { name, dry_run, password_stdin, json } => {
            set_password(context, &name, password_stdin, dry_run, json).await
        }
        UserCommand::ResetMfa { name, dry_run, json } => {
            reset_mfa(context, &name, dry_run, json).await
        }
        UserCommand::ImportTotp { file, dry_run, json } => {
            totp_import::run(context, &file, dry_run, json).await
        }
        UserCommand::Link { name, identity, dry_run } => {
            identity::link(context, &name, &identity, dry_run).await
        }
        UserCommand::Unlink { name, identity, dry_run } => {
            identity::unlink(context, &name, &identity, dry_run).await
        }
        UserCommand::Merge { from, into, dry_run, json } => {
            identity::merge(context, &from, &into, dry_run, json).await
        }
        UserCommand::Migrate(arguments) => migrate::run(context, arguments).await,
        UserCommand::Export { format: ExportFormat::Mattermost, client, .. } => {
            bulk::export(context, client.as_deref()).await
        }
        UserCommand::Export { format: ExportFormat::Json, .. } => list(context, false, true).await,
        UserCommand::Import { file, dry_run, json } => {
            bulk::import(context, &file, dry_run, json).await
        }
    }
}

/// `user list`.
async fn list(context: &Context, without_factor: bool, as_json: bool) -> anyhow::Result<Exit> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = AccountPage { after: after.take(), limit: PAGE };
        let accounts = context.broker.list_accounts(page).await?;
        let Some(last) = accounts.last() else { break };
        after = Some(last.account.username_key.clone());
        let full = accounts.len() == PAGE;
        let wanted = |details: &&AccountDetails| !without_factor || details.factors.is_empty();
        rows.extend(accounts.iter().filter(wanted).map(object));
        if !full {
            break;
        }
    }
    if as_json {
        output::json(&Value::Array(rows));
    } else {
        output::rows(
            &["username", "email", "active", "roles", "identities", "factors", "last_login_at"],
            &rows,
        );
    }
    Ok(Exit::Done)
}

/// `user show NAME`.
async fn show(context: &Context, name: &str, as_json: bool) -> anyhow::Result<Exit> {
    let object = object(&context.broker.show_account(name).await?);
    if as_json {
        output::json(&object)
    } else {
        output::facts(&object)
    }
    Ok(Exit::Done)
}

/// `user create`.
async fn create(context: &Context, arguments: CreateUser) -> anyhow::Result<Exit> {
    let password = if arguments.password_stdin || std::io::stdin().is_terminal() {
        Some(read_new_password(arguments.password_stdin)?)
    } else {
        None
    };
    let new = NewLocalAccount {
        username: arguments.name,
        email: arguments.email,
        first_name: arguments.first_name,
        last_name: arguments.last_name,
        nickname: arguments.nickname,
        position: arguments.position,
        locale: arguments.locale,
        roles: arguments.roles,
        groups: arguments.groups,
        password,
        numeric_id: arguments.numeric_id,
        ..NewLocalAccount::default()
    };
    let broker = &context.broker;
    let account =
        broker.create_local_account(new, &context.password_rules, &context.origin).await?;
    if arguments.json {
        output::json(&object(&broker.show_account(&account.id.to_string()).await?));
    } else {
        output::message(&format!("created {} ({})", account.username, account.id));
    }
    Ok(Exit::Done)
}

/// `user disable|enable NAME`.
async fn set_active(
    context: &Context,
    name: &str,
    active: bool,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let word = if active { "enabled" } else { "disabled" };
    let account = context.broker.find_account(name).await?;
    let changes = account.active != active;
    if changes && !dry_run {
        context.broker.set_active(name, active, &context.origin).await?;
    }
    let ended = if active { "" } else { ", its sessions are ended" };
    output::message(&match (changes, dry_run) {
        (false, _) => format!("{} is {word} already", account.username),
        (true, true) => format!("{} would be {word}", account.username),
        (true, false) => format!("{} is {word}{ended}", account.username),
    });
    answer(context, name, as_json).await
}

/// `user set-password NAME`.
async fn set_password(
    context: &Context,
    name: &str,
    password_stdin: bool,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let account = context.broker.find_account(name).await?;
    if dry_run {
        output::message(&format!(
            "the password of {} would be replaced and its sessions ended",
            account.username
        ));
        return answer(context, name, as_json).await;
    }
    let password = read_new_password(password_stdin)?;
    let origin = &context.origin;
    context.broker.set_password(name, password, &context.password_rules, origin).await?;
    output::message(&format!(
        "the password of {} is replaced, its sessions are ended",
        account.username
    ));
    answer(context, name, as_json).await
}

/// `user reset-mfa NAME`.
async fn reset_mfa(
    context: &Context,
    name: &str,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let details = context.broker.show_account(name).await?;
    let username = &details.account.username;
    if dry_run {
        let count = details.factors.len();
        output::message(&format!("{count} second factors of {username} would be removed"));
    } else {
        let removed = context.broker.reset_factors(name, &context.origin).await?;
        output::message(&format!(
            "{removed} second factors of {username} and its recovery codes are removed"
        ));
    }
    answer(context, name, as_json).await
}

async fn answer(context: &Context, name: &str, as_json: bool) -> anyhow::Result<Exit> {
    if as_json {
        output::json(&object(&context.broker.show_account(name).await?));
    }
    Ok(Exit::Done)
}

pub(super) fn object(details: &AccountDetails) -> Value {
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
            json!({
                "kind": factor.kind.as_str(),
                "created_at": factor.created_at.rfc3339(),
                "name": factor.name,
                "last_used_at": factor.last_used_at.map(|at| at.rfc3339()),
            })
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
