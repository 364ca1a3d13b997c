//! Logout tokens, OpenID Connect Back-Channel Logout 1.0 section 2.4: a JWT that says that one
//! session of a client ended. It has an event and no nonce, so it is never taken for an ID token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::{PrivateSigningKey as _, SubjectIdentifier};
use serde_json::json;
use zeroize::Zeroizing;

use super::issuer::Issuer;
use super::signing_key::SigningKey;
use crate::clock::Timestamp;
use crate::store::SessionId;

/// How long a token is good; it is made anew for each attempt. Section 4 recommends two minutes.
const LIFETIME: Duration = Duration::from_secs(120);
/// The event that a logout token tells of.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What a logout token says.
#[derive(Clone, Copy, Debug)]
pub struct LogoutTokenContent<'a> {
    /// Who says it.
    pub issuer: &'a Issuer,
    /// To which client.
    pub client: &'a str,
    /// Whose session ended, as the client knows them.
    pub subject: &'a SubjectIdentifier,
    /// Which.
    pub session: SessionId,
    /// Id of this token: that of the event.
    pub id: &'a str,
}

impl LogoutTokenContent<'_> {
    /// Makes and signs the token.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn sign(
        &self,
        key: &SigningKey,
        now: Timestamp,
    ) -> Result<Zeroizing<String>, openidconnect::SigningError> {
        let algorithm = key.algorithm();
        let header = json!({ "alg": algorithm.as_str(), "kid": key.kid(), "typ": "logout+jwt" });
        let claims = json!({
            "iss": self.issuer.as_str(),
            "aud": self.client,
            "iat": now.seconds(),
            "exp": (now + LIFETIME).seconds(),
            "jti": self.id,
            "events": { EVENT: {} },
            "sub": self.subject,
            "sid": self.session,
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = key.sign(&algorithm.jws(), signed.as_bytes())?;
        Ok(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

#[cfg(test)]
mod tests {
    use openidconnect::JsonWebKey as _;
    use uuid::Uuid;

    use super::*;
    use crate::handoff::signing_key::SigningAlgorithm;
    use crate::handoff::subject;
    use crate::store::AccountId;

    #[test]
    fn it_says_what_the_specification_wants_and_no_nonce() {
        let now = Timestamp::from_seconds(1_764_000_000);
        let issuer = Issuer::new(&url::Url::parse("https://sso.example.com").unwrap());
        for algorithm in SigningAlgorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let content = LogoutTokenContent {
                issuer: &issuer,
                client: "chat",
                subject: &subject::public(AccountId(Uuid::from_u128(42))),
                session: SessionId(Uuid::from_u128(9)),
                id: "abc",
            };
            let token = content.sign(&key, now).unwrap();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            key.public_jwk()
                .verify_signature(&algorithm.jws(), signed.as_bytes(), &signature)
                .unwrap();
            let part = |n: usize| -> serde_json::Value {
                let part = signed.split('.').nth(n).unwrap();
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
            };
            assert_eq!(part(0)["typ"], "logout+jwt");
            assert_eq!(part(0)["alg"], algorithm.as_str());
            let claims = part(1);
            assert_eq!(claims["iss"], "https://sso.example.com");
            assert_eq!((&claims["aud"], &claims["jti"]), (&json!("chat"), &json!("abc")));
            assert_eq!(claims["sub"], Uuid::from_u128(42).to_string());
            assert_eq!(claims["sid"], Uuid::from_u128(9).to_string());
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 120);
            assert_eq!(claims["events"], json!({ EVENT: {} }));
            assert!(claims.get("nonce").is_none());
        }
    }
}
