//! Directory synchronisation: what was last seen, leases and past runs. Batches are in
//! [`super::sync_batch`].

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{
    AccountRecord, LeaseAnswer, StoreError, SyncBatch, SyncBatchOutcome, SyncCompletion,
    SyncDigest, SyncJobId, SyncJobRecord, SyncJobState, SyncLease, SyncMark, SyncStatus, SyncStore,
    SyncTrace, SyncedPerson,
};
use serde::Serialize;
use tokio_postgres::Row;

use super::columns::{Columns, Param, account, limit, text};
use super::connection::Connection;
use super::{PostgresStore, audit};

/// Takes a share lock on the lease, so that a take-over waits for the transaction's end; `false`
/// when it is no longer the caller's.
pub(super) async fn hold(
    connection: &mut Connection,
    lease: &SyncLease,
) -> Result<bool, StoreError> {
    const HOLD: &str = "SELECT FROM sync_directories \
         WHERE directory = $1 AND generation = $2 AND holder = $3 FOR SHARE";
    let params: [Param<'_>; 3] = [&lease.directory, &lease.generation, &lease.holder];
    Ok(connection.row(HOLD, &params).await?.is_some())
}

#[async_trait]
impl SyncStore for PostgresStore {
    async fn sync_traces(
        &self,
        directory: &str,
        after: Option<&str>,
        rows: usize,
    ) -> Result<Vec<SyncTrace>, StoreError> {
        const FIRST: &str = "SELECT subject, sync_digest, sync_shut_out FROM identities \
             WHERE connector = $1 ORDER BY subject LIMIT $2";
        const NEXT: &str = "SELECT subject, sync_digest, sync_shut_out FROM identities \
             WHERE connector = $1 AND subject > $3 ORDER BY subject LIMIT $2";
        let rows = limit(rows);
        // Who is missing here would be made anew, so this is asked of the primary.
        let mut connection = self.database.primary().await?;
        let found = match after {
            None => connection.rows(FIRST, &[&directory, &rows]).await?,
            Some(after) => connection.rows(NEXT, &[&directory, &rows, &after]).await?,
        };
        let trace = |row: &Row| {
            let columns = &mut Columns::of(row, "identities");
            let subject = columns.take()?;
            Ok(SyncTrace { subject, digest: digest(columns)?, shut_out: columns.take()? })
        };
        found.iter().map(trace).collect()
    }

    async fn synced_people(
        &self,
        directory: &str,
        subjects: &[String],
    ) -> Result<Vec<SyncedPerson>, StoreError> {
        const FIND: &str = concat!(
            "SELECT i.subject, i.sync_digest, i.sync_shut_out, i.sync_password_changed_at, \
             i.sync_dn, EXISTS (SELECT FROM identities o WHERE o.account = i.account \
             AND o.connector <> $1 AND o.sync_shut_out), c.claims, ",
            account_columns!("a"),
            " FROM identities i JOIN accounts a ON a.id = i.account \
             LEFT JOIN account_claims c ON c.account = a.id \
             WHERE i.connector = $1 AND i.subject = ANY($2)"
        );
        let subjects: Vec<&String> = subjects.iter().filter(|it| !it.contains('\0')).collect();
        let mut connection = self.database.primary().await?;
        let rows = connection.rows(FIND, &[&directory, &subjects]).await?;
        rows.iter().map(person).collect()
    }

    async fn accounts_by_keys(&self, keys: &[String]) -> Result<Vec<AccountRecord>, StoreError> {
        const FIND: &str = concat!(
            "SELECT ",
            account_columns!("a"),
            " FROM accounts a WHERE a.id IN (\
             SELECT id FROM accounts WHERE username_key = ANY($1) \
             UNION SELECT id FROM accounts WHERE email_key = ANY($1))"
        );
        let keys: Vec<&String> = keys.iter().filter(|key| !key.contains('\0')).collect();
        let mut connection = self.database.primary().await?;
        let rows = connection.rows(FIND, &[&keys]).await?;
        rows.iter().map(|row| account(&mut Columns::of(row, "accounts"))).collect()
    }

    async fn count_synced_accounts(&self, directory: &str) -> Result<u64, StoreError> {
        const COUNT: &str = "SELECT count(DISTINCT a.id) FROM identities i \
             JOIN accounts a ON a.id = i.account WHERE i.connector = $1 AND a.active";
        let mut connection = self.database.primary().await?;
        number(connection.row(COUNT, &[&directory]).await?)
    }

    async fn acquire_sync_lease(
        &self,
        directory: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseAnswer, StoreError> {
        const TAKE: &str = "INSERT INTO sync_directories AS d (directory, generation, holder, \
             lease_until) VALUES ($1, 1, $2, $4) ON CONFLICT (directory) DO UPDATE \
             SET generation = d.generation + 1, holder = $2, lease_until = $4 \
             WHERE d.holder IS NULL OR d.lease_until <= $3 RETURNING d.generation";
        const HELD: &str = "SELECT holder, lease_until FROM sync_directories \
             WHERE directory = $1 AND holder IS NOT NULL";
        let (now, until) = (now.millis(), until.millis());
        let mut connection = self.database.primary().await?;
        // It can be given back between the two statements.
        for _ in 0..3 {
            let params: [Param<'_>; 4] = [&directory, &holder, &now, &until];
            if let Some(row) = connection.row(TAKE, &params).await? {
                return Ok(LeaseAnswer::Granted(SyncLease {
                    directory: directory.to_owned(),
                    holder: holder.to_owned(),
                    generation: Columns::of(&row, "sync_directories").take()?,
                }));
            }
            if let Some(row) = connection.row(HELD, &[&directory]).await? {
                let columns = &mut Columns::of(&row, "sync_directories");
                return Ok(LeaseAnswer::Held { holder: columns.take()?, until: columns.time()? });
            }
        }
        Err(StoreError::Unavailable {
            message: "the lease of the directory keeps changing".to_owned(),
        })
    }

    async fn renew_sync_lease(
        &self,
        lease: &SyncLease,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        const RENEW: &str = "UPDATE sync_directories SET lease_until = $4 \
             WHERE directory = $1 AND generation = $2 AND holder = $3";
        let until = until.millis();
        let params: [Param<'_>; 4] = [&lease.directory, &lease.generation, &lease.holder, &until];
        Ok(self.database.primary().await?.execute(RENEW, &params).await? == 1)
    }

    async fn release_sync_lease(&self, lease: &SyncLease) -> Result<bool, StoreError> {
        const RELEASE: &str = "UPDATE sync_directories SET holder = NULL, lease_until = NULL \
             WHERE directory = $1 AND generation = $2 AND holder = $3";
        let params: [Param<'_>; 3] = [&lease.directory, &lease.generation, &lease.holder];
        Ok(self.database.primary().await?.execute(RELEASE, &params).await? == 1)
    }

    async fn begin_sync_job(
        &self,
        lease: &SyncLease,
        job: SyncJobRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const ABANDON: &str = "UPDATE sync_jobs SET state = 'abandoned', finished_at = $2 \
             WHERE directory = $1 AND state = 'running'";
        const STARTED: &str = "UPDATE sync_directories SET started_at = $2 WHERE directory = $1";
        const ADD: &str = "INSERT INTO sync_jobs (id, directory, generation, holder, state, \
             started_at, finished_at, applied, deactivated, overridden, detail) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CAST($11::text AS json))";
        let started_at = job.started_at.millis();
        let finished_at = job.finished_at.map(Timestamp::millis);
        let detail = json(&job.detail)?;
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        if !hold(&mut connection, lease).await? {
            connection.rollback().await?;
            return Ok(false);
        }
        connection.execute(ABANDON, &[&job.directory, &started_at]).await?;
        connection.execute(STARTED, &[&job.directory, &started_at]).await?;
        let params: [Param<'_>; 11] = [
            &job.id.0,
            &job.directory,
            &job.generation,
            &job.holder,
            &job.state.as_str(),
            &started_at,
            &finished_at,
            &job.applied,
            &job.deactivated,
            &job.detail.overridden,
            &detail,
        ];
        connection.execute(ADD, &params).await?;
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(true)
    }

    async fn apply_sync_batch(&self, batch: SyncBatch) -> Result<SyncBatchOutcome, StoreError> {
        self.carry_out(batch).await
    }

    async fn finish_sync_job(
        &self,
        lease: &SyncLease,
        job: SyncJobRecord,
        completion: Option<SyncCompletion>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const END: &str = "UPDATE sync_jobs SET state = $2, finished_at = $3, \
             overridden = $4, detail = CAST($5::text AS json) WHERE id = $1";
        let finished_at = job.finished_at.map(Timestamp::millis);
        let detail = json(&job.detail)?;
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        if !hold(&mut connection, lease).await? {
            connection.rollback().await?;
            return Ok(false);
        }
        let params: [Param<'_>; 5] =
            [&job.id.0, &job.state.as_str(), &finished_at, &job.detail.overridden, &detail];
        if connection.execute(END, &params).await? != 1 {
            connection.rollback().await?;
            return Ok(false);
        }
        if let Some(completion) = completion {
            complete(&mut connection, &job, completion).await?;
        }
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(true)
    }

    async fn sync_status(&self, directory: &str) -> Result<SyncStatus, StoreError> {
        const FIND: &str = "SELECT holder, lease_until, CAST(position AS text), full_at, \
             succeeded_at, started_at FROM sync_directories WHERE directory = $1";
        let Some(row) = self.database.primary().await?.row(FIND, &[&directory]).await? else {
            return Ok(SyncStatus::default());
        };
        let columns = &mut Columns::of(&row, "sync_directories");
        let holder: Option<String> = columns.take()?;
        let until = columns.optional_time()?;
        let position: Option<&str> = columns.take()?;
        Ok(SyncStatus {
            lease: holder.zip(until),
            position: position
                .map(serde_json::from_str)
                .transpose()
                .map_err(|error| columns.corrupt(&format!("position: {error}")))?,
            full_at: columns.optional_time()?,
            succeeded_at: columns.optional_time()?,
            started_at: columns.optional_time()?,
        })
    }

    async fn sync_jobs(
        &self,
        directory: &str,
        rows: usize,
    ) -> Result<Vec<SyncJobRecord>, StoreError> {
        const FIND: &str = "SELECT id, directory, generation, holder, state, started_at, \
             finished_at, applied, deactivated, CAST(detail AS text) FROM sync_jobs \
             WHERE directory = $1 ORDER BY started_at DESC, id DESC LIMIT $2";
        let mut connection = self.database.primary().await?;
        let rows = connection.rows(FIND, &[&directory, &limit(rows)]).await?;
        rows.iter().map(job).collect()
    }

    async fn sync_deactivations(
        &self,
        directory: &str,
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        const SUM: &str = "SELECT CAST(COALESCE(sum(deactivated), 0) AS bigint) FROM sync_jobs \
             WHERE directory = $1 AND NOT overridden \
             AND (finished_at IS NULL OR finished_at >= $2)";
        let mut connection = self.database.primary().await?;
        number(connection.row(SUM, &[&directory, &since.millis()]).await?)
    }
}

async fn complete(
    connection: &mut Connection,
    job: &SyncJobRecord,
    completion: SyncCompletion,
) -> Result<(), StoreError> {
    const SUCCEEDED: &str = "UPDATE sync_directories SET succeeded_at = $2, full_at = \
         CASE WHEN $3 THEN (SELECT started_at FROM sync_jobs WHERE id = $4) ELSE full_at END \
         WHERE directory = $1";
    const POSITION: &str = "UPDATE sync_directories SET position = CAST($2::text AS json) \
         WHERE directory = $1";
    let finished_at = job.finished_at.map(Timestamp::millis);
    let params: [Param<'_>; 4] = [&job.directory, &finished_at, &completion.full, &job.id.0];
    connection.execute(SUCCEEDED, &params).await?;
    if let Some(position) = completion.position {
        let position = position.as_ref().map(json).transpose()?;
        connection.execute(POSITION, &[&job.directory, &position]).await?;
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    // U+0000 can stand in no JSON of PostgreSQL; escaped by the serialiser it would be refused.
    serde_json::to_string(value).map(|text| text.replace("\\u0000", "\\ufffd")).map_err(|error| {
        StoreError::Corrupt { message: format!("cannot be kept as JSON: {error}") }
    })
}

fn number(row: Option<Row>) -> Result<u64, StoreError> {
    let Some(row) = row else { return Ok(0) };
    let count: i64 = Columns::of(&row, "sync").take()?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn digest(columns: &mut Columns<'_>) -> Result<Option<SyncDigest>, StoreError> {
    let Some(bytes) = columns.take::<Option<&[u8]>>()? else { return Ok(None) };
    let digest = bytes.try_into().map_err(|_| columns.corrupt("a digest of wrong length"))?;
    Ok(Some(digest))
}

fn person(row: &Row) -> Result<SyncedPerson, StoreError> {
    let columns = &mut Columns::of(row, "identities");
    let subject = columns.take()?;
    let digest = digest(columns)?;
    let shut_out = columns.take()?;
    let password_changed_at: Option<String> = columns.take()?;
    let dn: Option<String> = columns.take()?;
    let noted = dn.is_some() || password_changed_at.is_some();
    let mark = SyncMark { digest, shut_out, password_changed_at, dn: dn.unwrap_or_default() };
    let shut_out_elsewhere = columns.take()?;
    let claims: Option<&str> = columns.take()?;
    let claims = claims
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| columns.corrupt(&format!("claims: {error}")))?;
    Ok(SyncedPerson {
        subject,
        mark: noted.then_some(mark),
        shut_out_elsewhere,
        claims: claims.unwrap_or_default(),
        account: account(columns)?,
    })
}

fn job(row: &Row) -> Result<SyncJobRecord, StoreError> {
    let columns = &mut Columns::of(row, "sync_jobs");
    Ok(SyncJobRecord {
        id: SyncJobId(columns.take()?),
        directory: columns.take()?,
        generation: columns.take()?,
        holder: columns.take()?,
        state: SyncJobState::parse(columns.take()?)
            .ok_or_else(|| columns.corrupt("an unknown state"))?,
        started_at: columns.time()?,
        finished_at: columns.optional_time()?,
        applied: columns.take()?,
        deactivated: columns.take()?,
        detail: serde_json::from_str(columns.take()?)
            .map_err(|error| columns.corrupt(&format!("detail: {error}")))?,
    })
}

/// What is noted of a person, as free text without U+0000.
pub(super) fn noted(mark: &SyncMark) -> serde_json::Value {
    serde_json::json!({
        "digest": mark.digest.map(|digest| hex(&digest)),
        "shut_out": mark.shut_out,
        "password": mark.password_changed_at.as_deref().map(text),
        "dn": text(&mark.dn),
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
