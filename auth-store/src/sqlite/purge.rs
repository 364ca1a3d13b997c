//! Removing what has expired, in slices that a commit takes in its stride.

use std::time::Duration;

use auth_core::clock::Timestamp;
use auth_core::store::StoreError;
use rusqlite::Connection;

use super::row::change;

/// One kind of row to remove.
#[derive(Clone, Copy)]
pub(super) struct Purge {
    sql: &'static str,
    /// How long a row is kept after its end.
    kept: Duration,
}

impl Purge {
    /// Its statement.
    #[cfg(test)]
    pub(super) const fn sql(&self) -> &'static str {
        self.sql
    }

    /// Removes one slice; how many rows went, 0 when none is left.
    pub(super) fn slice(self, c: &Connection, now: Timestamp) -> Result<u64, StoreError> {
        // Unlike the statement's own count, this one has the tokens that go with a session.
        let before = c.total_changes();
        change(c, self.sql, &[&(now - self.kept).millis()])?;
        Ok(c.total_changes().saturating_sub(before))
    }
}

/// All kinds. Tokens come before their sessions, whose removal takes the remaining ones along.
pub(super) const PURGES: &[Purge] = &[
    at_once(
        "DELETE FROM login WHERE handle IN
            (SELECT handle FROM login WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM enrolment WHERE handle IN
            (SELECT handle FROM enrolment WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM device WHERE token IN
            (SELECT token FROM device WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    after_a_day(
        "DELETE FROM code WHERE hash IN
            (SELECT hash FROM code WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM access_token WHERE hash IN
            (SELECT hash FROM access_token WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM refresh_token WHERE hash IN
            (SELECT hash FROM refresh_token WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM cookie WHERE id_hash IN
            (SELECT id_hash FROM cookie WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    after_a_day(
        "DELETE FROM session WHERE id IN
            (SELECT id FROM session WHERE expires_at <= ?1 LIMIT 500)",
    ),
    after_a_day(
        "DELETE FROM session WHERE id IN
            (SELECT id FROM session WHERE revoked_at <= ?1 LIMIT 500)",
    ),
    after_a_day(
        "DELETE FROM session WHERE id IN
            (SELECT id FROM session
             WHERE idle_timeout_millis > 0 AND last_seen_at + idle_timeout_millis <= ?1 LIMIT 500)",
    ),
    at_once(
        "DELETE FROM pushed_request WHERE hash IN
            (SELECT hash FROM pushed_request WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM device_grant WHERE hash IN
            (SELECT hash FROM device_grant WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM replay WHERE (scope, key) IN
            (SELECT scope, key FROM replay WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM upstream_session WHERE session IN
            (SELECT session FROM upstream_session WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM outbox_event WHERE sequence IN
            (SELECT sequence FROM outbox_event WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM outbox_delivery WHERE id IN
            (SELECT id FROM outbox_delivery WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    at_once(
        "DELETE FROM throttle WHERE key IN
            (SELECT key FROM throttle WHERE expires_at <= ?1 LIMIT 2000)",
    ),
    Purge {
        sql: "DELETE FROM sync_job WHERE id IN
            (SELECT id FROM sync_job WHERE finished_at <= ?1 LIMIT 2000)",
        kept: Duration::from_secs(90 * 24 * 60 * 60),
    },
];

const fn at_once(sql: &'static str) -> Purge {
    Purge { sql, kept: Duration::ZERO }
}

/// So that a code or token presented again is still known as used, and its session as ended.
const fn after_a_day(sql: &'static str) -> Purge {
    Purge { sql, kept: Duration::from_secs(24 * 60 * 60) }
}
