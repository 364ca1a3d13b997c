//! `client check`, `client adopt`, `client deliveries`: a client's own view of accounts, and what it
//! has to be told.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use auth_core::audit::AuditRecord;
use auth_core::handoff::mattermost::adoption::{AdoptionChoices, AdoptionPlan, check_unique};
use auth_core::handoff::outbox::{Channel, Destination};
use auth_core::store::{DeliveryRecord, OutboxEventRecord};
use serde_json::{Value, json};

use super::Context;
use crate::cli::Deliveries;
use crate::exit::Exit;
use crate::mattermost::adoption::{Adopted, adopt, make_plan};
use crate::mattermost::api::Api;
use crate::mattermost::check;
use crate::outbox::MattermostTarget;
use crate::output;

/// Deliveries of one page.
const PAGE: usize = 500;

/// `client check --client ID`.
pub(super) async fn check(context: &Context, id: &str, as_json: bool) -> anyhow::Result<Exit> {
    let target = target(context, id)?;
    let client = context.provider.client(id).await?;
    let client = client.with_context(|| format!("there is no client {id:?}"))?;
    let api = Api { http: &context.targets.http, target: &target };
    let steps = check::check(api, &client).await;
    let ok = steps.iter().all(|step| step.ok);
    let rows: Vec<Value> = steps.iter().map(check::CheckStep::json).collect();
    if as_json {
        output::json(&json!({ "steps": rows, "ok": ok }));
    } else {
        output::rows(&["step", "ok", "detail", "repair"], &rows);
    }
    Ok(if ok { Exit::Done } else { Exit::Findings })
}

/// `client adopt --client ID --plan FILE`.
pub(super) async fn plan(
    context: &Context,
    id: &str,
    file: &Path,
    choices: AdoptionChoices,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let target = target(context, id)?;
    let api = Api { http: &context.targets.http, target: &target };
    let broker = &context.broker;
    let made = make_plan(broker.store().as_ref(), api, id, &choices, broker.now()).await?;
    let text = serde_json::to_string_pretty(&made)?;
    // Names and addresses of everybody: for its owner only.
    let mut out = std::fs::OpenOptions::new();
    let out = out.write(true).create(true).truncate(true).mode(0o600).open(file);
    let mut out = out.with_context(|| format!("{}: cannot be written", file.display()))?;
    writeln!(out, "{text}").with_context(|| format!("{}", file.display()))?;
    output::message(&format!(
        "{}: {} accounts to adopt, {} collisions, {} left out; nothing was changed. Read it, then \
         run `client adopt --client {id} --apply {}`",
        file.display(),
        made.adopt.len(),
        made.collisions.len(),
        made.left_out.len(),
        file.display()
    ));
    if as_json {
        output::json(&made);
    }
    Ok(if made.collisions.is_empty() { Exit::Done } else { Exit::Findings })
}

/// `client adopt --client ID --apply FILE`.
pub(super) async fn apply(
    context: &Context,
    id: &str,
    file: &Path,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let target = target(context, id)?;
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{}: cannot be read", file.display()))?;
    let plan: AdoptionPlan = serde_json::from_str(&text)
        .with_context(|| format!("{}: is no plan of `client adopt --plan`", file.display()))?;
    anyhow::ensure!(
        plan.client == id && plan.server == target.url.as_str(),
        "{}: is a plan for client {:?} at {}, not for {id:?} at {}: make a new one",
        file.display(),
        plan.client,
        plan.server,
        target.url
    );
    if let Err(twice) = check_unique(&plan) {
        output::message(&format!("{}: names {twice} twice; nothing was changed", file.display()));
        return Ok(Exit::Refused);
    }
    let api = Api { http: &context.targets.http, target: &target };
    let (broker, origin) = (&context.broker, &context.origin);
    let mut rows = Vec::new();
    let mut findings = false;
    for adoption in &plan.adopt {
        let store = broker.store().as_ref();
        let became = adopt(store, api, id, adoption, dry_run, origin, broker.now()).await?;
        let (result, reason) = match became {
            Adopted::Done if dry_run => ("would be adopted", None),
            Adopted::Done => ("adopted", None),
            Adopted::Already => ("adopted already", None),
            Adopted::Not(reason) => {
                findings = true;
                ("left alone", Some(reason))
            }
        };
        rows.push(json!({
            "user": adoption.mattermost.username, "account": adoption.account.username,
            "numeric_id": adoption.account.numeric_id, "result": result, "reason": reason,
        }));
    }
    if as_json {
        output::json(&rows);
    } else {
        output::rows(&["user", "account", "numeric_id", "result", "reason"], &rows);
    }
    Ok(if findings { Exit::Findings } else { Exit::Done })
}

/// `client deliveries [--client ID [--retry]]`.
pub(super) async fn deliveries(context: &Context, arguments: Deliveries) -> anyhow::Result<Exit> {
    let store = context.broker.store();
    let Some(id) = arguments.id else {
        let load = store.outbox_load().await?;
        let rows: Vec<Value> = load
            .into_iter()
            .map(|one| {
                let oldest = one.oldest.map(|at| at.rfc3339());
                json!({
                    "destination": one.destination, "pending": one.pending, "dead": one.dead,
                    "oldest": oldest,
                })
            })
            .collect();
        if arguments.json {
            output::json(&rows);
        } else {
            output::rows(&["destination", "pending", "dead", "oldest"], &rows);
        }
        return Ok(Exit::Done);
    };
    let mut rows = Vec::new();
    for channel in Channel::ALL {
        let destination = Destination { channel, client: id.clone() }.to_string();
        if arguments.retry {
            let now = context.broker.now();
            let event = AuditRecord::new(now, "outbox.revived")
                .client(&id)
                .from_request(&context.origin)
                .with("destination", destination.as_str());
            let revived = store.revive_deliveries(&destination, now, vec![event]).await?;
            output::message(&format!("{destination}: {revived} deliveries are tried again"));
            continue;
        }
        let mut after = 0;
        loop {
            let page = store.deliveries(&destination, after, PAGE).await?;
            rows.extend(page.iter().map(row));
            match page.last() {
                Some(last) if page.len() == PAGE => after = last.id,
                _ => break,
            }
        }
    }
    if arguments.retry {
        return Ok(Exit::Done);
    }
    if arguments.json {
        output::json(&rows);
    } else {
        output::rows(
            &["id", "destination", "event", "account", "state", "attempts", "due_at", "last_error"],
            &rows,
        );
    }
    Ok(Exit::Done)
}

fn row(delivery: &DeliveryRecord) -> Value {
    let event: Option<OutboxEventRecord> = serde_json::from_str(&delivery.body).ok();
    json!({
        "id": delivery.id,
        "destination": delivery.destination,
        "event": event.as_ref().map(|event| event.kind.as_str()),
        "account": event.as_ref().and_then(|event| event.account),
        "state": if delivery.dead_at.is_some() { "dead" } else { "pending" },
        "attempts": delivery.attempts,
        "created_at": delivery.created_at.rfc3339(),
        "due_at": delivery.due_at.rfc3339(),
        "last_error": delivery.last_error,
    })
}

fn target(context: &Context, id: &str) -> anyhow::Result<Arc<MattermostTarget>> {
    let target = context.targets.mattermost.get(id).cloned();
    target.with_context(|| {
        format!(
            "client {id:?} has no `mattermost` in the configuration file: give its url and \
             token_file there (docs/mattermost.md)"
        )
    })
}
