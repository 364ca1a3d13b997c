//! REMEMBER: what a session is, how long it lives, and who may make one.
//!
//! A [`Session`] is made from a [`crate::login::CompletedLogin`] or resumed from a record that
//! the core found by its secret and judged live. Nothing else makes one.

mod fresh;

use std::time::Duration;

use uuid::Uuid;

use crate::audit::Origin;
use crate::clock::Timestamp;
use crate::login::CompletedLogin;
use crate::store::{AccountRecord, SessionId, SessionRecord};

pub use fresh::{FRESH_FOR, FreshSession};

/// Kind of a browser's session with the broker.
pub const BROWSER: &str = "browser";

/// Lifetimes of browser sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLifetime {
    /// Ends after so long without use; zero for never.
    pub idle_timeout: Duration,
    /// Ends so long after it was issued, used or not.
    pub absolute_timeout: Duration,
}

/// Proof that a browser's session is live: not revoked, not expired, its account active.
///
/// ```compile_fail
/// fn forge(record: auth_core::store::SessionRecord, account: auth_core::store::AccountRecord) {
///     let session = auth_core::session::Session { record, account };
/// }
/// ```
#[derive(Debug)]
pub struct Session {
    record: SessionRecord,
    account: AccountRecord,
}

impl Session {
    /// Makes the record of a new browser session for a completed login. The session exists once
    /// the store has written it together with the end of the login.
    pub(crate) fn issue(
        login: &CompletedLogin,
        id: Uuid,
        lifetime: SessionLifetime,
        origin: &Origin,
        now: Timestamp,
    ) -> SessionRecord {
        let limit = now + lifetime.absolute_timeout;
        let upstream = login.upstream().and_then(|note| note.ends_at);
        SessionRecord {
            id: SessionId(id),
            account: login.account().id,
            client: None,
            parent: None,
            kind: BROWSER.to_owned(),
            connector: login.connector().to_owned(),
            amr: login.amr(),
            acr: login.acr().to_owned(),
            scope: String::new(),
            authenticated_at: login.authenticated_at(),
            created_at: now,
            last_seen_at: now,
            idle_timeout_millis: i64::try_from(lifetime.idle_timeout.as_millis()).unwrap_or(0),
            expires_at: upstream.map_or(limit, |end| end.min(limit)),
            ip: origin.ip.map(|ip| ip.to_string()),
            user_agent: origin.user_agent.clone(),
            revoked_at: None,
            revoked_reason: None,
        }
    }

    /// Judges a stored browser session. `None` when it is not live, belongs to a client, or its
    /// account is not active.
    pub(crate) fn resume(
        record: SessionRecord,
        account: AccountRecord,
        now: Timestamp,
    ) -> Option<Self> {
        let good = record.client.is_none()
            && record.account == account.id
            && account.active
            && record.is_live(now);
        good.then_some(Self { record, account })
    }

    /// Its handle.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.record.id
    }

    /// Its facts.
    #[must_use]
    pub const fn record(&self) -> &SessionRecord {
        &self.record
    }

    /// Whose it is.
    #[must_use]
    pub const fn account(&self) -> &AccountRecord {
        &self.account
    }

    /// Whether use at `now` is worth a write: once a minute is enough for the idle timeout.
    #[must_use]
    pub fn wants_touch(&self, now: Timestamp) -> bool {
        now.since(self.record.last_seen_at) >= Duration::from_secs(60)
    }
}
