//! `audit …`: the trail, one event a line.

use std::time::Duration;

use auth_core::clock::Timestamp;
use auth_core::store::{AuditEntry, AuditQuery};
use serde_json::Value;

use super::Context;
use super::output;
use crate::exit::Exit;

const PAGE: usize = 1000;

/// `audit tail [-n N] [--follow]`: the newest events.
pub(crate) async fn tail(
    context: &Context,
    lines: usize,
    follow: bool,
    account: Option<String>,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let store = context.broker.store();
    let query = AuditQuery { limit: lines, account: account.clone(), ..AuditQuery::default() };
    let mut entries = store.audit(query).await?;
    let mut last = entries.last().map(|entry| entry.sequence);
    if last.is_none() {
        let newest = store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await?;
        last = newest.last().map(|entry| entry.sequence);
    }
    loop {
        for entry in &entries {
            print(entry, as_json)?;
        }
        if !follow {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let after = Some(last.unwrap_or(0));
        let query =
            AuditQuery { after, limit: PAGE, account: account.clone(), ..AuditQuery::default() };
        entries = store.audit(query).await?;
        last = entries.last().map(|entry| entry.sequence).or(last);
    }
}

/// `audit export [--since TIME]`: the whole trail, oldest first, always as JSON lines.
pub(crate) async fn export(
    context: &Context,
    since: Option<Timestamp>,
    account: Option<String>,
) -> anyhow::Result<Exit> {
    let mut after = Some(0);
    loop {
        let query = AuditQuery { after, since, account: account.clone(), limit: PAGE };
        let entries = context.broker.store().audit(query).await?;
        for entry in &entries {
            print(entry, true)?;
        }
        if entries.len() < PAGE {
            return Ok(Exit::Done);
        }
        after = entries.last().map(|entry| entry.sequence);
    }
}

fn print(entry: &AuditEntry, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return output::json_line(&entry.record);
    }
    let value = serde_json::to_value(&entry.record)?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let line = format!(
        "{}  {:<22} {:<8} {:<24} account={} connector={} client={} ip={} request={}",
        text("at"),
        text("event"),
        text("outcome"),
        text("reason"),
        text("account"),
        text("connector"),
        text("client"),
        text("ip"),
        text("request_id"),
    );
    // A typed name may hold control characters, which must not steer the terminal.
    let line: String =
        line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    output::line(&line)
}
