//! Keys that sign ID tokens, over aws-lc-rs behind openidconnect's key trait.
//!
//! The key id is the RFC 7638 thumbprint, so two nodes that read one key name it alike. Private
//! operations never go through the `rsa` crate, whose timing is not constant.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use openidconnect::{PrivateSigningKey, SigningError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use crate::secret::sha256;

/// A JWS algorithm that ID tokens can be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256; what every relying party knows.
    #[serde(rename = "RS256")]
    Rs256,
    /// Ed25519, RFC 8037.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl SigningAlgorithm {
    /// Every algorithm; a key of each is kept.
    pub const ALL: [Self; 2] = [Self::Rs256, Self::EdDsa];

    /// The value of `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads the value of `alg`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == value)
    }

    /// The same in openidconnect's words.
    #[must_use]
    pub const fn jws(self) -> CoreJwsSigningAlgorithm {
        match self {
            Self::Rs256 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
            Self::EdDsa => CoreJwsSigningAlgorithm::EdDsa,
        }
    }
}

/// Why a key cannot be made, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// The crypto library made no key.
    #[error("no {} key could be generated", .0.as_str())]
    Generation(SigningAlgorithm),
    /// The bytes are no PKCS#8 key of this algorithm.
    #[error("the stored bytes are no {} key in PKCS#8", .0.as_str())]
    Malformed(SigningAlgorithm),
    /// The key cannot be written as PKCS#8 or JWK.
    #[error("the {} key cannot be encoded", .0.as_str())]
    Encoding(SigningAlgorithm),
}

enum KeyPair {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private signing key with its public half.
pub struct SigningKey {
    pair: KeyPair,
    kid: String,
    public: CoreJsonWebKey,
}

impl SigningKey {
    /// Makes a new key: RSA of 2048 bits, or Ed25519. RSA takes a good part of a second.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, SigningKeyError> {
        let failed = |_| SigningKeyError::Generation(algorithm);
        Self::of_pair(match algorithm {
            SigningAlgorithm::Rs256 => {
                KeyPair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?)
            }
            SigningAlgorithm::EdDsa => {
                KeyPair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?)
            }
        })
    }

    /// Reads a key from PKCS#8.
    ///
    /// # Errors
    /// When the bytes are no such key.
    pub fn from_pkcs8(algorithm: SigningAlgorithm, der: &[u8]) -> Result<Self, SigningKeyError> {
        let malformed = |_| SigningKeyError::Malformed(algorithm);
        Self::of_pair(match algorithm {
            SigningAlgorithm::Rs256 => {
                KeyPair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(malformed)?)
            }
            SigningAlgorithm::EdDsa => {
                KeyPair::Ed25519(Ed25519KeyPair::from_pkcs8(der).map_err(malformed)?)
            }
        })
    }

    /// Writes the private key as PKCS#8.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
        let failed = |_| SigningKeyError::Encoding(self.algorithm());
        Ok(Zeroizing::new(match &self.pair {
            KeyPair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
            KeyPair::Ed25519(pair) => pair.to_pkcs8().map_err(failed)?.as_ref().to_vec(),
        }))
    }

    /// Its id: the RFC 7638 thumbprint of its public half.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs with.
    #[must_use]
    pub const fn algorithm(&self) -> SigningAlgorithm {
        match self.pair {
            KeyPair::Rsa(_) => SigningAlgorithm::Rs256,
            KeyPair::Ed25519(_) => SigningAlgorithm::EdDsa,
        }
    }

    /// Its public half for the JWKS.
    #[must_use]
    pub const fn public_jwk(&self) -> &CoreJsonWebKey {
        &self.public
    }

    fn of_pair(pair: KeyPair) -> Result<Self, SigningKeyError> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // RFC 7638 section 3.2: the required members, sorted, without blanks.
        let (algorithm, thumbprint_input, mut jwk) = match &pair {
            KeyPair::Rsa(pair) => {
                let public = pair.public_key();
                let n = encode(public.modulus().big_endian_without_leading_zero());
                let e = encode(public.exponent().big_endian_without_leading_zero());
                let input = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
                (SigningAlgorithm::Rs256, input, json!({ "kty": "RSA", "n": n, "e": e }))
            }
            KeyPair::Ed25519(pair) => {
                let x = encode(pair.public_key().as_ref());
                let input = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
                let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
                (SigningAlgorithm::EdDsa, input, jwk)
            }
        };
        let kid = encode(&sha256(thumbprint_input.as_bytes()));
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), json!(kid));
            members.insert("use".to_owned(), json!("sig"));
            members.insert("alg".to_owned(), json!(algorithm.as_str()));
        }
        let public =
            serde_json::from_value(jwk).map_err(|_| SigningKeyError::Encoding(algorithm))?;
        Ok(Self { pair, kid, public })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl PrivateSigningKey for SigningKey {
    type VerificationKey = CoreJsonWebKey;

    fn sign(
        &self,
        algorithm: &CoreJwsSigningAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SigningError> {
        if *algorithm != self.algorithm().jws() {
            return Err(SigningError::UnsupportedAlg(format!("{algorithm:?}")));
        }
        match &self.pair {
            KeyPair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| SigningError::CryptoError)?;
                Ok(signature)
            }
            KeyPair::Ed25519(pair) => pair
                .try_sign(message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SigningError::CryptoError),
        }
    }

    fn as_verification_key(&self) -> CoreJsonWebKey {
        self.public.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openidconnect::JsonWebKey as _;

    #[test]
    fn keys_survive_pkcs8_and_their_signatures_verify() {
        for algorithm in SigningAlgorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let again = SigningKey::from_pkcs8(algorithm, &key.to_pkcs8().unwrap()).unwrap();
            assert_eq!((again.kid(), again.public_jwk()), (key.kid(), key.public_jwk()));
            let signature = again.sign(&algorithm.jws(), b"message").unwrap();
            let jwk = key.public_jwk();
            assert_eq!(jwk.verify_signature(&algorithm.jws(), b"message", &signature), Ok(()));
            assert!(jwk.verify_signature(&algorithm.jws(), b"massage", &signature).is_err());
        }
    }

    #[test]
    fn a_key_signs_with_its_own_algorithm_only() {
        let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        for other in [
            CoreJwsSigningAlgorithm::None,
            CoreJwsSigningAlgorithm::HmacSha256,
            CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        ] {
            assert!(key.sign(&other, b"message").is_err(), "{other:?}");
        }
        let pkcs8 = key.to_pkcs8().unwrap();
        assert!(SigningKey::from_pkcs8(SigningAlgorithm::Rs256, &pkcs8).is_err());
        assert!(SigningKey::from_pkcs8(SigningAlgorithm::EdDsa, b"junk").is_err());
    }

    #[test]
    fn the_published_key_holds_no_private_part() {
        for algorithm in SigningAlgorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let jwk = serde_json::to_value(key.public_jwk()).unwrap();
            let names: Vec<&str> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
            let expected: &[&str] = match algorithm {
                SigningAlgorithm::Rs256 => &["alg", "e", "kid", "kty", "n", "use"],
                SigningAlgorithm::EdDsa => &["alg", "crv", "kid", "kty", "use", "x"],
            };
            assert_eq!(names, expected);
            assert_eq!((&jwk["alg"], &jwk["use"]), (&json!(algorithm.as_str()), &json!("sig")));
        }
    }

    /// RFC 8037 appendix A: key, thumbprint and signature.
    #[test]
    fn the_example_of_rfc_8037() {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let seed = decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        let public = decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public).unwrap();
        let key = SigningKey::of_pair(KeyPair::Ed25519(pair)).unwrap();
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = key.sign(&CoreJwsSigningAlgorithm::EdDsa, message).unwrap();
        let expected = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(URL_SAFE_NO_PAD.encode(signature), expected);
    }
}
