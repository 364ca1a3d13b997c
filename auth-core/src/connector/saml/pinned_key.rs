//! The keys of an identity provider that we trust: taken from its metadata once, by an
//! administrator's doing, and never from a message.
//!
//! Only the key counts. The certificate around it is self-signed and often expired at every
//! vendor, so its dates give warnings and nothing else.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use super::engine::SignatureAlgorithm;
use crate::clock::Timestamp;
use crate::secret::{hex, sha256};

/// A public key that is strong enough, with the certificate that it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct PinnedKey {
    certificate: Vec<u8>,
    spki: Vec<u8>,
    /// The point of an EC key; empty for RSA.
    point: Vec<u8>,
    kind: KeyKind,
    not_after: Timestamp,
}

/// Kind and strength of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with so many bits.
    Rsa(usize),
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

/// Why a certificate gives no pinned key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableKey {
    /// No X.509 certificate.
    #[error("is no X.509 certificate")]
    Malformed,
    /// Neither RSA nor one of the NIST curves.
    #[error("has a key that is neither RSA nor on P-256, P-384 or P-521")]
    UnknownKind,
    /// RSA of the wrong size.
    #[error("has an RSA key of {0} bits; 2048 to 8192 are accepted")]
    WeakRsa(usize),
}

impl PinnedKey {
    /// The key of a certificate (DER). With `allow_weak`, RSA from 1024 bits on.
    ///
    /// # Errors
    /// Says why it cannot be used.
    pub fn from_certificate(der: &[u8], allow_weak: bool) -> Result<Self, UnusableKey> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| UnusableKey::Malformed)?;
        if !rest.is_empty() {
            return Err(UnusableKey::Malformed);
        }
        let public = &certificate.tbs_certificate.subject_pki;
        let parsed = public.parsed().map_err(|_| UnusableKey::Malformed)?;
        let least = if allow_weak { 1024 } else { 2048 };
        let (kind, point) = match &parsed {
            PublicKey::RSA(rsa) => match rsa.key_size() {
                bits if (least..=8192).contains(&bits) => (KeyKind::Rsa(bits), Vec::new()),
                bits => return Err(UnusableKey::WeakRsa(bits)),
            },
            PublicKey::EC(point) => {
                let curve = public.algorithm.parameters.as_ref();
                let curve = curve.and_then(|it| it.as_oid().ok()).map(|oid| oid.to_id_string());
                let kind = match curve.as_deref() {
                    Some("1.2.840.10045.3.1.7") => KeyKind::P256,
                    Some("1.3.132.0.34") => KeyKind::P384,
                    Some("1.3.132.0.35") => KeyKind::P521,
                    _ => return Err(UnusableKey::UnknownKind),
                };
                (kind, point.data().to_vec())
            }
            _ => return Err(UnusableKey::UnknownKind),
        };
        Ok(Self {
            certificate: der.to_vec(),
            spki: public.raw.to_vec(),
            point,
            kind,
            not_after: Timestamp::from_seconds(certificate.validity().not_after.timestamp()),
        })
    }

    /// The certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Kind and strength.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// When the certificate says that it ends: a reason to warn, none to refuse.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// SHA-256 of the certificate, as lower-case hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(&sha256(&self.certificate))
    }

    /// Whether it is accepted with `allow_sha1` only.
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        matches!(self.kind, KeyKind::Rsa(..2048))
    }

    /// Whether this key made `value` over `octets`.
    pub(crate) fn verifies(
        &self,
        algorithm: SignatureAlgorithm,
        octets: &[u8],
        value: &[u8],
    ) -> bool {
        let Some(method) = self.method(algorithm) else { return false };
        let key = if self.point.is_empty() { &self.spki } else { &self.point };
        UnparsedPublicKey::new(method, key).verify(octets, value).is_ok()
    }

    fn method(&self, algorithm: SignatureAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
        use SignatureAlgorithm as A;
        let method: &'static dyn VerificationAlgorithm = match (self.kind, algorithm) {
            (KeyKind::Rsa(1024..2048), A::RsaSha1) => {
                &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
            }
            (KeyKind::Rsa(1024..2048), A::RsaSha256) => {
                &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
            }
            (KeyKind::Rsa(1024..2048), A::RsaSha512) => {
                &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
            }
            (KeyKind::Rsa(2048..), A::RsaSha1) => {
                &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY
            }
            (KeyKind::Rsa(2048..), A::RsaSha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (KeyKind::Rsa(2048..), A::RsaSha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (KeyKind::Rsa(2048..), A::RsaSha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (KeyKind::P256, A::EcdsaSha256) => &signature::ECDSA_P256_SHA256_FIXED,
            (KeyKind::P384, A::EcdsaSha384) => &signature::ECDSA_P384_SHA384_FIXED,
            (KeyKind::P521, A::EcdsaSha256) => &signature::ECDSA_P521_SHA256_FIXED,
            (KeyKind::P521, A::EcdsaSha384) => &signature::ECDSA_P521_SHA384_FIXED,
            (KeyKind::P521, A::EcdsaSha512) => &signature::ECDSA_P521_SHA512_FIXED,
            _ => return None,
        };
        Some(method)
    }
}

impl std::fmt::Debug for PinnedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PinnedKey({:?}, {})", self.kind, self.fingerprint())
    }
}
