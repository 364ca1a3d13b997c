//! `ldap migrate-id`: moves the accounts of a directory to another id attribute, and back.
//!
//! The undo file is written, and on the disk, before anything is changed. All identities are moved
//! in one transaction; a conflict stops everything before it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use auth_core::account::{EntryIds, IdMigration, plan_id_migration, plan_id_undo};
use auth_core::clock::{Clock as _, SystemClock};
use auth_core::store::IdentityMove;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Context, with_context};
use crate::exit::Exit;
use crate::output;

/// How the command is run.
pub(crate) struct Options {
    /// Where the undo file goes.
    pub(crate) undo: Option<PathBuf>,
    /// Only say what would be done.
    pub(crate) dry_run: bool,
    /// Print JSON.
    pub(crate) json: bool,
}

/// What is needed to go back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UndoFile {
    directory: String,
    from: String,
    to: String,
    made_at: String,
    moves: Vec<UndoMove>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UndoMove {
    account: String,
    dn: String,
    from: String,
    to: String,
}

/// `ldap migrate-id --directory ID --to ATTR`.
pub(crate) async fn migrate(
    file: Option<&Path>,
    directory: &str,
    to: &str,
    options: &Options,
) -> anyhow::Result<Exit> {
    with_context(file, async |context| {
        let Some(connector) = context.broker.connectors().directory(directory) else {
            return Ok(unknown(context, directory));
        };
        let from = connector.settings().attributes.id.clone();
        if from.eq_ignore_ascii_case(to) {
            output::message(&format!(
                "attributes.id of directory {directory:?} is {from} already; name the attribute to \
                 move to"
            ));
            return Ok(Exit::Usage);
        }
        let pairs = connector.read_ids(to).await.context("reading the directory")?;
        let entries = pairs
            .into_iter()
            .map(|pair| EntryIds { dn: pair.dn, from: pair.from, to: pair.to })
            .collect();
        let identities = context.broker.identities_of(directory).await?;
        let plan = plan_id_migration(&identities, entries);
        let attributes = (from.as_str(), to);
        let next = format!(
            "now set id = {to:?} in [directory.attributes] of {directory:?} and reload; until then \
             nobody of this directory is recognised"
        );
        carry_out(context, directory, attributes, &plan, options, true, &next).await
    })
    .await
}

/// `ldap migrate-id --directory ID --undo-from FILE`.
pub(crate) async fn take_back(
    file: Option<&Path>,
    directory: &str,
    undo: &Path,
    options: &Options,
) -> anyhow::Result<Exit> {
    let text = std::fs::read(undo).with_context(|| format!("reading {}", undo.display()))?;
    let undo: UndoFile = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no undo file of this command", undo.display()))?;
    ensure!(
        undo.directory == directory,
        "the undo file is of directory {:?}, not of {directory:?}",
        undo.directory
    );
    with_context(file, async |context| {
        let done: Vec<IdentityMove> = undo
            .moves
            .iter()
            .map(|one| IdentityMove { from: one.from.clone(), to: one.to.clone() })
            .collect();
        let identities = context.broker.identities_of(directory).await?;
        let plan = plan_id_undo(&identities, &done);
        let next = format!(
            "now set id = {:?} in [directory.attributes] of {directory:?} again and reload",
            undo.from
        );
        let attributes = (undo.to.as_str(), undo.from.as_str());
        carry_out(context, directory, attributes, &plan, options, false, &next).await
    })
    .await
}

async fn carry_out(
    context: &Context,
    directory: &str,
    attributes: (&str, &str),
    plan: &IdMigration,
    options: &Options,
    writes_undo: bool,
    next: &str,
) -> anyhow::Result<Exit> {
    let conflicts = !plan.conflicts.is_empty();
    let acts = !conflicts && !options.dry_run && !plan.moves.is_empty();
    let undo = if acts && writes_undo {
        Some(write_undo(directory, attributes, plan, options.undo.as_deref())?)
    } else {
        None
    };
    if acts {
        let moves = plan.moves.iter().map(|(one, ..)| one.clone()).collect();
        let moved = context
            .broker
            .move_identities(directory, moves, attributes, &context.origin)
            .await
            .context("nothing was changed")?;
        if !moved {
            bail!("accounts changed meanwhile, so nothing was moved: run the command again");
        }
    }
    report(directory, attributes, plan, options, acts, undo.as_deref(), next);
    Ok(if conflicts { Exit::Findings } else { Exit::Done })
}

/// Writes the file so that it survives a crash right after; never over another one.
fn write_undo(
    directory: &str,
    (from, to): (&str, &str),
    plan: &IdMigration,
    wanted: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    let made_at = SystemClock.now().rfc3339();
    let own_name = || {
        let digits: String = made_at.chars().filter(char::is_ascii_digit).collect();
        PathBuf::from(format!("migrate-id-{directory}-{digits}.json"))
    };
    let path = wanted.map_or_else(own_name, Path::to_owned);
    let moves = plan
        .moves
        .iter()
        .map(|(one, account, dn)| UndoMove {
            account: account.to_string(),
            dn: dn.clone(),
            from: one.from.clone(),
            to: one.to.clone(),
        })
        .collect();
    let undo = UndoFile {
        directory: directory.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        made_at,
        moves,
    };
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&serde_json::to_vec_pretty(&undo)?)?;
        file.sync_all()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| {
        format!("the undo file {} cannot be written, so nothing was changed", path.display())
    })?;
    Ok(path)
}

fn report(
    directory: &str,
    (from, to): (&str, &str),
    plan: &IdMigration,
    options: &Options,
    applied: bool,
    undo: Option<&Path>,
    next: &str,
) {
    let moves: Vec<Value> = plan
        .moves
        .iter()
        .map(|(one, account, dn)| {
            json!({ "account": account, "dn": dn, "from": one.from, "to": one.to })
        })
        .collect();
    let missing: Vec<Value> = plan
        .missing
        .iter()
        .map(|(subject, account)| json!({ "account": account, "id": subject }))
        .collect();
    let conflicts: Vec<Value> = plan
        .conflicts
        .iter()
        .map(|conflict| {
            json!({
                "account": conflict.account,
                "dn": conflict.dn,
                "id": conflict.subject,
                "problem": conflict.problem,
            })
        })
        .collect();
    if options.json {
        output::json(&json!({
            "directory": directory,
            "from": from,
            "to": to,
            "dry_run": options.dry_run,
            "applied": applied,
            "counts": {
                "move": moves.len(),
                "unchanged": plan.unchanged,
                "missing": missing.len(),
                "conflict": conflicts.len(),
            },
            "moves": moves,
            "missing": missing,
            "conflicts": conflicts,
            "undo_file": undo.map(|path| path.display().to_string()),
            "next": applied.then_some(next),
        }));
        return;
    }
    if !moves.is_empty() {
        output::rows(&["account", "from", "to", "dn"], &moves);
    }
    if !missing.is_empty() {
        output::message(&format!("{} keep their id, for no entry has it:", missing.len()));
        output::rows(&["id", "account"], &missing);
    }
    if !conflicts.is_empty() {
        output::message("conflicts; nothing is moved as long as there are any:");
        output::rows(&["id", "account", "dn", "problem"], &conflicts);
    }
    let done = match (applied, options.dry_run) {
        (true, _) => "moved",
        (false, true) => "would be moved",
        (false, false) => "not moved",
    };
    output::message(&format!(
        "{} {done} from {from} to {to}, {} unchanged, {} missing, {} conflicts",
        moves.len(),
        plan.unchanged,
        missing.len(),
        conflicts.len()
    ));
    if let Some(undo) = undo {
        output::message(&format!(
            "undo file: {} (ldap migrate-id --directory {directory} --undo-from FILE)",
            undo.display()
        ));
    }
    if applied {
        output::message(next);
    }
}

fn unknown(context: &Context, directory: &str) -> Exit {
    let known: Vec<&str> =
        context.broker.connectors().directories.iter().map(|one| one.id()).collect();
    output::message(&format!(
        "there is no directory {directory:?} in the configuration; it names: {}",
        known.join(", ")
    ));
    Exit::Configuration
}
