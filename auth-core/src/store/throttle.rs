//! Attempt counters. An attempt is counted before it is judged, so that parallel guesses cannot
//! slip through together; success clears the counters.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;

/// How many attempts in a row, and how long the door stays shut after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleRule {
    /// Attempts allowed in a row.
    pub limit: i64,
    /// How long it stays shut after the last allowed one; also how long a quiet counter is kept.
    pub lockout: Duration,
}

/// What the counter says of this attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It may be judged; so many have been counted with it.
    Allowed {
        /// Count including this attempt.
        count: i64,
    },
    /// The door is shut.
    Locked {
        /// Until then.
        until: Timestamp,
    },
}

/// Attempt counters.
#[async_trait]
pub trait ThrottleStore: Send + Sync {
    /// Counts one attempt under `key`, in one atomic step. A counter that was not touched for
    /// `rule.lockout` starts anew. The `limit`-th attempt in a row is still allowed and shuts the
    /// door from then on for `rule.lockout`; attempts on a shut door change nothing.
    async fn count_attempt(
        &self,
        key: &str,
        rule: ThrottleRule,
        now: Timestamp,
    ) -> Result<Attempt, StoreError>;

    /// Takes back one counted attempt that was not a wrong guess (e.g. the directory was down),
    /// and opens the door again if that attempt had shut it. Never below zero.
    async fn forgive_attempt(&self, key: &str) -> Result<(), StoreError>;

    /// Clears counters after a success.
    async fn clear_attempts(&self, keys: &[String]) -> Result<(), StoreError>;
}
