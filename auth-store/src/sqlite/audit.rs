//! The audit trail in SQLite.

use async_trait::async_trait;
use auth_core::audit::{AuditRecord, Outcome};
use auth_core::store::{AuditEntry, AuditQuery, AuditStore, StoreError};
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::row::{Columns, all, change, limit, to_json};

/// Appends events within the transaction of what they tell of.
pub(super) fn append(c: &Connection, records: &[AuditRecord]) -> Result<(), StoreError> {
    for record in records {
        change(
            c,
            "INSERT INTO audit (at, event, outcome, reason, account, connector, client, ip, \
             request_id, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                record.at.millis(),
                record.event,
                record.outcome.as_str(),
                record.reason,
                record.account,
                record.connector,
                record.client,
                record.ip,
                record.request_id,
                to_json(&record.detail)?,
            ],
        )?;
    }
    Ok(())
}

/// Appends events only if what they tell of was `done`; hands that on.
pub(super) fn append_if(
    done: bool,
    c: &Connection,
    records: &[AuditRecord],
) -> Result<bool, StoreError> {
    if done {
        append(c, records)?;
    }
    Ok(done)
}

#[async_trait]
impl AuditStore for SqliteStore {
    async fn append_audit(&self, records: Vec<AuditRecord>) -> Result<(), StoreError> {
        self.write(move |c| append(c, &records)).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        self.list(move |c| {
            let sql = select(&query);
            let mut found = all(
                c,
                &sql,
                params![
                    query.after.unwrap_or(i64::MIN),
                    query.since.map_or(i64::MIN, |since| since.millis()),
                    query.account,
                    limit(query.limit)
                ],
                read,
            )?;
            if query.after.is_none() {
                found.reverse();
            }
            Ok(found)
        })
        .await
    }
}

/// One of eight texts. The index is named because SQLite would else walk the whole trail for a
/// rare account or a recent moment, in the hope of a few rows in order.
fn select(query: &AuditQuery) -> String {
    let (index, account) = match (&query.account, query.since) {
        (Some(_), _) => (" INDEXED BY audit_account", " AND account = ?3"),
        (None, Some(_)) => (" INDEXED BY audit_at", " AND ?3 IS NULL"),
        (None, None) => ("", " AND ?3 IS NULL"),
    };
    let order = if query.after.is_some() { "ASC" } else { "DESC" };
    format!(
        "SELECT sequence, at, event, outcome, reason, account, connector, client, ip, \
         request_id, detail FROM audit{index} \
         WHERE sequence > ?1 AND at >= ?2{account} ORDER BY sequence {order} LIMIT ?4"
    )
}

fn read(columns: &mut Columns<'_, '_>) -> Result<AuditEntry, StoreError> {
    columns.of("audit");
    Ok(AuditEntry {
        sequence: columns.take()?,
        record: AuditRecord {
            at: columns.time()?,
            event: columns.take()?,
            outcome: columns.word(Outcome::parse)?,
            reason: columns.take()?,
            account: columns.take()?,
            connector: columns.take()?,
            client: columns.take()?,
            ip: columns.take()?,
            request_id: columns.take()?,
            detail: columns.json()?,
        },
    })
}
