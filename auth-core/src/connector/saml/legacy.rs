//! What is accepted only where `allow_sha1` is set. Every use is named, so that it can be counted
//! and an administrator sees whether the switch is needed any longer.

use std::collections::BTreeSet;

use super::engine::{DigestAlgorithm, SignatureAlgorithm};
use super::pinned_key::PinnedKey;

/// A weakness of a signature that was verified and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LegacyAlgorithm {
    /// The digest of what is signed is SHA-1.
    Sha1Digest,
    /// The signature is RSA with SHA-1.
    Sha1Signature,
    /// The RSA key has 1024 to 2047 bits.
    ShortRsaKey,
}

impl LegacyAlgorithm {
    /// The word in metrics and in `saml inspect`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1Digest => "sha1_digest",
            Self::Sha1Signature => "sha1_signature",
            Self::ShortRsaKey => "short_rsa_key",
        }
    }
}

/// What is weak about a signature that `key` made; a query has no digest.
pub(super) fn weaknesses(
    signature: SignatureAlgorithm,
    digest: Option<DigestAlgorithm>,
    key: &PinnedKey,
) -> BTreeSet<LegacyAlgorithm> {
    let found = [
        (digest == Some(DigestAlgorithm::Sha1)).then_some(LegacyAlgorithm::Sha1Digest),
        (signature == SignatureAlgorithm::RsaSha1).then_some(LegacyAlgorithm::Sha1Signature),
        key.is_weak().then_some(LegacyAlgorithm::ShortRsaKey),
    ];
    found.into_iter().flatten().collect()
}
