//! Changes of several identities at once.

use async_trait::async_trait;

use super::{AccountId, AccountRecord, IdentityRecord, StoreError};
use crate::audit::AuditRecord;

/// What became of an unlinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlinking {
    /// It is unlinked.
    Done,
    /// There is no such identity.
    Missing,
    /// It is the account's only identity, and stays.
    Last,
}

/// Identities of accounts, several in one step.
#[async_trait]
pub trait LinkingStore: Send + Sync {
    /// Puts `new` in the place of `old`, both of `new.account`. `false` when the account has no
    /// `old`. `Conflict` names `identity` when `new` is linked already.
    async fn replace_identity(
        &self,
        old: IdentityRecord,
        new: IdentityRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// Unlinks an identity unless it is the account's last one. Of two at once that would take
    /// the last two, one stays. With an identity of `local` the account's password goes.
    async fn unlink_spare_identity(
        &self,
        connector: &str,
        subject: &str,
        local: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<Unlinking, StoreError>;

    /// Closes the account `from`, given as it has to be afterwards (inactive, with its expected
    /// version), and gives its identities to `into`; those of `local`, and its password, go.
    /// Its sessions end, at its `updated_at` with reason `account_inactive`. `false` when `from`
    /// was changed in between, or `into` is not there or not active.
    async fn merge_accounts(
        &self,
        from: AccountRecord,
        into: AccountId,
        local: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;
}
