//! What a client knows an account by: the user name it was told, and the account's id in the
//! client's own store (the map that a push needs, because Mattermost hides it).

use async_trait::async_trait;

use super::outbox::{NewDelivery, OutboxLease};
use super::{AccountId, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;

/// One account at one client. (client, account) is unique, and so are (client, username) and
/// (client, remote id) where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAccountRecord {
    /// The client.
    pub client: String,
    /// The account.
    pub account: AccountId,
    /// What the account is called there.
    pub username: Option<String>,
    /// The account's id in the client's own store, once it is known; it is never exchanged.
    pub remote_id: Option<String>,
    /// Whether it was we who made it inactive there.
    pub deactivated: bool,
    /// Memberships there that we added, as JSON; what it means is known to
    /// [`crate::handoff::mattermost`] only.
    pub memberships: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Increased by every change; the compare-and-swap value.
    pub version: i64,
}

/// Accounts as clients know them.
#[async_trait]
pub trait ClientAccountStore: Send + Sync {
    /// An account at a client.
    async fn client_account(
        &self,
        client: &str,
        account: AccountId,
    ) -> Result<Option<ClientAccountRecord>, StoreError>;

    /// The account that has this id in the client's own store.
    async fn client_account_by_remote(
        &self,
        client: &str,
        remote_id: &str,
    ) -> Result<Option<ClientAccountRecord>, StoreError>;

    /// A client's accounts in the order of their ids, after `after`, at most `limit`.
    async fn client_accounts(
        &self,
        client: &str,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<ClientAccountRecord>, StoreError>;

    /// Gives the account the first of these user names that no other account has at this client,
    /// in place of the one that it had. `None`, and nothing changed, when others have them all.
    async fn claim_username(
        &self,
        client: &str,
        account: AccountId,
        candidates: Vec<String>,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError>;

    /// Notes the account's id in the client's own store, for good, and adds deliveries. `false`,
    /// and nothing written, when it is noted already. `Conflict` names `remote_id` when the id is
    /// another account's, or the account has another id.
    async fn pin_remote(
        &self,
        client: &str,
        account: AccountId,
        remote_id: &str,
        now: Timestamp,
        deliveries: Vec<NewDelivery>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// Writes `deactivated` and `memberships` if the stored version is `record.version`; the
    /// stored one is then one higher. `false` when it is not, or `lease` was lost.
    async fn update_client_account(
        &self,
        lease: OutboxLease,
        record: ClientAccountRecord,
    ) -> Result<bool, StoreError>;
}
