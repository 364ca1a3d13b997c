//! `plan` and `run`: the way from a directory to its accounts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::apply::{Application, Applied};
use super::change::{Change, Operation};
use super::decision::Rules;
use super::guard::{self, BrakeReport};
use super::job::{self, CONFLICTS_KEPT};
use super::lease::{LIFETIME, LeaseKeeper};
use super::population::Population;
use super::prepare::{CHUNK, Prepared};
use super::request::{
    Progress, ReadWish, RunRequest, SyncError, SyncOutcome, SyncSettings, Watcher,
};
use crate::broker::new_id;
use crate::clock::{Clock, Timestamp};
use crate::random::Random;
use crate::store::{
    LeaseAnswer, Store, StoreError, SyncCompletion, SyncCounts, SyncJobId, SyncJobRecord,
    SyncLease, SyncStatus,
};

/// How long a store that does not answer is waited for, where a lease is waited for.
const PATIENCE: Duration = Duration::from_secs(45);

/// Pause between two looks at a lease that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Synchronises the accounts with the people of one directory.
pub struct DirectorySync {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) rules: Rules,
    settings: SyncSettings,
}

impl fmt::Debug for DirectorySync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectorySync").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl DirectorySync {
    /// A synchronisation by these settings. Nothing is read yet.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        settings: SyncSettings,
    ) -> Self {
        let rules = Rules {
            directory: settings.directory.clone(),
            administrators: settings.administrators.iter().cloned().collect(),
        };
        Self { store, clock, random, rules, settings }
    }

    /// Says what a run would do, line by line to `watcher`. Writes nothing.
    ///
    /// # Errors
    /// When directory or store cannot be read.
    pub async fn plan(
        &self,
        population: &dyn Population,
        wish: ReadWish,
        watcher: &dyn Watcher,
    ) -> Result<SyncOutcome, SyncError> {
        let begun = self.clock.now();
        let status = self.store.sync_status(&self.settings.directory).await?;
        let since = self.since(wish, &status);
        match self.prepare(population, since, watcher).await {
            Ok(mut prepared) => {
                let brake = self.judge(&prepared).await?;
                self.list(&mut prepared, watcher).await?;
                Ok(self.outcome(&prepared, brake, Applied::default(), begun))
            }
            Err(error) => self.refused_read(error, begun),
        }
    }

    /// Plans and carries out. Each line goes to `watcher` once it is written, conflicts as well;
    /// when the brake holds it, all lines as planned.
    ///
    /// # Errors
    /// As [`SyncError`] says. Batches that were written stay; the next run does the rest.
    pub async fn run(
        &self,
        population: &dyn Population,
        request: &RunRequest,
        watcher: &dyn Watcher,
    ) -> Result<SyncOutcome, SyncError> {
        let lease = self.take_lease(request, watcher).await?;
        let keeper =
            LeaseKeeper::start(Arc::clone(&self.store), Arc::clone(&self.clock), lease.clone());
        let outcome = self.run_leased(population, request, &lease, &keeper, watcher).await;
        drop(keeper);
        if let Err(error) = self.store.release_sync_lease(&lease).await {
            tracing::warn!(%error, "the lease was not given back; it runs out by itself");
        }
        outcome
    }

    async fn take_lease(
        &self,
        request: &RunRequest,
        watcher: &dyn Watcher,
    ) -> Result<SyncLease, SyncError> {
        let Self { store, settings, .. } = self;
        let mut first: Option<Timestamp> = None;
        let mut silent_since: Option<Timestamp> = None;
        loop {
            if *request.stop.borrow() {
                return Err(SyncError::Stopped { applied: 0 });
            }
            let now = self.clock.now();
            let asked = store
                .acquire_sync_lease(&settings.directory, &settings.holder, now, now + LIFETIME)
                .await;
            match asked {
                Ok(LeaseAnswer::Granted(lease)) => return Ok(lease),
                Ok(LeaseAnswer::Held { holder, until }) => {
                    // Who renews is alive.
                    if !request.wait || first.is_some_and(|first| until > first) {
                        return Err(SyncError::Busy { holder });
                    }
                    first = Some(until);
                    silent_since = None;
                    watcher.progress(Progress::Waiting { holder });
                }
                // A node that stands still in the middle of a batch keeps the lease's row locked
                // until the store gives up on that node.
                Err(StoreError::Unavailable { message }) => {
                    let silent = now.since(*silent_since.get_or_insert(now));
                    if !request.wait || silent > PATIENCE {
                        return Err(StoreError::Unavailable { message }.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn run_leased(
        &self,
        population: &dyn Population,
        request: &RunRequest,
        lease: &SyncLease,
        keeper: &LeaseKeeper,
        watcher: &dyn Watcher,
    ) -> Result<SyncOutcome, SyncError> {
        let begun = self.clock.now();
        let status = self.store.sync_status(&self.settings.directory).await?;
        if request.unless_started_since.is_some_and(|since| status.started_at >= Some(since)) {
            return Err(SyncError::NotDue);
        }
        let id = SyncJobId(new_id(self.random.as_ref(), begun));
        let mut job = job::begun(id, lease, request, begun);
        if !self.store.begin_sync_job(lease, job.clone(), Vec::new()).await? {
            return Err(SyncError::LeaseLost);
        }
        let watched = Conflicts { inner: watcher, kept: parking_lot::Mutex::default() };
        let since = self.since(request.wish, &status);
        let mut stop = request.stop.clone();
        let mut completion = None;
        let outcome = tokio::select! {
            prepared = self.prepare(population, since, &watched) => match prepared {
                Ok(prepared) => {
                    let run = Run { request, lease, keeper, job: &job, begun };
                    self.carry_out(prepared, run, &watched, &mut completion).await
                }
                Err(error) => self.refused_read(error, begun),
            },
            () = asked_to_stop(&mut stop) => Err(SyncError::Stopped { applied: 0 }),
        };
        let now = self.clock.now();
        job::end(&mut job, &outcome, now);
        job.detail.conflicts = watched.kept.into_inner();
        let event = job::ended(&job, &request.origin, now);
        job::count(&job);
        let written = self.store.finish_sync_job(lease, job, completion, vec![event.clone()]).await;
        match (outcome, written) {
            (outcome, Ok(true)) => {
                event.log();
                outcome
            }
            (Ok(_), Ok(false)) => Err(SyncError::LeaseLost),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), _) => Err(error),
        }
    }

    async fn carry_out(
        &self,
        mut prepared: Prepared,
        run: Run<'_>,
        watcher: &dyn Watcher,
        completion: &mut Option<SyncCompletion>,
    ) -> Result<SyncOutcome, SyncError> {
        let mut brake = self.judge(&prepared).await?;
        if let Some(report) = &mut brake {
            if !run.request.override_brake || prepared.found_nobody() {
                self.list(&mut prepared, watcher).await?;
                return Ok(self.outcome(&prepared, brake, Applied::default(), run.begun));
            }
            report.overridden = true;
            let event = job::overridden(run.job, report, &run.request.origin, self.clock.now());
            self.store.append_audit(vec![event.clone()]).await?;
            event.log();
        }
        for line in &prepared.unmapped {
            watcher.change(line);
        }
        let mut application = Application {
            sync: self,
            lease: run.lease,
            keeper: run.keeper,
            job: run.job.id,
            prepared: &mut prepared,
            request: run.request,
            watcher,
            applied: Applied::default(),
            done: 0,
            total: 0,
        };
        application.carry_out().await?;
        let applied = application.applied;
        *completion = Some(SyncCompletion {
            // Who was left out must be read again.
            position: (applied.left_out == 0).then(|| prepared.summary.position.clone()),
            full: !prepared.summary.incremental,
        });
        Ok(self.outcome(&prepared, brake, applied, run.begun))
    }

    fn since<'s>(&self, wish: ReadWish, status: &'s SyncStatus) -> Option<&'s serde_json::Value> {
        let recent = status
            .full_at
            .is_some_and(|full| self.clock.now().since(full) < self.settings.full_every);
        let incremental = match wish {
            ReadWish::Full => false,
            ReadWish::Incremental => true,
            ReadWish::AsDue => recent,
        };
        status.position.as_ref().filter(|_| incremental)
    }

    async fn judge(&self, prepared: &Prepared) -> Result<Option<BrakeReport>, SyncError> {
        let Self { store, settings: SyncSettings { directory, brake, .. }, .. } = self;
        let harm = &prepared.plan.harm;
        if prepared.found_nobody() {
            return Ok(Some(guard::found_nobody()));
        }
        if harm.people == 0 {
            return Ok(None);
        }
        let lately = store.sync_deactivations(directory, self.clock.now() - brake.window).await?;
        if !guard::needs_size(brake, harm, lately) {
            return Ok(None);
        }
        let accounts = store.count_synced_accounts(directory).await?;
        Ok(guard::judge(brake, harm, lately, accounts).err())
    }

    /// A search that the directory answered with an error, a part or nobody is refused like a plan
    /// that harms too many.
    fn refused_read(&self, error: SyncError, begun: Timestamp) -> Result<SyncOutcome, SyncError> {
        match error {
            SyncError::Directory(error) if error.reason() == "directory_search_failed" => {
                Ok(SyncOutcome {
                    kind: "full",
                    entries: 0,
                    searches: 0,
                    server: None,
                    counts: SyncCounts::default(),
                    brake: Some(BrakeReport {
                        reason: format!("{error}. Nothing was changed"),
                        share: 0.0,
                        limit: self.settings.brake.share,
                        people: 0,
                        accounts: 0,
                        overridden: false,
                    }),
                    applied: 0,
                    left_out: 0,
                    took: self.clock.now().since(begun),
                })
            }
            other => Err(other),
        }
    }

    async fn list(&self, prepared: &mut Prepared, watcher: &dyn Watcher) -> Result<(), SyncError> {
        for line in &prepared.unmapped {
            watcher.change(line);
        }
        let (alone, groups) = prepared.plan.order();
        let all: Vec<u32> = alone.into_iter().chain(groups.iter().flatten().copied()).collect();
        for chunk in all.chunks(CHUNK) {
            for decided in self.decide_chunk(prepared, chunk, false).await? {
                for change in decided.decision.changes(&decided.dn, &decided.subject) {
                    watcher.change(&change);
                }
            }
        }
        Ok(())
    }

    fn outcome(
        &self,
        prepared: &Prepared,
        brake: Option<BrakeReport>,
        applied: Applied,
        begun: Timestamp,
    ) -> SyncOutcome {
        let summary = &prepared.summary;
        let mut counts = prepared.counts;
        counts.conflict += applied.conflicts;
        SyncOutcome {
            kind: if summary.incremental { "incremental" } else { "full" },
            entries: summary.entries,
            searches: summary.searches,
            server: Some(summary.server.clone()),
            counts,
            brake,
            applied: applied.accounts,
            left_out: applied.left_out,
            took: self.clock.now().since(begun),
        }
    }
}

/// Resolves when the end is asked for; never when nobody is left who could.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a run under way knows of itself.
struct Run<'a> {
    request: &'a RunRequest,
    lease: &'a SyncLease,
    keeper: &'a LeaseKeeper,
    job: &'a SyncJobRecord,
    begun: Timestamp,
}

/// Keeps the first conflicts for the history.
struct Conflicts<'a> {
    inner: &'a dyn Watcher,
    kept: parking_lot::Mutex<Vec<String>>,
}

impl Watcher for Conflicts<'_> {
    fn progress(&self, progress: Progress) {
        self.inner.progress(progress);
    }

    fn change(&self, change: &Change) {
        if change.op == Operation::Conflict {
            let mut kept = self.kept.lock();
            if kept.len() < CONFLICTS_KEPT {
                let reason = change.reason.as_deref().unwrap_or_default();
                kept.push(format!("{}: {reason}", change.dn));
            }
        }
        self.inner.change(change);
    }
}
