//! Second factors: sealed seeds and keyed hashes of recovery codes.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AccountId, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;

/// Identifies a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FactorId(pub Uuid);

impl fmt::Display for FactorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// Time-based one-time password, RFC 6238.
    Totp,
    /// WebAuthn credential.
    Passkey,
}

impl FactorKind {
    /// The word in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Passkey => "passkey",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "totp" => Some(Self::Totp),
            "passkey" => Some(Self::Passkey),
            _ => None,
        }
    }
}

/// A confirmed factor of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactorRecord {
    /// Its id.
    pub id: FactorId,
    /// The account.
    pub account: AccountId,
    /// Its kind.
    pub kind: FactorKind,
    /// Name given by its owner.
    pub name: Option<String>,
    /// Sealed secret (see [`crate::key_ring`]).
    pub sealed: Vec<u8>,
    /// When it was confirmed.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// TOTP: the highest time step that was accepted; no step up to it is accepted again.
    pub last_step: Option<i64>,
    /// Passkey: SHA-256 of the credential's id; unique over all accounts.
    pub credential: Option<TokenHash>,
    /// Passkey: the authenticator's signature counter as last seen; 0 for one that does not count.
    pub sign_count: Option<i64>,
}

/// One use of a passkey whose signature was right.
#[derive(Clone, Debug)]
pub struct PasskeyUse {
    /// The passkey.
    pub id: FactorId,
    /// Hash of the challenge that was signed; good once on all nodes.
    pub challenge: TokenHash,
    /// How long the challenge is remembered as used.
    pub challenge_expires_at: Timestamp,
    /// The counter that was signed.
    pub sign_count: i64,
    /// The credential as it is from now on, sealed.
    pub sealed: Vec<u8>,
    /// When.
    pub now: Timestamp,
}

/// What came of [`FactorStore::use_passkey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyOutcome {
    /// The use was written, once.
    Used,
    /// The challenge was used before. Nothing was written.
    ChallengeUsed,
    /// The counter did not grow: there are two copies of the key, or somebody replays. The
    /// challenge is used up, the passkey is as it was.
    CounterBehind,
    /// There is no such passkey (any more). The challenge is used up.
    Unknown,
}

/// What came of [`FactorStore::remove_factor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorRemoval {
    /// It is gone.
    Removed,
    /// It is the account's last one and was to be kept. Nothing was changed.
    Last,
    /// The account has no such factor. Nothing was changed.
    Unknown,
}

/// A recovery code, stored as a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryCodeRecord {
    /// The account.
    pub account: AccountId,
    /// Keyed hash of the code.
    pub hash: [u8; 32],
}

/// Second factors.
#[async_trait]
pub trait FactorStore: Send + Sync {
    /// The factors of these accounts, ordered by account and time of making.
    async fn factors(&self, accounts: &[AccountId]) -> Result<Vec<FactorRecord>, StoreError>;

    /// The passkey with this credential.
    async fn factor_by_credential(
        &self,
        credential: TokenHash,
    ) -> Result<Option<FactorRecord>, StoreError>;

    /// Adds a confirmed factor and, if `recovery` is given, replaces the recovery codes.
    /// `Conflict` names `factor` when its id or credential is there already.
    async fn add_factor(
        &self,
        factor: FactorRecord,
        recovery: Option<Vec<RecoveryCodeRecord>>,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError>;

    /// Replaces the recovery codes of an account.
    async fn replace_recovery_codes(
        &self,
        account: AccountId,
        codes: Vec<RecoveryCodeRecord>,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError>;

    /// Removes one factor; with `id` None all factors, recovery codes and remembered devices.
    /// Returns how many factors went.
    async fn remove_factors(
        &self,
        account: AccountId,
        id: Option<FactorId>,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError>;

    /// Consumes a TOTP time step: true exactly once for each (factor, step), and only for steps
    /// above every consumed one.
    async fn consume_totp_step(
        &self,
        id: FactorId,
        step: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Consumes a challenge and notes the use of a passkey: `Used` exactly once for each
    /// challenge, and, for an authenticator that counts (its counter or the stored one is not 0),
    /// only with a counter above every noted one.
    async fn use_passkey(&self, used: PasskeyUse) -> Result<PasskeyOutcome, StoreError>;

    /// Gives a factor another name; `false` when the account has no such factor.
    async fn rename_factor(
        &self,
        account: AccountId,
        id: FactorId,
        name: String,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// Removes one factor, or, with `keep_last`, only if the account has another one. With the
    /// last factor go the recovery codes and the remembered devices.
    async fn remove_factor(
        &self,
        account: AccountId,
        id: FactorId,
        keep_last: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<FactorRemoval, StoreError>;

    /// Consumes a recovery code: true exactly once.
    async fn consume_recovery_code(
        &self,
        account: AccountId,
        hash: [u8; 32],
    ) -> Result<bool, StoreError>;

    /// How many recovery codes are left.
    async fn recovery_codes_left(&self, account: AccountId) -> Result<u64, StoreError>;
}
