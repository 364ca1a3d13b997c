//! The outbox in SQLite. Triggers of the schema write the events of accounts and sessions.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::outbox::EVENTS_KEPT_MILLIS;
use auth_core::store::{
    AccountId, DeliveryOutcome, DeliveryRecord, NewDelivery, OutboxEventKind, OutboxEventRecord,
    OutboxLease, OutboxLoad, OutboxStore, SessionId, StoreError,
};
use rusqlite::{Connection, params};
use tokio::sync::watch;
use uuid::Uuid;

use super::row::{Columns, all, change, limit, one};
use super::{SqliteStore, audit};

macro_rules! select_events {
    ($condition:literal) => {
        concat!(
            "SELECT e.sequence, e.position, e.id, e.at, e.kind, e.account, account.numeric_id, \
             e.client, e.session, e.reason FROM outbox_event AS e \
             LEFT JOIN account ON account.id = e.account ",
            $condition
        )
    };
}

macro_rules! select_deliveries {
    ($condition:literal) => {
        concat!(
            "SELECT d.id, d.destination, d.subject, d.body, d.created_at, d.due_at, d.expires_at, \
             d.attempts, d.dead_at, d.last_error FROM outbox_delivery AS d ",
            $condition
        )
    };
}

const DUE: &str = select_deliveries!(
    "INDEXED BY outbox_delivery_due WHERE d.destination = ?1 AND d.due_at <= ?2 \
     AND d.dead_at IS NULL AND NOT EXISTS (SELECT 1 FROM outbox_delivery AS earlier \
     INDEXED BY outbox_delivery_pending WHERE earlier.destination = d.destination \
     AND earlier.subject = d.subject AND earlier.dead_at IS NULL AND earlier.id < d.id) \
     ORDER BY d.id LIMIT ?3"
);

fn read_event(columns: &mut Columns<'_, '_>) -> Result<OutboxEventRecord, StoreError> {
    columns.of("outbox_event");
    Ok(OutboxEventRecord {
        sequence: columns.take()?,
        position: columns.take()?,
        id: columns.take()?,
        at: columns.time()?,
        kind: columns.word(OutboxEventKind::parse)?,
        account: columns.optional_uuid()?.map(AccountId),
        numeric_id: columns.take()?,
        client: columns.take()?,
        session: columns.optional_uuid()?.map(SessionId),
        reason: columns.take()?,
    })
}

fn read_delivery(columns: &mut Columns<'_, '_>) -> Result<DeliveryRecord, StoreError> {
    columns.of("outbox_delivery");
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

/// Notes that all sessions of an account, or of everybody, were ended.
pub(super) fn all_sessions_ended(
    c: &Connection,
    account: Option<AccountId>,
    at: Timestamp,
    reason: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO outbox_event (id, at, kind, account, reason, expires_at) \
               VALUES (lower(hex(randomblob(16))), ?1, 'sessions.revoked', ?2, ?3, ?4)";
    let account = account.map(|account| account.0.into_bytes());
    let expires_at = at.millis().saturating_add(EVENTS_KEPT_MILLIS);
    change(c, sql, params![at.millis(), account, reason, expires_at]).map(drop)
}

/// Whether the lease is still that of this generation. Within the transaction that relies on it.
pub(super) fn is_held(c: &Connection, lease: OutboxLease) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM outbox_lease WHERE id = 1 AND generation = ?1";
    Ok(one(c, sql, params![lease.generation], |_| Ok(()))?.is_some())
}

/// Adds a delivery.
pub(super) fn deliver(c: &Connection, new: &NewDelivery) -> Result<(), StoreError> {
    let dead_at = new.dead.is_some().then_some(new.created_at.millis());
    change(
        c,
        "INSERT INTO outbox_delivery (destination, subject, body, created_at, due_at, expires_at, \
         attempts, dead_at, last_error) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8)",
        params![
            new.destination,
            new.subject,
            new.body,
            new.created_at.millis(),
            new.due_at.millis(),
            new.expires_at.millis(),
            dead_at,
            new.dead,
        ],
    )
    .map(drop)
}

fn give_positions(c: &Connection, lease: OutboxLease, events: &[i64]) -> Result<bool, StoreError> {
    let sql = "SELECT position FROM outbox_lease WHERE id = 1 AND generation = ?1";
    let last = one(c, sql, params![lease.generation], |columns| columns.take::<i64>())?;
    let Some(mut position) = last else { return Ok(false) };
    for sequence in events {
        let sql = "UPDATE outbox_event SET position = ?2 WHERE sequence = ?1 AND position IS NULL";
        if change(c, sql, params![sequence, position + 1])? == 1 {
            position += 1;
        }
    }
    change(c, "UPDATE outbox_lease SET position = ?1 WHERE id = 1", params![position])?;
    Ok(true)
}

fn finish(c: &Connection, delivery: i64, outcome: &DeliveryOutcome) -> Result<bool, StoreError> {
    let changed = match outcome {
        DeliveryOutcome::Done => {
            let sql = "DELETE FROM outbox_delivery WHERE id = ?1 AND dead_at IS NULL";
            change(c, sql, params![delivery])?
        }
        DeliveryOutcome::Retry { due_at, error } => {
            let sql = "UPDATE outbox_delivery SET attempts = attempts + 1, due_at = ?2, \
                       last_error = ?3 WHERE id = ?1 AND dead_at IS NULL";
            change(c, sql, params![delivery, due_at.millis(), error])?
        }
        DeliveryOutcome::Dead { at, error } => {
            let sql = "UPDATE outbox_delivery SET attempts = attempts + 1, dead_at = ?2, \
                       last_error = ?3 WHERE id = ?1 AND dead_at IS NULL";
            change(c, sql, params![delivery, at.millis(), error])?
        }
    };
    Ok(changed == 1)
}

#[async_trait]
impl OutboxStore for SqliteStore {
    fn outbox_signal(&self) -> watch::Receiver<u64> {
        self.writer.commits()
    }

    async fn hold_outbox(
        &self,
        holder: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<OutboxLease>, StoreError> {
        let sql = "INSERT INTO outbox_lease (id, holder, generation, until, position) \
                   VALUES (1, ?1, 1, ?3, 0) ON CONFLICT (id) DO UPDATE SET holder = ?1, \
                   until = ?3, generation = generation + (holder <> ?1) \
                   WHERE holder = ?1 OR until <= ?2 RETURNING generation";
        self.write(move |c| {
            let params = params![holder.as_bytes(), now.millis(), until.millis()];
            let held = one(c, sql, params, |columns| columns.take::<i64>())?;
            Ok(held.map(|generation| OutboxLease { generation }))
        })
        .await
    }

    async fn release_outbox(&self, lease: OutboxLease) -> Result<(), StoreError> {
        let sql = "UPDATE outbox_lease SET until = 0 WHERE generation = ?1";
        self.write(move |c| change(c, sql, params![lease.generation]).map(drop)).await
    }

    async fn new_outbox_events(&self, rows: usize) -> Result<Vec<OutboxEventRecord>, StoreError> {
        let sql = select_events!("WHERE e.position IS NULL ORDER BY e.sequence LIMIT ?1");
        self.look_up(|c| all(c, sql, params![limit(rows)], read_event))
    }

    async fn fan_out(
        &self,
        lease: OutboxLease,
        events: Vec<i64>,
        deliveries: Vec<NewDelivery>,
    ) -> Result<bool, StoreError> {
        self.write(move |c| {
            if !give_positions(c, lease, &events)? {
                return Ok(false);
            }
            for new in &deliveries {
                deliver(c, new)?;
            }
            Ok(true)
        })
        .await
    }

    async fn due_deliveries(
        &self,
        destination: &str,
        now: Timestamp,
        rows: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.look_up(|c| {
            all(c, DUE, params![destination, now.millis(), limit(rows)], read_delivery)
        })
    }

    async fn finish_delivery(
        &self,
        lease: OutboxLease,
        delivery: i64,
        outcome: DeliveryOutcome,
        further: Vec<NewDelivery>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        self.write(move |c| {
            if !is_held(c, lease)? || !finish(c, delivery, &outcome)? {
                return Ok(false);
            }
            for new in &further {
                deliver(c, new)?;
            }
            audit::append_if(true, c, &audit)
        })
        .await
    }

    async fn outbox_events(
        &self,
        after: i64,
        rows: usize,
    ) -> Result<Vec<OutboxEventRecord>, StoreError> {
        let sql = select_events!("WHERE e.position > ?1 ORDER BY e.position LIMIT ?2");
        self.look_up(|c| all(c, sql, params![after, limit(rows)], read_event))
    }

    async fn outbox_position(&self) -> Result<i64, StoreError> {
        let sql = "SELECT position FROM outbox_lease WHERE id = 1";
        let position = self.look_up(|c| one(c, sql, &[], |columns| columns.take::<i64>()))?;
        Ok(position.unwrap_or(0))
    }

    async fn outbox_load(&self) -> Result<Vec<OutboxLoad>, StoreError> {
        let sql = "SELECT destination, count(*) FILTER (WHERE dead_at IS NULL), \
                   count(dead_at), min(created_at) FILTER (WHERE dead_at IS NULL) \
                   FROM outbox_delivery GROUP BY destination ORDER BY destination";
        self.list(move |c| {
            all(c, sql, &[], |columns| {
                columns.of("outbox_delivery");
                let destination = columns.take()?;
                let (pending, dead): (i64, i64) = (columns.take()?, columns.take()?);
                Ok(OutboxLoad {
                    destination,
                    pending: u64::try_from(pending).unwrap_or(0),
                    dead: u64::try_from(dead).unwrap_or(0),
                    oldest: columns.optional_time()?,
                })
            })
        })
        .await
    }

    async fn deliveries(
        &self,
        destination: &str,
        after: i64,
        rows: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let sql =
            select_deliveries!("WHERE d.destination = ?1 AND d.id > ?2 ORDER BY d.id LIMIT ?3");
        let destination = destination.to_owned();
        self.list(move |c| all(c, sql, params![destination, after, limit(rows)], read_delivery))
            .await
    }

    async fn revive_deliveries(
        &self,
        destination: &str,
        now: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError> {
        let destination = destination.to_owned();
        let sql = "UPDATE outbox_delivery SET dead_at = NULL, attempts = 0, due_at = ?2 \
                   WHERE destination = ?1 AND dead_at IS NOT NULL";
        self.write(move |c| {
            let revived = change(c, sql, params![destination, now.millis()])?;
            audit::append(c, &audit)?;
            Ok(revived as u64)
        })
        .await
    }
}
