//! One sealing key and its id.
//!
//! The id is the beginning of a SHA-256 over the key, so a key that was damaged or exchanged in
//! the file no longer fits its id and is noticed when the ring is read.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, LessSafeKey, UnboundKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize as _, Zeroizing};

use crate::clock::Timestamp;
use crate::random::Random;

pub(super) const ID_LEN: usize = 4;
pub(super) const KEY_LEN: usize = 32;

/// Names a sealing key: 8 hexadecimal digits. Not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; ID_LEN]);

impl KeyId {
    /// Reads 8 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed =
            text.len() == 2 * ID_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        well_formed
            .then(|| u32::from_str_radix(text, 16).ok())
            .flatten()
            .map(|number| Self(number.to_be_bytes()))
    }

    pub(super) const fn from_bytes(bytes: [u8; ID_LEN]) -> Self {
        Self(bytes)
    }

    pub(super) const fn to_bytes(self) -> [u8; ID_LEN] {
        self.0
    }

    fn of(secret: &[u8; KEY_LEN]) -> Self {
        let mut input = Zeroizing::new([0u8; LABEL.len() + KEY_LEN]);
        for (to, from) in input.iter_mut().zip(LABEL.iter().chain(secret)) {
            *to = *from;
        }
        let mut digest = crate::secret::sha256(input.as_ref());
        let mut id = [0u8; ID_LEN];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        digest.zeroize();
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a key id is 8 hex digits"))
    }
}

/// A key of the ring. The cipher's own key schedule is wiped by aws-lc when it is freed.
pub(super) struct RingKey {
    id: KeyId,
    created_at: Timestamp,
    secret: Zeroizing<[u8; KEY_LEN]>,
    cipher: LessSafeKey,
}

impl RingKey {
    pub(super) fn generate(random: &dyn Random, now: Timestamp) -> Self {
        let mut secret = Zeroizing::new([0u8; KEY_LEN]);
        random.fill(secret.as_mut());
        Self::new(secret, now)
    }

    #[expect(clippy::expect_used, reason = "the length is in the type")]
    pub(super) fn new(secret: Zeroizing<[u8; KEY_LEN]>, created_at: Timestamp) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, secret.as_ref())
            .expect("an AES-256 key has 32 bytes");
        Self { id: KeyId::of(&secret), created_at, secret, cipher: LessSafeKey::new(key) }
    }

    pub(super) const fn id(&self) -> KeyId {
        self.id
    }

    pub(super) const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    pub(super) fn secret(&self) -> &[u8; KEY_LEN] {
        &self.secret
    }

    pub(super) const fn cipher(&self) -> &LessSafeKey {
        &self.cipher
    }
}

const LABEL: &[u8] = b"sealing key id\0";
