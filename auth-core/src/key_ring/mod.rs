//! The sealing keys: what the store keeps of a secret that must be read back (TOTP seeds, signing
//! keys, client secrets) is encrypted and authenticated by a key that is not in the store.
//!
//! AES-256-GCM-SIV (RFC 8452) with a random nonce. A sealed value is
//!
//! ```text
//! 0x01 | key id (4 bytes) | nonce (12) | cipher text | tag (16)
//! ```
//!
//! Its associated data are the format byte, the key id, and the table, column and row that it
//! belongs to, so a value copied to another row or column does not open there. One key of the
//! ring is active and seals; all of them open. Values that must be found again by content
//! (recovery codes) are hashed under a [`HashKey`], which is itself sealed and so outlives every
//! rotation. The text form is described at [`FormatError`], the file at [`mod@file`].

mod check;
pub mod file;
mod format;
mod hash_key;
mod key;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

pub use check::RingMismatch;
pub use format::FormatError;
pub use hash_key::{HASH_KEY_NAME, HashKey};
pub use key::KeyId;

use crate::clock::Timestamp;
use crate::random::Random;
use key::{ID_LEN, RingKey};

/// Where a sealed value belongs. Sealing and opening must name the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealContext<'a> {
    /// Table, e.g. `factor`.
    pub table: &'a str,
    /// Column, e.g. `sealed`.
    pub column: &'a str,
    /// The row's primary key as text.
    pub row: &'a str,
}

/// Why a sealed value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The value is too short, or of a format that this version does not know.
    #[error("the sealed value is damaged, or was written by a newer version")]
    Malformed,
    /// Altered, or sealed for another table, column or row.
    #[error("the sealed value was altered, or belongs to another row")]
    Tampered,
    /// Sealed by a key that the ring does not hold.
    #[error(
        "sealed by key {key_id}, which is not in the key ring: put that key back into the ring"
    )]
    UnknownKey {
        /// The missing key.
        key_id: KeyId,
    },
}

/// Why a key cannot be taken out of the ring, or made the active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyChangeError {
    /// The active key seals and cannot go.
    #[error("key {0} is the active one: activate another key first")]
    Active(KeyId),
    /// No such key.
    #[error("key {0} is not in the ring")]
    Unknown(KeyId),
}

/// The sealing keys of this installation: one active, any number of older or standby ones.
pub struct KeyRing {
    active: RingKey,
    /// In the order of the file.
    others: Vec<RingKey>,
}

impl KeyRing {
    /// A ring with one fresh key.
    #[must_use]
    pub fn generate(random: &dyn Random, now: Timestamp) -> Self {
        Self { active: RingKey::generate(random, now), others: Vec::new() }
    }

    /// Seals `plain` for `context` by the active key.
    ///
    /// # Panics
    /// Never for a value that fits in memory: the cipher refuses only 64 GiB and more.
    #[must_use]
    #[expect(clippy::expect_used, reason = "nothing may be stored unsealed in its place")]
    pub fn seal(&self, context: SealContext<'_>, plain: &[u8], random: &dyn Random) -> Vec<u8> {
        let mut nonce = [0u8; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(HEADER_LEN + plain.len() + TAG_LEN);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.active.id().to_bytes());
        sealed.extend_from_slice(&nonce);
        let aad = associated_data(self.active.id(), context);
        // The plain text is encrypted where it stands, so that no copy of it stays behind.
        sealed.extend_from_slice(plain);
        let tag = sealed
            .get_mut(HEADER_LEN..)
            .and_then(|text| {
                let nonce = Nonce::assume_unique_for_key(nonce);
                self.active.cipher().seal_in_place_separate_tag(nonce, Aad::from(aad), text).ok()
            })
            .expect("AES-256-GCM-SIV seals everything under 64 GiB");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what [`KeyRing::seal`] made for the same `context`.
    ///
    /// # Errors
    /// [`OpenError`]; `UnknownKey` names the key that is missing.
    pub fn open(
        &self,
        context: SealContext<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let key_id = Self::sealed_with(sealed).ok_or(OpenError::Malformed)?;
        let key = self.key(key_id).ok_or(OpenError::UnknownKey { key_id })?;
        let nonce = sealed.get(1 + ID_LEN..HEADER_LEN).ok_or(OpenError::Malformed)?;
        let body = sealed.get(HEADER_LEN..).ok_or(OpenError::Malformed)?;
        let (text, tag) = body
            .len()
            .checked_sub(TAG_LEN)
            .map(|at| body.split_at(at))
            .ok_or(OpenError::Malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Malformed)?;
        let mut plain = Zeroizing::new(vec![0u8; text.len()]);
        key.cipher()
            .open_separate_gather(
                nonce,
                Aad::from(associated_data(key_id, context)),
                text,
                tag,
                plain.as_mut_slice(),
            )
            .map_err(|_| OpenError::Tampered)?;
        Ok(plain)
    }

    /// Which key sealed this value; `None` when it is not a sealed value of a known format.
    #[must_use]
    pub fn sealed_with(sealed: &[u8]) -> Option<KeyId> {
        let (&format, rest) = sealed.split_first()?;
        if format != FORMAT || sealed.len() < HEADER_LEN + TAG_LEN {
            return None;
        }
        rest.first_chunk().copied().map(KeyId::from_bytes)
    }

    /// All keys, oldest first, with the time of their making.
    #[must_use]
    pub fn keys(&self) -> Vec<(KeyId, Timestamp)> {
        let mut keys: Vec<_> = self.iter().map(|key| (key.id(), key.created_at())).collect();
        keys.sort_by_key(|&(id, created_at)| (created_at, id));
        keys
    }

    /// The ids of all keys, oldest first.
    #[must_use]
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.keys().into_iter().map(|(id, _)| id).collect()
    }

    /// The key that seals.
    #[must_use]
    pub const fn active_key_id(&self) -> KeyId {
        self.active.id()
    }

    /// Whether the ring holds this key.
    #[must_use]
    pub fn contains(&self, id: KeyId) -> bool {
        self.key(id).is_some()
    }

    /// Adds a fresh key and makes it the active one; the others still open.
    pub fn add_key(&mut self, random: &dyn Random, now: Timestamp) -> KeyId {
        let key = self.fresh_key(random, now);
        let before = std::mem::replace(&mut self.active, key);
        self.others.push(before);
        self.active.id()
    }

    /// Adds a fresh key that opens but does not seal yet. With several nodes, give the ring with
    /// the standby key to every node first, then [`KeyRing::activate`] it: so no node meets a
    /// value that it cannot open.
    pub fn add_standby_key(&mut self, random: &dyn Random, now: Timestamp) -> KeyId {
        let key = self.fresh_key(random, now);
        let id = key.id();
        self.others.push(key);
        id
    }

    /// Makes a key of the ring the active one.
    ///
    /// # Errors
    /// `Unknown` when it is not in the ring.
    pub fn activate(&mut self, id: KeyId) -> Result<(), KeyChangeError> {
        if self.active.id() == id {
            return Ok(());
        }
        let slot =
            self.others.iter_mut().find(|key| key.id() == id).ok_or(KeyChangeError::Unknown(id))?;
        std::mem::swap(&mut self.active, slot);
        Ok(())
    }

    /// Takes a key out of the ring and wipes it. The caller has made sure that no stored value is
    /// sealed by it any more (see [`KeyRing::sealed_with`]).
    ///
    /// # Errors
    /// `Active` for the active key, `Unknown` when it is not in the ring.
    pub fn retire_key(&mut self, id: KeyId) -> Result<(), KeyChangeError> {
        if self.active.id() == id {
            return Err(KeyChangeError::Active(id));
        }
        let at =
            self.others.iter().position(|key| key.id() == id).ok_or(KeyChangeError::Unknown(id))?;
        self.others.remove(at);
        Ok(())
    }

    fn fresh_key(&self, random: &dyn Random, now: Timestamp) -> RingKey {
        loop {
            let key = RingKey::generate(random, now);
            if !self.contains(key.id()) {
                return key;
            }
        }
    }

    fn key(&self, id: KeyId) -> Option<&RingKey> {
        self.iter().find(|key| key.id() == id)
    }

    fn iter(&self) -> impl Iterator<Item = &RingKey> {
        self.others.iter().chain(std::iter::once(&self.active))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}

/// Each text is preceded by its length, so that no two contexts encode alike.
fn associated_data(key_id: KeyId, context: SealContext<'_>) -> Vec<u8> {
    let texts = [context.table, context.column, context.row];
    let mut data =
        Vec::with_capacity(1 + ID_LEN + texts.iter().map(|t| t.len() + 8).sum::<usize>());
    data.push(FORMAT);
    data.extend_from_slice(&key_id.to_bytes());
    for text in texts {
        data.extend_from_slice(&(text.len() as u64).to_be_bytes());
        data.extend_from_slice(text.as_bytes());
    }
    data
}

const FORMAT: u8 = 1;
const HEADER_LEN: usize = 1 + ID_LEN + NONCE_LEN;
const TAG_LEN: usize = 16;
