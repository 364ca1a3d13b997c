//! `sync …`: directory synchronisation by hand.

mod listing;
mod progress;

use std::path::Path;

use anyhow::Context as _;
use auth_core::clock::Timestamp;
use auth_core::connector::ldap::LdapConnector;
use auth_core::directory_sync::{ReadWish, RunRequest, SyncError, SyncOutcome};
use auth_core::store::{SyncJobRecord, SyncStatus};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Context, with_context};
use crate::app::SyncPlan;
use crate::cli::{ReadArguments, SyncCommand};
use crate::exit::Exit;
use crate::output;
use crate::server::end_asked_for;
use listing::Listing;

/// Runs `sync …`.
pub(crate) async fn run(command: SyncCommand, file: Option<&Path>) -> anyhow::Result<Exit> {
    with_context(file, async |context| match command {
        SyncCommand::Plan { directory, read, json } => {
            let (plan, connector) = find(context, &directory.directory)?;
            show_plan(context, plan, connector, &read, json).await
        }
        SyncCommand::Run { directory, read, override_brake, dry_run, json } => {
            let (plan, connector) = find(context, &directory.directory)?;
            if dry_run {
                return show_plan(context, plan, connector, &read, json).await;
            }
            synchronise(context, plan, connector, &read, override_brake, json).await
        }
        SyncCommand::Status { directory, json } => {
            let (plan, _) = find(context, &directory.directory)?;
            status(context, plan, json).await
        }
        SyncCommand::History { directory, lines, json } => {
            let (plan, _) = find(context, &directory.directory)?;
            history(context, plan, lines, json).await
        }
    })
    .await
}

fn find<'c>(context: &'c Context, id: &str) -> anyhow::Result<(&'c SyncPlan, &'c LdapConnector)> {
    let plan = context.syncs.iter().find(|plan| plan.settings.directory == id);
    let known: Vec<&str> =
        context.syncs.iter().map(|plan| plan.settings.directory.as_str()).collect();
    plan.zip(context.broker.connectors().directory(id)).with_context(|| {
        format!("there is no directory {id:?} in the configuration; it names: {}", known.join(", "))
    })
}

const fn wish(read: &ReadArguments) -> ReadWish {
    if read.incremental { ReadWish::Incremental } else { ReadWish::Full }
}

/// `sync plan`, and `sync run --dry-run`.
async fn show_plan(
    context: &Context,
    plan: &SyncPlan,
    connector: &LdapConnector,
    read: &ReadArguments,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let listing = Listing::new(&plan.settings.directory, as_json, false);
    let synchronisation = plan.synchronisation(&context.broker);
    let outcome = synchronisation.plan(connector, wish(read), &listing).await;
    listing.finish(&outcome);
    Ok(exit(&outcome?))
}

/// `sync run`.
async fn synchronise(
    context: &Context,
    plan: &SyncPlan,
    connector: &LdapConnector,
    read: &ReadArguments,
    override_brake: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let (stop, stopped) = watch::channel(false);
    let request = RunRequest {
        wish: wish(read),
        override_brake,
        trigger: "command",
        origin: context.origin.clone(),
        unless_started_since: None,
        wait: true,
        stop: stopped,
    };
    let listing = Listing::new(&plan.settings.directory, as_json, true);
    let synchronisation = plan.synchronisation(&context.broker);
    let outcome = {
        let run = synchronisation.run(connector, &request, &listing);
        tokio::pin!(run);
        tokio::select! {
            outcome = &mut run => outcome,
            () = end_asked_for() => {
                stop.send_replace(true);
                listing.message("ending after the batch under way; once more: at once");
                tokio::select! {
                    outcome = &mut run => outcome,
                    // The batch is undone by the store, the lease runs out by itself.
                    () = end_asked_for() => Err(SyncError::Stopped { applied: 0 }),
                }
            }
        }
    };
    listing.finish(&outcome);
    if let Err(error @ (SyncError::Stopped { .. } | SyncError::LeaseLost)) = &outcome {
        output::message(&format!(
            "auth-daemon: {error}; `auth-daemon sync run --directory {}` goes on",
            plan.settings.directory
        ));
        return Ok(Exit::Failed);
    }
    Ok(exit(&outcome?))
}

/// The brake wins over conflicts.
fn exit(outcome: &SyncOutcome) -> Exit {
    if outcome.is_refused() {
        Exit::Refused
    } else if outcome.counts.conflict > 0 || outcome.left_out > 0 {
        Exit::Findings
    } else {
        Exit::Done
    }
}

/// `sync status`.
async fn status(context: &Context, plan: &SyncPlan, as_json: bool) -> anyhow::Result<Exit> {
    let store = context.broker.store();
    let directory = &plan.settings.directory;
    let status = store.sync_status(directory).await?;
    let last = store.sync_jobs(directory, 1).await?;
    let now = context.broker.now();
    let object = status_object(plan, &status, last.first(), now);
    if as_json {
        output::json(&object);
    } else {
        let mut facts = object;
        if let Some(last) = facts.get_mut("last").map(Value::take)
            && let Some(members) = facts.as_object_mut()
        {
            members.remove("last");
            for key in ["state", "started_at", "finished_at", "kind", "applied", "message"] {
                let value = last.get(key).cloned().unwrap_or_default();
                members.insert(format!("last_run_{key}"), value);
            }
        }
        output::facts(&facts);
    }
    Ok(Exit::Done)
}

fn status_object(
    plan: &SyncPlan,
    status: &SyncStatus,
    last: Option<&SyncJobRecord>,
    now: Timestamp,
) -> Value {
    let running = status.lease.as_ref().filter(|(_, until)| *until > now);
    let next = plan
        .is_scheduled()
        .then(|| plan.schedule.next(status.started_at.unwrap_or(now)))
        .flatten()
        .map(|next| next.max(now));
    json!({
        "directory": plan.settings.directory,
        "scheduled": plan.is_scheduled(),
        "next_run_at": next.map(Timestamp::rfc3339),
        "running": running.is_some(),
        "holder": running.map(|(holder, _)| holder),
        "last_success_at": status.succeeded_at.map(Timestamp::rfc3339),
        "last_success_age_seconds": status.succeeded_at.map(|at| now.since(at).as_secs()),
        "last_full_at": status.full_at.map(Timestamp::rfc3339),
        "incremental": status.position.is_some(),
        "last": last.map(job_object),
    })
}

/// `sync history`.
async fn history(
    context: &Context,
    plan: &SyncPlan,
    lines: usize,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let jobs = context.broker.store().sync_jobs(&plan.settings.directory, lines).await?;
    let rows: Vec<Value> = jobs.iter().map(job_object).collect();
    if as_json {
        output::json(&Value::Array(rows));
    } else {
        output::rows(
            &["started_at", "state", "trigger", "kind", "entries", "applied", "seconds", "message"],
            &rows,
        );
    }
    Ok(Exit::Done)
}

fn job_object(job: &SyncJobRecord) -> Value {
    let seconds = job.finished_at.map(|end| end.since(job.started_at).as_secs_f64());
    json!({
        "id": job.id,
        "state": job.state.as_str(),
        "trigger": job.detail.trigger,
        "kind": job.detail.kind,
        "holder": job.holder,
        "started_at": job.started_at.rfc3339(),
        "finished_at": job.finished_at.map(Timestamp::rfc3339),
        "seconds": seconds,
        "server": job.detail.server,
        "entries": job.detail.entries,
        "searches": job.detail.searches,
        "counts": job.detail.counts,
        "applied": job.applied,
        "deactivated": job.deactivated,
        "overridden": job.detail.overridden,
        "message": job.detail.message,
        "conflicts": job.detail.conflicts,
    })
}
