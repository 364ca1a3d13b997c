//! `audit …`: the trail, one event a line.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use auth_core::clock::Timestamp;
use auth_core::store::{AuditEntry, AuditQuery};
use serde_json::Value;

use super::{Context, not_available, with_context};
use crate::cli::AuditCommand;
use crate::exit::Exit;
use crate::output;

const PAGE: usize = 1000;

/// Runs `audit …`.
pub(crate) async fn run(command: AuditCommand, file: Option<&Path>) -> anyhow::Result<Exit> {
    match command {
        AuditCommand::Tail { lines, follow, json } => {
            with_context(file, async |context| tail(context, lines, follow, json).await).await
        }
        AuditCommand::Export { since, until, output, json: _ } => {
            let (since, until) = (moment("--since", since)?, moment("--until", until)?);
            with_context(file, async |context| export(context, since, until, output).await).await
        }
        AuditCommand::Verify { .. } => Ok(not_available("audit verify")),
    }
}

fn moment(option: &str, text: Option<String>) -> anyhow::Result<Option<Timestamp>> {
    text.map(|text| {
        Timestamp::parse_rfc3339(&text).with_context(|| {
            format!("{option} {text:?}: give a time as in 2026-01-31T12:00:00Z (RFC 3339)")
        })
    })
    .transpose()
}

/// `audit tail [-n N] [--follow]`: the newest events.
async fn tail(
    context: &Context,
    lines: usize,
    follow: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let store = context.broker.store();
    let mut entries = store.audit(AuditQuery { limit: lines, ..AuditQuery::default() }).await?;
    let mut last = 0;
    loop {
        for entry in &entries {
            print(entry, as_json)?;
            last = entry.sequence;
        }
        if !follow {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let query = AuditQuery { after: Some(last), limit: PAGE, ..AuditQuery::default() };
        entries = store.audit(query).await?;
    }
}

/// `audit export`: the trail, oldest first, one JSON object a line.
async fn export(
    context: &Context,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    file: Option<PathBuf>,
) -> anyhow::Result<Exit> {
    let mut out: Box<dyn Write> = match &file {
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let file = file.with_context(|| {
                format!("{}: cannot be made; it must not exist yet", path.display())
            })?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(std::io::stdout().lock()),
    };
    let mut after = Some(0);
    loop {
        let query = AuditQuery { after, since, account: None, limit: PAGE };
        let entries = context.broker.store().audit(query).await?;
        for entry in &entries {
            if until.is_none_or(|until| entry.record.at < until) {
                serde_json::to_writer(&mut out, &entry.record)?;
                out.write_all(b"\n")?;
            }
        }
        if entries.len() < PAGE {
            out.flush()?;
            return Ok(Exit::Done);
        }
        after = entries.last().map(|entry| entry.sequence);
    }
}

fn print(entry: &AuditEntry, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        output::json_line(&entry.record);
        return Ok(());
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
    output::line(&output::plain(&line));
    Ok(())
}
