//! Directory synchronisation in SQLite: what was last seen, leases and past runs. Batches are in
//! [`super::sync_batch`].

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{
    AccountRecord, ClaimMap, LeaseAnswer, StoreError, SyncBatch, SyncBatchOutcome, SyncCompletion,
    SyncJobId, SyncJobRecord, SyncJobState, SyncLease, SyncMark, SyncStatus, SyncStore, SyncTrace,
    SyncedPerson,
};
use rusqlite::{Connection, params};

use super::accounts::{account_columns, read_account};
use super::row::{Columns, all, change, limit, one, to_json};
use super::{SqliteStore, audit, sync_batch};

/// Whether the lease is still the caller's.
pub(super) fn holds(c: &Connection, lease: &SyncLease) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM sync_directory \
               WHERE directory = ?1 AND generation = ?2 AND holder = ?3";
    let params = params![lease.directory, lease.generation, lease.holder];
    Ok(one(c, sql, params, |_| Ok(()))?.is_some())
}

#[async_trait]
impl SyncStore for SqliteStore {
    async fn sync_traces(
        &self,
        directory: &str,
        after: Option<&str>,
        rows: usize,
    ) -> Result<Vec<SyncTrace>, StoreError> {
        let (directory, after) = (directory.to_owned(), after.map(str::to_owned));
        self.list(move |c| match after {
            Some(after) => all(
                c,
                "SELECT subject, sync_digest, sync_shut_out FROM identity \
                 WHERE connector = ?1 AND subject > ?2 ORDER BY subject LIMIT ?3",
                params![directory, after, limit(rows)],
                trace,
            ),
            None => all(
                c,
                "SELECT subject, sync_digest, sync_shut_out FROM identity \
                 WHERE connector = ?1 ORDER BY subject LIMIT ?2",
                params![directory, limit(rows)],
                trace,
            ),
        })
        .await
    }

    async fn synced_people(
        &self,
        directory: &str,
        subjects: &[String],
    ) -> Result<Vec<SyncedPerson>, StoreError> {
        const FIND: &str = concat!(
            "SELECT identity.subject, identity.sync_digest, identity.sync_shut_out, \
             identity.sync_password_changed_at, identity.sync_dn, \
             EXISTS (SELECT 1 FROM identity AS other WHERE other.account = identity.account \
             AND other.connector <> ?1 AND other.sync_shut_out = 1), account_claims.claims, ",
            account_columns!(),
            " FROM identity JOIN account ON account.id = identity.account \
             LEFT JOIN account_claims ON account_claims.account = account.id \
             WHERE identity.connector = ?1 AND identity.subject = ?2"
        );
        let (directory, subjects) = (directory.to_owned(), subjects.to_vec());
        self.list(move |c| {
            let mut found = Vec::with_capacity(subjects.len());
            for subject in &subjects {
                found.extend(one(c, FIND, params![directory, subject], person)?);
            }
            Ok(found)
        })
        .await
    }

    async fn accounts_by_keys(&self, keys: &[String]) -> Result<Vec<AccountRecord>, StoreError> {
        const FIND: &str = concat!(
            "SELECT ",
            account_columns!(),
            " FROM account WHERE username_key = ?1 UNION ALL SELECT ",
            account_columns!(),
            " FROM account WHERE email_key = ?1"
        );
        let keys = keys.to_vec();
        self.list(move |c| {
            let mut found: Vec<AccountRecord> = Vec::new();
            for key in &keys {
                found.append(&mut all(c, FIND, params![key], read_account)?);
            }
            found.sort_unstable_by_key(|account| account.id);
            found.dedup_by_key(|account| account.id);
            Ok(found)
        })
        .await
    }

    async fn count_synced_accounts(&self, directory: &str) -> Result<u64, StoreError> {
        let directory = directory.to_owned();
        self.list(move |c| {
            let sql = "SELECT count(DISTINCT account.id) FROM identity \
                       JOIN account ON account.id = identity.account \
                       WHERE identity.connector = ?1 AND account.active = 1";
            let count = one(c, sql, params![directory], |columns| columns.take::<i64>())?;
            Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
        })
        .await
    }

    async fn acquire_sync_lease(
        &self,
        directory: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseAnswer, StoreError> {
        let (directory, holder) = (directory.to_owned(), holder.to_owned());
        self.write(move |c| {
            let held = one(
                c,
                "SELECT holder, lease_until FROM sync_directory \
                 WHERE directory = ?1 AND holder IS NOT NULL AND lease_until > ?2",
                params![directory, now.millis()],
                |columns| Ok((columns.of("sync_directory").take()?, columns.time()?)),
            )?;
            if let Some((holder, until)) = held {
                return Ok(LeaseAnswer::Held { holder, until });
            }
            change(
                c,
                "INSERT INTO sync_directory (directory, generation, holder, lease_until) \
                 VALUES (?1, 1, ?2, ?3) ON CONFLICT (directory) DO UPDATE \
                 SET generation = generation + 1, holder = excluded.holder, \
                 lease_until = excluded.lease_until",
                params![directory, holder, until.millis()],
            )?;
            let sql = "SELECT generation FROM sync_directory WHERE directory = ?1";
            let generation = one(c, sql, params![directory], |columns| columns.take::<i64>())?;
            let generation = generation.unwrap_or_default();
            Ok(LeaseAnswer::Granted(SyncLease { directory, holder, generation }))
        })
        .await
    }

    async fn renew_sync_lease(
        &self,
        lease: &SyncLease,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let lease = lease.clone();
        self.write(move |c| {
            let sql = "UPDATE sync_directory SET lease_until = ?4 \
                       WHERE directory = ?1 AND generation = ?2 AND holder = ?3";
            let params = params![lease.directory, lease.generation, lease.holder, until.millis()];
            Ok(change(c, sql, params)? == 1)
        })
        .await
    }

    async fn release_sync_lease(&self, lease: &SyncLease) -> Result<bool, StoreError> {
        let lease = lease.clone();
        self.write(move |c| {
            let sql = "UPDATE sync_directory SET holder = NULL, lease_until = NULL \
                       WHERE directory = ?1 AND generation = ?2 AND holder = ?3";
            Ok(change(c, sql, params![lease.directory, lease.generation, lease.holder])? == 1)
        })
        .await
    }

    async fn begin_sync_job(
        &self,
        lease: &SyncLease,
        job: SyncJobRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let lease = lease.clone();
        self.write(move |c| {
            if !holds(c, &lease)? {
                return Ok(false);
            }
            change(
                c,
                "UPDATE sync_job SET state = 'abandoned', finished_at = ?2 \
                 WHERE directory = ?1 AND state = 'running'",
                params![job.directory, job.started_at.millis()],
            )?;
            change(
                c,
                "UPDATE sync_directory SET started_at = ?2 WHERE directory = ?1",
                params![job.directory, job.started_at.millis()],
            )?;
            change(
                c,
                "INSERT INTO sync_job (id, directory, generation, holder, state, started_at, \
                 finished_at, applied, deactivated, overridden, detail) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    job.id.0.as_bytes(),
                    job.directory,
                    job.generation,
                    job.holder,
                    job.state.as_str(),
                    job.started_at.millis(),
                    job.finished_at.map(Timestamp::millis),
                    job.applied,
                    job.deactivated,
                    job.detail.overridden,
                    to_json(&job.detail)?,
                ],
            )?;
            audit::append(c, &audit)?;
            Ok(true)
        })
        .await
    }

    async fn apply_sync_batch(&self, batch: SyncBatch) -> Result<SyncBatchOutcome, StoreError> {
        self.writer.run_alone(move |c| sync_batch::apply(c, batch)).await
    }

    async fn finish_sync_job(
        &self,
        lease: &SyncLease,
        job: SyncJobRecord,
        completion: Option<SyncCompletion>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let lease = lease.clone();
        self.write(move |c| {
            if !holds(c, &lease)? {
                return Ok(false);
            }
            let written = change(
                c,
                "UPDATE sync_job SET state = ?2, finished_at = ?3, overridden = ?4, detail = ?5 \
                 WHERE id = ?1",
                params![
                    job.id.0.as_bytes(),
                    job.state.as_str(),
                    job.finished_at.map(Timestamp::millis),
                    job.detail.overridden,
                    to_json(&job.detail)?,
                ],
            )?;
            if let Some(completion) = completion {
                complete(c, &job, &completion)?;
            }
            audit::append_if(written == 1, c, &audit)
        })
        .await
    }

    async fn sync_status(&self, directory: &str) -> Result<SyncStatus, StoreError> {
        let sql = "SELECT holder, lease_until, position, full_at, succeeded_at, started_at \
                   FROM sync_directory WHERE directory = ?1";
        let status = self.look_up(|c| {
            one(c, sql, params![directory], |columns| {
                let holder = columns.of("sync_directory").take::<Option<String>>()?;
                let until = columns.optional_time()?;
                Ok(SyncStatus {
                    lease: holder.zip(until),
                    position: columns.optional_json()?,
                    full_at: columns.optional_time()?,
                    succeeded_at: columns.optional_time()?,
                    started_at: columns.optional_time()?,
                })
            })
        })?;
        Ok(status.unwrap_or_default())
    }

    async fn sync_jobs(
        &self,
        directory: &str,
        rows: usize,
    ) -> Result<Vec<SyncJobRecord>, StoreError> {
        let directory = directory.to_owned();
        self.list(move |c| {
            let sql = "SELECT id, directory, generation, holder, state, started_at, finished_at, \
                       applied, deactivated, detail FROM sync_job WHERE directory = ?1 \
                       ORDER BY started_at DESC, id DESC LIMIT ?2";
            all(c, sql, params![directory, limit(rows)], job)
        })
        .await
    }

    async fn sync_deactivations(
        &self,
        directory: &str,
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        let directory = directory.to_owned();
        self.list(move |c| {
            let sql = "SELECT COALESCE(sum(deactivated), 0) FROM sync_job WHERE directory = ?1 \
                       AND overridden = 0 AND (finished_at IS NULL OR finished_at >= ?2)";
            let sum =
                one(c, sql, params![directory, since.millis()], |columns| columns.take::<i64>())?;
            Ok(sum.and_then(|sum| u64::try_from(sum).ok()).unwrap_or(0))
        })
        .await
    }
}

fn complete(
    c: &Connection,
    job: &SyncJobRecord,
    completion: &SyncCompletion,
) -> Result<(), StoreError> {
    change(
        c,
        "UPDATE sync_directory SET succeeded_at = ?2 WHERE directory = ?1",
        params![job.directory, job.finished_at.map(Timestamp::millis)],
    )?;
    if completion.full {
        change(
            c,
            "UPDATE sync_directory SET full_at = \
             (SELECT started_at FROM sync_job WHERE id = ?2) WHERE directory = ?1",
            params![job.directory, job.id.0.as_bytes()],
        )?;
    }
    if let Some(position) = &completion.position {
        let position = position.as_ref().map(to_json).transpose()?;
        change(
            c,
            "UPDATE sync_directory SET position = ?2 WHERE directory = ?1",
            params![job.directory, position],
        )?;
    }
    Ok(())
}

fn trace(columns: &mut Columns<'_, '_>) -> Result<SyncTrace, StoreError> {
    Ok(SyncTrace {
        subject: columns.of("identity").take()?,
        digest: columns.take()?,
        shut_out: columns.take()?,
    })
}

fn person(columns: &mut Columns<'_, '_>) -> Result<SyncedPerson, StoreError> {
    let subject = columns.of("identity").take()?;
    let digest = columns.take()?;
    let shut_out = columns.take()?;
    let password_changed_at: Option<String> = columns.take()?;
    let dn: Option<String> = columns.take()?;
    let noted = dn.is_some() || password_changed_at.is_some();
    let mark = SyncMark { digest, shut_out, password_changed_at, dn: dn.unwrap_or_default() };
    Ok(SyncedPerson {
        subject,
        mark: noted.then_some(mark),
        shut_out_elsewhere: columns.take()?,
        claims: columns.optional_json::<ClaimMap>()?.unwrap_or_default(),
        account: read_account(columns)?,
    })
}

fn job(columns: &mut Columns<'_, '_>) -> Result<SyncJobRecord, StoreError> {
    Ok(SyncJobRecord {
        id: SyncJobId(columns.of("sync_job").uuid()?),
        directory: columns.take()?,
        generation: columns.take()?,
        holder: columns.take()?,
        state: columns.word(SyncJobState::parse)?,
        started_at: columns.time()?,
        finished_at: columns.optional_time()?,
        applied: columns.take()?,
        deactivated: columns.take()?,
        detail: columns.json()?,
    })
}
