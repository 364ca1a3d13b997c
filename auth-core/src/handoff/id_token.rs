//! ID tokens, OpenID Connect Core 1.0 section 2: made by openidconnect's types, signed by a
//! [`SigningKey`], and read back where a client returns one as a hint.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use openidconnect::core::{
    CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
};
use openidconnect::{
    AccessToken, AdditionalClaims, Audience, AuthenticationContextClass,
    AuthenticationMethodReference, IdToken, IdTokenClaims, IssuerUrl, JsonWebKey as _, Nonce,
    SubjectIdentifier,
};
use serde::{Deserialize, Serialize};

use super::claims::{self, GroupClaims};
use super::client::Client;
use super::issuer::Issuer;
use super::scope::Scope;
use super::signing_key::SigningKey;
use super::signing_key_set::SigningKeySet;
use crate::clock::Timestamp;
use crate::secret::Token;
use crate::store::{AccountRecord, ClaimMap, SessionRecord};

/// Longest hint that is looked at.
const LONGEST_HINT: usize = 16 * 1024;

/// Claims of our ID tokens beside the standard ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionClaims {
    /// The client session, OpenID Connect Back-Channel Logout 1.0 section 2.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Groups and roles.
    #[serde(flatten)]
    pub groups: GroupClaims,
}

impl AdditionalClaims for SessionClaims {}

/// An ID token of ours.
pub type BrokerIdToken = IdToken<
    SessionClaims,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

/// Why no ID token could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdTokenError {
    /// The issuer is no URL.
    #[error("the issuer is no URL")]
    Issuer(#[from] openidconnect::url::ParseError),
    /// A time lies outside the calendar.
    #[error("a time of the session lies outside the calendar")]
    Time,
    /// Signing failed.
    #[error("the ID token could not be signed")]
    Signing(#[from] openidconnect::JsonWebTokenError),
}

/// What an ID token says.
#[derive(Clone, Copy, Debug)]
pub struct IdTokenContent<'a> {
    /// Who says it.
    pub issuer: &'a Issuer,
    /// To whom.
    pub client: &'a Client,
    /// About whom.
    pub account: &'a AccountRecord,
    /// Further claims about them.
    pub more: &'a ClaimMap,
    /// The subject identifier under which the client knows them.
    pub subject: &'a SubjectIdentifier,
    /// About which client session.
    pub session: &'a SessionRecord,
    /// What was granted.
    pub scope: &'a Scope,
    /// The nonce of the authorization request.
    pub nonce: Option<&'a str>,
    /// The access token beside it.
    pub access_token: &'a Token,
}

impl IdTokenContent<'_> {
    /// Makes and signs the token; it expires with the access token beside it.
    ///
    /// # Errors
    /// When the crypto library fails, or a stored time is no time.
    pub fn sign(&self, key: &SigningKey, now: Timestamp) -> Result<BrokerIdToken, IdTokenError> {
        let expires_at = now + self.client.access_token_lifetime();
        let expires_at = expires_at.min(self.session.expires_at);
        let amr = self.session.amr.iter().cloned().map(AuthenticationMethodReference::new);
        let claims = IdTokenClaims::new(
            IssuerUrl::new(self.issuer.as_str().to_owned())?,
            vec![Audience::new(self.client.id().to_owned())],
            numeric_date(expires_at)?,
            numeric_date(now)?,
            claims::standard_claims(self.account, self.subject, self.client, self.scope),
            SessionClaims {
                sid: Some(self.session.id.to_string()),
                groups: claims::group_claims(
                    self.account,
                    self.more,
                    self.client,
                    self.scope,
                    false,
                ),
            },
        )
        .set_auth_time(Some(numeric_date(self.session.authenticated_at)?))
        .set_nonce(self.nonce.map(|nonce| Nonce::new(nonce.to_owned())))
        .set_auth_context_ref(Some(AuthenticationContextClass::new(self.session.acr.clone())))
        .set_auth_method_refs(Some(amr.collect()));
        let access_token = AccessToken::new(self.access_token.expose().to_owned());
        let algorithm = key.algorithm().jws();
        Ok(IdToken::new(claims, key, algorithm, Some(&access_token), None)?)
    }
}

fn numeric_date(at: Timestamp) -> Result<DateTime<Utc>, IdTokenError> {
    DateTime::from_timestamp(at.seconds(), 0).ok_or(IdTokenError::Time)
}

/// What an ID token that a client returned says; its signature is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdTokenHint {
    /// The subject identifier that it was made with.
    pub subject: String,
    /// The clients that it was made for.
    pub audience: Vec<String>,
    /// The client session it was made in.
    pub sid: Option<String>,
}

#[derive(Deserialize)]
struct HintHeader {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct HintPayload {
    iss: String,
    sub: String,
    aud: OneOrMany,
    sid: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads an `id_token_hint`. It may have expired (OpenID Connect RP-Initiated Logout 1.0
/// section 2), but it must be signed by a published key of ours, with that key's own algorithm.
#[must_use]
pub fn read_hint(token: &str, keys: &SigningKeySet, issuer: &Issuer) -> Option<IdTokenHint> {
    if token.len() > LONGEST_HINT {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let header: HintHeader = serde_json::from_slice(&decode(header)?).ok()?;
    let key = keys.key(&header.kid)?;
    if header.alg != key.algorithm().as_str() {
        return None;
    }
    key.public_jwk()
        .verify_signature(&key.algorithm().jws(), signed.as_bytes(), &decode(signature)?)
        .ok()?;
    let payload: HintPayload = serde_json::from_slice(&decode(payload)?).ok()?;
    if payload.iss != issuer.as_str() {
        return None;
    }
    Some(IdTokenHint {
        subject: payload.sub,
        audience: match payload.aud {
            OneOrMany::One(client) => vec![client],
            OneOrMany::Many(clients) => clients,
        },
        sid: payload.sid,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::handoff::claims::tests::account;
    use crate::handoff::client::tests::{confidential, settings};
    use crate::handoff::client_session::tests::client_session;
    use crate::handoff::signing_key::SigningAlgorithm;
    use crate::handoff::signing_key_set::{KeySchedule, PublishedKey};
    use crate::handoff::subject;
    use crate::random::SystemRandom;

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);

    fn issuer() -> Issuer {
        Issuer::new(&url::Url::parse("https://sso.example.com").unwrap())
    }

    fn set_of(keys: &[&Arc<SigningKey>]) -> SigningKeySet {
        SigningKeySet::new(
            keys.iter()
                .map(|key| PublishedKey {
                    key: Arc::clone(key),
                    schedule: KeySchedule {
                        kid: key.kid().to_owned(),
                        algorithm: key.algorithm(),
                        created_at: NOW,
                        active_from: NOW,
                    },
                })
                .collect(),
        )
    }

    fn token(key: &SigningKey) -> String {
        let access_token = Token::generate(&SystemRandom::new());
        IdTokenContent {
            issuer: &issuer(),
            client: &confidential(settings("chat")),
            account: &account(),
            more: &ClaimMap::new(),
            subject: &subject::public(account().id),
            session: &client_session(NOW),
            scope: &Scope::parse("openid email groups").unwrap(),
            nonce: Some("n-0S6"),
            access_token: &access_token,
        }
        .sign(key, NOW)
        .unwrap()
        .to_string()
    }

    #[test]
    fn says_who_for_whom_and_how() {
        let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let token = token(&key);
        let part = |n: usize| -> serde_json::Value {
            let part = token.split('.').nth(n).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let expected = serde_json::json!({ "alg": "EdDSA", "kid": key.kid() });
        assert_eq!(part(0), expected);
        let claims = part(1);
        for (name, expected) in [
            ("iss", serde_json::json!("https://sso.example.com")),
            ("aud", serde_json::json!(["chat"])),
            ("sub", serde_json::json!(Uuid::from_u128(42).to_string())),
            ("iat", serde_json::json!(NOW.seconds())),
            ("exp", serde_json::json!(NOW.seconds() + 600)),
            ("auth_time", serde_json::json!(NOW.seconds() - 5)),
            ("nonce", serde_json::json!("n-0S6")),
            ("acr", serde_json::json!("urn:auth:aal2")),
            ("amr", serde_json::json!(["pwd", "otp"])),
            ("sid", serde_json::json!(client_session(NOW).id.to_string())),
            ("email", serde_json::json!("alice@example.com")),
            ("groups", serde_json::json!(["staff", "secret"])),
        ] {
            assert_eq!(claims[name], expected, "{name}");
        }
        assert!(claims["at_hash"].is_string() && claims.get("name").is_none());
    }

    #[test]
    fn a_hint_is_read_back_even_after_a_day() {
        let key = Arc::new(SigningKey::generate(SigningAlgorithm::EdDsa).unwrap());
        let hint = read_hint(&token(&key), &set_of(&[&key]), &issuer()).unwrap();
        assert_eq!(hint.subject, account().id.to_string());
        assert_eq!(hint.audience, ["chat"]);
        assert_eq!(
            hint.sid,
            Some(client_session(NOW + Duration::from_secs(86_400)).id.to_string())
        );
    }

    #[test]
    fn a_forged_hint_is_not_read() {
        let key = Arc::new(SigningKey::generate(SigningAlgorithm::EdDsa).unwrap());
        let other = Arc::new(SigningKey::generate(SigningAlgorithm::EdDsa).unwrap());
        let set = set_of(&[&key]);
        let good = token(&key);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let header_of = |alg: &str| encode(&format!(r#"{{"alg":"{alg}","kid":"{}"}}"#, key.kid()));
        let other_payload = encode(r#"{"iss":"https://sso.example.com","sub":"x","aud":"chat"}"#);
        for forged in [
            token(&other),
            format!("{signed}."),
            format!("{header}.{other_payload}.{signature}"),
            format!("{}.{payload}.", header_of("none")),
            format!("{}.{payload}.{signature}", header_of("HS256")),
            format!("{}.{payload}.{signature}", header_of("RS256")),
            "a.b.c".to_owned(),
            String::new(),
            "x".repeat(LONGEST_HINT + 1),
        ] {
            assert_eq!(read_hint(&forged, &set, &issuer()), None, "{forged}");
        }
        let elsewhere = Issuer::new(&url::Url::parse("https://other.example.com").unwrap());
        assert_eq!(read_hint(&good, &set, &elsewhere), None);
    }
}
