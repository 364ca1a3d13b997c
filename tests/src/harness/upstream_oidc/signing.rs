//! Keys of the scripted provider, and every right and wrong way to sign with them.

use anyhow::{Context as _, Result};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// RS256 with the published key.
    Rs256,
    /// PS256 with the same key.
    Ps256,
    /// ES256 with a published key.
    Es256,
    /// EdDSA with a published key.
    EdDsa,
    /// `none`, without a signature.
    None,
    /// HS256 with the published RSA key's text as the shared secret.
    Hs256WithPublicKey,
    /// HS256 with our client secret.
    Hs256WithClientSecret,
    /// RS256 with a key that is not published, under the published key's id.
    WrongKey,
    /// RS256 with the published key under an id that nobody knows.
    UnknownKeyId,
    /// RS256 in the header, the EC key's id.
    KeyOfAnotherKind,
    /// The right signature, cut short.
    CutSignature,
}

/// The keys of a provider.
pub(super) struct Keys {
    pub(super) generation: u32,
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

/// A signed token.
pub(super) fn sign(
    keys: &Keys,
    signing: Signing,
    typ: &str,
    claims: &Map<String, Value>,
) -> Result<String> {
    let (rsa_kid, ec_kid, ed_kid) = keys.ids();
    let (alg, kid) = match signing {
        Signing::Rs256 | Signing::WrongKey | Signing::CutSignature => ("RS256", rsa_kid),
        Signing::Ps256 => ("PS256", rsa_kid),
        Signing::Es256 => ("ES256", ec_kid),
        Signing::EdDsa => ("EdDSA", ed_kid),
        Signing::None => ("none", rsa_kid),
        Signing::Hs256WithPublicKey | Signing::Hs256WithClientSecret => ("HS256", rsa_kid),
        Signing::UnknownKeyId => ("RS256", "nobody-knows-this".to_owned()),
        Signing::KeyOfAnotherKind => ("RS256", ec_kid),
    };
    let header = json!({ "alg": alg, "kid": kid, "typ": typ });
    let encode = |value: &[u8]| URL_SAFE_NO_PAD.encode(value);
    let signed = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(Value::Object(claims.clone()).to_string().as_bytes())
    );
    let signature = keys.signature(signing, signed.as_bytes())?;
    Ok(format!("{signed}.{}", encode(&signature)))
}

impl Keys {
    pub(super) fn generate(generation: u32) -> Result<Self> {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
        Ok(Self {
            generation,
            rsa: RsaKeyPair::generate(KeySize::Rsa2048)?,
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref())?,
            ed: Ed25519KeyPair::generate()?,
        })
    }

    fn ids(&self) -> (String, String, String) {
        let n = self.generation;
        (format!("rsa-{n}"), format!("ec-{n}"), format!("ed-{n}"))
    }

    pub(super) fn jwks(&self) -> Result<Value> {
        let encode = |value: &[u8]| URL_SAFE_NO_PAD.encode(value);
        let (rsa, ec, ed) = self.ids();
        let public = self.rsa.public_key();
        let point = self.ec.public_key().as_ref();
        let (x, y) = point.get(1..).context("a point")?.split_at(32);
        Ok(json!({ "keys": [
            { "kty": "RSA", "use": "sig", "kid": rsa,
              "n": encode(public.modulus().big_endian_without_leading_zero()),
              "e": encode(public.exponent().big_endian_without_leading_zero()) },
            { "kty": "EC", "use": "sig", "kid": ec, "crv": "P-256", "x": encode(x), "y": encode(y) },
            { "kty": "OKP", "use": "sig", "kid": ed, "crv": "Ed25519",
              "x": encode(self.ed.public_key().as_ref()) },
        ] }))
    }

    fn signature(&self, signing: Signing, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        let rsa = |pair: &RsaKeyPair, padding| -> Result<Vec<u8>> {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &random, message, &mut signature)?;
            Ok(signature)
        };
        Ok(match signing {
            Signing::Rs256 | Signing::UnknownKeyId | Signing::KeyOfAnotherKind => {
                rsa(&self.rsa, &RSA_PKCS1_SHA256)?
            }
            Signing::Ps256 => rsa(&self.rsa, &RSA_PSS_SHA256)?,
            Signing::WrongKey => rsa(&RsaKeyPair::generate(KeySize::Rsa2048)?, &RSA_PKCS1_SHA256)?,
            Signing::CutSignature => {
                let mut signature = rsa(&self.rsa, &RSA_PKCS1_SHA256)?;
                signature.truncate(128);
                signature
            }
            Signing::Es256 => self.ec.sign(&random, message)?.as_ref().to_vec(),
            Signing::EdDsa => self.ed.sign(message).as_ref().to_vec(),
            Signing::None => Vec::new(),
            Signing::Hs256WithPublicKey => {
                let der = self.rsa.public_key().as_der()?;
                let key = hmac::Key::new(hmac::HMAC_SHA256, der.as_ref());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Signing::Hs256WithClientSecret => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, super::CLIENT_SECRET.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
        })
    }
}
