//! The proof that a session's person proved who they are just now, with all that they have: what a
//! change of the account's own protection asks for.

use super::Session;
pub use crate::account::linking::FRESH_PROOF as FRESH_FOR;
use crate::clock::Timestamp;
use crate::login::flow::AAL2;
use crate::store::{AccountRecord, SessionId};

/// Proof of a fresh login. An account that has a second factor passed it in that login.
///
/// ```compile_fail
/// fn forge(session: &auth_core::session::Session) -> auth_core::session::FreshSession<'_> {
///     auth_core::session::FreshSession { session }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FreshSession<'a> {
    session: &'a Session,
}

impl<'a> FreshSession<'a> {
    /// Judges a session; `enrolled`: whether its account has a second factor.
    pub(crate) fn judge(session: &'a Session, enrolled: bool, now: Timestamp) -> Option<Self> {
        let record = session.record();
        let recent = now.since(record.authenticated_at) <= FRESH_FOR;
        let whole = !enrolled || record.acr == AAL2;
        (recent && whole).then_some(Self { session })
    }

    /// The session's handle.
    #[must_use]
    pub const fn id(self) -> SessionId {
        self.session.id()
    }

    /// Whose it is.
    #[must_use]
    pub const fn account(self) -> &'a AccountRecord {
        self.session.account()
    }

    /// The session.
    #[must_use]
    pub const fn session(self) -> &'a Session {
        self.session
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::login::flow::AAL1;
    use crate::store::{AccountId, SessionRecord};

    const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_123);

    fn session(acr: &str, age: u64) -> Session {
        let account = AccountRecord {
            id: AccountId(Uuid::from_u128(1)),
            numeric_id: 1,
            username: "jane".to_owned(),
            username_key: "jane".to_owned(),
            email: None,
            email_key: None,
            email_verified: false,
            first_name: None,
            last_name: None,
            nickname: None,
            position: None,
            locale: None,
            active: true,
            inactive_reason: None,
            roles: vec![],
            groups: vec![],
            created_at: NOW,
            updated_at: NOW,
            last_login_at: None,
            checked_at: None,
            version: 1,
        };
        let record = SessionRecord {
            id: SessionId(Uuid::from_u128(2)),
            account: account.id,
            client: None,
            parent: None,
            kind: super::super::BROWSER.to_owned(),
            connector: "local".to_owned(),
            amr: vec!["pwd".to_owned()],
            acr: acr.to_owned(),
            scope: String::new(),
            authenticated_at: NOW - Duration::from_secs(age),
            created_at: NOW,
            last_seen_at: NOW,
            idle_timeout_millis: 0,
            expires_at: NOW + Duration::from_secs(3600),
            ip: None,
            user_agent: None,
            revoked_at: None,
            revoked_reason: None,
        };
        Session::resume(record, account, NOW).unwrap()
    }

    #[test]
    fn a_session_is_fresh_for_five_minutes_and_with_every_factor() {
        for (acr, age, enrolled, fresh) in [
            (AAL1, 0, false, true),
            (AAL1, 300, false, true),
            (AAL1, 301, false, false),
            (AAL1, 0, true, false),
            (AAL2, 300, true, true),
            (AAL2, 301, true, false),
            (AAL2, 0, false, true),
        ] {
            let session = session(acr, age);
            let judged = FreshSession::judge(&session, enrolled, NOW);
            assert_eq!(judged.is_some(), fresh, "{acr} after {age} s, enrolled: {enrolled}");
        }
    }
}
