//! A connection: settings, and the trust in one identity provider.
//!
//! Without a usable pinned key there is no [`SamlConnection`], so a verification with an empty
//! key set cannot be written.

use std::sync::Arc;
use std::time::Duration;

use super::code::{SamlCode, SamlRefusal};
use super::engine::{PrivateKey, XmlSecurity};
use super::metadata::IdentityProvider;
use super::pinned_key::PinnedKey;
use super::response::{self, Judgement};
use super::semantics::{Expectation, Expected};
use super::settings::SamlSettings;
use super::signature::AllowedAlgorithms;
use crate::clock::Timestamp;

/// The largest difference of clocks that can be set.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);

/// A connection to one identity provider. Cheap to share behind an `Arc`; every call is a pure
/// computation of up to a few milliseconds, so run it off the async threads.
pub struct SamlConnection {
    settings: SamlSettings,
    trust: Trust,
}

/// What a connection believes, and whom.
pub(crate) struct Trust {
    pub(crate) idp: IdentityProvider,
    pub(crate) engine: Arc<dyn XmlSecurity>,
    /// Our keys, the newest first: the first signs, all decrypt.
    pub(crate) decryption_keys: Vec<Arc<dyn PrivateKey>>,
}

impl SamlConnection {
    /// Puts a connection together. `keys` are ours, the newest first; without any, nothing is
    /// signed or decrypted.
    ///
    /// # Errors
    /// `metadata_no_key` when no pinned key is usable under these settings; `times` for a clock
    /// skew of more than 300 s; `engine_failed` when requests are to be signed and there is no
    /// key of ours.
    pub fn new(
        settings: SamlSettings,
        mut idp: IdentityProvider,
        engine: Arc<dyn XmlSecurity>,
        keys: Vec<Arc<dyn PrivateKey>>,
    ) -> Result<Self, SamlRefusal> {
        if settings.clock_skew > MAX_CLOCK_SKEW {
            return Err(SamlCode::Times.because("clock_skew is more than 300s"));
        }
        idp.keep_strong_keys(settings.allow_sha1)?;
        let signs = settings.sign_requests || settings.sign_metadata;
        if signs && keys.is_empty() {
            return Err(SamlCode::EngineFailed.because("there is no key of ours to sign with"));
        }
        Ok(Self { settings, trust: Trust { idp, engine, decryption_keys: keys } })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.settings.id
    }

    /// What people read on the sign-in page.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.settings.label
    }

    /// Its settings.
    #[must_use]
    pub const fn settings(&self) -> &SamlSettings {
        &self.settings
    }

    /// The identity provider.
    #[must_use]
    pub const fn identity_provider(&self) -> &IdentityProvider {
        &self.trust.idp
    }

    /// Our keys, the newest first.
    #[must_use]
    pub fn keys(&self) -> &[Arc<dyn PrivateKey>] {
        &self.trust.decryption_keys
    }

    /// Judges a response (the decoded document). Pure: `now` is the only time there is.
    #[must_use]
    pub fn verify(
        &self,
        document: &[u8],
        expectation: Expectation<'_>,
        now: Timestamp,
    ) -> Judgement {
        response::judge(document, self, expectation, now)
    }

    pub(crate) const fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(crate) fn pinned_keys(&self) -> &[PinnedKey] {
        self.trust.idp.keys()
    }

    pub(crate) const fn allowed(&self) -> AllowedAlgorithms {
        AllowedAlgorithms { sha1: self.settings.allow_sha1 }
    }

    pub(crate) fn expected<'c>(
        &'c self,
        expectation: Expectation<'c>,
        now: Timestamp,
    ) -> Expected<'c> {
        Expected {
            idp_entity_id: self.trust.idp.entity_id(),
            sp_entity_id: &self.settings.sp_entity_id,
            acs_url: &self.settings.acs_url,
            skew: self.settings.clock_skew,
            allow_idp_initiated: self.settings.allow_idp_initiated,
            authn_context: &self.settings.authn_context,
            expectation,
            now,
        }
    }
}

impl std::fmt::Debug for SamlConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SamlConnection").field("id", &self.id()).finish_non_exhaustive()
    }
}
