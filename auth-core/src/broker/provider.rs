//! The OpenID provider: hands sessions to chat servers. Loads, lets [`crate::handoff`] decide,
//! saves, and leaves the audit events.
//!
//! Whatever happens here happens in one call of the store: a code is redeemed together with its
//! session and tokens, a refresh token rotated together with its successor. Clients and keys are
//! read again every few seconds, because another process may change them.

mod account_recheck;
mod authorize;
mod bearer;
mod client_commands;
mod client_directory;
mod client_login;
mod device;
mod error;
mod forward_auth;
mod gitlab;
mod introspect;
mod key_cabinet;
mod key_commands;
mod logout;
mod outbox;
mod preview;
mod pushed_request;
mod redeem;
mod refresh;
mod revoke;
mod session_api;
mod subject;
#[cfg(test)]
mod tests;
mod token;
mod userinfo;

use std::sync::Arc;

use openidconnect::core::CoreJsonWebKeySet;
use url::Url;

pub use account_recheck::{AccountRecheck, RecheckVerdict};
pub use authorize::{AuthorizationFailure, AuthorizationOutcome};
pub use client_commands::{ClientCommandError, ClientListing, ClientSource};
pub use device::{DeviceLookup, DevicePrompt};
pub use error::ProviderError;
pub use forward_auth::{ForwardAuthAnswer, ForwardAuthSession};
pub use gitlab::GitlabIdentity;
pub use key_commands::{KeyCommandError, KeyListing, KeyState, RotationReport};
pub use outbox::BackchannelTarget;
pub use preview::ClaimsPreview;
pub use session_api::{ExchangedSession, SessionApiError};

use crate::audit::AuditRecord;
use crate::broker::hash_key::StoredHashKey;
use crate::clock::{Clock, Timestamp};
use crate::handoff::claim_rule::ClaimRule;
use crate::handoff::client::Client;
use crate::handoff::client_session::SessionLengths;
use crate::handoff::discovery::{self, BrokerMetadata};
use crate::handoff::issuer::Issuer;
use crate::handoff::signing_key_set::RotationPolicy;
use crate::key_ring::KeyRing;
use crate::random::Random;
use crate::store::{SessionId, Store};
use client_directory::ClientDirectory;
use key_cabinet::KeyCabinet;

/// What the provider is told at its making.
#[derive(Debug)]
pub struct ProviderSettings {
    /// The public URL; the issuer of every token.
    pub issuer: Url,
    /// The clients of the configuration file.
    pub clients: Vec<Client>,
    /// How long client sessions last, by kind.
    pub session_lengths: SessionLengths,
    /// When signing keys are replaced.
    pub rotation: RotationPolicy,
    /// What single clients are told beside the usual claims.
    pub claim_rules: Vec<ClaimRule>,
    /// Whether any connector maps further claims. Where none does, nothing of that kind is told, and
    /// no store is asked for it at each userinfo request. Default: `true`.
    pub further_claims: bool,
}

impl ProviderSettings {
    /// A provider at `issuer` with these clients, and defaults for the rest.
    #[must_use]
    pub fn new(issuer: Url, clients: Vec<Client>) -> Self {
        Self {
            issuer,
            clients,
            session_lengths: SessionLengths::default(),
            rotation: RotationPolicy::default(),
            claim_rules: Vec::new(),
            further_claims: true,
        }
    }
}

/// The OpenID provider. Cheap to share behind an `Arc`.
pub struct Provider {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    ring: Arc<KeyRing>,
    issuer: Issuer,
    metadata: BrokerMetadata,
    clients: ClientDirectory,
    keys: KeyCabinet,
    session_lengths: SessionLengths,
    rotation: RotationPolicy,
    further_claims: bool,
    recheck: Option<Arc<dyn AccountRecheck>>,
    hash_key: StoredHashKey,
}

impl Provider {
    /// A provider over `store`. It serves nobody before [`Provider::start`].
    ///
    /// # Errors
    /// When two clients have one id, or the issuer cannot be one.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        ring: Arc<KeyRing>,
        settings: ProviderSettings,
    ) -> Result<Self, ProviderError> {
        let issuer = Issuer::new(&settings.issuer);
        let metadata = discovery::metadata(&issuer)?;
        Ok(Self {
            store,
            clock,
            random,
            ring,
            issuer,
            metadata,
            clients: ClientDirectory::new(settings.clients, settings.claim_rules)?,
            keys: KeyCabinet::default(),
            session_lengths: settings.session_lengths,
            rotation: settings.rotation,
            further_claims: settings.further_claims,
            recheck: None,
            hash_key: StoredHashKey::default(),
        })
    }

    /// Asks `recheck` before every refresh.
    #[must_use]
    pub fn with_recheck(mut self, recheck: Arc<dyn AccountRecheck>) -> Self {
        self.recheck = Some(recheck);
        self
    }

    /// Makes the signing keys that are missing and reads keys and clients.
    ///
    /// # Errors
    /// When the store fails, a sealed value does not open, or a client of the configuration is in
    /// the store too.
    pub async fn start(&self) -> Result<(), ProviderError> {
        self.ensure_signing_keys().await?;
        self.check_stored_clients().await
    }

    /// Whether the provider can sign with every algorithm just now; for readiness.
    ///
    /// # Errors
    /// What is missing.
    pub async fn ready(&self) -> Result<(), ProviderError> {
        let now = self.clock.now();
        for algorithm in crate::handoff::signing_key::SigningAlgorithm::ALL {
            self.signer(algorithm, now).await?;
        }
        Ok(())
    }

    /// The issuer.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The metadata for `/.well-known/openid-configuration`.
    #[must_use]
    pub const fn discovery(&self) -> &BrokerMetadata {
        &self.metadata
    }

    /// The public signing keys.
    ///
    /// # Errors
    /// When they were never read and cannot be.
    pub async fn jwks(&self) -> Result<CoreJsonWebKeySet, ProviderError> {
        Ok(self.signing_keys(self.clock.now()).await?.jwks())
    }

    fn new_session_id(&self, now: Timestamp) -> SessionId {
        SessionId(super::new_id(self.random.as_ref(), now))
    }

    /// Writes an event that goes with no other change to the trail and the log. That the trail
    /// cannot be written must not turn a refusal into something else.
    async fn note(&self, event: AuditRecord) {
        event.log();
        if let Err(error) = self.store.append_audit(vec![event]).await {
            tracing::error!(%error, "audit event not stored");
        }
    }
}
