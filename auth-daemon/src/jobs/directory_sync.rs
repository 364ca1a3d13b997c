//! Synchronisation by schedule.
//!
//! Every node looks when a run is due and asks for the lease; whoever gets it runs, and the others
//! see that a run began. A lease that ran out belongs to a node that died in the middle: its run is
//! due at once. Moments are spread by a random share, so that nodes and directories do not all
//! begin together.

use std::sync::Arc;
use std::time::Duration;

use auth_core::audit::Origin;
use auth_core::broker::Broker;
use auth_core::clock::Timestamp;
use auth_core::directory_sync::{
    Change, DirectorySync, Operation, Progress, ReadWish, RunRequest, SyncError, Watcher,
};
use auth_core::random::{Random as _, SystemRandom};
use auth_core::store::SyncStatus;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::app::SyncPlan;
use crate::config::Schedule;
use crate::server::DRAIN;

/// How long until the store is asked again whether a run is due, at most.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A run begins at most so much later than its moment.
const SPREAD: Duration = Duration::from_secs(60);
/// As a share of the time between two runs.
const SPREAD_SHARE: u32 = 10;

/// The scheduled synchronisations of this node.
pub(crate) struct ScheduledSyncs {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts one task for each directory with a schedule.
pub(crate) fn start(broker: &Arc<Broker>, plans: &[SyncPlan]) -> ScheduledSyncs {
    let (stop, stopped) = watch::channel(false);
    let tasks = plans
        .iter()
        .filter(|plan| plan.is_scheduled())
        .map(|plan| {
            let (broker, plan, stopped) = (Arc::clone(broker), plan.clone(), stopped.clone());
            tokio::spawn(keep(broker, plan, stopped))
        })
        .collect();
    ScheduledSyncs { stop, tasks }
}

impl ScheduledSyncs {
    /// Lets the batches under way finish and gives the leases back.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for mut task in self.tasks {
            if tokio::time::timeout(DRAIN, &mut task).await.is_err() {
                // The batch is whole or undone, and the lease runs out by itself.
                tracing::warn!("a synchronisation did not end in time");
                task.abort();
            }
        }
    }
}

async fn keep(broker: Arc<Broker>, plan: SyncPlan, mut stopped: watch::Receiver<bool>) {
    let synchronisation = plan.synchronisation(&broker);
    let booted = broker.now();
    let mut share = random_share();
    loop {
        let directory = &plan.settings.directory;
        let wait = match broker.store().sync_status(directory).await {
            Ok(status) => {
                let now = broker.now();
                match due(&plan.schedule, &status, booted, now, share) {
                    Some(at) if at <= now => {
                        run(&broker, &plan, &synchronisation, &status, stopped.clone()).await;
                        share = random_share();
                        // Whoever could not even begin does not try without end.
                        Duration::from_secs(1)
                    }
                    Some(at) => at.since(now).min(LOOK_AGAIN),
                    None => LOOK_AGAIN,
                }
            }
            Err(error) => {
                tracing::error!(directory, %error, "not known whether a synchronisation is due");
                LOOK_AGAIN
            }
        };
        // An error says that nobody is left who could ask for the end: the daemon is gone.
        let ended = tokio::time::timeout(wait, stopped.wait_for(|stop| *stop)).await.is_ok();
        if ended {
            return;
        }
    }
}

/// When the next run begins: `share` of 255 of the spread after its moment.
fn due(
    schedule: &Schedule,
    status: &SyncStatus,
    booted: Timestamp,
    now: Timestamp,
    share: u8,
) -> Option<Timestamp> {
    if let Some((_, until)) = &status.lease {
        // Somebody is at it, or died at it.
        return Some(*until);
    }
    let at = match (schedule, status.started_at) {
        // The first run of all does not wait for a whole interval.
        (Schedule::Every(_), None) => booted,
        (_, last) => schedule.next(last.unwrap_or(booted))?,
    };
    let gap = schedule.next(at.max(now))?.since(at.max(now));
    let spread = (gap / SPREAD_SHARE).min(SPREAD);
    Some(at + spread * u32::from(share) / 255)
}

async fn run(
    broker: &Arc<Broker>,
    plan: &SyncPlan,
    synchronisation: &DirectorySync,
    seen: &SyncStatus,
    stop: watch::Receiver<bool>,
) {
    let id = &plan.settings.directory;
    let Some(population) = broker.connectors().directory(id) else { return };
    let request = RunRequest {
        wish: ReadWish::AsDue,
        override_brake: false,
        trigger: "schedule",
        origin: Origin {
            ip: None,
            request_id: Uuid::now_v7().simple().to_string(),
            user_agent: None,
        },
        // If another one began after this was read, it was first.
        unless_started_since: Some(
            seen.started_at
                .map_or(Timestamp::from_millis(0), |last| last + Duration::from_millis(1)),
        ),
        wait: false,
        stop,
    };
    match synchronisation.run(population, &request, &Log).await {
        Ok(outcome) if outcome.is_refused() => {
            let reason = outcome.brake.map(|brake| brake.reason).unwrap_or_default();
            tracing::error!(event = "sync.refused", directory = %id, reason, "synchronisation refused");
        }
        Ok(outcome) => tracing::info!(
            event = "sync.finished",
            directory = %id,
            kind = outcome.kind,
            entries = outcome.entries,
            applied = outcome.applied,
            conflicts = outcome.counts.conflict,
            millis = outcome.took.as_millis(),
            "synchronised"
        ),
        Err(SyncError::NotDue | SyncError::Busy { .. }) => {
            tracing::debug!(directory = %id, "another node synchronises");
        }
        Err(error) => {
            tracing::error!(event = "sync.failed", directory = %id, %error, "not synchronised");
        }
    }
}

/// Conflicts go to the log; what was done is in the audit events.
struct Log;

impl Watcher for Log {
    fn progress(&self, _: Progress) {}

    fn change(&self, change: &Change) {
        if change.op == Operation::Conflict {
            let reason = change.reason.as_deref();
            tracing::warn!(event = "sync.conflict", dn = %change.dn, id = %change.id, reason, "conflict");
        }
    }
}

fn random_share() -> u8 {
    let mut byte = [0];
    SystemRandom::new().fill(&mut byte);
    let [byte] = byte;
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    fn status(started_at: Option<i64>, lease: Option<i64>) -> SyncStatus {
        SyncStatus {
            started_at: started_at.map(at),
            lease: lease.map(|until| ("node".to_owned(), at(until))),
            ..SyncStatus::default()
        }
    }

    #[test]
    fn an_interval_counts_from_the_last_beginning() {
        let every = Schedule::Every(Duration::from_secs(600));
        let check = |started_at, now, share, expected: i64| {
            let found = due(&every, &status(started_at, None), at(0), at(now), share);
            assert_eq!(found, Some(at(expected)), "{started_at:?} {now} {share}");
        };
        check(None, 0, 0, 0);
        check(None, 0, 255, 60);
        check(Some(0), 10, 0, 600);
        check(Some(0), 10, 255, 660);
        check(Some(-5000), 10, 0, -4400);
    }

    #[test]
    fn a_lease_is_waited_for_and_a_dead_node_s_run_is_due() {
        let every = Schedule::Every(Duration::from_secs(600));
        assert_eq!(due(&every, &status(Some(0), Some(15)), at(0), at(5), 9), Some(at(15)));
        assert_eq!(due(&every, &status(Some(0), Some(15)), at(0), at(99), 9), Some(at(15)));
    }

    #[test]
    fn without_a_schedule_nothing_is_due() {
        assert_eq!(due(&Schedule::Off, &status(None, None), at(0), at(0), 0), None);
    }
}
