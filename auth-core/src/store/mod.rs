//! What the broker needs of a store: async traits over plain `…Record` structs.
//!
//! A record is data (hashes and sealed bytes only); the core alone turns a record that it found
//! by hash into a proof type. Nothing here decides: a method that changes state is one atomic
//! step that either happened wholly, with its audit events in the same transaction, or not at
//! all. What a method answered is durable.
//!
//! Backends: [`memory`] (tests and embedding), SQLite and PostgreSQL in `auth-store`. All pass
//! the conformance suite, which the feature `test-support` opens as `conformance`.

mod accounts;
mod audit;
mod client_accounts;
#[cfg(any(test, feature = "test-support"))]
pub mod conformance;
mod devices;
mod enrolments;
mod factors;
mod grants;
mod identities;
mod keys;
mod linking;
mod logins;
pub mod memory;
pub mod outbox;
mod replay;
mod saml;
mod sessions;
mod sync;
mod throttle;
mod tokens;
mod upstream;

use async_trait::async_trait;

pub use accounts::{
    AccountId, AccountPage, AccountRecord, AccountStore, IdentityRecord, NewAccount, PasswordRecord,
};
pub use audit::{AuditEntry, AuditQuery, AuditStore};
pub use client_accounts::{ClientAccountRecord, ClientAccountStore};
pub use devices::{DeviceId, DeviceRecord, DeviceStore};
pub use enrolments::{EnrolmentRecord, EnrolmentStore, GraceRule, PostponementRecord};
pub use factors::{
    FactorId, FactorKind, FactorRecord, FactorRemoval, FactorStore, PasskeyOutcome, PasskeyUse,
    RecoveryCodeRecord,
};
pub use grants::{
    DeviceAnswer, DeviceGrantRecord, DeviceGrantState, GrantStore, PushedRequestRecord,
};
pub use identities::{ClaimMap, IdentityMove, IdentityStore, PasswordChange};
pub use keys::{ClientRecord, KeyStore, SigningKeyRecord};
pub use linking::{LinkingStore, Unlinking};
pub use logins::{LoginCompletion, LoginRecord, LoginStore};
pub use outbox::{
    DeliveryOutcome, DeliveryRecord, NewDelivery, OutboxEventKind, OutboxEventRecord, OutboxLease,
    OutboxLoad, OutboxStore,
};
pub use replay::ReplayStore;
pub use saml::{PendingMetadata, SamlKeyRecord, SamlMetadataRecord, SamlStore};
pub use sessions::{
    CookieRecord, Revocation, RevocationScope, SessionFilter, SessionId, SessionRecord,
    SessionStore,
};
pub use sync::{
    LeaseAnswer, SyncBatch, SyncBatchOutcome, SyncCompletion, SyncCounts, SyncDigest,
    SyncJobDetail, SyncJobId, SyncJobRecord, SyncJobState, SyncLease, SyncMark, SyncStatus,
    SyncStep, SyncStore, SyncTrace, SyncWrite, SyncedPerson,
};
pub use throttle::{Attempt, ThrottleRule, ThrottleStore};
pub use tokens::{
    AccessTokenRecord, AccessTokenStatus, CodeRecord, CodeRedemption, RefreshRotation,
    RefreshTokenRecord, RefreshTokenStatus, TokenIssue, TokenStore,
};
pub use upstream::{UpstreamSessionRecord, UpstreamSessionStore};

use crate::clock::Timestamp;

/// Scope of the replay marks of used WebAuthn challenges.
pub const WEBAUTHN_SCOPE: &str = "webauthn";

/// Why a store call did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A unique value is taken, e.g. `username` or `email`. Nothing was changed.
    #[error("{field} is already in use by another record")]
    Conflict {
        /// The field whose value is taken.
        field: &'static str,
    },
    /// A setting of the store cannot be used.
    #[error("{setting}: {message}")]
    Misconfigured {
        /// The setting's name in the configuration, e.g. `storage.url`.
        setting: &'static str,
        /// What is wrong with it and how to mend it.
        message: String,
    },
    /// The backend cannot be reached, is full or timed out. Nothing was changed, or the caller
    /// was not told that it was; a retry may succeed.
    #[error("store unavailable: {message}")]
    Unavailable {
        /// What the backend said.
        message: String,
    },
    /// A row cannot be read back: damaged, or written by something else.
    #[error("store corrupt: {message}")]
    Corrupt {
        /// Which row and why.
        message: String,
    },
    /// The schema is newer than this program, or a migration was altered.
    #[error("store schema: {message}")]
    Schema {
        /// What was found and what is known.
        message: String,
    },
}

/// The whole store. Every backend implements it; the broker holds an `Arc<dyn Store>`.
#[async_trait]
pub trait Store:
    AccountStore
    + AuditStore
    + ClientAccountStore
    + DeviceStore
    + EnrolmentStore
    + FactorStore
    + IdentityStore
    + GrantStore
    + KeyStore
    + LinkingStore
    + LoginStore
    + OutboxStore
    + ReplayStore
    + SamlStore
    + SessionStore
    + SyncStore
    + ThrottleStore
    + TokenStore
    + UpstreamSessionStore
{
    /// Answers when the store can read and write; for readiness.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Removes what has expired before `now`: logins, enrolments, codes, tokens, cookies, ended
    /// sessions, remembered devices, pushed requests, device grants, replay marks, throttle rows,
    /// notes of identity providers' sessions, and events and deliveries of the outbox. Returns how
    /// many rows went. Audit events stay.
    /// An ended session is kept for 24 hours after its end, a code for 24 hours after its own
    /// expiry, even when its sessions are gone: a second use has to find the session to end.
    /// A run of a synchronisation is kept for 90 days after its end.
    /// A client session does not end because the browser session that it came from expired.
    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Finishes what is under way and closes. Further calls fail with `Unavailable`.
    async fn close(&self);

    /// Name of the backend: `memory`, `sqlite` or `postgres`; a label in metrics and logs.
    fn backend(&self) -> &'static str;
}
