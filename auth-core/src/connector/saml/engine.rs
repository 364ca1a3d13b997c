//! What the connector needs of an engine for XML signatures and encryption.
//!
//! An engine is a crate of its own (`auth-xmlsec`), passed in as a value. It sees only documents
//! that were parsed strictly, allow-listed and written anew by us; it knows no SAML. Keys that
//! sign and decrypt stay inside it.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::clock::Timestamp;

/// A signature method of XML Signature (RFC 9231) and of the redirect binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// ECDSA with SHA-512.
    EcdsaSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-1; only where `allow_sha1` is set.
    RsaSha1,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaSha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaSha512,
}

impl SignatureAlgorithm {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::RsaSha1,
        Self::RsaSha256,
        Self::RsaSha384,
        Self::RsaSha512,
    ];

    /// The URI.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::EcdsaSha256 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
            Self::EcdsaSha384 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
            Self::EcdsaSha512 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
            Self::RsaSha1 => "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
            Self::RsaSha256 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            Self::RsaSha384 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
            Self::RsaSha512 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
        }
    }

    /// The method with this URI.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.uri() == uri)
    }
}

/// A digest method of XML Signature and of OAEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// SHA-1; in signatures only where `allow_sha1` is set.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The URI.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Sha1 => "http://www.w3.org/2000/09/xmldsig#sha1",
            Self::Sha256 => "http://www.w3.org/2001/04/xmlenc#sha256",
            Self::Sha384 => "http://www.w3.org/2001/04/xmldsig-more#sha384",
            Self::Sha512 => "http://www.w3.org/2001/04/xmlenc#sha512",
        }
    }

    /// The method with this URI.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.uri() == uri)
    }
}

/// How the content is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCipher {
    /// AES-128 in CBC mode.
    Aes128Cbc,
    /// AES-192 in CBC mode.
    Aes192Cbc,
    /// AES-256 in CBC mode.
    Aes256Cbc,
    /// AES-128 in GCM mode.
    Aes128Gcm,
    /// AES-192 in GCM mode.
    Aes192Gcm,
    /// AES-256 in GCM mode.
    Aes256Gcm,
}

impl ContentCipher {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Aes128Cbc,
        Self::Aes192Cbc,
        Self::Aes256Cbc,
        Self::Aes128Gcm,
        Self::Aes192Gcm,
        Self::Aes256Gcm,
    ];

    /// The URI.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Aes128Cbc => "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
            Self::Aes192Cbc => "http://www.w3.org/2001/04/xmlenc#aes192-cbc",
            Self::Aes256Cbc => "http://www.w3.org/2001/04/xmlenc#aes256-cbc",
            Self::Aes128Gcm => "http://www.w3.org/2009/xmlenc11#aes128-gcm",
            Self::Aes192Gcm => "http://www.w3.org/2009/xmlenc11#aes192-gcm",
            Self::Aes256Gcm => "http://www.w3.org/2009/xmlenc11#aes256-gcm",
        }
    }

    /// The method with this URI.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cipher| cipher.uri() == uri)
    }

    /// Length of the key in bytes.
    #[must_use]
    pub const fn key_length(self) -> usize {
        match self {
            Self::Aes128Cbc | Self::Aes128Gcm => 16,
            Self::Aes192Cbc | Self::Aes192Gcm => 24,
            Self::Aes256Cbc | Self::Aes256Gcm => 32,
        }
    }
}

/// A content key, encrypted for one recipient by RSA-OAEP. There is no other key transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportedKey {
    /// Digest of OAEP.
    pub digest: DigestAlgorithm,
    /// Digest of its mask generation function MGF1.
    pub mask_digest: DigestAlgorithm,
    /// The encrypted key.
    pub ciphertext: Vec<u8>,
}

/// Encrypted content with its encrypted keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedContent {
    /// How the content is encrypted.
    pub cipher: ContentCipher,
    /// Initialisation vector, cipher text and (GCM) tag.
    pub ciphertext: Vec<u8>,
    /// The content key, for one or more recipients.
    pub keys: Vec<TransportedKey>,
}

/// Why the engine gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The content cannot be decrypted, for whatever reason: there is one error only.
    #[error("cannot be decrypted")]
    Decryption,
    /// A key or certificate cannot be used.
    #[error("{0}")]
    Key(String),
    /// The engine failed, or panicked.
    #[error("{0}")]
    Failed(String),
    /// No key given made the signature.
    #[error("the signature does not verify")]
    SignatureInvalid,
}

/// A private key of ours with its certificate. It never leaves the engine.
pub trait PrivateKey: Send + Sync {
    /// The certificate, DER.
    fn certificate(&self) -> &[u8];

    /// RSASSA-PKCS1-v1_5 with SHA-256 over `octets`.
    ///
    /// # Errors
    /// When the engine fails.
    fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, EngineError>;

    /// Fills in digest and signature of the one signature template (SHA-256, RSA) that stands in
    /// `document`; the Reference names an `ID`.
    ///
    /// # Errors
    /// When the engine fails.
    fn sign_document(&self, document: &str) -> Result<String, EngineError>;

    /// Unwraps a content key by RSA-OAEP.
    ///
    /// # Errors
    /// [`EngineError::Decryption`] for every failure.
    fn unwrap_key(&self, key: &TransportedKey) -> Result<Zeroizing<Vec<u8>>, EngineError>;
}

/// A new key pair with a certificate that says how long we mean to use it.
pub struct GeneratedKey {
    /// PKCS#8, DER. To be sealed at once.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// Self-signed certificate, DER.
    pub certificate: Vec<u8>,
}

impl std::fmt::Debug for GeneratedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GeneratedKey")
    }
}

/// An engine for XML signatures and encryption.
pub trait XmlSecurity: Send + Sync {
    /// Verifies every signature in `document` against `certificates` (DER; their keys count,
    /// nothing else in them) and gives the canonical bytes that the outermost one covers.
    ///
    /// `algorithms` is what our allow-list let through for this document.
    ///
    /// # Errors
    /// [`EngineError::SignatureInvalid`], or [`EngineError::Failed`]. Never panics.
    fn verify(
        &self,
        document: &str,
        certificates: &[&[u8]],
        algorithms: &[SignatureAlgorithm],
    ) -> Result<String, EngineError>;

    /// Decrypts with the first of our keys that unwraps a content key. Goes on with a random
    /// content key where none does, so that the two cannot be told apart.
    ///
    /// # Errors
    /// [`EngineError::Decryption`] for every failure. Never panics.
    fn decrypt(
        &self,
        content: &EncryptedContent,
        keys: &[Arc<dyn PrivateKey>],
    ) -> Result<Zeroizing<Vec<u8>>, EngineError>;

    /// Takes a private key and certificate out of a PEM file.
    ///
    /// # Errors
    /// [`EngineError::Key`] says what is missing, does not fit or is too weak.
    fn load_pem(&self, pem: &[u8]) -> Result<Arc<dyn PrivateKey>, EngineError>;

    /// Takes a private key (PKCS#8) and certificate, DER.
    ///
    /// # Errors
    /// [`EngineError::Key`] says what does not fit or is too weak.
    fn load_der(
        &self,
        pkcs8: &[u8],
        certificate: &[u8],
    ) -> Result<Arc<dyn PrivateKey>, EngineError>;

    /// Makes an RSA key of 3072 bits with a self-signed certificate.
    ///
    /// # Errors
    /// When the engine fails.
    fn generate_key(
        &self,
        common_name: &str,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<GeneratedKey, EngineError>;
}
