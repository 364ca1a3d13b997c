//! Things that may be seen once only. A mark stays until it is purged, which is after its expiry.

use async_trait::async_trait;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{ReplayStore, StoreError};

use super::PostgresStore;

#[async_trait]
impl ReplayStore for PostgresStore {
    async fn first_seen(
        &self,
        scope: &str,
        key: TokenHash,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        const MARK: &str = "INSERT INTO replay (scope, key, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (scope, key) DO NOTHING";
        let key = key.as_bytes().as_slice();
        let mut connection = self.database.primary().await?;
        Ok(connection.execute(MARK, &[&scope, &key, &expires_at.millis()]).await? == 1)
    }
}
