//! The key of keyed hashes, as broker and provider take it from the store.

use tokio::sync::OnceCell;

use super::BrokerError;
use super::provider::ProviderError;
use crate::key_ring::{HASH_KEY_NAME, HashKey, KeyRing, OpenError};
use crate::store::{Store, StoreError};

/// The stored key, opened at its first use: it never changes.
#[derive(Default)]
pub(super) struct StoredHashKey(OnceCell<HashKey>);

/// Why there is no key.
pub(super) enum HashKeyError {
    Store(StoreError),
    Sealed(OpenError),
}

impl StoredHashKey {
    pub(super) async fn get(
        &self,
        store: &dyn Store,
        ring: &KeyRing,
    ) -> Result<&HashKey, HashKeyError> {
        self.0
            .get_or_try_init(|| async {
                let stored = store.named_value(HASH_KEY_NAME).await.map_err(HashKeyError::Store)?;
                let stored = stored.ok_or_else(|| {
                    HashKeyError::Store(StoreError::Corrupt {
                        message: format!("the named value {HASH_KEY_NAME:?} is missing"),
                    })
                })?;
                HashKey::open(ring, &stored).map_err(HashKeyError::Sealed)
            })
            .await
    }
}

impl From<HashKeyError> for BrokerError {
    fn from(error: HashKeyError) -> Self {
        match error {
            HashKeyError::Store(error) => error.into(),
            HashKeyError::Sealed(error) => Self::Internal(format!("{HASH_KEY_NAME}: {error}")),
        }
    }
}

impl From<HashKeyError> for ProviderError {
    fn from(error: HashKeyError) -> Self {
        match error {
            HashKeyError::Store(error) => error.into(),
            HashKeyError::Sealed(source) => Self::Sealed { what: HASH_KEY_NAME.to_owned(), source },
        }
    }
}
