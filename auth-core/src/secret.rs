//! Values that must not leak: passwords, bearer tokens and their hashes.
//!
//! A secret type has no `Display`, `Serialize`, `Clone` or `PartialEq`; `Debug` prints the type's
//! name only. Bearer tokens carry 256 random bits, so a plain SHA-256 of one can be stored
//! (there is nothing to guess), and a lookup by hash reveals nothing by its timing.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::random::Random;

/// A text that somebody typed or configured and that must not be shown again, such as a password.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the copy is wiped when dropped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares without giving away where the difference is.
    #[must_use]
    pub fn matches(&self, other: &str) -> bool {
        // Both sides are hashed first, so that not even the length shows in the timing.
        sha256(self.0.as_bytes()).ct_eq(&sha256(other.as_bytes())).into()
    }
}

/// A secret that presented texts are compared with again and again: hashed once, not at each
/// comparison, and not kept as text.
pub struct SecretDigest(Zeroizing<[u8; 32]>);

impl SecretDigest {
    /// The digest of `secret`.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        Self(Zeroizing::new(sha256(secret.expose().as_bytes())))
    }

    /// As [`Secret::matches`].
    #[must_use]
    pub fn matches(&self, other: &str) -> bool {
        self.0.ct_eq(&sha256(other.as_bytes())).into()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// A bearer token of 256 random bits, as base64url text without padding (43 characters).
pub struct Token(Zeroizing<String>);

impl Token {
    /// Draws a fresh token.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0u8; 32]);
        random.fill(bytes.as_mut());
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
    }

    /// Takes a token that a caller presented. `None` for anything that cannot be one of ours
    /// (wrong length or alphabet), so that junk never reaches the store.
    #[must_use]
    pub fn parse(presented: &str) -> Option<Self> {
        let well_formed = presented.len() == 43
            && presented.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        well_formed.then(|| Self(Zeroizing::new(presented.to_owned())))
    }

    /// The token's text, to be given to its owner once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the store keeps.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(sha256(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// SHA-256 of a [`Token`]: the only form in which one is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A hash read back from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A hash of any other high-entropy value, such as a cookie's session id.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn a_token_parses_back_to_the_same_hash() {
        let token = Token::generate(&SystemRandom::new());
        let again = Token::parse(token.expose()).map(|t| t.hash());
        assert_eq!(again, Some(token.hash()));
    }

    #[test]
    fn junk_is_no_token() {
        for junk in ["", "abc", "'; DROP TABLE x; --                          ", &"a".repeat(44)] {
            assert!(Token::parse(junk).is_none(), "{junk:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret");
        assert_eq!(format!("{:?}", Token::generate(&SystemRandom::new())), "Token");
    }

    #[test]
    fn secrets_compare_by_content() {
        let secret = Secret::new("correct horse".into());
        assert!(secret.matches("correct horse"));
        assert!(!secret.matches("correct hors"));
        let digest = SecretDigest::of(&secret);
        assert!(digest.matches("correct horse") && !digest.matches("correct hors"));
        assert_eq!(format!("{digest:?}"), "SecretDigest");
    }
}
