//! What directories tell of a person beside the account: further claims, the last change of the
//! password, and identities of a whole connector.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{AccountId, IdentityRecord, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;

/// Further claims about a person: name to values.
pub type ClaimMap = BTreeMap<String, Vec<String>>;

/// An identity that gets another subject at the same connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityMove {
    /// The subject now.
    pub from: String,
    /// The subject afterwards.
    pub to: String,
}

/// A password that was changed at a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordChange {
    /// Connector id.
    pub connector: String,
    /// Subject at that connector.
    pub subject: String,
    /// What was noted before; `None`: nothing.
    pub before: Option<String>,
    /// What the connector says now, as it says it.
    pub after: String,
    /// At this time all sessions of the identity's account end, reason `password_changed`;
    /// `None`: none ends.
    pub end_sessions_at: Option<Timestamp>,
}

/// Identities of a connector, and what it says beside the account.
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// At most `limit` identities of a connector with a subject after `after`, by subject, byte by
    /// byte.
    async fn identities_of_connector(
        &self,
        connector: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<IdentityRecord>, StoreError>;

    /// Gives all these identities their new subjects, in one step; two may exchange theirs.
    /// `false`, with nothing changed and no event written, when one of them is not there.
    /// `Conflict` names `identity` when a new subject belongs to an identity that is not moved, or
    /// to two of them.
    async fn move_identities(
        &self,
        connector: &str,
        moves: Vec<IdentityMove>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// What was last noted of a change of the person's password at the connector.
    async fn password_change(
        &self,
        connector: &str,
        subject: &str,
    ) -> Result<Option<String>, StoreError>;

    /// Notes a change, and ends the sessions, if what is noted is `before`. `false`, with nothing
    /// changed and no event written, when it is not, or when there is no such identity.
    async fn note_password_change(
        &self,
        change: PasswordChange,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// The further claims of an account; empty when there are none.
    async fn claims(&self, account: AccountId) -> Result<ClaimMap, StoreError>;

    /// Replaces the further claims of an account.
    async fn set_claims(&self, account: AccountId, claims: ClaimMap) -> Result<(), StoreError>;
}
