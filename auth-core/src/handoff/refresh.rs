//! Refresh token rotation with reuse detection, RFC 9700 section 4.14.
//!
//! A used token stays usable until its successor is first used, 60 seconds at most, and gives a
//! sibling: a lost answer or a parallel worker signs nobody out. Any other use of a used token
//! means that two parties hold the family, and ends it.

use std::time::Duration;

use super::client::Client;
use crate::clock::Timestamp;
use crate::store::RefreshTokenStatus;

/// How long after its first use a token may give a sibling.
pub const SIBLING_WINDOW: Duration = Duration::from_secs(60);

/// What is to be done with a presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshDecision {
    /// Its first use: give a successor.
    Rotate,
    /// Used a moment ago, its successor is not in use yet: give another successor.
    Sibling,
    /// Used before: end the family.
    Reused,
    /// Not good.
    Refused(RefreshRefusal),
}

/// Why a refresh token is not good. The client is told `invalid_grant` for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshRefusal {
    /// It was issued to another client.
    WrongClient,
    /// The account is not active.
    AccountInactive,
    /// The session was revoked.
    SessionRevoked,
    /// The session came to its absolute end.
    SessionExpired,
    /// Nobody used the session for longer than its idle limit.
    SessionIdle,
    /// The token came to its own end.
    Expired,
    /// People may not come in through the session's connector any more.
    Connector,
    /// The person is in none of the groups that the client lets in any more.
    Groups,
}

impl RefreshRefusal {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongClient => "refresh_token_of_other_client",
            Self::AccountInactive => "account_inactive",
            Self::SessionRevoked => "session_revoked",
            Self::SessionExpired => "session_expired",
            Self::SessionIdle => "session_idle",
            Self::Expired => "refresh_token_expired",
            Self::Connector => "connector_not_allowed",
            Self::Groups => "group_not_allowed",
        }
    }
}

/// Decides what becomes of a refresh token that `client` presents.
#[must_use]
pub fn decide(status: &RefreshTokenStatus, client: &Client, now: Timestamp) -> RefreshDecision {
    use RefreshDecision::{Refused, Reused, Rotate, Sibling};
    let (token, session) = (&status.token, &status.session);
    if session.client.as_deref() != Some(client.id()) {
        return Refused(RefreshRefusal::WrongClient);
    }
    if session.revoked_at.is_some() {
        return Refused(RefreshRefusal::SessionRevoked);
    }
    if !status.account.active {
        return Refused(RefreshRefusal::AccountInactive);
    }
    if session.expires_at <= now {
        return Refused(RefreshRefusal::SessionExpired);
    }
    let expired = token.expires_at <= now;
    if let Some(used_at) = token.used_at {
        let in_window = now.since(used_at) <= SIBLING_WINDOW;
        // Before the idle limit: a thief who waits for it must not get away unseen.
        if status.successor_used || !in_window || expired {
            return Reused;
        }
    }
    if session.is_idle(now) {
        Refused(RefreshRefusal::SessionIdle)
    } else if expired {
        Refused(RefreshRefusal::Expired)
    } else if !client.allows_connector(&session.connector) {
        Refused(RefreshRefusal::Connector)
    } else if !client.allows_groups(&status.account.groups) {
        Refused(RefreshRefusal::Groups)
    } else if token.used_at.is_some() {
        Sibling
    } else {
        Rotate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::claims::tests::account;
    use crate::handoff::client::ClientSettings;
    use crate::handoff::client::tests::{confidential, settings};
    use crate::handoff::client_session::tests::client_session;
    use crate::secret::TokenHash;
    use crate::store::RefreshTokenRecord;

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn status() -> RefreshTokenStatus {
        let session = client_session(NOW);
        RefreshTokenStatus {
            token: RefreshTokenRecord {
                hash: TokenHash::of(b"token"),
                session: session.id,
                predecessor: None,
                created_at: NOW,
                expires_at: session.expires_at,
                used_at: None,
            },
            session,
            account: account(),
            successor_used: false,
        }
    }

    fn check(change: impl FnOnce(&mut RefreshTokenStatus), expected: RefreshDecision) {
        let mut changed = status();
        change(&mut changed);
        assert_eq!(decide(&changed, &confidential(settings("chat")), NOW), expected);
    }

    fn used(status: &mut RefreshTokenStatus, ago: Duration) {
        status.token.used_at = Some(NOW - ago);
    }

    #[test]
    fn first_use_sibling_and_reuse() {
        use RefreshDecision::{Reused, Rotate, Sibling};
        check(|_| (), Rotate);
        check(|s| used(s, Duration::ZERO), Sibling);
        check(|s| used(s, MINUTE), Sibling);
        check(|s| used(s, MINUTE + Duration::from_millis(1)), Reused);
        check(
            |s| {
                used(s, Duration::ZERO);
                s.successor_used = true;
            },
            Reused,
        );
        check(
            |s| {
                used(s, Duration::ZERO);
                s.token.expires_at = NOW;
            },
            Reused,
        );
        check(
            |s| {
                used(s, MINUTE * 10);
                s.session.idle_timeout_millis = 1;
                s.session.last_seen_at = NOW - MINUTE;
            },
            Reused,
        );
        // Another node's clock is ahead.
        check(|s| s.token.used_at = Some(NOW + MINUTE), Sibling);
    }

    #[test]
    fn refusals() {
        let refused = RefreshDecision::Refused;
        check(|s| s.session.client = Some("x".into()), refused(RefreshRefusal::WrongClient));
        check(|s| s.session.client = None, refused(RefreshRefusal::WrongClient));
        check(|s| s.account.active = false, refused(RefreshRefusal::AccountInactive));
        check(|s| s.session.revoked_at = Some(NOW), refused(RefreshRefusal::SessionRevoked));
        check(|s| s.session.expires_at = NOW, refused(RefreshRefusal::SessionExpired));
        check(|s| s.token.expires_at = NOW, refused(RefreshRefusal::Expired));
        check(
            |s| {
                s.session.idle_timeout_millis = 60_000;
                s.session.last_seen_at = NOW - MINUTE;
            },
            refused(RefreshRefusal::SessionIdle),
        );
    }

    #[test]
    fn another_clients_use_never_ends_the_family() {
        check(
            |s| {
                used(s, MINUTE * 10);
                s.session.client = Some("other".to_owned());
            },
            RefreshDecision::Refused(RefreshRefusal::WrongClient),
        );
    }

    #[test]
    fn a_connector_that_was_taken_from_the_client() {
        let client = confidential(ClientSettings {
            connectors: Some(vec!["okta".to_owned()]),
            ..settings("chat")
        });
        let expected = RefreshDecision::Refused(RefreshRefusal::Connector);
        assert_eq!(decide(&status(), &client, NOW), expected);
        let client = confidential(ClientSettings {
            allowed_groups: Some(vec!["admins".to_owned()]),
            ..settings("chat")
        });
        let expected = RefreshDecision::Refused(RefreshRefusal::Groups);
        assert_eq!(decide(&status(), &client, NOW), expected);
    }
}
