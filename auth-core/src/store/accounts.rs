//! Accounts, the identities linked to them, and local password hashes.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::StoreError;
use crate::audit::AuditRecord;
use crate::clock::Timestamp;

/// Identifies an account for ever; the `sub` that public clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(pub Uuid);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A person's account as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Stable id.
    pub id: AccountId,
    /// Number from our own sequence (1 to 2^53-1), never reused; what GitLab-style clients are told.
    pub numeric_id: i64,
    /// User name as shown.
    pub username: String,
    /// `username` normalised by [`crate::account::normalise`]; unique over all accounts.
    pub username_key: String,
    /// E-mail address as shown.
    pub email: Option<String>,
    /// `email` normalised; unique over all accounts that have one.
    pub email_key: Option<String>,
    /// Whether a connector or an administrator vouches for the address.
    pub email_verified: bool,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Nickname or display name.
    pub nickname: Option<String>,
    /// Position, e.g. a job title.
    pub position: Option<String>,
    /// BCP 47 language tag.
    pub locale: Option<String>,
    /// Whether the person may sign in.
    pub active: bool,
    /// Who made it inactive and why, e.g. `administrator` or `sync:gone`.
    pub inactive_reason: Option<String>,
    /// Roles as claims for clients: `member`, `guest`, `administrator`.
    pub roles: Vec<String>,
    /// Groups as the connector gave them.
    pub groups: Vec<String>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Last completed login.
    pub last_login_at: Option<Timestamp>,
    /// When a connector last confirmed that the person is still there and active.
    pub checked_at: Option<Timestamp>,
    /// Increased by every change; the compare-and-swap value of [`AccountStore::update_account`].
    pub version: i64,
}

/// A stable subject at a connector, linked to an account. (connector, subject) is unique.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// Connector id.
    pub connector: String,
    /// Stable subject at that connector, compared byte for byte.
    pub subject: String,
    /// The account.
    pub account: AccountId,
    /// When it was linked.
    pub linked_at: Timestamp,
}

/// A local password, as a PHC string with its parameters inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordRecord {
    /// The account.
    pub account: AccountId,
    /// `$argon2id$…`.
    pub hash: String,
    /// When the password (not only its parameters) last changed.
    pub changed_at: Timestamp,
}

/// What [`AccountStore::create_account`] writes in one transaction.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The account; `numeric_id` and `version` are set by the store.
    pub account: AccountRecord,
    /// The identity that it is made for, if any.
    pub identity: Option<IdentityRecord>,
    /// Its local password, if any.
    pub password: Option<PasswordRecord>,
}

/// One page of accounts in the order of `username_key`, byte by byte.
#[derive(Clone, Debug, Default)]
pub struct AccountPage {
    /// Only accounts whose `username_key` is greater.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Accounts, identities and passwords.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// The account with this id.
    async fn account(&self, id: AccountId) -> Result<Option<AccountRecord>, StoreError>;

    /// The account whose `username_key` is exactly this.
    async fn account_by_username(&self, key: &str) -> Result<Option<AccountRecord>, StoreError>;

    /// The account whose `email_key` is exactly this.
    async fn account_by_email(&self, key: &str) -> Result<Option<AccountRecord>, StoreError>;

    /// The account linked to (connector, subject).
    async fn account_by_identity(
        &self,
        connector: &str,
        subject: &str,
    ) -> Result<Option<AccountRecord>, StoreError>;

    /// One page of accounts.
    async fn accounts(&self, page: AccountPage) -> Result<Vec<AccountRecord>, StoreError>;

    /// Makes an account. Returns it with its `numeric_id` and version 1.
    /// `Conflict` names `username`, `email` or `identity`.
    async fn create_account(
        &self,
        new: NewAccount,
        audit: Vec<AuditRecord>,
    ) -> Result<AccountRecord, StoreError>;

    /// Makes an account with a number of the caller's choice (a site moves here from another
    /// provider). The sequence goes on above it. `Conflict` names `numeric_id` too.
    async fn create_numbered_account(
        &self,
        new: NewAccount,
        numeric_id: i64,
        audit: Vec<AuditRecord>,
    ) -> Result<AccountRecord, StoreError>;

    /// Writes the account if the stored version equals `account.version`; the stored one is then
    /// one higher. `false` when it was changed in between or does not exist. `numeric_id` and
    /// `created_at` are never changed. A change of `active` to false revokes the account's
    /// sessions in the same transaction (at `updated_at`, reason `account_inactive`) and forgets
    /// its remembered devices.
    /// `Conflict` names `username` or `email`.
    async fn update_account(
        &self,
        account: AccountRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// The identities of these accounts, ordered by account, connector and subject
    /// (byte by byte).
    async fn identities(&self, accounts: &[AccountId]) -> Result<Vec<IdentityRecord>, StoreError>;

    /// Links an identity. `Conflict` names `identity` when it is linked already.
    async fn link_identity(
        &self,
        identity: IdentityRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError>;

    /// Unlinks an identity; `false` when there was none.
    async fn unlink_identity(
        &self,
        connector: &str,
        subject: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// The account's password hash.
    async fn password(&self, account: AccountId) -> Result<Option<PasswordRecord>, StoreError>;

    /// Sets or replaces the password. With `revoke_sessions`, all the account's sessions end in
    /// the same transaction (at `changed_at`, reason `password_changed`), and its remembered
    /// devices go.
    async fn set_password(
        &self,
        password: PasswordRecord,
        revoke_sessions: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError>;

    /// Replaces the stored hash by one of the same password with other parameters, if the stored
    /// hash is still `old_hash`. `false` when it is not.
    async fn rehash_password(
        &self,
        account: AccountId,
        old_hash: &str,
        new_hash: &str,
    ) -> Result<bool, StoreError>;
}
