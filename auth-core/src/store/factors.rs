//! Second factors: sealed seeds and keyed hashes of recovery codes.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AccountId, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;

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

    /// Adds a confirmed factor and, if `recovery` is given, replaces the recovery codes.
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

    /// Removes one factor; with `id` None all factors and recovery codes. Returns how many
    /// factors went.
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

    /// Consumes a recovery code: true exactly once.
    async fn consume_recovery_code(
        &self,
        account: AccountId,
        hash: [u8; 32],
    ) -> Result<bool, StoreError>;

    /// How many recovery codes are left.
    async fn recovery_codes_left(&self, account: AccountId) -> Result<u64, StoreError>;
}
