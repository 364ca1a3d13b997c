//! The check value: a known text sealed by the ring, kept in the store from its first migration
//! on. It tells whether a ring is the one that this store was sealed with, before anything is
//! written with a wrong one.

use super::{KeyId, KeyRing, OpenError, SealContext};
use crate::random::Random;

/// Why a ring does not belong to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingMismatch {
    /// The check value in the store cannot be read.
    #[error(
        "the store's ring check value is damaged, or was written by a newer version: restore the store from a backup"
    )]
    Damaged,
    /// The ring lacks the key that the store was sealed with.
    #[error(
        "the store was sealed with key {key_id}, which is not in this key ring: put back the key ring file that holds it"
    )]
    MissingKey {
        /// The missing key.
        key_id: KeyId,
    },
    /// The ring holds a key of that id, but it does not open the check value.
    #[error(
        "the store's ring check value does not open with key {key_id} of this key ring: one of the two was altered; restore the key ring file or the store from a backup"
    )]
    WrongKey {
        /// The key that should have opened it.
        key_id: KeyId,
    },
}

impl KeyRing {
    /// Makes the check value for a new store, or anew after a rotation, by the active key.
    #[must_use]
    pub fn make_check(&self, random: &dyn Random) -> Vec<u8> {
        self.seal(CONTEXT, PLAIN, random)
    }

    /// Judges whether this ring belongs to the store that holds `stored`.
    ///
    /// # Errors
    /// [`RingMismatch`], naming the key that is missing.
    pub fn verify_check(&self, stored: &[u8]) -> Result<(), RingMismatch> {
        let key_id = Self::sealed_with(stored).ok_or(RingMismatch::Damaged)?;
        match self.open(CONTEXT, stored) {
            Ok(plain) if plain.as_slice() == PLAIN => Ok(()),
            Ok(_) | Err(OpenError::Tampered) => Err(RingMismatch::WrongKey { key_id }),
            Err(OpenError::Malformed) => Err(RingMismatch::Damaged),
            Err(OpenError::UnknownKey { key_id }) => Err(RingMismatch::MissingKey { key_id }),
        }
    }
}

const CONTEXT: SealContext<'static> =
    SealContext { table: "named_value", column: "value", row: "ring_check" };
const PLAIN: &[u8] = b"this ring belongs to this store";
