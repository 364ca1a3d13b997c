//! The proof that a session's person proved who they are just now, with all that they have: what a
//! change of the account's own protection asks for.

use std::time::Duration;

use super::Session;
use crate::clock::Timestamp;
use crate::login::flow::AAL2;
use crate::store::{AccountRecord, SessionId};

/// How long a login counts as fresh.
pub const FRESH_FOR: Duration = Duration::from_secs(5 * 60);

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
