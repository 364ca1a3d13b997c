//! `key …`: signing keys, which the store keeps, and sealing keys, which the ring's file keeps.

use std::path::Path;

use serde_json::{Value, json};

use super::{Context, not_available, with_context};
use crate::cli::KeyCommand;
use crate::exit::Exit;
use crate::output;

/// Runs `key …`.
pub(crate) async fn run(command: KeyCommand, file: Option<&Path>) -> anyhow::Result<Exit> {
    match command {
        KeyCommand::Rotate { reseal: true, .. } => Ok(not_available("key rotate --reseal")),
        command => with_context(file, async |context| dispatch(command, context).await).await,
    }
}

async fn dispatch(command: KeyCommand, context: &Context) -> anyhow::Result<Exit> {
    match command {
        KeyCommand::List { json } => {
            let rows = listing(context).await?;
            if json {
                output::json(&rows);
            } else {
                output::rows(
                    &["id", "use", "algorithm", "state", "created_at", "active_from"],
                    &rows,
                );
            }
            Ok(Exit::Done)
        }
        KeyCommand::Rotate { dry_run, json, .. } => {
            if dry_run {
                output::message(
                    "a new signing key of each algorithm would be made; it is published at once and signs a day later",
                );
            } else {
                let report = context.provider.rotate_signing_keys(&context.origin).await?;
                for key in &report.created {
                    output::message(&format!(
                        "new {} key {}: published now, signs from {}",
                        key.algorithm.as_str(),
                        key.kid,
                        key.active_from
                    ));
                }
                if report.created.is_empty() {
                    output::message(
                        "no key was made: the keys of the last rotation do not sign yet",
                    );
                }
            }
            if json {
                output::json(&listing(context).await?);
            }
            Ok(Exit::Done)
        }
        KeyCommand::Retire { id, dry_run, json } => {
            if dry_run {
                output::message(&format!("signing key {id} would not be published any more"));
            } else {
                context.provider.retire_signing_key(&id, &context.origin).await?;
                output::message(&format!("signing key {id} is not published any more"));
            }
            if json {
                output::json(&listing(context).await?);
            }
            Ok(Exit::Done)
        }
    }
}

async fn listing(context: &Context) -> anyhow::Result<Vec<Value>> {
    let mut rows: Vec<Value> = context
        .provider
        .list_signing_keys()
        .await?
        .into_iter()
        .map(|key| {
            json!({
                "id": key.kid,
                "use": "signing",
                "algorithm": key.algorithm,
                "state": key.state,
                "created_at": key.created_at.rfc3339(),
                "active_from": key.active_from.rfc3339(),
                "retired_at": key.retired_at.map(|at| at.rfc3339()),
            })
        })
        .collect();
    let active = context.ring.active_key_id();
    for (id, created_at) in context.ring.keys() {
        rows.push(json!({
            "id": id.to_string(),
            "use": "sealing",
            "algorithm": "AES-256-GCM-SIV",
            "state": if id == active { "active" } else { "opens" },
            "created_at": created_at.rfc3339(),
            "active_from": created_at.rfc3339(),
            "retired_at": null,
        }));
    }
    Ok(rows)
}
