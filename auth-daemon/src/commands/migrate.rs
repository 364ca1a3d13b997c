//! `user migrate`: moves people from one connector to another, with a report and a file that
//! undoes it, which is written before anything is changed.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use auth_core::account::migration::{Finding, MatchBy, Move};
use auth_core::broker::migration::{Moved, SubjectSource};
use auth_core::store::AccountId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Context;
use crate::cli::MigrateUsers;
use crate::exit::Exit;
use crate::output;

#[derive(Serialize, Deserialize)]
struct UndoFile {
    /// What the file is, so that no other file passes for one.
    kind: String,
    moved: Vec<UndoEntry>,
}

#[derive(Serialize, Deserialize)]
struct UndoEntry {
    account: AccountId,
    old: (String, String),
    new: (String, String),
}

const KIND: &str = "auth-daemon user migrate";

/// `user migrate …`.
pub(super) async fn run(context: &Context, arguments: MigrateUsers) -> anyhow::Result<Exit> {
    if let Some(file) = &arguments.undo {
        return undo(context, file, arguments.dry_run, arguments.json).await;
    }
    let (Some(from), Some(to), Some(by)) = (&arguments.from, &arguments.to, &arguments.match_by)
    else {
        return Ok(Exit::Usage);
    };
    let by = MatchBy::parse(by).context("--match: name username, email, id or subject")?;
    let source = match &arguments.to_subjects {
        Some(file) => SubjectSource::List(read_subjects(file)?),
        None if context.broker.connectors().directory(to).is_some() => SubjectSource::Directory,
        None => SubjectSource::Value,
    };
    let moves = context.broker.plan_migration((from, to), by, source).await?;
    let mut findings: HashMap<AccountId, Finding> = moves
        .iter()
        .filter_map(|one| one.subject.as_ref().err().map(|finding| (one.account, *finding)))
        .collect();
    let moving = moves.iter().filter(|one| one.subject.is_ok()).count();
    let mut undo_file = None;
    if !arguments.dry_run && moving > 0 {
        let path = arguments
            .undo_file
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("migrate-{from}-{to}.undo.json")));
        write_undo(&path, &moves, to)?;
        for (account, finding) in context.broker.migrate(&moves, to, &context.origin).await? {
            if let Some(finding) = finding {
                findings.insert(account, finding);
            }
        }
        undo_file = Some(path);
    }
    report(&moves, &findings, to, &arguments, undo_file.as_deref());
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Findings })
}

fn report(
    moves: &[Move],
    findings: &HashMap<AccountId, Finding>,
    to: &str,
    arguments: &MigrateUsers,
    undo_file: Option<&Path>,
) {
    let rows: Vec<Value> = moves
        .iter()
        .map(|one| {
            let finding = findings.get(&one.account).map(|finding| finding.as_str());
            json!({
                "account": one.account,
                "username": one.username,
                "from": { "connector": one.old.connector, "subject": one.old.subject },
                "to": one.subject.as_ref().ok().map(|subject| {
                    json!({ "connector": to, "subject": subject })
                }),
                "finding": finding,
            })
        })
        .collect();
    let count = moves.len() - findings.len();
    if arguments.json {
        output::json(&json!({
            "dry_run": arguments.dry_run,
            "moved": count,
            "findings": findings.len(),
            "undo_file": undo_file.map(|path| path.display().to_string()),
            "accounts": rows,
        }));
    } else {
        output::rows(&["username", "from", "to", "finding"], &rows);
    }
    let word = if arguments.dry_run { "would be moved" } else { "moved" };
    output::message(&format!("{count} accounts {word}, {} findings", findings.len()));
    if let Some(path) = undo_file {
        output::message(&format!("undo it with: user migrate --undo {}", path.display()));
    }
}

fn write_undo(path: &Path, moves: &[Move], to: &str) -> anyhow::Result<()> {
    let entries = moves.iter().filter_map(|one| {
        let subject = one.subject.as_ref().ok()?;
        Some(UndoEntry {
            account: one.account,
            old: (one.old.connector.clone(), one.old.subject.clone()),
            new: (to.to_owned(), subject.clone()),
        })
    });
    let file = UndoFile { kind: KIND.to_owned(), moved: entries.collect() };
    let text = serde_json::to_string_pretty(&file)?;
    let mut out =
        std::fs::OpenOptions::new().write(true).create_new(true).open(path).with_context(|| {
            format!("--undo-file: {} cannot be made (it must not be there yet)", path.display())
        })?;
    out.write_all(text.as_bytes())
        .and_then(|()| out.sync_all())
        .with_context(|| format!("writing {}", path.display()))
}

async fn undo(
    context: &Context,
    path: &Path,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let file: UndoFile = serde_json::from_str(&text)
        .with_context(|| format!("{} is no undo file", path.display()))?;
    ensure!(file.kind == KIND, "{} is no undo file of `user migrate`", path.display());
    let moved: Vec<Moved> = file
        .moved
        .into_iter()
        .map(|entry| Moved { account: entry.account, old: entry.old, new: entry.new })
        .collect();
    let changed = context.broker.undo_migration(&moved, dry_run, &context.origin).await?;
    let count = moved.len() - changed.len();
    if as_json {
        output::json(&json!({ "dry_run": dry_run, "undone": count, "changed": changed }));
    }
    let word = if dry_run { "would be put back" } else { "put back" };
    output::message(&format!("{count} accounts {word}, {} changed since", changed.len()));
    Ok(if changed.is_empty() { Exit::Done } else { Exit::Findings })
}

/// Two columns, RFC 4180.
fn read_subjects(path: &Path) -> anyhow::Result<HashMap<String, String>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("--to-subjects: reading {}", path.display()))?;
    parse_subjects(&text).with_context(|| format!("--to-subjects: {}", path.display()))
}

fn parse_subjects(text: &str) -> anyhow::Result<HashMap<String, String>> {
    let mut subjects = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = || format!("line {}", number + 1);
        let (value, subject) = two_columns(line).with_context(place)?;
        ensure!(!value.is_empty() && !subject.is_empty(), "{}: a column is empty", place());
        ensure!(
            subjects.insert(value.clone(), subject).is_none(),
            "{}: {value:?} is there twice",
            place()
        );
    }
    Ok(subjects)
}

fn two_columns(line: &str) -> anyhow::Result<(String, String)> {
    let mut columns = vec![String::new()];
    let mut characters = line.trim_end_matches('\r').chars().peekable();
    let mut is_quoted = false;
    while let Some(c) = characters.next() {
        let Some(column) = columns.last_mut() else { break };
        match (c, is_quoted) {
            ('"', true) if characters.peek() == Some(&'"') => {
                characters.next();
                column.push('"');
            }
            ('"', true) => is_quoted = false,
            ('"', false) if column.is_empty() => is_quoted = true,
            (',', false) => columns.push(String::new()),
            (c, _) => column.push(c),
        }
    }
    ensure!(!is_quoted, "a quotation mark is not closed");
    match <[String; 2]>::try_from(columns) {
        Ok([value, subject]) => Ok((value.trim().to_owned(), subject.trim().to_owned())),
        Err(columns) => anyhow::bail!("{} columns instead of 2", columns.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_subjects;

    #[test]
    fn columns_are_read_by_rfc_4180() {
        let read = parse_subjects("a@x,s-1\r\n\n\"b, c\",\"say \"\"hi\"\"\"\n").unwrap();
        assert_eq!(read["a@x"], "s-1");
        assert_eq!(read["b, c"], "say \"hi\"");
        for bad in ["a", "a,b,c", "a,", ",b", "\"a,b", "a,b\na,c"] {
            assert!(parse_subjects(bad).is_err(), "{bad:?}");
        }
    }
}
