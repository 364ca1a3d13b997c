//! Removal of what has expired, in batches that are transactions of their own. Rows that somebody
//! else holds, such as another node that purges too, are left to them or to the next time.

use auth_core::clock::Timestamp;
use auth_core::store::StoreError;

use super::columns::Columns;
use super::connection::{Connection, Database};

/// How long ended sessions and expired codes are kept, so that a late second use of a code still
/// finds the session to end.
const KEPT: std::time::Duration = std::time::Duration::from_hours(24);

/// How long past runs of a synchronisation are listed.
const RUNS_KEPT: std::time::Duration = std::time::Duration::from_hours(24 * 90);

/// Rows of a batch; stands in the statements too.
const BATCH: i64 = 5000;

/// Removes expired rows of a table with this key; gives how many, twice.
macro_rules! remove_expired {
    ($table:literal, $($key:literal),+) => {
        concat!(
            "WITH chosen AS MATERIALIZED (SELECT * FROM ",
            $table,
            " WHERE expires_at <= $1 ORDER BY expires_at LIMIT 5000 FOR UPDATE SKIP LOCKED), \
             gone AS (DELETE FROM ",
            $table,
            " AS t USING chosen AS c WHERE TRUE",
            $(" AND t.", $key, " = c.", $key,)+
            " RETURNING 1) SELECT count(*), count(*) FROM gone"
        )
    };
}

/// Removes ended sessions with their tokens; gives how many rows, and how many sessions.
macro_rules! remove_sessions {
    ($condition:literal) => {
        concat!(
            "WITH chosen AS MATERIALIZED (SELECT id FROM sessions WHERE ",
            $condition,
            " LIMIT 5000 FOR UPDATE SKIP LOCKED), \
             gone AS (DELETE FROM sessions AS s USING chosen WHERE s.id = chosen.id \
             RETURNING s.id), \
             access AS (DELETE FROM access_tokens WHERE session IN (SELECT id FROM gone) \
             RETURNING 1), \
             refresh AS (DELETE FROM refresh_tokens WHERE session IN (SELECT id FROM gone) \
             RETURNING 1) \
             SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM access) \
             + (SELECT count(*) FROM refresh), (SELECT count(*) FROM gone)"
        )
    };
}

/// Removes what has expired up to `now`.
pub(super) async fn purge(database: &Database, now: Timestamp) -> Result<u64, StoreError> {
    const AT_ONCE: [&str; 13] = [
        remove_expired!("outbox_events", "sequence"),
        remove_expired!("outbox_deliveries", "id"),
        remove_expired!("access_tokens", "hash"),
        remove_expired!("refresh_tokens", "hash"),
        remove_expired!("logins", "handle"),
        remove_expired!("enrolments", "handle"),
        remove_expired!("devices", "token"),
        remove_expired!("cookies", "id_hash"),
        remove_expired!("pushed_requests", "hash"),
        remove_expired!("device_grants", "hash"),
        remove_expired!("throttle", "key"),
        remove_expired!("replay", "scope", "key"),
        remove_expired!("upstream_sessions", "session"),
    ];
    const AFTER_A_DAY: [&str; 4] = [
        remove_expired!("codes", "hash"),
        remove_sessions!("expires_at <= $1"),
        remove_sessions!("revoked_at <= $1"),
        remove_sessions!("idle_timeout_millis > 0 AND last_seen_at <= $1 - idle_timeout_millis"),
    ];
    const RUNS: &str = "WITH chosen AS MATERIALIZED (SELECT id FROM sync_jobs \
         WHERE finished_at <= $1 LIMIT 5000 FOR UPDATE SKIP LOCKED), \
         gone AS (DELETE FROM sync_jobs AS j USING chosen WHERE j.id = chosen.id RETURNING 1) \
         SELECT count(*), count(*) FROM gone";
    let kept = now - KEPT;
    let mut connection = database.primary().await?;
    let mut removed = 0;
    for sql in AT_ONCE {
        removed += remove(&mut connection, sql, now).await?;
    }
    for sql in AFTER_A_DAY {
        removed += remove(&mut connection, sql, kept).await?;
    }
    removed += remove(&mut connection, RUNS, now - RUNS_KEPT).await?;
    Ok(removed)
}

async fn remove(
    connection: &mut Connection,
    sql: &'static str,
    until: Timestamp,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        connection.begin().await?;
        let rows = connection.long_rows(sql, &[&until.millis()]).await?;
        connection.commit().await?;
        let Some(row) = rows.first() else { return Ok(removed) };
        let columns = &mut Columns::of(row, "purge");
        let (all, of_batch): (i64, i64) = (columns.take()?, columns.take()?);
        removed += u64::try_from(all).map_err(|_| columns.corrupt("a negative count"))?;
        if of_batch < BATCH {
            return Ok(removed);
        }
    }
}
