//! What a run leaves behind: its row in the history, its audit events, its metrics.

use super::guard::BrakeReport;
use super::request::{RunRequest, SyncError, SyncOutcome};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::store::{SyncJobId, SyncJobRecord, SyncJobState, SyncLease};

/// Conflicts that the history keeps.
pub(super) const CONFLICTS_KEPT: usize = 50;

/// A run that begins.
pub(super) fn begun(
    id: SyncJobId,
    lease: &SyncLease,
    request: &RunRequest,
    now: Timestamp,
) -> SyncJobRecord {
    SyncJobRecord {
        id,
        directory: lease.directory.clone(),
        generation: lease.generation,
        holder: lease.holder.clone(),
        state: SyncJobState::Running,
        started_at: now,
        finished_at: None,
        applied: 0,
        deactivated: 0,
        detail: crate::store::SyncJobDetail {
            trigger: request.trigger.to_owned(),
            ..crate::store::SyncJobDetail::default()
        },
    }
}

/// Writes the outcome into the run's record.
pub(super) fn end(
    job: &mut SyncJobRecord,
    outcome: &Result<SyncOutcome, SyncError>,
    now: Timestamp,
) {
    job.finished_at = Some(now);
    let detail = &mut job.detail;
    match outcome {
        Ok(outcome) => {
            let refused = outcome.is_refused();
            job.state = if refused { SyncJobState::Refused } else { SyncJobState::Succeeded };
            detail.kind = outcome.kind.to_owned();
            detail.server = outcome.server.clone();
            detail.entries = outcome.entries;
            detail.searches = outcome.searches;
            detail.counts = outcome.counts;
            detail.overridden = outcome.brake.as_ref().is_some_and(|brake| brake.overridden);
            detail.message = outcome.brake.as_ref().map(|brake| brake.reason.clone());
        }
        Err(error) => {
            job.state = match error {
                SyncError::Stopped { .. } => SyncJobState::Stopped,
                _ => SyncJobState::Failed,
            };
            detail.message = Some(error.to_string());
        }
    }
}

/// The event of a run's end.
pub(super) fn ended(job: &SyncJobRecord, origin: &Origin, now: Timestamp) -> AuditRecord {
    let event = match job.state {
        SyncJobState::Succeeded => AuditRecord::new(now, "sync.finished"),
        SyncJobState::Refused => AuditRecord::new(now, "sync.refused").refused("brake"),
        SyncJobState::Stopped => AuditRecord::new(now, "sync.failed").failed("stopped"),
        _ => AuditRecord::new(now, "sync.failed").failed("failed"),
    };
    let counts = serde_json::to_value(job.detail.counts).unwrap_or_default();
    let event = event
        .connector(&job.directory)
        .from_request(origin)
        .with("job", job.id.to_string())
        .with("kind", job.detail.kind.clone())
        .with("entries", job.detail.entries)
        .with("counts", counts);
    match &job.detail.message {
        Some(message) => event.with("message", message.clone()),
        None => event,
    }
}

/// The event of going on against the brake.
pub(super) fn overridden(
    job: &SyncJobRecord,
    brake: &BrakeReport,
    origin: &Origin,
    now: Timestamp,
) -> AuditRecord {
    AuditRecord::new(now, "sync.brake_overridden")
        .connector(&job.directory)
        .from_request(origin)
        .with("job", job.id.to_string())
        .with("people", brake.people)
        .with("accounts", brake.accounts)
        .with("message", brake.reason.clone())
}

/// Counts the run.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
pub(super) fn count(job: &SyncJobRecord) {
    let directory = || job.directory.clone();
    metrics::counter!(
        "auth_sync_runs_total",
        "directory" => directory(),
        "result" => job.state.as_str(),
    )
    .increment(1);
    let took = job.finished_at.map_or(0, |end| end.since(job.started_at).as_millis());
    metrics::histogram!("auth_sync_duration_seconds", "directory" => directory())
        .record(took as f64 / 1000.0);
    let counts = job.detail.counts;
    if job.state != SyncJobState::Succeeded {
        return;
    }
    for (op, number) in [
        ("create", counts.create),
        ("update", counts.update),
        ("deactivate", counts.deactivate),
        ("reactivate", counts.reactivate),
        ("conflict", counts.conflict),
    ] {
        metrics::counter!("auth_sync_changes_total", "directory" => directory(), "op" => op)
            .increment(number);
    }
}
