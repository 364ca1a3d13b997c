//! The key of keyed hashes: one random key for the life of a store, itself sealed by the ring and
//! kept as the named value [`HASH_KEY_NAME`].
//!
//! A keyed hash cannot be computed anew when the sealing key changes (nobody knows the recovery
//! codes any more), so it must not depend on any key of the ring. Rotation re-seals this key and
//! leaves it the same; a copied store alone gives an attacker nothing to guess against.

use std::fmt;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use zeroize::Zeroizing;

use super::{KeyRing, OpenError, SealContext};
use crate::random::Random;

/// Name of the stored value that holds the sealed hash key.
pub const HASH_KEY_NAME: &str = "hash_key";

/// A key for HMAC-SHA256 over values that are looked up by their hash.
pub struct HashKey(Zeroizing<[u8; LEN]>);

impl HashKey {
    /// Draws a fresh key, for a store that has none yet.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let mut key = Zeroizing::new([0u8; LEN]);
        random.fill(key.as_mut());
        Self(key)
    }

    /// The form for the store.
    #[must_use]
    pub fn seal(&self, ring: &KeyRing, random: &dyn Random) -> Vec<u8> {
        ring.seal(CONTEXT, self.0.as_ref(), random)
    }

    /// Opens the stored form.
    ///
    /// # Errors
    /// As [`KeyRing::open`].
    pub fn open(ring: &KeyRing, stored: &[u8]) -> Result<Self, OpenError> {
        let plain = ring.open(CONTEXT, stored)?;
        let bytes = <&[u8; LEN]>::try_from(plain.as_slice()).map_err(|_| OpenError::Malformed)?;
        Ok(Self(Zeroizing::new(*bytes)))
    }

    /// HMAC-SHA256 (RFC 2104) over `purpose` and `parts`, each preceded by its length, so that
    /// hashes for different purposes have nothing in common.
    #[must_use]
    pub fn hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = Context::with_key(&Key::new(HMAC_SHA256, self.0.as_ref()));
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0u8; 32];
        for (to, from) in hash.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        hash
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}

const LEN: usize = 32;
const CONTEXT: SealContext<'static> =
    SealContext { table: "named_value", column: "value", row: HASH_KEY_NAME };
