//! Proof that something is seen for the first time, on any node.
//!
//! [`claim`] is the only function that asks the replay store, and the only one that makes a
//! [`Fresh`]. Whoever needs one cannot forget to ask.

use crate::clock::Timestamp;
use crate::secret::TokenHash;
use crate::store::{ReplayStore, StoreError};

/// What may be seen once only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayKey {
    scope: &'static str,
    key: TokenHash,
    expires_at: Timestamp,
}

impl ReplayKey {
    /// `key` within `scope`, to be remembered until `expires_at`.
    #[must_use]
    pub const fn new(scope: &'static str, key: TokenHash, expires_at: Timestamp) -> Self {
        Self { scope, key, expires_at }
    }

    /// Until when it has to be remembered.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// Proof that a [`ReplayKey`] was claimed just now, and by nobody before.
///
/// ```compile_fail
/// let forged = auth_core::replay::Fresh { key: todo!() };
/// ```
#[derive(Debug)]
pub struct Fresh {
    key: ReplayKey,
}

impl Fresh {
    /// Whether this is the proof for `key`.
    #[must_use]
    pub fn is_of(&self, key: &ReplayKey) -> bool {
        self.key == *key
    }
}

/// Claims `key` in one atomic step; `None` when it was claimed before.
///
/// # Errors
/// When the store does not answer: then nothing is proven.
pub async fn claim<S: ReplayStore + ?Sized>(
    store: &S,
    key: ReplayKey,
) -> Result<Option<Fresh>, StoreError> {
    let first = store.first_seen(key.scope, key.key, key.expires_at).await?;
    Ok(first.then_some(Fresh { key }))
}
