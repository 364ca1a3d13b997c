//! The provider's keys, and the signature of a token (RFC 7515, RFC 7517).
//!
//! The algorithm comes from our list, never from the token alone: RSA (PKCS #1 and PSS), ECDSA and
//! EdDSA, each with a key of its own kind. `none` and everything with a shared secret are not on
//! it, so no public key is ever taken for one. RSA keys below 2048 bits count for nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKey as _;
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::refusal::{OidcRefusal, Rejection};

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 64 * 1024;
const SMALLEST_RSA_BYTES: usize = 256;

/// A provider's keys.
#[derive(Debug)]
pub(super) struct KeySet(CoreJsonWebKeySet);

impl KeySet {
    /// Reads a JWK set; keys of a kind that we do not know are left out.
    ///
    /// # Errors
    /// When it is none, or no usable key is left.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let set: CoreJsonWebKeySet = serde_json::from_slice(body)
            .map_err(|error| format!("the keys cannot be read: {error}"))?;
        if set.keys().is_empty() {
            return Err("there is no key of a known kind".to_owned());
        }
        Ok(Self(set))
    }

    /// The keys that `token` may be signed with; empty when its key id is not known here.
    fn candidates(&self, token: &UnverifiedToken<'_>) -> Vec<&CoreJsonWebKey> {
        let named = token.header.kid.as_deref();
        let fits = |key: &&CoreJsonWebKey| {
            let same = named.is_none_or(|kid| key.key_id().is_some_and(|id| id.as_str() == kid));
            same && key.key_use().is_none_or(openidconnect::JsonWebKeyUse::allows_signature)
        };
        self.0.keys().iter().filter(fits).collect()
    }
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

/// A token in its three parts; nothing in it is believed yet.
#[derive(Debug)]
pub(super) struct UnverifiedToken<'a> {
    header: Header,
    algorithm: CoreJwsSigningAlgorithm,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The claims of a token whose signature was verified.
#[derive(Debug)]
pub(super) struct SignedClaims {
    /// The claims.
    pub(super) claims: Map<String, Value>,
    /// The header's type in lower case.
    pub(super) typ: Option<String>,
    key: CoreJsonWebKey,
    algorithm: CoreJwsSigningAlgorithm,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a compact token apart.
    ///
    /// # Errors
    /// When it is none, or its algorithm is not on the list.
    pub(super) fn parse(token: &'a str) -> Result<Self, Rejection> {
        let malformed = |what: &str| Rejection::because(OidcRefusal::MalformedToken, what);
        if token.len() > LONGEST {
            return Err(malformed("longer than 64 KiB"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| malformed("no dots"))?;
        let (header, payload) = signed.split_once('.').ok_or_else(|| malformed("one dot"))?;
        let decode =
            |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("no base64url"));
        let header: Header = serde_json::from_slice(&decode(header)?)
            .map_err(|error| malformed(&format!("header: {error}")))?;
        let algorithm = allowed(&header.alg)
            .ok_or_else(|| Rejection::because(OidcRefusal::AlgorithmNotAllowed, &*header.alg))?;
        if header.crit.is_some() {
            return Err(malformed("has critical extensions"));
        }
        Ok(Self {
            header,
            algorithm,
            signed,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Whether `keys` hold the key that the token names; if not they may be out of date.
    pub(super) fn is_known_to(&self, keys: &KeySet) -> bool {
        !keys.candidates(self).is_empty()
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// When no key fits, several would, or the signature is wrong.
    pub(super) fn verify(self, keys: &KeySet) -> Result<SignedClaims, Rejection> {
        let named = || self.header.kid.clone().unwrap_or_else(|| "no kid".to_owned());
        let candidates = keys.candidates(&self);
        if candidates.is_empty() {
            return Err(Rejection::because(OidcRefusal::UnknownKey, named()));
        }
        let fits = |key: &&&CoreJsonWebKey| {
            is_strong(key)
                && key
                    .verify_signature(&self.algorithm, self.signed.as_bytes(), &self.signature)
                    .is_ok()
        };
        let key = candidates
            .iter()
            .find(fits)
            .ok_or_else(|| Rejection::because(OidcRefusal::BadSignature, named()))?;
        let claims = serde_json::from_slice(&self.payload).map_err(|error| {
            Rejection::because(OidcRefusal::MalformedToken, format!("claims: {error}"))
        })?;
        Ok(SignedClaims {
            claims,
            typ: self.header.typ.map(|typ| typ.to_ascii_lowercase()),
            key: (*key).clone(),
            algorithm: self.algorithm,
        })
    }
}

impl SignedClaims {
    /// `at_hash` of an access token: the left half of its hash (OpenID Connect Core 1.0 section
    /// 3.1.3.6), by the hash of the token's own algorithm.
    pub(super) fn hash_of(&self, access_token: &str) -> Option<String> {
        let hash = self.key.hash_bytes(access_token.as_bytes(), &self.algorithm).ok()?;
        let half = hash.get(..hash.len() / 2)?;
        Some(URL_SAFE_NO_PAD.encode(half))
    }

    /// A claim that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// A claim that is a moment in seconds; fractions are cut off.
    pub(super) fn seconds(&self, name: &str) -> Option<i64> {
        let value = self.claims.get(name)?;
        value.as_i64().or_else(|| {
            let seconds = value.as_f64().filter(|s| s.is_finite() && s.abs() < 1e15)?;
            #[expect(clippy::cast_possible_truncation, reason = "bounded above, fraction cut")]
            Some(seconds as i64)
        })
    }
}

fn allowed(name: &str) -> Option<CoreJwsSigningAlgorithm> {
    Some(match name {
        "RS256" => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        "RS384" => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
        "RS512" => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
        "PS256" => CoreJwsSigningAlgorithm::RsaSsaPssSha256,
        "PS384" => CoreJwsSigningAlgorithm::RsaSsaPssSha384,
        "PS512" => CoreJwsSigningAlgorithm::RsaSsaPssSha512,
        "ES256" => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        "ES384" => CoreJwsSigningAlgorithm::EcdsaP384Sha384,
        "EdDSA" => CoreJwsSigningAlgorithm::EdDsa,
        _ => return None,
    })
}

/// Whether an RSA key has at least 2048 bits; the curves of the list are all strong enough.
fn is_strong(key: &CoreJsonWebKey) -> bool {
    let Ok(written) = serde_json::to_value(key) else { return false };
    let Some(modulus) = written.get("n").and_then(Value::as_str) else { return true };
    let bytes = URL_SAFE_NO_PAD.decode(modulus.trim_end_matches('=')).unwrap_or_default();
    bytes.iter().skip_while(|byte| **byte == 0).count() >= SMALLEST_RSA_BYTES
}
