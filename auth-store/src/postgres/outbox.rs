//! The outbox. Triggers of the schema write the events of accounts and sessions, and notify.
//!
//! What the worker writes locks the row of the lease first, so that of two workers the one whose
//! lease was taken writes nothing more.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::outbox::EVENTS_KEPT_MILLIS;
use auth_core::store::{
    AccountId, DeliveryOutcome, DeliveryRecord, NewDelivery, OutboxEventKind, OutboxEventRecord,
    OutboxLease, OutboxLoad, OutboxStore, SessionId, StoreError,
};
use serde_json::json;
use tokio::sync::watch;
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{Columns, Param, limit, text};
use super::connection::Connection;
use super::listener::OUTBOX;
use super::{PostgresStore, audit};

macro_rules! select_events {
    ($condition:literal) => {
        concat!(
            "SELECT e.sequence, e.position, e.id, e.at, e.kind, e.account, a.numeric_id, \
             e.client, e.session, e.reason FROM outbox_events e \
             LEFT JOIN accounts a ON a.id = e.account ",
            $condition
        )
    };
}

macro_rules! select_deliveries {
    ($condition:literal) => {
        concat!(
            "SELECT d.id, d.destination, d.subject, d.body, d.created_at, d.due_at, d.expires_at, \
             d.attempts, d.dead_at, d.last_error FROM outbox_deliveries d ",
            $condition
        )
    };
}

fn event(row: &Row) -> Result<OutboxEventRecord, StoreError> {
    let columns = &mut Columns::of(row, "outbox_events");
    Ok(OutboxEventRecord {
        sequence: columns.take()?,
        position: columns.take()?,
        id: columns.take()?,
        at: columns.time()?,
        kind: OutboxEventKind::parse(columns.take()?)
            .ok_or_else(|| columns.corrupt("an unknown kind"))?,
        account: columns.take::<Option<_>>()?.map(AccountId),
        numeric_id: columns.take()?,
        client: columns.take()?,
        session: columns.take::<Option<_>>()?.map(SessionId),
        reason: columns.take()?,
    })
}

fn delivery(row: &Row) -> Result<DeliveryRecord, StoreError> {
    let columns = &mut Columns::of(row, "outbox_deliveries");
    Ok(DeliveryRecord {
        id: columns.take()?,
        destination: columns.take()?,
        subject: columns.take()?,
        body: columns.take()?,
        created_at: columns.time()?,
        due_at: columns.time()?,
        expires_at: columns.time()?,
        attempts: columns.take()?,
        dead_at: columns.optional_time()?,
        last_error: columns.take()?,
    })
}

/// Notes that all sessions of an account, or of everybody, were ended, and tells all nodes.
pub(super) async fn all_sessions_ended(
    connection: &mut Connection,
    account: Option<AccountId>,
    at: Timestamp,
    reason: &str,
) -> Result<(), StoreError> {
    const NOTE: &str = "WITH noted AS (INSERT INTO outbox_events (id, at, kind, account, reason, \
         expires_at) VALUES (replace(CAST(gen_random_uuid() AS text), '-', ''), $1, \
         'sessions.revoked', $2, $3, $4)) SELECT pg_notify($5, '')";
    let account = account.map(|account| account.0);
    let expires_at = at.millis().saturating_add(EVENTS_KEPT_MILLIS);
    let params: [Param<'_>; 5] = [&at.millis(), &account, &text(reason), &expires_at, &OUTBOX];
    connection.execute(NOTE, &params).await.map(drop)
}

/// Locks the lease of this generation until the end of the transaction; false when it was lost.
pub(super) async fn lock_lease(
    connection: &mut Connection,
    lease: OutboxLease,
) -> Result<bool, StoreError> {
    const LOCK: &str = "SELECT FROM outbox_lease WHERE id = 1 AND generation = $1 FOR SHARE";
    Ok(connection.row(LOCK, &[&lease.generation]).await?.is_some())
}

/// Adds deliveries in the transaction of `connection`.
pub(super) async fn deliver(
    connection: &mut Connection,
    new: &[NewDelivery],
) -> Result<(), StoreError> {
    const ADD: &str = "INSERT INTO outbox_deliveries (destination, subject, body, created_at, \
         due_at, expires_at, attempts, dead_at, last_error) \
         SELECT destination, subject, body, created_at, due_at, expires_at, 0, \
         CASE WHEN dead IS NOT NULL THEN created_at END, dead \
         FROM json_to_recordset(CAST($1::text AS json)) AS d(n bigint, destination text, \
         subject text, body text, created_at bigint, due_at bigint, expires_at bigint, dead text) \
         ORDER BY n";
    if new.is_empty() {
        return Ok(());
    }
    let rows = new.iter().enumerate().map(|(n, one)| {
        json!({
            "n": n,
            "destination": one.destination,
            "subject": one.subject,
            "body": one.body,
            "created_at": one.created_at.millis(),
            "due_at": one.due_at.millis(),
            "expires_at": one.expires_at.millis(),
            "dead": one.dead,
        })
    });
    let rows = serde_json::Value::Array(rows.collect()).to_string();
    connection.execute(ADD, &[&rows]).await.map(drop)
}

async fn finish(
    connection: &mut Connection,
    delivery: i64,
    outcome: &DeliveryOutcome,
) -> Result<bool, StoreError> {
    const DONE: &str = "DELETE FROM outbox_deliveries WHERE id = $1 AND dead_at IS NULL";
    const RETRY: &str = "UPDATE outbox_deliveries SET attempts = attempts + 1, due_at = $2, \
         last_error = $3 WHERE id = $1 AND dead_at IS NULL";
    const DEAD: &str = "UPDATE outbox_deliveries SET attempts = attempts + 1, dead_at = $2, \
         last_error = $3 WHERE id = $1 AND dead_at IS NULL";
    let changed = match outcome {
        DeliveryOutcome::Done => connection.execute(DONE, &[&delivery]).await?,
        DeliveryOutcome::Retry { due_at, error } => {
            connection.execute(RETRY, &[&delivery, &due_at.millis(), &text(error)]).await?
        }
        DeliveryOutcome::Dead { at, error } => {
            connection.execute(DEAD, &[&delivery, &at.millis(), &text(error)]).await?
        }
    };
    Ok(changed == 1)
}

#[async_trait]
impl OutboxStore for PostgresStore {
    fn outbox_signal(&self) -> watch::Receiver<u64> {
        self.outbox.subscribe()
    }

    async fn hold_outbox(
        &self,
        holder: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<OutboxLease>, StoreError> {
        const HOLD: &str = "INSERT INTO outbox_lease AS l (id, holder, generation, until, \
             position) VALUES (1, $1, 1, $3, 0) ON CONFLICT (id) DO UPDATE SET holder = $1, \
             until = $3, generation = l.generation + CASE WHEN l.holder = $1 THEN 0 ELSE 1 END \
             WHERE l.holder = $1 OR l.until <= $2 RETURNING generation";
        let mut connection = self.database.primary().await?;
        let row = connection.row(HOLD, &[&holder, &now.millis(), &until.millis()]).await?;
        row.map(|row| {
            let generation = Columns::of(&row, "outbox_lease").take()?;
            Ok(OutboxLease { generation })
        })
        .transpose()
    }

    async fn release_outbox(&self, lease: OutboxLease) -> Result<(), StoreError> {
        const RELEASE: &str = "UPDATE outbox_lease SET until = 0 WHERE generation = $1";
        let mut connection = self.database.primary().await?;
        connection.execute(RELEASE, &[&lease.generation]).await.map(drop)
    }

    async fn new_outbox_events(&self, rows: usize) -> Result<Vec<OutboxEventRecord>, StoreError> {
        const NEW: &str = select_events!("WHERE e.position IS NULL ORDER BY e.sequence LIMIT $1");
        let mut connection = self.database.primary().await?;
        connection.rows(NEW, &[&limit(rows)]).await?.iter().map(event).collect()
    }

    async fn fan_out(
        &self,
        lease: OutboxLease,
        events: Vec<i64>,
        deliveries: Vec<NewDelivery>,
    ) -> Result<bool, StoreError> {
        const LOCK: &str = "SELECT position FROM outbox_lease WHERE id = 1 AND generation = $1 \
             FOR NO KEY UPDATE";
        const PLACE: &str = "WITH given AS (SELECT e.sequence, \
             row_number() OVER (ORDER BY g.n) AS n FROM outbox_events e \
             JOIN unnest($1::bigint[]) WITH ORDINALITY AS g(sequence, n) \
             ON g.sequence = e.sequence WHERE e.position IS NULL), \
             placed AS (UPDATE outbox_events e SET position = $2::bigint + given.n FROM given \
             WHERE e.sequence = given.sequence RETURNING 1) \
             UPDATE outbox_lease SET position = $2::bigint + (SELECT count(*) FROM placed) \
             WHERE id = 1";
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        let Some(row) = connection.row(LOCK, &[&lease.generation]).await? else {
            connection.rollback().await?;
            return Ok(false);
        };
        let position: i64 = Columns::of(&row, "outbox_lease").take()?;
        connection.execute(PLACE, &[&events, &position]).await?;
        deliver(&mut connection, &deliveries).await?;
        connection.commit().await?;
        Ok(true)
    }

    async fn due_deliveries(
        &self,
        destination: &str,
        now: Timestamp,
        rows: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        const DUE: &str = select_deliveries!(
            "WHERE d.destination = $1 AND d.due_at <= $2 AND d.dead_at IS NULL \
             AND NOT EXISTS (SELECT FROM outbox_deliveries earlier \
             WHERE earlier.destination = d.destination AND earlier.subject = d.subject \
             AND earlier.dead_at IS NULL AND earlier.id < d.id) ORDER BY d.id LIMIT $3"
        );
        let mut connection = self.database.primary().await?;
        let params: [Param<'_>; 3] = [&destination, &now.millis(), &limit(rows)];
        connection.rows(DUE, &params).await?.iter().map(delivery).collect()
    }

    async fn finish_delivery(
        &self,
        lease: OutboxLease,
        delivery: i64,
        outcome: DeliveryOutcome,
        further: Vec<NewDelivery>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        let done = lock_lease(&mut connection, lease).await?
            && finish(&mut connection, delivery, &outcome).await?;
        if !done {
            connection.rollback().await?;
            return Ok(false);
        }
        deliver(&mut connection, &further).await?;
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(true)
    }

    async fn outbox_events(
        &self,
        after: i64,
        rows: usize,
    ) -> Result<Vec<OutboxEventRecord>, StoreError> {
        const AFTER: &str = select_events!("WHERE e.position > $1 ORDER BY e.position LIMIT $2");
        let mut connection = self.database.primary().await?;
        connection.rows(AFTER, &[&after, &limit(rows)]).await?.iter().map(event).collect()
    }

    async fn outbox_position(&self) -> Result<i64, StoreError> {
        const LAST: &str = "SELECT position FROM outbox_lease WHERE id = 1";
        let row = self.database.primary().await?.row(LAST, &[]).await?;
        row.map_or(Ok(0), |row| Columns::of(&row, "outbox_lease").take())
    }

    async fn outbox_load(&self) -> Result<Vec<OutboxLoad>, StoreError> {
        const LOAD: &str = "SELECT destination, count(*) FILTER (WHERE dead_at IS NULL), \
             count(dead_at), min(created_at) FILTER (WHERE dead_at IS NULL) \
             FROM outbox_deliveries GROUP BY destination ORDER BY destination";
        let mut connection = self.database.primary().await?;
        let rows = connection.rows(LOAD, &[]).await?;
        rows.iter()
            .map(|row| {
                let columns = &mut Columns::of(row, "outbox_deliveries");
                let destination = columns.take()?;
                let (pending, dead): (i64, i64) = (columns.take()?, columns.take()?);
                Ok(OutboxLoad {
                    destination,
                    pending: u64::try_from(pending).unwrap_or(0),
                    dead: u64::try_from(dead).unwrap_or(0),
                    oldest: columns.optional_time()?,
                })
            })
            .collect()
    }

    async fn deliveries(
        &self,
        destination: &str,
        after: i64,
        rows: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        const LIST: &str =
            select_deliveries!("WHERE d.destination = $1 AND d.id > $2 ORDER BY d.id LIMIT $3");
        let mut connection = self.database.primary().await?;
        let rows = connection.rows(LIST, &[&destination, &after, &limit(rows)]).await?;
        rows.iter().map(delivery).collect()
    }

    async fn revive_deliveries(
        &self,
        destination: &str,
        now: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError> {
        const REVIVE: &str = "UPDATE outbox_deliveries SET dead_at = NULL, attempts = 0, \
             due_at = $2 WHERE destination = $1 AND dead_at IS NOT NULL";
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        let revived = connection.execute(REVIVE, &[&destination, &now.millis()]).await?;
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(revived)
    }
}
