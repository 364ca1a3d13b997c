//! The session that a client holds for a person, and the tokens that stand for it.
//!
//! A client session comes from a browser session and ends with it, but has a length of its own.
//! Its refresh tokens form one family: the session is the family.

use std::time::Duration;

use super::client::{Client, ClientKind, SessionKind};
use super::scope::Scope;
use crate::clock::Timestamp;
use crate::random::Random;
use crate::secret::{Token, TokenHash};
use crate::store::{
    AccessTokenRecord, CodeRecord, RefreshTokenRecord, SessionId, SessionRecord, TokenIssue,
};

/// How long client sessions last, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLengths {
    /// A chat server's web session.
    pub web: Duration,
    /// A mobile app.
    pub mobile: Duration,
    /// A desktop app.
    pub desktop: Duration,
    /// A program that only wants to know who somebody is.
    pub sso: Duration,
}

impl Default for SessionLengths {
    /// 30 days each.
    fn default() -> Self {
        let days = Duration::from_secs(30 * 24 * 3600);
        Self { web: days, mobile: days, desktop: days, sso: days }
    }
}

impl SessionLengths {
    /// How long a session of `client` lasts.
    #[must_use]
    pub fn of(&self, client: &Client) -> Duration {
        self.of_kind(client, client.settings().session_kind)
    }

    /// How long a session of this kind at `client` lasts.
    #[must_use]
    pub fn of_kind(&self, client: &Client, kind: SessionKind) -> Duration {
        client.settings().session_lifetime.unwrap_or(match kind {
            SessionKind::Web => self.web,
            SessionKind::Mobile => self.mobile,
            SessionKind::Desktop => self.desktop,
            SessionKind::Sso => self.sso,
        })
    }
}

/// The session that redeeming `code` makes for `client`. Address and user agent are the
/// browser's, so that a person recognises the session in a list.
#[must_use]
pub fn open(
    id: SessionId,
    browser: &SessionRecord,
    code: &CodeRecord,
    client: &Client,
    lengths: &SessionLengths,
    now: Timestamp,
) -> SessionRecord {
    let idle = client.settings().session_idle_timeout.unwrap_or_default();
    SessionRecord {
        id,
        account: code.account,
        client: Some(client.id().to_owned()),
        parent: Some(browser.id),
        kind: client.settings().session_kind.as_str().to_owned(),
        connector: browser.connector.clone(),
        amr: browser.amr.clone(),
        acr: browser.acr.clone(),
        scope: client.narrow_scope(&Scope::of_stored(&code.scope)).to_string(),
        authenticated_at: browser.authenticated_at,
        created_at: now,
        last_seen_at: now,
        idle_timeout_millis: i64::try_from(idle.as_millis()).unwrap_or(i64::MAX),
        expires_at: now + lengths.of(client),
        ip: browser.ip.clone(),
        user_agent: browser.user_agent.clone(),
        revoked_at: None,
        revoked_reason: None,
    }
}

/// The access token that stands for a session as long as it lives, for clients whose protocol
/// knows no other.
#[must_use]
pub fn bearer(session: &SessionRecord, random: &dyn Random, now: Timestamp) -> (Token, TokenIssue) {
    let token = Token::generate(random);
    let access = AccessTokenRecord {
        hash: token.hash(),
        session: session.id,
        scope: session.scope.clone(),
        created_at: now,
        expires_at: session.expires_at,
    };
    (token, TokenIssue { access, refresh: None })
}

/// Fresh tokens for a client, beside what the store keeps of them.
#[derive(Debug)]
pub struct IssuedTokens {
    /// The access token.
    pub access: Token,
    /// The refresh token, where the client gets one.
    pub refresh: Option<Token>,
    /// Their hashes and dates.
    pub records: TokenIssue,
}

/// Draws tokens for `session`. None lives longer than the session.
///
/// Every client gets a refresh token, with or without `offline_access`: it is the client's hold
/// on the session, and ends with it. Only a client of kind gitlab gets none: it calls once.
#[must_use]
pub fn issue_tokens(
    session: &SessionRecord,
    scope: &Scope,
    client: &Client,
    predecessor: Option<TokenHash>,
    random: &dyn Random,
    now: Timestamp,
) -> IssuedTokens {
    let access = Token::generate(random);
    let refresh = (client.kind() == ClientKind::Oidc).then(|| Token::generate(random));
    let until = |life: Duration| (now + life).min(session.expires_at);
    let records = TokenIssue {
        access: AccessTokenRecord {
            hash: access.hash(),
            session: session.id,
            scope: scope.to_string(),
            created_at: now,
            expires_at: until(client.access_token_lifetime()),
        },
        refresh: refresh.as_ref().map(|refresh| RefreshTokenRecord {
            hash: refresh.hash(),
            session: session.id,
            predecessor,
            created_at: now,
            expires_at: client.settings().refresh_token_lifetime.map_or(session.expires_at, until),
            used_at: None,
        }),
    };
    IssuedTokens { access, refresh, records }
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::handoff::claims::tests::account;
    use crate::handoff::client::ClientSettings;
    use crate::handoff::client::tests::{confidential, settings};
    use crate::random::SystemRandom;

    pub(crate) fn browser_session(now: Timestamp) -> SessionRecord {
        SessionRecord {
            id: SessionId(Uuid::from_u128(1)),
            account: account().id,
            client: None,
            parent: None,
            kind: crate::session::BROWSER.to_owned(),
            connector: "corp".to_owned(),
            amr: vec!["pwd".to_owned(), "otp".to_owned()],
            acr: "urn:auth:aal2".to_owned(),
            scope: String::new(),
            authenticated_at: now - Duration::from_secs(5),
            created_at: now - Duration::from_secs(5),
            last_seen_at: now,
            idle_timeout_millis: 60_000,
            expires_at: now + Duration::from_secs(3600),
            ip: Some("192.0.2.1".to_owned()),
            user_agent: Some("Browser".to_owned()),
            revoked_at: None,
            revoked_reason: None,
        }
    }

    pub(crate) fn code_record(now: Timestamp) -> CodeRecord {
        CodeRecord {
            hash: TokenHash::of(b"code"),
            client: "chat".to_owned(),
            account: account().id,
            session: SessionId(Uuid::from_u128(1)),
            redirect_uri: "https://chat.example.com/cb".to_owned(),
            code_challenge: None,
            nonce: None,
            scope: "openid email".to_owned(),
            created_at: now,
            expires_at: now + Duration::from_secs(60),
            redeemed_for: None,
        }
    }

    pub(crate) fn client_session(now: Timestamp) -> SessionRecord {
        open(
            SessionId(Uuid::from_u128(2)),
            &browser_session(now),
            &code_record(now),
            &confidential(settings("chat")),
            &SessionLengths::default(),
            now,
        )
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);

    #[test]
    fn a_client_session_keeps_how_the_person_came_in() {
        let browser = browser_session(NOW);
        let session = client_session(NOW);
        assert_eq!(session.client.as_deref(), Some("chat"));
        assert_eq!(session.parent, Some(browser.id));
        assert_eq!((session.kind.as_str(), session.idle_timeout_millis), ("web", 0));
        assert_eq!((&session.acr, &session.amr), (&browser.acr, &browser.amr));
        assert_eq!(session.authenticated_at, browser.authenticated_at);
        assert_eq!(session.expires_at, NOW + Duration::from_secs(30 * 86_400));
    }

    #[test]
    fn a_scope_that_the_client_lost_is_not_granted() {
        let client = ClientSettings { scopes: Some(vec!["openid".into()]), ..settings("chat") };
        let session = open(
            SessionId(Uuid::from_u128(2)),
            &browser_session(NOW),
            &code_record(NOW),
            &confidential(client),
            &SessionLengths::default(),
            NOW,
        );
        assert_eq!(session.scope, "openid");
    }

    #[test]
    fn no_token_outlives_its_session() {
        let client = confidential(ClientSettings {
            refresh_token_lifetime: Some(Duration::from_secs(7 * 86_400)),
            ..settings("chat")
        });
        let mut session = client_session(NOW);
        let issue = |session: &SessionRecord| {
            let random = SystemRandom::new();
            let tokens = issue_tokens(session, &Scope::default(), &client, None, &random, NOW);
            let refresh = tokens.records.refresh.unwrap();
            assert_eq!(tokens.records.access.hash, tokens.access.hash());
            assert_eq!(Some(refresh.hash), tokens.refresh.map(|token| token.hash()));
            (tokens.records.access.expires_at, refresh.expires_at)
        };
        let long = (NOW + Duration::from_secs(600), NOW + Duration::from_secs(7 * 86_400));
        assert_eq!(issue(&session), long);
        session.expires_at = NOW + Duration::from_secs(10);
        assert_eq!(issue(&session), (session.expires_at, session.expires_at));
    }
}
