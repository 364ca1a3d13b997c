//! The replay guard in SQLite.

use async_trait::async_trait;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{ReplayStore, StoreError};
use rusqlite::params;

use super::SqliteStore;
use super::row::change;

#[async_trait]
impl ReplayStore for SqliteStore {
    async fn first_seen(
        &self,
        scope: &str,
        key: TokenHash,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let scope = scope.to_owned();
        let sql = "INSERT INTO replay (scope, key, expires_at) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (scope, key) DO NOTHING";
        self.write(move |c| {
            Ok(change(c, sql, params![scope, key.as_bytes(), expires_at.millis()])? == 1)
        })
        .await
    }
}
