//! Carrying a plan out: batches that are whole, or were never there.
//!
//! What a batch wrote is noted beside the identities in the same transaction, so a run that ends
//! half-way is resumed by the next one: it finds what is left to do. An account that changed
//! between plan and batch is looked at again.

use std::sync::Arc;

use super::change::{Change, Operation};
use super::lease::LeaseKeeper;
use super::prepare::{CHUNK, Decided, Prepared};
use super::request::{Progress, RunRequest, SyncError, Watcher};
use super::runner::DirectorySync;
use crate::audit::AuditRecord;
use crate::store::{
    StoreError, SyncBatch, SyncBatchOutcome, SyncJobId, SyncLease, SyncStep, SyncWrite,
};

/// How often a person is looked at again whose account keeps changing.
const ATTEMPTS: usize = 4;

/// What was applied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Applied {
    /// Accounts written.
    pub(super) accounts: u64,
    /// People whose name was taken between plan and batch.
    pub(super) conflicts: u64,
    /// People whose account kept changing; the next run looks at them again.
    pub(super) left_out: u64,
}

/// A plan being carried out.
pub(super) struct Application<'a> {
    pub(super) sync: &'a DirectorySync,
    pub(super) lease: &'a SyncLease,
    pub(super) keeper: &'a LeaseKeeper,
    pub(super) job: SyncJobId,
    pub(super) prepared: &'a mut Prepared,
    pub(super) request: &'a RunRequest,
    pub(super) watcher: &'a dyn Watcher,
    pub(super) applied: Applied,
    pub(super) done: u64,
    pub(super) total: u64,
}

struct Pending {
    index: u32,
    dn: String,
    subject: String,
    line: Option<Change>,
    step: SyncStep,
}

fn steps(pending: &[Pending]) -> Vec<SyncStep> {
    pending.iter().map(|it| it.step.clone()).collect()
}

impl Application<'_> {
    /// Carries all of it out.
    pub(super) async fn carry_out(&mut self) -> Result<(), SyncError> {
        let (alone, groups) = self.prepared.plan.order();
        let groups = groups.to_vec();
        self.total = alone.len() as u64 + groups.iter().map(|it| it.len() as u64).sum::<u64>();
        let mut chunks: Vec<Vec<u32>> = alone.chunks(CHUNK).map(<[u32]>::to_vec).collect();
        let mut together: Vec<u32> = Vec::new();
        for group in groups {
            together.extend(group);
            if together.len() >= CHUNK {
                chunks.push(std::mem::take(&mut together));
            }
        }
        chunks.push(together);
        chunks.retain(|chunk| !chunk.is_empty());
        let mut chunks = chunks.into_iter();
        let Some(mut chunk) = chunks.next() else { return Ok(()) };
        let mut decided = self.sync.decide_chunk(self.prepared, &chunk, false).await?;
        loop {
            self.go_on()?;
            let pending: Vec<Pending> =
                decided.into_iter().filter_map(|one| self.pending(one, true)).collect();
            let next = chunks.next();
            // What comes next is decided while this is written; whose account changed meanwhile is
            // looked at again.
            let sent = self.send(steps(&pending));
            let (sent, ahead) = match &next {
                Some(next) => {
                    let ahead = self.sync.decide_chunk(self.prepared, next, false);
                    tokio::join!(sent, ahead)
                }
                None => (sent.await, Ok(Vec::new())),
            };
            for index in self.settle(sent?, pending).await? {
                self.once_more(index).await?;
            }
            self.done += chunk.len() as u64;
            self.watcher.progress(Progress::Applying { done: self.done, total: self.total });
            let Some(next) = next else { return Ok(()) };
            (chunk, decided) = (next, ahead?);
        }
    }

    /// Whether anything speaks against another batch.
    fn go_on(&self) -> Result<(), SyncError> {
        if self.keeper.is_lost() {
            return Err(SyncError::LeaseLost);
        }
        if *self.request.stop.borrow() {
            return Err(SyncError::Stopped { applied: self.applied.accounts });
        }
        Ok(())
    }

    /// The write of a person; tells the conflicts, which nothing is written for.
    fn pending(&self, decided: Decided, tell: bool) -> Option<Pending> {
        let Decided { index, dn, subject, decision } = decided;
        let mut line = None;
        for change in decision.changes(&dn, &subject) {
            if change.op != Operation::Conflict {
                line = Some(change);
            } else if tell {
                self.watcher.change(&change);
            }
        }
        let now = self.sync.clock.now();
        let step = decision.into_step(&subject, &self.sync.rules, &self.request.origin, now)?;
        Some(Pending { index, dn, subject, line, step })
    }

    /// What became of a batch; gives the numbers of those to look at again.
    async fn settle(
        &mut self,
        sent: Option<Vec<usize>>,
        pending: Vec<Pending>,
    ) -> Result<Vec<u32>, SyncError> {
        match sent {
            Some(stale) => {
                let mut again = Vec::new();
                for (number, one) in pending.into_iter().enumerate() {
                    if stale.contains(&number) {
                        again.push(one.index);
                    } else {
                        self.written(&one);
                    }
                }
                Ok(again)
            }
            // Somebody took a name in between. Who it was shows one by one.
            None if pending.len() > 1 => {
                let mut again = Vec::new();
                for one in pending {
                    self.go_on()?;
                    match self.send(vec![one.step.clone()]).await? {
                        Some(stale) if stale.is_empty() => self.written(&one),
                        _ => again.push(one.index),
                    }
                }
                Ok(again)
            }
            None => Ok(pending.into_iter().map(|one| one.index).collect()),
        }
    }

    /// `None`: a name was taken, and nothing was written. Borrows nothing of the application, so
    /// that the next batch can be made ready meanwhile.
    fn send(
        &self,
        steps: Vec<SyncStep>,
    ) -> impl Future<Output = Result<Option<Vec<usize>>, SyncError>> + Send + use<> {
        let store = Arc::clone(&self.sync.store);
        let batch = SyncBatch {
            lease: self.lease.clone(),
            job: self.job,
            at: self.sync.clock.now(),
            steps,
        };
        async move {
            if batch.steps.is_empty() {
                return Ok(Some(Vec::new()));
            }
            match store.apply_sync_batch(batch).await {
                Ok(SyncBatchOutcome::Done { stale }) => Ok(Some(stale)),
                Ok(SyncBatchOutcome::LeaseLost) => Err(SyncError::LeaseLost),
                Err(StoreError::Conflict { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    }

    async fn once_more(&mut self, index: u32) -> Result<(), SyncError> {
        for attempt in 1..=ATTEMPTS {
            self.go_on()?;
            let decided = self.sync.decide_chunk(self.prepared, &[index], true).await?;
            let Some(pending) = decided.into_iter().find_map(|one| self.pending(one, false)) else {
                // Somebody else did what was to be done, or unlinked the person.
                return Ok(());
            };
            match self.send(vec![pending.step.clone()]).await? {
                Some(stale) if stale.is_empty() => {
                    self.written(&pending);
                    return Ok(());
                }
                Some(_) => {}
                None if attempt < ATTEMPTS => {}
                None => {
                    self.applied.conflicts += 1;
                    self.watcher.change(&Change {
                        op: Operation::Conflict,
                        dn: pending.dn,
                        id: pending.subject,
                        account: None,
                        fields: std::collections::BTreeMap::new(),
                        reason: Some("a name was taken by somebody else during the run".to_owned()),
                    });
                    return Ok(());
                }
            }
        }
        self.applied.left_out += 1;
        Ok(())
    }

    fn written(&mut self, one: &Pending) {
        one.step.audit.iter().for_each(AuditRecord::log);
        if !matches!(one.step.write, SyncWrite::Note { .. }) {
            self.applied.accounts += 1;
        }
        if let Some(line) = &one.line {
            self.watcher.change(line);
        }
    }
}
