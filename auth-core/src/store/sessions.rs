//! Sessions of browsers and of chat servers, and the cookie rows of tower-sessions.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AccountId, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;

/// Handle of a session; no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A session: of a browser with the broker (`client` is none), or of a chat server for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its handle.
    pub id: SessionId,
    /// Whose.
    pub account: AccountId,
    /// The chat server it was issued to.
    pub client: Option<String>,
    /// The browser session that it came from; ending that one ends this one.
    pub parent: Option<SessionId>,
    /// `browser`, or the client's kind: `web`, `mobile`, `desktop`, `sso`.
    pub kind: String,
    /// Connector that the person came through.
    pub connector: String,
    /// Authentication methods, RFC 8176.
    pub amr: Vec<String>,
    /// Authentication context class, `urn:auth:aal1` or `urn:auth:aal2`.
    pub acr: String,
    /// Scope granted to the client, space separated; empty for a browser.
    pub scope: String,
    /// When the person last proved who they are (`auth_time`).
    pub authenticated_at: Timestamp,
    /// When it was issued.
    pub created_at: Timestamp,
    /// Last use, kept to the minute.
    pub last_seen_at: Timestamp,
    /// Idle limit in milliseconds; 0 for none.
    pub idle_timeout_millis: i64,
    /// Absolute end.
    pub expires_at: Timestamp,
    /// Source address at issue.
    pub ip: Option<String>,
    /// `User-Agent` at issue.
    pub user_agent: Option<String>,
    /// When it was ended before its time.
    pub revoked_at: Option<Timestamp>,
    /// Why, e.g. `logout`.
    pub revoked_reason: Option<String>,
}

impl SessionRecord {
    /// Whether it is neither revoked nor past its absolute or idle end.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && !self.is_idle(now)
    }

    /// Whether nobody used it for longer than its idle limit.
    #[must_use]
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.idle_timeout_millis > 0
            && now.millis().saturating_sub(self.last_seen_at.millis()) >= self.idle_timeout_millis
    }
}

/// A tower-sessions record: the cookie's hashed id and an opaque handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieRecord {
    /// SHA-256 of the id's 16 bytes.
    pub id_hash: TokenHash,
    /// The record's data without the id, as JSON.
    pub data: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Which sessions to list. Revoked, expired and idle ones are left out.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Only of this account.
    pub account: Option<AccountId>,
    /// Only ids greater than this one (ids grow with time).
    pub after: Option<SessionId>,
    /// At most so many.
    pub limit: usize,
}

/// Which sessions to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationScope {
    /// One session and those that came from it.
    Session(SessionId),
    /// All of an account.
    Account(AccountId),
    /// All of everybody.
    All,
}

/// A revocation to carry out.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// Which sessions.
    pub scope: RevocationScope,
    /// When.
    pub at: Timestamp,
    /// Why, e.g. `logout`.
    pub reason: String,
}

/// Sessions and cookies.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// A session by its handle, live or not.
    async fn session(&self, id: SessionId) -> Result<Option<SessionRecord>, StoreError>;

    /// Live sessions at `now`, by id.
    async fn sessions(
        &self,
        filter: SessionFilter,
        now: Timestamp,
    ) -> Result<Vec<SessionRecord>, StoreError>;

    /// How many sessions are live at `now`, by kind, ordered by kind; for metrics.
    async fn count_sessions(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError>;

    /// Ends sessions; the very next look-up on this node sees it, other nodes within a second.
    /// With all sessions of an account, or of everybody, go the remembered devices.
    /// Returns those that were not revoked before, as they are from now on. Their tokens are dead
    /// from then on. The events are written even when no session was left to end.
    async fn revoke_sessions(
        &self,
        revocation: Revocation,
        audit: Vec<AuditRecord>,
    ) -> Result<Vec<SessionRecord>, StoreError>;

    /// Notes use at `now`, unless the session is revoked. `false` when it was not noted.
    async fn touch_session(&self, id: SessionId, now: Timestamp) -> Result<bool, StoreError>;

    /// Adds a cookie row; `false` when the id is taken.
    async fn add_cookie(&self, cookie: CookieRecord) -> Result<bool, StoreError>;

    /// Replaces a cookie row's data and expiry; `false` when there is none: never makes one, so
    /// that a revoked one does not come back to life.
    async fn update_cookie(&self, cookie: CookieRecord) -> Result<bool, StoreError>;

    /// A cookie row.
    async fn cookie(&self, id_hash: TokenHash) -> Result<Option<CookieRecord>, StoreError>;

    /// Removes a cookie row; no error when there is none.
    async fn remove_cookie(&self, id_hash: TokenHash) -> Result<(), StoreError>;
}
