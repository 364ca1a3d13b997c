//! The replay guard.

use std::collections::hash_map::Entry;

use async_trait::async_trait;

use super::MemoryStore;
use crate::clock::Timestamp;
use crate::secret::TokenHash;
use crate::store::{ReplayStore, StoreError};

#[async_trait]
impl ReplayStore for MemoryStore {
    async fn first_seen(
        &self,
        scope: &str,
        key: TokenHash,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        match self.open()?.seen.entry((scope.to_owned(), key)) {
            Entry::Occupied(_) => Ok(false),
            Entry::Vacant(free) => {
                free.insert(expires_at);
                Ok(true)
            }
        }
    }
}
