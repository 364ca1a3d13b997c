//! Directory synchronisation: leases, batches and past runs.

use std::collections::HashSet;

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::store::{
    AccountRecord, LeaseAnswer, RevocationScope, StoreError, SyncBatch, SyncBatchOutcome,
    SyncCompletion, SyncJobRecord, SyncJobState, SyncLease, SyncMark, SyncStatus, SyncStep,
    SyncStore, SyncTrace, SyncWrite, SyncedPerson,
};

/// What is kept of a directory.
#[derive(Clone, Debug, Default)]
pub(super) struct SyncDirectory {
    generation: i64,
    status: SyncStatus,
}

impl State {
    fn holds(&self, lease: &SyncLease) -> bool {
        self.sync_directories.get(&lease.directory).is_some_and(|directory| {
            directory.generation == lease.generation
                && directory
                    .status
                    .lease
                    .as_ref()
                    .is_some_and(|(holder, _)| *holder == lease.holder)
        })
    }

    /// What a synchronisation, or a login that saw a changed password, noted.
    fn noted(&self, key: &(String, String)) -> Option<SyncMark> {
        let password_changed_at = self.password_changes.get(key).cloned();
        let Some(mark) = self.sync_marks.get(key) else {
            let only =
                SyncMark { digest: None, shut_out: false, password_changed_at, dn: String::new() };
            return only.password_changed_at.is_some().then_some(only);
        };
        Some(SyncMark { password_changed_at, ..mark.clone() })
    }

    fn is_fresh(&self, directory: &str, write: &SyncWrite) -> bool {
        let SyncWrite::Update { account, subject, .. } = write else { return true };
        let key = (directory.to_owned(), subject.clone());
        self.expects_stored_version(account)
            && self.identities.get(&key).is_some_and(|identity| identity.account == account.id)
    }

    /// Lets go of the names of the accounts that are about to get others, so that they can be
    /// taken in any order.
    fn release_names(&mut self, account: &AccountRecord) {
        let Some(stored) = self.accounts.get_mut(&account.id) else { return };
        if stored.username_key != account.username_key {
            self.by_username.remove(&stored.username_key);
            stored.username_key = format!("\u{1}{}", account.id);
        }
        if stored.email_key != account.email_key
            && let Some(key) = stored.email_key.take()
        {
            self.by_email.remove(&key);
        }
    }

    fn write(
        &mut self,
        lease: &SyncLease,
        at: Timestamp,
        step: SyncStep,
    ) -> Result<(), StoreError> {
        let note = |state: &mut Self, subject: String, mark: SyncMark| {
            let key = (lease.directory.clone(), subject);
            if state.identities.contains_key(&key) {
                match &mark.password_changed_at {
                    Some(changed) => state.password_changes.insert(key.clone(), changed.clone()),
                    None => state.password_changes.remove(&key),
                };
                state.sync_marks.insert(key, mark);
            }
        };
        match step.write {
            SyncWrite::Create { new, claims, mark } => {
                let id = new.account.id;
                let subject = new.identity.as_ref().map(|identity| identity.subject.clone());
                self.create(*new)?;
                self.put_claims(id, claims);
                if let Some(subject) = subject {
                    note(self, subject, mark);
                }
            }
            SyncWrite::Update { account, subject, claims, mark, end_sessions } => {
                self.check_unique(&account)?;
                let scope = RevocationScope::Account(account.id);
                let reason = if account.active { end_sessions } else { Some("account_inactive") };
                if let Some(reason) = reason {
                    self.revoke(scope, at, reason);
                }
                if let Some(claims) = claims {
                    self.put_claims(account.id, claims);
                }
                self.write_account(*account);
                if let Some(mark) = mark {
                    note(self, subject, mark);
                }
            }
            SyncWrite::Note { subject, mark } => note(self, subject, mark),
        }
        self.append(step.audit);
        Ok(())
    }

    fn apply(&mut self, batch: SyncBatch) -> Result<SyncBatchOutcome, StoreError> {
        let directory = &batch.lease.directory;
        let mut stale = Vec::new();
        let mut fresh = Vec::new();
        let mut written = HashSet::new();
        for (number, step) in batch.steps.into_iter().enumerate() {
            let again = matches!(&step.write, SyncWrite::Update { account, .. }
                if !written.insert(account.id));
            if self.is_fresh(directory, &step.write) && !again {
                fresh.push(step);
            } else {
                stale.push(number);
            }
        }
        for step in &fresh {
            if let SyncWrite::Update { account, .. } = &step.write {
                self.release_names(account);
            }
        }
        // Names that are given up come first.
        let (made, kept): (Vec<_>, Vec<_>) =
            fresh.into_iter().partition(|step| matches!(step.write, SyncWrite::Create { .. }));
        for step in kept.into_iter().chain(made) {
            let written = i64::from(!matches!(step.write, SyncWrite::Note { .. }));
            let deactivated = i64::from(step.deactivates);
            self.write(&batch.lease, batch.at, step)?;
            if let Some(job) = self.sync_jobs.get_mut(&batch.job) {
                job.applied += written;
                job.deactivated += deactivated;
            }
        }
        Ok(SyncBatchOutcome::Done { stale })
    }
}

#[async_trait]
impl SyncStore for MemoryStore {
    async fn sync_traces(
        &self,
        directory: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<SyncTrace>, StoreError> {
        let state = self.open()?;
        let of_directory = state.identities.keys().filter(|(connector, subject)| {
            connector == directory && after.is_none_or(|after| subject.as_str() > after)
        });
        Ok(of_directory
            .take(limit)
            .map(|key| {
                let mark = state.sync_marks.get(key);
                SyncTrace {
                    subject: key.1.clone(),
                    digest: mark.and_then(|mark| mark.digest),
                    shut_out: mark.is_some_and(|mark| mark.shut_out),
                }
            })
            .collect())
    }

    async fn synced_people(
        &self,
        directory: &str,
        subjects: &[String],
    ) -> Result<Vec<SyncedPerson>, StoreError> {
        let state = self.open()?;
        let find = |subject: &String| {
            let key = (directory.to_owned(), subject.clone());
            let id = state.identities.get(&key)?.account;
            let elsewhere =
                |(key, identity): (&(String, String), &crate::store::IdentityRecord)| {
                    identity.account == id
                        && key.0 != directory
                        && state.sync_marks.get(key).is_some_and(|mark| mark.shut_out)
                };
            Some(SyncedPerson {
                subject: subject.clone(),
                mark: state.noted(&key),
                claims: state.claims.get(&id).cloned().unwrap_or_default(),
                shut_out_elsewhere: state.identities.iter().any(elsewhere),
                account: state.accounts.get(&id)?.clone(),
            })
        };
        Ok(subjects.iter().filter_map(find).collect())
    }

    async fn accounts_by_keys(&self, keys: &[String]) -> Result<Vec<AccountRecord>, StoreError> {
        let state = self.open()?;
        let mut ids: Vec<_> = keys
            .iter()
            .flat_map(|key| [state.by_username.get(key), state.by_email.get(key)])
            .flatten()
            .collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.into_iter().filter_map(|id| state.accounts.get(id)).cloned().collect())
    }

    async fn count_synced_accounts(&self, directory: &str) -> Result<u64, StoreError> {
        let state = self.open()?;
        let mut ids: Vec<_> = state
            .identities
            .values()
            .filter(|identity| identity.connector == directory && state.is_active(identity.account))
            .map(|identity| identity.account)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.len() as u64)
    }

    async fn acquire_sync_lease(
        &self,
        directory: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseAnswer, StoreError> {
        let mut state = self.open()?;
        let kept = state.sync_directories.entry(directory.to_owned()).or_default();
        if let Some((holder, until)) = kept.status.lease.clone()
            && until > now
        {
            return Ok(LeaseAnswer::Held { holder, until });
        }
        kept.generation += 1;
        kept.status.lease = Some((holder.to_owned(), until));
        Ok(LeaseAnswer::Granted(SyncLease {
            directory: directory.to_owned(),
            holder: holder.to_owned(),
            generation: kept.generation,
        }))
    }

    async fn renew_sync_lease(
        &self,
        lease: &SyncLease,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if !state.holds(lease) {
            return Ok(false);
        }
        if let Some(kept) = state.sync_directories.get_mut(&lease.directory) {
            kept.status.lease = Some((lease.holder.clone(), until));
        }
        Ok(true)
    }

    async fn release_sync_lease(&self, lease: &SyncLease) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if !state.holds(lease) {
            return Ok(false);
        }
        if let Some(kept) = state.sync_directories.get_mut(&lease.directory) {
            kept.status.lease = None;
        }
        Ok(true)
    }

    async fn begin_sync_job(
        &self,
        lease: &SyncLease,
        job: SyncJobRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if !state.holds(lease) {
            return Ok(false);
        }
        for earlier in state.sync_jobs.values_mut() {
            if earlier.directory == job.directory && earlier.state == SyncJobState::Running {
                earlier.state = SyncJobState::Abandoned;
                earlier.finished_at = Some(job.started_at);
            }
        }
        if let Some(kept) = state.sync_directories.get_mut(&lease.directory) {
            kept.status.started_at = Some(job.started_at);
        }
        state.sync_jobs.insert(job.id, job);
        state.append(audit);
        Ok(true)
    }

    async fn apply_sync_batch(&self, batch: SyncBatch) -> Result<SyncBatchOutcome, StoreError> {
        let mut state = self.open()?;
        if !state.holds(&batch.lease) {
            return Ok(SyncBatchOutcome::LeaseLost);
        }
        // A batch is refused by its last step too, so what it may touch is put aside whole.
        let before = State::clone(&state);
        let outcome = state.apply(batch);
        if outcome.is_err() {
            *state = before;
        }
        outcome
    }

    async fn finish_sync_job(
        &self,
        lease: &SyncLease,
        job: SyncJobRecord,
        completion: Option<SyncCompletion>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if !state.holds(lease) {
            return Ok(false);
        }
        let Some(stored) = state.sync_jobs.get_mut(&job.id) else { return Ok(false) };
        let started_at = stored.started_at;
        stored.state = job.state;
        stored.finished_at = job.finished_at;
        stored.detail = job.detail;
        if let Some(completion) = completion
            && let Some(kept) = state.sync_directories.get_mut(&lease.directory)
        {
            kept.status.succeeded_at = job.finished_at;
            if completion.full {
                kept.status.full_at = Some(started_at);
            }
            if let Some(position) = completion.position {
                kept.status.position = position;
            }
        }
        state.append(audit);
        Ok(true)
    }

    async fn sync_status(&self, directory: &str) -> Result<SyncStatus, StoreError> {
        let state = self.open()?;
        Ok(state
            .sync_directories
            .get(directory)
            .map(|kept| kept.status.clone())
            .unwrap_or_default())
    }

    async fn sync_jobs(
        &self,
        directory: &str,
        limit: usize,
    ) -> Result<Vec<SyncJobRecord>, StoreError> {
        let state = self.open()?;
        let mut jobs: Vec<_> =
            state.sync_jobs.values().filter(|job| job.directory == directory).cloned().collect();
        jobs.sort_by_key(|job| std::cmp::Reverse((job.started_at, job.id)));
        jobs.truncate(limit);
        Ok(jobs)
    }

    async fn sync_deactivations(
        &self,
        directory: &str,
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        let state = self.open()?;
        let counted = state.sync_jobs.values().filter(|job| {
            job.directory == directory
                && !job.detail.overridden
                && job.finished_at.is_none_or(|end| end >= since)
        });
        Ok(counted.map(|job| u64::try_from(job.deactivated).unwrap_or(0)).sum())
    }
}
