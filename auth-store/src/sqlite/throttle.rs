//! Attempt counters in SQLite.
//!
//! A row's `expires_at` is a lockout after its last counted attempt: until then the count
//! holds, and when it has reached the limit the door is shut.

use async_trait::async_trait;
use auth_core::clock::Timestamp;
use auth_core::store::{Attempt, StoreError, ThrottleRule, ThrottleStore};
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::row::{change, one};

/// Clears counters, within the transaction of the success.
pub(super) fn clear(c: &Connection, keys: &[String]) -> Result<(), StoreError> {
    for key in keys {
        change(c, "DELETE FROM throttle WHERE key = ?1", params![key])?;
    }
    Ok(())
}

fn count(
    c: &Connection,
    key: &str,
    rule: ThrottleRule,
    now: Timestamp,
) -> Result<Attempt, StoreError> {
    let sql = "SELECT count, expires_at FROM throttle WHERE key = ?1 AND expires_at > ?2";
    let held = one(c, sql, params![key, now.millis()], |columns| {
        columns.of("throttle");
        Ok((columns.take::<i64>()?, columns.time()?))
    })?;
    let count = match held {
        Some((count, until)) if count >= rule.limit => return Ok(Attempt::Locked { until }),
        Some((count, _)) => count.saturating_add(1),
        None => 1,
    };
    change(
        c,
        "INSERT INTO throttle (key, count, expires_at) VALUES (?1, ?2, ?3) \
         ON CONFLICT (key) DO UPDATE SET count = excluded.count, expires_at = excluded.expires_at",
        params![key, count, (now + rule.lockout).millis()],
    )?;
    Ok(Attempt::Allowed { count })
}

#[async_trait]
impl ThrottleStore for SqliteStore {
    async fn count_attempt(
        &self,
        key: &str,
        rule: ThrottleRule,
        now: Timestamp,
    ) -> Result<Attempt, StoreError> {
        let key = key.to_owned();
        self.write(move |c| count(c, &key, rule, now)).await
    }

    async fn forgive_attempt(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        let sql = "UPDATE throttle SET count = count - 1 WHERE key = ?1 AND count > 0";
        self.write(move |c| change(c, sql, params![key]).map(drop)).await
    }

    async fn clear_attempts(&self, keys: &[String]) -> Result<(), StoreError> {
        let keys = keys.to_vec();
        self.write(move |c| clear(c, &keys)).await
    }
}
