//! Token introspection, RFC 7662: a token is active while it, its session and its account are.
//!
//! A client sees the tokens that were issued to it; all others, and everything that is no token,
//! get the one answer `{"active": false}`.

use openidconnect::SubjectIdentifier;
use serde::Serialize;

use super::client::Client;
use super::issuer::Issuer;
use crate::clock::Timestamp;
use crate::store::{AccessTokenStatus, AccountRecord, RefreshTokenStatus, SessionRecord};

/// The answer. All but `active` is left out for an inactive token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IntrospectionResponse {
    /// Whether the token is good.
    pub active: bool,
    /// What is known of a good one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub facts: Option<TokenFacts>,
}

/// What is known of a good token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenFacts {
    /// Its scope, space separated.
    pub scope: String,
    /// The client it was issued to.
    pub client_id: String,
    /// The person's user name.
    pub username: String,
    /// `Bearer` for an access token; left out for a refresh token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'static str>,
    /// When it ends, in seconds since the epoch.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// The person's subject identifier.
    pub sub: String,
    /// The client it is meant for.
    pub aud: String,
    /// Who issued it.
    pub iss: String,
    /// The client session it belongs to.
    pub sid: String,
    /// How strongly the person proved who they are.
    pub acr: String,
    /// When the person did.
    pub auth_time: i64,
}

impl IntrospectionResponse {
    /// The answer for everything that is not a good token of the asking client.
    #[must_use]
    pub fn inactive() -> Self {
        Self::default()
    }
}

/// Whether an access token is good for anybody.
#[must_use]
pub fn is_active(status: &AccessTokenStatus, now: Timestamp) -> bool {
    status.token.expires_at > now && stands(&status.session, &status.account, now)
}

/// Answers a client about an access token.
#[must_use]
pub fn of_access_token(
    status: &AccessTokenStatus,
    subject: &SubjectIdentifier,
    client: &Client,
    issuer: &Issuer,
    now: Timestamp,
) -> IntrospectionResponse {
    if !is_active(status, now) || !is_of(&status.session, client) {
        return IntrospectionResponse::inactive();
    }
    let token = &status.token;
    let mut facts = facts(&status.session, &status.account, subject, client, issuer);
    facts.scope.clone_from(&token.scope);
    facts.token_type = Some("Bearer");
    (facts.exp, facts.iat) = (token.expires_at.seconds(), token.created_at.seconds());
    IntrospectionResponse { active: true, facts: Some(facts) }
}

/// Answers a client about a refresh token; a used one is not active.
#[must_use]
pub fn of_refresh_token(
    status: &RefreshTokenStatus,
    subject: &SubjectIdentifier,
    client: &Client,
    issuer: &Issuer,
    now: Timestamp,
) -> IntrospectionResponse {
    let token = &status.token;
    let good = token.used_at.is_none()
        && token.expires_at > now
        && stands(&status.session, &status.account, now)
        && is_of(&status.session, client);
    if !good {
        return IntrospectionResponse::inactive();
    }
    let mut facts = facts(&status.session, &status.account, subject, client, issuer);
    (facts.exp, facts.iat) = (token.expires_at.seconds(), token.created_at.seconds());
    IntrospectionResponse { active: true, facts: Some(facts) }
}

fn stands(session: &SessionRecord, account: &AccountRecord, now: Timestamp) -> bool {
    session.is_live(now) && account.active && session.account == account.id
}

fn is_of(session: &SessionRecord, client: &Client) -> bool {
    session.client.as_deref() == Some(client.id())
}

fn facts(
    session: &SessionRecord,
    account: &AccountRecord,
    subject: &SubjectIdentifier,
    client: &Client,
    issuer: &Issuer,
) -> TokenFacts {
    TokenFacts {
        scope: session.scope.clone(),
        client_id: client.id().to_owned(),
        username: account.username.clone(),
        token_type: None,
        exp: 0,
        iat: 0,
        sub: subject.to_string(),
        aud: client.id().to_owned(),
        iss: issuer.as_str().to_owned(),
        sid: session.id.to_string(),
        acr: session.acr.clone(),
        auth_time: session.authenticated_at.seconds(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::handoff::claims::tests::account;
    use crate::handoff::client::tests::{confidential, settings};
    use crate::handoff::client_session::tests::client_session;
    use crate::secret::TokenHash;
    use crate::store::{AccessTokenRecord, RefreshTokenRecord};

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);

    fn subject() -> SubjectIdentifier {
        crate::handoff::subject::public(account().id)
    }

    fn status() -> AccessTokenStatus {
        let session = client_session(NOW);
        AccessTokenStatus {
            token: AccessTokenRecord {
                hash: TokenHash::of(b"token"),
                session: session.id,
                scope: "openid".to_owned(),
                created_at: NOW,
                expires_at: NOW + Duration::from_secs(600),
            },
            session,
            account: account(),
        }
    }

    fn answer(change: impl FnOnce(&mut AccessTokenStatus), client: &str) -> serde_json::Value {
        let mut status = status();
        change(&mut status);
        let issuer = Issuer::new(&url::Url::parse("https://sso.example.com").unwrap());
        let client = confidential(settings(client));
        serde_json::to_value(of_access_token(&status, &subject(), &client, &issuer, NOW)).unwrap()
    }

    #[test]
    fn a_good_token_is_described() {
        let answer = answer(|_| (), "chat");
        assert_eq!(answer["active"], true);
        for (name, value) in [
            ("scope", "openid"),
            ("client_id", "chat"),
            ("username", "Alice"),
            ("token_type", "Bearer"),
            ("iss", "https://sso.example.com"),
            ("acr", "urn:auth:aal2"),
        ] {
            assert_eq!(answer[name], value, "{name}");
        }
        assert_eq!(answer["exp"], NOW.seconds() + 600);
    }

    #[test]
    fn everything_else_gets_one_answer() {
        let inactive = serde_json::json!({ "active": false });
        for change in [
            (|status| status.token.expires_at = NOW) as fn(&mut AccessTokenStatus),
            |status| status.session.revoked_at = Some(NOW),
            |status| status.session.expires_at = NOW,
            |status| status.account.active = false,
            |status| status.session.client = None,
        ] {
            assert_eq!(answer(change, "chat"), inactive);
        }
        assert_eq!(answer(|_| (), "other"), inactive);
    }

    #[test]
    fn a_used_refresh_token_is_not_active() {
        let session = client_session(NOW);
        let mut status = RefreshTokenStatus {
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
        };
        let issuer = Issuer::new(&url::Url::parse("https://sso.example.com").unwrap());
        let ask = |status: &RefreshTokenStatus, client| {
            of_refresh_token(status, &subject(), &confidential(settings(client)), &issuer, NOW)
                .active
        };
        assert!(ask(&status, "chat") && !ask(&status, "other"));
        status.token.used_at = Some(NOW);
        assert!(!ask(&status, "chat"));
    }
}
