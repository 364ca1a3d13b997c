//! Things that may be seen once only, on any node: SAML assertion ids, JWT ids.

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::secret::TokenHash;

/// The replay guard.
#[async_trait]
pub trait ReplayStore: Send + Sync {
    /// Marks `key` within `scope` as seen until `expires_at`. True exactly once for each
    /// (scope, key) until then; a mark goes by a purge only, for the store has no clock.
    async fn first_seen(
        &self,
        scope: &str,
        key: TokenHash,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError>;
}
