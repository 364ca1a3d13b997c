//! The replay guard in SQLite.

use async_trait::async_trait;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{ReplayStore, StoreError};
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::row::change;

/// Marks `key` as seen, within the transaction; whether it was not before.
pub(super) fn mark(
    c: &Connection,
    scope: &str,
    key: TokenHash,
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO replay (scope, key, expires_at) VALUES (?1, ?2, ?3) \
               ON CONFLICT (scope, key) DO NOTHING";
    Ok(change(c, sql, params![scope, key.as_bytes(), expires_at.millis()])? == 1)
}

#[async_trait]
impl ReplayStore for SqliteStore {
    async fn first_seen(
        &self,
        scope: &str,
        key: TokenHash,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let scope = scope.to_owned();
        self.write(move |c| mark(c, &scope, key, expires_at)).await
    }
}
