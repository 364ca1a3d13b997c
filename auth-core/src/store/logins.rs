//! Pending logins: a versioned row that every step moves by compare-and-swap.

use async_trait::async_trait;

use super::{
    AccountRecord, FactorRecord, RecoveryCodeRecord, SessionId, SessionRecord, StoreError,
};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;

/// A pending login as stored. What `state` means is known to [`crate::login`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRecord {
    /// SHA-256 of the handle in the form or URL.
    pub handle: TokenHash,
    /// SHA-256 of the secret in the browser's login cookie.
    pub browser: TokenHash,
    /// Increased by every step.
    pub version: i64,
    /// The flow's state as JSON.
    pub state: String,
    /// When it began.
    pub created_at: Timestamp,
    /// After this moment it is as if it were not there.
    pub expires_at: Timestamp,
}

/// What ends a login: written in one transaction or not at all.
#[derive(Clone, Debug)]
pub struct LoginCompletion {
    /// The login in its final state; `version` is the expected one, the stored one is one higher.
    pub login: LoginRecord,
    /// The account as the login leaves it (profile, `last_login_at`), with its expected version.
    /// `None` leaves the account as it is.
    pub account: Option<AccountRecord>,
    /// The browser session that it makes.
    pub session: SessionRecord,
    /// The session of the same browser that it replaces, whoever's it is. It ends at the new
    /// session's `created_at` with reason `replaced`. Live sessions that came from it come from
    /// the new one from then on if they are the same account's (a step-up signs nobody out of
    /// the chat servers), and end with it if not.
    pub replaces: Option<SessionId>,
    /// The account's first second factor with its recovery codes, confirmed by this login. The
    /// login is not completed when the account has a factor already.
    pub factor: Option<(FactorRecord, Vec<RecoveryCodeRecord>)>,
    /// Throttle counters to clear.
    pub clear_throttle: Vec<String>,
    /// What happened.
    pub audit: Vec<AuditRecord>,
}

/// Pending logins.
#[async_trait]
pub trait LoginStore: Send + Sync {
    /// Adds a login.
    async fn add_login(&self, login: LoginRecord) -> Result<(), StoreError>;

    /// The login with this handle, expired or not.
    async fn login(&self, handle: TokenHash) -> Result<Option<LoginRecord>, StoreError>;

    /// Writes `login` if the stored version is `login.version`; the stored one is then one
    /// higher. `false` when another step came first.
    async fn advance_login(
        &self,
        login: LoginRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// Ends a login and makes its session. `false`, and nothing written, when the login's or the
    /// account's version does not match, the account, as stored or as given, is not active, or a
    /// factor comes with it and the account has one already.
    /// `Conflict` as in [`super::AccountStore::update_account`].
    async fn complete_login(&self, completion: LoginCompletion) -> Result<bool, StoreError>;
}
