//! Attempt counters. A counter is as if it were not there from `expires_at` on; the door is shut
//! while the count has reached the limit and that moment has not come.

use async_trait::async_trait;
use auth_core::clock::Timestamp;
use auth_core::store::{Attempt, StoreError, ThrottleRule, ThrottleStore};

use super::PostgresStore;
use super::columns::Columns;

/// A shut door gives no row, and writes nothing.
const COUNT: &str = "\
    INSERT INTO throttle AS t (key, count, expires_at) VALUES ($1, 1, $3) \
    ON CONFLICT (key) DO UPDATE SET expires_at = $3, \
    count = CASE WHEN t.expires_at > $2 THEN t.count + 1 ELSE 1 END \
    WHERE t.expires_at <= $2 OR t.count < $4 RETURNING t.count";

const SHUT_UNTIL: &str =
    "SELECT expires_at FROM throttle WHERE key = $1 AND expires_at > $2 AND count >= $3";

/// Between the two statements the door may be opened; then the attempt is counted anew.
const TRIES: usize = 10;

#[async_trait]
impl ThrottleStore for PostgresStore {
    async fn count_attempt(
        &self,
        key: &str,
        rule: ThrottleRule,
        now: Timestamp,
    ) -> Result<Attempt, StoreError> {
        let key = key.as_bytes();
        let until = (now + rule.lockout).millis();
        let now = now.millis();
        let mut connection = self.database.primary().await?;
        for _ in 0..TRIES {
            if let Some(row) = connection.row(COUNT, &[&key, &now, &until, &rule.limit]).await? {
                let count = Columns::of(&row, "throttle").take()?;
                return Ok(Attempt::Allowed { count });
            }
            if let Some(row) = connection.row(SHUT_UNTIL, &[&key, &now, &rule.limit]).await? {
                let until = Columns::of(&row, "throttle").time()?;
                return Ok(Attempt::Locked { until });
            }
        }
        Err(StoreError::Unavailable {
            message: "an attempt counter changed too often to be counted".to_owned(),
        })
    }

    async fn forgive_attempt(&self, key: &str) -> Result<(), StoreError> {
        const FORGIVE: &str = "UPDATE throttle SET count = count - 1 WHERE key = $1 AND count > 0";
        let mut connection = self.database.primary().await?;
        connection.execute(FORGIVE, &[&key.as_bytes()]).await.map(drop)
    }

    async fn clear_attempts(&self, keys: &[String]) -> Result<(), StoreError> {
        // Locked in the order of keys, as logins do that clear them too.
        const CLEAR: &str = "WITH counters AS MATERIALIZED (SELECT t.key FROM throttle t \
             WHERE t.key = ANY($1) ORDER BY t.key FOR UPDATE) \
             DELETE FROM throttle USING counters WHERE throttle.key = counters.key";
        if keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        self.database.primary().await?.execute(CLEAR, &[&keys]).await.map(drop)
    }
}
