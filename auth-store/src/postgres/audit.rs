//! The audit trail.

use async_trait::async_trait;
use auth_core::audit::{AuditRecord, Outcome};
use auth_core::store::{AuditEntry, AuditQuery, AuditStore, StoreError};
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};
use tokio_postgres::Row;

use super::PostgresStore;
use super::columns::{Columns, limit, text};
use super::connection::Connection;

/// How long a reader waits for events that are being written before those that it sees.
const IN_FLIGHT: Duration = Duration::from_secs(1);
/// Pause between looks at what is being written.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The parameter of [`insert_audit!`](insert_audit): the events as one JSON text.
pub(super) fn events(records: &[AuditRecord]) -> String {
    let optional = |value: &Option<String>| value.as_deref().map(|value| text(value).into_owned());
    let rows = records.iter().enumerate().map(|(n, record)| {
        json!({
            "n": n,
            "at": record.at.millis(),
            "event": text(&record.event),
            "outcome": record.outcome.as_str(),
            "reason": optional(&record.reason),
            "account": optional(&record.account),
            "connector": optional(&record.connector),
            "client": optional(&record.client),
            "ip": optional(&record.ip),
            "request_id": optional(&record.request_id),
            "detail": serde_json::Value::Object(record.detail.clone()).to_string(),
        })
    });
    serde_json::Value::Array(rows.collect()).to_string()
}

/// Writes events in the transaction of `connection`.
pub(super) async fn insert(
    connection: &mut Connection,
    records: &[AuditRecord],
) -> Result<(), StoreError> {
    const INSERT: &str = insert_audit!("$1", "(VALUES (1)) AS one");
    if records.is_empty() {
        return Ok(());
    }
    connection.execute(INSERT, &[&events(records)]).await.map(drop)
}

#[async_trait]
impl AuditStore for PostgresStore {
    async fn append_audit(&self, records: Vec<AuditRecord>) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut connection = self.database.primary().await?;
        insert(&mut connection, &records).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        match query.after {
            Some(after) => self.after(after, &query).await,
            None => self.newest(&query).await,
        }
    }
}

macro_rules! entries {
    () => {
        "SELECT sequence, at, event, outcome, reason, account, connector, client, ip, request_id, \
         CAST(detail AS text) FROM audit"
    };
}

impl PostgresStore {
    async fn newest(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        const ALL: &str = concat!(entries!(), " WHERE at >= $1 ORDER BY sequence DESC LIMIT $2");
        const OF_ACCOUNT: &str =
            concat!(entries!(), " WHERE at >= $1 AND account = $3 ORDER BY sequence DESC LIMIT $2");
        let (since, limit) = (since(query), limit(query.limit));
        let mut connection = self.database.listing().await?;
        let mut rows = match &query.account {
            Some(account) if account.contains('\0') => return Ok(Vec::new()),
            Some(account) => connection.rows(OF_ACCOUNT, &[&since, &limit, account]).await?,
            None => connection.rows(ALL, &[&since, &limit]).await?,
        };
        rows.reverse();
        rows.iter().map(entry).collect()
    }

    /// Positions are given when an event is written and seen when it is committed, so a later one
    /// may be seen first. Who reads on from a position must not miss the earlier one for ever:
    /// this waits until all that was being written up to the last position is committed or gone,
    /// and if that takes too long, gives only what stands before the first gap. It asks the
    /// primary, as a replica does not know what is being written.
    async fn after(&self, after: i64, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        const LAST: &str = "SELECT last_value FROM audit_sequence_seq";
        const ALL: &str = concat!(
            entries!(),
            " WHERE sequence > $3 AND sequence <= $4 AND at >= $1 ORDER BY sequence LIMIT $2"
        );
        const OF_ACCOUNT: &str = concat!(
            entries!(),
            " WHERE sequence > $3 AND sequence <= $4 AND at >= $1 AND account = $5 \
             ORDER BY sequence LIMIT $2"
        );
        let (since, limit) = (since(query), limit(query.limit));
        let mut connection = self.database.primary().await?;
        let last = match connection.row(LAST, &[]).await? {
            Some(row) => Columns::of(&row, "audit").take()?,
            None => return Ok(Vec::new()),
        };
        let last = if writers_finished(&mut connection).await? {
            last
        } else {
            first_gap(&mut connection, after, last).await?
        };
        let rows = match &query.account {
            Some(account) if account.contains('\0') => return Ok(Vec::new()),
            Some(account) => {
                connection.rows(OF_ACCOUNT, &[&since, &limit, &after, &last, account]).await?
            }
            None => connection.rows(ALL, &[&since, &limit, &after, &last]).await?,
        };
        rows.iter().map(entry).collect()
    }
}

/// Waits until every transaction that is writing to the trail now has ended; false when that
/// takes too long.
async fn writers_finished(connection: &mut Connection) -> Result<bool, StoreError> {
    const WRITERS: &str = "SELECT COALESCE(array_agg(virtualtransaction), '{}') FROM pg_locks \
         WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND relation = 'audit'::regclass";
    let began = Instant::now();
    let mut waited_for: Option<Vec<String>> = None;
    loop {
        let Some(row) = connection.row(WRITERS, &[]).await? else { return Ok(true) };
        let writing: Vec<String> = Columns::of(&row, "pg_locks").take()?;
        let left: Vec<String> = match waited_for {
            Some(first) => first.into_iter().filter(|one| writing.contains(one)).collect(),
            None => writing,
        };
        if left.is_empty() {
            return Ok(true);
        }
        if began.elapsed() > IN_FLIGHT {
            return Ok(false);
        }
        waited_for = Some(left);
        sleep(LOOK_AGAIN).await;
    }
}

/// The last position after `after` below which none is missing.
async fn first_gap(connection: &mut Connection, after: i64, last: i64) -> Result<i64, StoreError> {
    const GAP: &str = "SELECT max(sequence) FROM (\
         SELECT sequence, row_number() OVER (ORDER BY sequence) AS n FROM audit \
         WHERE sequence > $1 AND sequence <= $2) AS numbered WHERE sequence = $1 + n";
    let Some(row) = connection.row(GAP, &[&after, &last]).await? else { return Ok(after) };
    Ok(Columns::of(&row, "audit").take::<Option<i64>>()?.unwrap_or(after))
}

fn since(query: &AuditQuery) -> i64 {
    query.since.map_or(i64::MIN, |since| since.millis())
}

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    let columns = &mut Columns::of(row, "audit");
    Ok(AuditEntry {
        sequence: columns.take()?,
        record: AuditRecord {
            at: columns.time()?,
            event: columns.take()?,
            outcome: Outcome::parse(columns.take()?)
                .ok_or_else(|| columns.corrupt("an unknown outcome"))?,
            reason: columns.take()?,
            account: columns.take()?,
            connector: columns.take()?,
            client: columns.take()?,
            ip: columns.take()?,
            request_id: columns.take()?,
            detail: serde_json::from_str(columns.take()?)
                .map_err(|error| columns.corrupt(&format!("detail: {error}")))?,
        },
    })
}
