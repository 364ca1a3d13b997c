//! Client authentication by a signed JWT: `private_key_jwt`, RFC 7523 section 2.2 and 3, OpenID
//! Connect Core 1.0 section 9.
//!
//! The algorithm is taken from a short list of asymmetric ones and has to fit the key, so that
//! neither `none` nor an HMAC under the public key passes. A judged assertion is worth nothing
//! before its [`OnceOnly`] was seen for the first time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKey as _;
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use serde::Deserialize;
use serde_json::Value;

use super::AuthenticationFailure;
use crate::clock::Timestamp;
use crate::secret::TokenHash;

/// Value of `client_assertion_type`.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Longest assertion that is looked at.
const LONGEST: usize = 16 * 1024;
/// How long an assertion may be valid: what is used up has to be remembered so long.
const LONGEST_LIFE: Duration = Duration::from_secs(3600);
/// How far the client's clock may be off.
const SKEW: Duration = Duration::from_secs(60);

const ALGORITHMS: [(&str, CoreJwsSigningAlgorithm); 5] = [
    ("RS256", CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256),
    ("PS256", CoreJwsSigningAlgorithm::RsaSsaPssSha256),
    ("ES256", CoreJwsSigningAlgorithm::EcdsaP256Sha256),
    ("EdDSA", CoreJwsSigningAlgorithm::EdDsa),
    // RFC 9864: the same with its curve in the name.
    ("Ed25519", CoreJwsSigningAlgorithm::EdDsa),
];

/// The public keys of a client.
#[derive(Debug)]
pub struct AssertionKeys(Vec<(Option<String>, CoreJsonWebKey)>);

/// What an assertion has to say.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedAssertion<'a> {
    /// Audiences of which it names one: the issuer and the endpoints.
    pub audiences: &'a [String],
    /// The present moment.
    pub now: Timestamp,
}

/// The mark of an assertion, which is good once.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnceOnly {
    /// Hash of the assertion's `jti`.
    pub jti: TokenHash,
    /// How long it has to be remembered.
    pub until: Timestamp,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
    jti: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl AssertionKeys {
    /// Reads a JWK set.
    ///
    /// # Errors
    /// Says what is wrong with it and how to mend it.
    pub fn read(jwks: &Value) -> Result<Self, String> {
        let list = jwks
            .get("keys")
            .and_then(Value::as_array)
            .ok_or("is no JWK set: it has to be an object with a list `keys`")?;
        let mut keys = Vec::new();
        for (index, jwk) in list.iter().enumerate() {
            let member = |name: &str| jwk.get(name).and_then(Value::as_str);
            if jwk.get("d").is_some() || jwk.get("k").is_some() {
                return Err(format!(
                    "key {index} holds a private key or a shared secret: give the public part only"
                ));
            }
            if member("use").is_some_and(|usage| usage != "sig") {
                continue;
            }
            let key = serde_json::from_value(jwk.clone())
                .map_err(|error| format!("key {index} cannot be read: {error}"))?;
            keys.push((member("kid").map(str::to_owned), key));
        }
        if keys.is_empty() {
            return Err("holds no key for signatures".to_owned());
        }
        Ok(Self(keys))
    }

    /// Judges an assertion that a caller presented as the client `client`.
    pub(super) fn judge(
        &self,
        assertion: &str,
        client: &str,
        expected: ExpectedAssertion<'_>,
    ) -> Result<OnceOnly, AuthenticationFailure> {
        let payload = self.signed_payload(assertion).ok_or(AuthenticationFailure::BadAssertion)?;
        if payload.iss != client || payload.sub != client {
            return Err(AuthenticationFailure::BadAssertion);
        }
        let audiences = match payload.aud {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        };
        if !audiences.iter().any(|audience| expected.audiences.contains(audience)) {
            return Err(AuthenticationFailure::AssertionAudience);
        }
        let now = expected.now;
        let expires = Timestamp::from_seconds(payload.exp);
        let begun = |seconds: i64| Timestamp::from_seconds(seconds) <= now + SKEW;
        let in_time = now < expires + SKEW
            && expires <= now + LONGEST_LIFE + SKEW
            && payload.nbf.is_none_or(begun)
            && payload.iat.is_none_or(begun);
        if !in_time {
            return Err(AuthenticationFailure::AssertionTime);
        }
        if payload.jti.is_empty() {
            return Err(AuthenticationFailure::BadAssertion);
        }
        Ok(OnceOnly { jti: TokenHash::of(payload.jti.as_bytes()), until: expires + SKEW * 2 })
    }

    fn signed_payload(&self, assertion: &str) -> Option<Payload> {
        if assertion.len() > LONGEST {
            return None;
        }
        let (signed, signature) = assertion.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        if header.crit.is_some() {
            // RFC 7515 section 4.1.11: an extension that must be understood.
            return None;
        }
        let (_, algorithm) = ALGORITHMS.into_iter().find(|(name, _)| *name == header.alg)?;
        let signature = decode(signature)?;
        let verified = self
            .0
            .iter()
            .filter(|(kid, _)| header.kid.is_none() || kid.is_none() || *kid == header.kid)
            .any(|(_, key)| {
                key.verify_signature(&algorithm, signed.as_bytes(), &signature).is_ok()
            });
        if !verified {
            return None;
        }
        serde_json::from_slice(&decode(payload)?).ok()
    }
}

/// The client that an assertion claims to be of; nothing is checked yet.
pub(super) fn claimed_client(assertion: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claimed {
        sub: String,
    }
    if assertion.len() > LONGEST {
        return None;
    }
    let claimed: Claimed = serde_json::from_slice(&decode(assertion.split('.').nth(1)?)?).ok()?;
    Some(claimed.sub)
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

#[cfg(test)]
mod tests {
    use openidconnect::PrivateSigningKey as _;
    use serde_json::json;

    use super::*;
    use crate::handoff::signing_key::{SigningAlgorithm, SigningKey};

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);

    fn keys_of(key: &SigningKey) -> AssertionKeys {
        AssertionKeys::read(&json!({ "keys": [key.public_jwk()] })).unwrap()
    }

    fn sign(key: &SigningKey, header: &Value, payload: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = key.sign(&key.algorithm().jws(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn payload() -> Value {
        json!({
            "iss": "chat", "sub": "chat", "aud": "https://sso.example.com",
            "exp": NOW.seconds() + 60, "iat": NOW.seconds(), "jti": "j-1",
        })
    }

    fn judge(key: &SigningKey, assertion: &str) -> Result<OnceOnly, AuthenticationFailure> {
        let audiences = ["https://sso.example.com".to_owned()];
        let expected = ExpectedAssertion { audiences: &audiences, now: NOW };
        keys_of(key).judge(assertion, "chat", expected)
    }

    #[test]
    fn what_an_assertion_says_is_judged() {
        use AuthenticationFailure::{AssertionAudience, AssertionTime, BadAssertion};
        let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let header = json!({ "alg": "EdDSA", "kid": key.kid() });
        let once = judge(&key, &sign(&key, &header, &payload())).unwrap();
        assert_eq!(once.jti, TokenHash::of(b"j-1"));
        assert!(once.until > NOW + Duration::from_secs(60));
        let with = |name: &str, value: Value| {
            let mut changed = payload();
            changed[name] = value;
            judge(&key, &sign(&key, &header, &changed)).map(drop)
        };
        let at = |seconds: i64| json!(NOW.seconds() + seconds);
        assert_eq!(with("aud", json!(["x", "https://sso.example.com"])), Ok(()));
        for (name, value, failure) in [
            ("iss", json!("other"), BadAssertion),
            ("sub", json!("other"), BadAssertion),
            ("jti", json!(""), BadAssertion),
            ("jti", json!(null), BadAssertion),
            ("exp", json!(null), BadAssertion),
            ("aud", json!("https://other.example.com"), AssertionAudience),
            ("aud", json!([]), AssertionAudience),
            ("exp", at(-61), AssertionTime),
            ("exp", at(3700), AssertionTime),
            ("nbf", at(120), AssertionTime),
            ("iat", at(120), AssertionTime),
        ] {
            assert_eq!(with(name, value.clone()), Err(failure), "{name} {value}");
        }
    }

    #[test]
    fn no_other_signature_passes() {
        let key = SigningKey::generate(SigningAlgorithm::Rs256).unwrap();
        let other = SigningKey::generate(SigningAlgorithm::Rs256).unwrap();
        let header = json!({ "alg": "RS256" });
        assert!(judge(&key, &sign(&key, &header, &payload())).is_ok(), "without a key id");
        let good = sign(&key, &header, &payload());
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let body = signed.split_once('.').unwrap().1;
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        // The public key's own text as the secret of an HMAC.
        let hmac = |secret: &[u8]| {
            use aws_lc_rs::hmac;
            let signed = format!("{}.{body}", encode(r#"{"alg":"HS256"}"#));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
        };
        let public = serde_json::to_vec(key.public_jwk()).unwrap();
        for forged in [
            sign(&other, &header, &payload()),
            format!("{signed}."),
            format!("{}.{body}.", encode(r#"{"alg":"none"}"#)),
            format!("{}.{body}.{signature}", encode(r#"{"alg":"PS256"}"#)),
            format!("{}.{body}.{signature}", encode(r#"{"alg":"RS256","kid":"x"}"#)),
            sign(&key, &json!({ "alg": "RS256", "crit": ["b64"] }), &payload()),
            hmac(&public),
            hmac(b""),
            "x".repeat(LONGEST + 1),
            String::new(),
        ] {
            assert_eq!(judge(&key, &forged), Err(AuthenticationFailure::BadAssertion), "{forged}");
        }
    }

    #[test]
    fn key_sets_that_cannot_be_used_are_refused() {
        for (jwks, problem) in [
            (json!([]), "no JWK set"),
            (json!({ "keys": [] }), "no key"),
            (json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] }), "private key"),
            (
                json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA" }] }),
                "private",
            ),
            (json!({ "keys": [{ "kty": "nonsense" }] }), "cannot be read"),
        ] {
            let error = AssertionKeys::read(&jwks).unwrap_err();
            assert!(error.contains(problem), "{jwks}: {error}");
        }
    }
}
