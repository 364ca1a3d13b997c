//! Attempt counters.

use async_trait::async_trait;

use super::MemoryStore;
use crate::clock::Timestamp;
use crate::store::{Attempt, StoreError, ThrottleRule, ThrottleStore};

/// A counter. The door is shut while the count has reached the rule's limit and `until` has not
/// come, so that taking one attempt back opens it again.
#[derive(Clone)]
pub(super) struct Counter {
    count: i64,
    /// When the counter is as if it were not there: last counted attempt plus the lockout time.
    pub(super) until: Timestamp,
}

#[async_trait]
impl ThrottleStore for MemoryStore {
    async fn count_attempt(
        &self,
        key: &str,
        rule: ThrottleRule,
        now: Timestamp,
    ) -> Result<Attempt, StoreError> {
        let mut state = self.open()?;
        let running = state.counters.get(key).filter(|counter| now < counter.until);
        let count = match running {
            Some(counter) if counter.count >= rule.limit => {
                return Ok(Attempt::Locked { until: counter.until });
            }
            Some(counter) => counter.count + 1,
            None => 1,
        };
        state.counters.insert(key.to_owned(), Counter { count, until: now + rule.lockout });
        Ok(Attempt::Allowed { count })
    }

    async fn forgive_attempt(&self, key: &str) -> Result<(), StoreError> {
        let mut state = self.open()?;
        if let Some(counter) = state.counters.get_mut(key) {
            counter.count = (counter.count - 1).max(0);
        }
        Ok(())
    }

    async fn clear_attempts(&self, keys: &[String]) -> Result<(), StoreError> {
        let mut state = self.open()?;
        for key in keys {
            state.counters.remove(key);
        }
        Ok(())
    }
}
