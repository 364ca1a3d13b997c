//! Whether an authorization code may be redeemed: RFC 6749 sections 4.1.2 and 4.1.3, RFC 7636
//! section 4.6, RFC 9700 section 4.8 (PKCE downgrade).

use std::time::Duration;

use super::client::Client;
use super::gitlab::EmailProblem;
use super::pkce;
use crate::clock::Timestamp;
use crate::store::{AccountRecord, CodeRecord, SessionId, SessionRecord};

/// How long a code lives.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// What the client presents beside the code.
#[derive(Clone, Copy, Debug)]
pub struct Redemption<'a> {
    /// The redirect URI of its authorization request.
    pub redirect_uri: Option<&'a str>,
    /// The PKCE verifier.
    pub code_verifier: Option<&'a str>,
}

/// Why a code is not redeemed. The client is told `invalid_grant` for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodeRefusal {
    /// There is no such code.
    Unknown,
    /// It was made for another client.
    WrongClient,
    /// It was redeemed before, for this session, which must end now.
    Replayed(SessionId),
    /// It is older than [`LIFETIME`].
    Expired,
    /// The redirect URI is another one, or missing.
    WrongRedirectUri,
    /// The authorization request had a challenge, and no verifier came.
    MissingVerifier,
    /// A verifier came, but the authorization request had no challenge.
    UnexpectedVerifier,
    /// The verifier does not belong to the challenge.
    WrongVerifier,
    /// The account is not active.
    AccountInactive,
    /// The browser session ended.
    SessionEnded,
    /// The person is in none of the groups that the client lets in.
    Groups,
    /// The account lost the e-mail address that the client needs.
    Email(EmailProblem),
}

impl From<EmailProblem> for CodeRefusal {
    fn from(problem: EmailProblem) -> Self {
        Self::Email(problem)
    }
}

impl CodeRefusal {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "code_unknown",
            Self::WrongClient => "code_of_other_client",
            Self::Replayed(_) => "code_replayed",
            Self::Expired => "code_expired",
            Self::WrongRedirectUri => "redirect_uri_mismatch",
            Self::MissingVerifier => "code_verifier_missing",
            Self::UnexpectedVerifier => "code_verifier_unexpected",
            Self::WrongVerifier => "code_verifier_wrong",
            Self::AccountInactive => "account_inactive",
            Self::SessionEnded => "session_ended",
            Self::Groups => "group_not_allowed",
            Self::Email(problem) => problem.as_str(),
        }
    }
}

/// Judges a code that `client` presents.
///
/// # Errors
/// The first reason why not. A replay comes before what else may be wrong: whoever has the code
/// a second time, something leaked.
pub fn judge(
    code: &CodeRecord,
    client: &Client,
    presented: Redemption<'_>,
    now: Timestamp,
) -> Result<(), CodeRefusal> {
    if code.client != client.id() {
        return Err(CodeRefusal::WrongClient);
    }
    if let Some(session) = code.redeemed_for {
        return Err(CodeRefusal::Replayed(session));
    }
    if code.expires_at <= now {
        return Err(CodeRefusal::Expired);
    }
    if presented.redirect_uri != Some(code.redirect_uri.as_str()) {
        return Err(CodeRefusal::WrongRedirectUri);
    }
    match (code.code_challenge.as_deref(), presented.code_verifier) {
        // A public client's code always has a challenge; without one anybody could redeem it.
        (None, None) if client.is_public() => Err(CodeRefusal::MissingVerifier),
        (None, None) => Ok(()),
        (None, Some(_)) => Err(CodeRefusal::UnexpectedVerifier),
        (Some(_), None) => Err(CodeRefusal::MissingVerifier),
        (Some(challenge), Some(verifier)) if pkce::matches(challenge, verifier) => Ok(()),
        (Some(_), Some(_)) => Err(CodeRefusal::WrongVerifier),
    }
}

/// Judges what stands behind the code: the browser session and the account.
///
/// # Errors
/// When one of them ended since the code was made.
pub fn judge_origin(
    browser: &SessionRecord,
    account: &AccountRecord,
    client: &Client,
    now: Timestamp,
) -> Result<(), CodeRefusal> {
    if !account.active {
        return Err(CodeRefusal::AccountInactive);
    }
    if !client.allows_groups(&account.groups) {
        return Err(CodeRefusal::Groups);
    }
    let good = browser.client.is_none()
        && browser.account == account.id
        && browser.is_live(now)
        && client.allows_connector(&browser.connector);
    if good { Ok(()) } else { Err(CodeRefusal::SessionEnded) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::handoff::claims::tests::account;
    use crate::handoff::client::ClientSettings;
    use crate::handoff::client::tests::{confidential, public, settings};
    use crate::handoff::client_session::tests::{browser_session, code_record};

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const REDIRECT: &str = "https://chat.example.com/cb";

    fn check(
        change: impl FnOnce(&mut CodeRecord),
        redirect_uri: Option<&str>,
        code_verifier: Option<&str>,
        expected: Result<(), CodeRefusal>,
    ) {
        let mut code = code_record(NOW);
        change(&mut code);
        let presented = Redemption { redirect_uri, code_verifier };
        let client = confidential(settings("chat"));
        assert_eq!(judge(&code, &client, presented, NOW), expected);
    }

    #[test]
    fn codes_against_what_is_presented() {
        let challenge = |code: &mut CodeRecord| code.code_challenge = Some(CHALLENGE.to_owned());
        let other = VERIFIER.replace('d', "e");
        let session = SessionId(Uuid::from_u128(9));
        let uri = Some(REDIRECT);
        check(|_| (), uri, None, Ok(()));
        check(challenge, uri, Some(VERIFIER), Ok(()));
        check(challenge, uri, None, Err(CodeRefusal::MissingVerifier));
        check(challenge, uri, Some(&other), Err(CodeRefusal::WrongVerifier));
        check(challenge, uri, Some(CHALLENGE), Err(CodeRefusal::WrongVerifier));
        check(|_| (), uri, Some(VERIFIER), Err(CodeRefusal::UnexpectedVerifier));
        check(|_| (), None, None, Err(CodeRefusal::WrongRedirectUri));
        check(
            |_| (),
            Some("https://chat.example.com/cb/"),
            None,
            Err(CodeRefusal::WrongRedirectUri),
        );
        check(|code| code.expires_at = NOW, uri, None, Err(CodeRefusal::Expired));
        check(|code| code.client = "other".into(), uri, None, Err(CodeRefusal::WrongClient));
        check(
            |code| {
                code.redeemed_for = Some(session);
                code.expires_at = NOW - LIFETIME;
            },
            None,
            None,
            Err(CodeRefusal::Replayed(session)),
        );
    }

    #[test]
    fn a_public_client_never_redeems_without_a_verifier() {
        let presented = Redemption { redirect_uri: Some(REDIRECT), code_verifier: None };
        let judged = judge(&code_record(NOW), &public(settings("chat")), presented, NOW);
        assert_eq!(judged, Err(CodeRefusal::MissingVerifier));
    }

    #[test]
    fn what_stands_behind_the_code_must_still_stand() {
        let client = confidential(settings("chat"));
        let judge = |change: fn(&mut SessionRecord, &mut AccountRecord)| {
            let (mut browser, mut account) = (browser_session(NOW), account());
            change(&mut browser, &mut account);
            judge_origin(&browser, &account, &client, NOW)
        };
        assert_eq!(judge(|_, _| ()), Ok(()));
        assert_eq!(judge(|_, account| account.active = false), Err(CodeRefusal::AccountInactive));
        for change in [
            (|browser, _| browser.revoked_at = Some(NOW)) as fn(&mut SessionRecord, &mut _),
            |browser, _| browser.expires_at = NOW,
            |browser, _| browser.client = Some("chat".to_owned()),
            |browser, _| browser.account = crate::store::AccountId(Uuid::from_u128(9)),
        ] {
            assert_eq!(judge(change), Err(CodeRefusal::SessionEnded));
        }
        let closed = confidential(ClientSettings {
            allowed_groups: Some(vec!["admins".to_owned()]),
            ..settings("chat")
        });
        let judged = super::judge_origin(&browser_session(NOW), &account(), &closed, NOW);
        assert_eq!(judged, Err(CodeRefusal::Groups));
        let narrowed = confidential(ClientSettings {
            connectors: Some(vec!["okta".to_owned()]),
            ..settings("chat")
        });
        let judged = judge_origin(&browser_session(NOW), &account(), &narrowed, NOW);
        assert_eq!(judged, Err(CodeRefusal::SessionEnded));
    }
}
