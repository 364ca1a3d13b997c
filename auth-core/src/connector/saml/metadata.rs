//! An identity provider's metadata (SAML metadata 2.0): which entity, which keys, which addresses.
//!
//! Unsigned metadata is believed for where it came from: a file of the administrator, or an https
//! URL that the administrator gave. With a pinned certificate the document's signature has to
//! verify, and then only the verified bytes are read.

mod change;
mod descriptor;
mod endpoint;
mod signed;

pub use change::judge_change;
pub use endpoint::{Binding, Endpoint};

use super::code::{SamlCode, SamlRefusal};
use super::engine::XmlSecurity;
use super::pinned_key::PinnedKey;
use super::xml::{Limits, parse};
use crate::clock::Timestamp;

/// What of a metadata document is wanted, and how far it is believed.
#[derive(Clone, Copy, Debug)]
pub struct MetadataChoice<'c> {
    /// The entity, where there may be several.
    pub entity_id: Option<&'c str>,
    /// SHA-256 of certificates, one of which has to have signed the document; empty: no
    /// signature is asked for.
    pub signed_by: &'c [[u8; 32]],
    /// Whether RSA keys of 1024 to 2047 bits count: `allow_sha1`.
    pub allow_weak: bool,
}

/// An identity provider, as its metadata describes it. Has at least one signing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProvider {
    entity_id: String,
    keys: Vec<PinnedKey>,
    single_sign_on: Vec<Endpoint>,
    single_logout: Vec<Endpoint>,
    wants_signed_requests: bool,
    name_id_formats: Vec<String>,
    valid_until: Option<Timestamp>,
    unusable_keys: Vec<String>,
}

impl IdentityProvider {
    /// Reads a metadata document.
    ///
    /// # Errors
    /// The codes of the strict parse, and those that begin with `metadata_`.
    pub fn from_metadata(
        document: &[u8],
        choice: MetadataChoice<'_>,
        engine: &dyn XmlSecurity,
        now: Timestamp,
    ) -> Result<Self, SamlRefusal> {
        // Windows writes files with a byte order mark.
        let document = document.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(document);
        let root = parse(document, &Limits::METADATA)?;
        if choice.signed_by.is_empty() {
            return descriptor::read(&root, choice, now);
        }
        let verified = signed::verified(&root, choice.signed_by, engine)?;
        descriptor::read(&parse(verified.as_bytes(), &Limits::METADATA)?, choice, now)
    }

    /// Its entity id.
    #[must_use]
    pub fn entity_id(&self) -> &str {
        &self.entity_id
    }

    /// The keys that it signs with. Never empty.
    #[must_use]
    pub fn keys(&self) -> &[PinnedKey] {
        &self.keys
    }

    /// Where requests go by this binding.
    #[must_use]
    pub fn single_sign_on(&self, binding: Binding) -> Option<&Endpoint> {
        self.single_sign_on.iter().find(|endpoint| endpoint.binding == binding)
    }

    /// Where logout messages go by this binding.
    #[must_use]
    pub fn single_logout(&self, binding: Binding) -> Option<&Endpoint> {
        self.single_logout.iter().find(|endpoint| endpoint.binding == binding)
    }

    /// Whether it wants requests to be signed.
    #[must_use]
    pub const fn wants_signed_requests(&self) -> bool {
        self.wants_signed_requests
    }

    /// NameID formats that it says it can give.
    #[must_use]
    pub fn name_id_formats(&self) -> &[String] {
        &self.name_id_formats
    }

    /// Until when the metadata counts.
    #[must_use]
    pub const fn valid_until(&self) -> Option<Timestamp> {
        self.valid_until
    }

    /// Signing keys that were left out, and why.
    #[must_use]
    pub fn unusable_keys(&self) -> &[String] {
        &self.unusable_keys
    }

    /// Fingerprints of the keys, sorted: what an administrator approves.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        let mut all: Vec<String> = self.keys.iter().map(PinnedKey::fingerprint).collect();
        all.sort();
        all
    }

    /// Drops keys that these settings do not accept.
    pub(crate) fn keep_strong_keys(&mut self, allow_weak: bool) -> Result<(), SamlRefusal> {
        if !allow_weak {
            self.keys.retain(|key| !key.is_weak());
        }
        match self.keys.is_empty() {
            false => Ok(()),
            true => Err(SamlCode::MetadataNoKey.because("no signing key is strong enough")),
        }
    }
}
