//! `session …`: who is signed in where.

use auth_core::broker::sessions::RevokeTarget;
use auth_core::store::{AccountId, SessionFilter, SessionId, SessionRecord};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use super::{Context, with_context};
use crate::cli::SessionCommand;
use crate::exit::Exit;
use crate::output;

const PAGE: usize = 1000;

/// Runs `session …`.
pub(crate) async fn run(command: SessionCommand, file: Option<&Path>) -> anyhow::Result<Exit> {
    with_context(file, async |context| match command {
        SessionCommand::List { user, json } => list(context, user.as_deref(), json).await,
        SessionCommand::Revoke { session, user, all: _, dry_run, json } => {
            let which = match (&session, &user) {
                (Some(id), _) => Which::One(id),
                (None, Some(name)) => Which::User(name),
                // The command line asks for one of the three.
                (None, None) => Which::All,
            };
            revoke(context, which, dry_run, json).await
        }
    })
    .await
}

/// `session list [--user NAME]`.
async fn list(context: &Context, user: Option<&str>, as_json: bool) -> anyhow::Result<Exit> {
    let account = match user {
        Some(name) => Some(context.broker.find_account(name).await?.id),
        None => None,
    };
    let rows = live(context, account).await?;
    if as_json {
        output::json(&Value::Array(rows));
    } else {
        output::rows(
            &["id", "account", "client", "kind", "created_at", "last_seen_at", "expires_at", "ip"],
            &rows,
        );
    }
    Ok(Exit::Done)
}

async fn live(context: &Context, account: Option<AccountId>) -> anyhow::Result<Vec<Value>> {
    let mut names: HashMap<AccountId, String> = HashMap::new();
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let filter = SessionFilter { account, after, limit: PAGE };
        let sessions = context.broker.list_sessions(filter).await?;
        for session in &sessions {
            let name = match names.entry(session.account) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let found = context.broker.store().account(session.account).await?;
                    place.insert(found.map(|account| account.username).unwrap_or_default())
                }
            };
            rows.push(object(session, name));
        }
        if sessions.len() < PAGE {
            return Ok(rows);
        }
        after = sessions.last().map(|session| session.id);
    }
}

fn object(session: &SessionRecord, account: &str) -> Value {
    json!({
        "id": session.id,
        "account": account,
        "client": session.client,
        "kind": session.kind,
        "connector": session.connector,
        "created_at": session.created_at.rfc3339(),
        "last_seen_at": session.last_seen_at.rfc3339(),
        "expires_at": session.expires_at.rfc3339(),
        "ip": session.ip,
        "user_agent": session.user_agent,
    })
}

/// What `session revoke` ends.
enum Which<'a> {
    /// One, by its handle.
    One(&'a str),
    /// All of an account.
    User(&'a str),
    /// All of everybody.
    All,
}

/// `session revoke ID | --user NAME | --all`.
async fn revoke(
    context: &Context,
    which: Which<'_>,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let (target, account, only) = match which {
        Which::One(text) => {
            let id = text.parse().map(SessionId).map_err(|_| {
                anyhow::anyhow!("{text:?} is no session id; `session list` shows them")
            })?;
            anyhow::ensure!(
                context.broker.store().session(id).await?.is_some(),
                "there is no session {text}; `session list` shows them"
            );
            (RevokeTarget::Session(id), None, Some(text.to_owned()))
        }
        Which::User(name) => {
            let account = context.broker.find_account(name).await?;
            let id = account.id;
            (RevokeTarget::Account(Box::new(account)), Some(id), None)
        }
        Which::All => (RevokeTarget::Everybody, None, None),
    };
    if dry_run {
        let rows: Vec<Value> = live(context, account)
            .await?
            .into_iter()
            .filter(|row| only.as_deref().is_none_or(|id| row["id"] == id))
            .collect();
        output::message(&format!("{} sessions would be ended", rows.len()));
        if as_json {
            output::json(&Value::Array(rows));
        }
        return Ok(Exit::Done);
    }
    let ended = context.broker.revoke_sessions(target, "administrator", &context.origin).await?;
    if as_json {
        output::json(&json!({ "revoked": ended.len() }));
    } else {
        output::message(&format!("{} sessions are ended", ended.len()));
    }
    Ok(Exit::Done)
}
