//! The rows of tower-sessions in our store: SHA-256 of the id, and one opaque handle.
//!
//! A row never changes after `create`; what may change (last use, revocation) stands in the
//! session's own row. `save` never makes a row, so that a removed one does not come back to life.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{CookieRecord, Store, StoreError};
use time::OffsetDateTime;
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, Result};

/// tower-sessions over our store.
#[derive(Clone)]
pub(crate) struct CookieStore(pub(crate) Arc<dyn Store>);

impl fmt::Debug for CookieStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CookieStore").field(&self.0.backend()).finish()
    }
}

#[async_trait]
impl SessionStore for CookieStore {
    async fn create(&self, record: &mut Record) -> Result<()> {
        // 128 random bits do not collide; a few tries stand for the impossible.
        for _ in 0..3 {
            if self.0.add_cookie(row(record)?).await.map_err(backend)? {
                return Ok(());
            }
            record.id = Id::default();
        }
        Err(Error::Backend("fresh session ids are taken".to_owned()))
    }

    async fn save(&self, record: &Record) -> Result<()> {
        if self.0.update_cookie(row(record)?).await.map_err(backend)? {
            Ok(())
        } else {
            Err(Error::Backend("the session is gone".to_owned()))
        }
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let Some(cookie) = self.0.cookie(hash(*id)).await.map_err(backend)? else {
            return Ok(None);
        };
        let data: HashMap<String, serde_json::Value> =
            serde_json::from_str(&cookie.data).map_err(|error| Error::Decode(error.to_string()))?;
        let nanos = i128::from(cookie.expires_at.millis()) * 1_000_000;
        let expiry_date = OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .map_err(|error| Error::Decode(error.to_string()))?;
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.0.remove_cookie(hash(*id)).await.map_err(backend)
    }
}

fn row(record: &Record) -> Result<CookieRecord> {
    let data =
        serde_json::to_string(&record.data).map_err(|error| Error::Encode(error.to_string()))?;
    let millis = record.expiry_date.unix_timestamp_nanos() / 1_000_000;
    let millis = i64::try_from(millis).map_err(|error| Error::Encode(error.to_string()))?;
    Ok(CookieRecord { id_hash: hash(record.id), data, expires_at: Timestamp::from_millis(millis) })
}

fn hash(id: Id) -> TokenHash {
    TokenHash::of(&id.0.to_le_bytes())
}

#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn backend(error: StoreError) -> Error {
    Error::Backend(error.to_string())
}
