//! Private keys of ours, held by OpenSSL.

use auth_core::connector::saml::engine::{
    DigestAlgorithm, EngineError, PrivateKey, TransportedKey,
};
use openssl::encrypt::Decrypter;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Padding;
use openssl::sign::Signer;
use openssl::x509::X509;
use samael::crypto::{Crypto, CryptoProvider as _};
use zeroize::Zeroizing;

use crate::{failed, guarded};

/// An RSA key with its certificate.
pub(crate) struct OpensslKey {
    key: PKey<Private>,
    certificate: Vec<u8>,
}

impl OpensslKey {
    /// The private key and the first certificate of a PEM file.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, EngineError> {
        let key = PKey::private_key_from_pem_callback(pem, |_| Ok(0)).map_err(|_| {
            EngineError::Key(
                "there is no private key in clear (-----BEGIN PRIVATE KEY-----)".to_owned(),
            )
        })?;
        let certificate = X509::stack_from_pem(pem)
            .ok()
            .and_then(|all| all.into_iter().next())
            .ok_or_else(|| EngineError::Key("there is no certificate".to_owned()))?;
        Self::new(key, &certificate)
    }

    pub(crate) fn from_der(pkcs8: &[u8], certificate: &[u8]) -> Result<Self, EngineError> {
        let key = PKey::private_key_from_pkcs8(pkcs8)
            .map_err(|_| EngineError::Key("the private key is no PKCS#8".to_owned()))?;
        let certificate = X509::from_der(certificate)
            .map_err(|_| EngineError::Key("the certificate is none".to_owned()))?;
        Self::new(key, &certificate)
    }

    fn new(key: PKey<Private>, certificate: &X509) -> Result<Self, EngineError> {
        if key.id() != Id::RSA || key.bits() < 2048 || key.bits() > 8192 {
            return Err(EngineError::Key(
                "the key is not RSA of 2048 to 8192 bits; identity providers encrypt to RSA only"
                    .to_owned(),
            ));
        }
        let public = certificate.public_key().map_err(failed)?;
        if !public.public_eq(&key) {
            return Err(EngineError::Key(
                "the certificate belongs to another private key".to_owned(),
            ));
        }
        Ok(Self { key, certificate: certificate.to_der().map_err(failed)? })
    }
}

impl PrivateKey for OpensslKey {
    fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, EngineError> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).map_err(failed)?;
        signer.sign_oneshot_to_vec(octets).map_err(failed)
    }

    fn sign_document(&self, document: &str) -> Result<String, EngineError> {
        let der = Zeroizing::new(self.key.private_key_to_der().map_err(failed)?);
        guarded(|| {
            Crypto::sign_xml(document, &der).map_err(|error| EngineError::Failed(error.to_string()))
        })
    }

    fn unwrap_key(&self, key: &TransportedKey) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        let unwrapped = || {
            let mut decrypter = Decrypter::new(&self.key)?;
            decrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
            decrypter.set_rsa_oaep_md(digest(key.digest))?;
            decrypter.set_rsa_mgf1_md(digest(key.mask_digest))?;
            let mut buffer = Zeroizing::new(vec![0; decrypter.decrypt_len(&key.ciphertext)?]);
            let length = decrypter.decrypt(&key.ciphertext, &mut buffer)?;
            buffer.truncate(length);
            Ok::<_, openssl::error::ErrorStack>(buffer)
        };
        unwrapped().map_err(|_| EngineError::Decryption)
    }
}

fn digest(algorithm: DigestAlgorithm) -> MessageDigest {
    match algorithm {
        DigestAlgorithm::Sha1 => MessageDigest::sha1(),
        DigestAlgorithm::Sha256 => MessageDigest::sha256(),
        DigestAlgorithm::Sha384 => MessageDigest::sha384(),
        DigestAlgorithm::Sha512 => MessageDigest::sha512(),
    }
}
