//! XML signatures and encryption for the SAML connector of `auth-core`: verification and enveloped
//! signatures by `samael` (xmlsec and libxml2), everything else by OpenSSL.
//!
//! This is the only crate that links C libraries of the system. It gets documents that were
//! parsed strictly, allow-listed, written anew and verified once already by `auth-core`, so what a
//! stranger sends never reaches the C code before a pinned key vouches for it. A panic inside
//! samael becomes an error; keys never leave this crate.
//!
//! ```
//! use std::sync::Arc;
//! use auth_core::connector::saml::engine::XmlSecurity;
//!
//! let engine: Arc<dyn XmlSecurity> = Arc::new(auth_xmlsec::XmlsecEngine);
//! let made = engine.generate_key(
//!     "sso.example.com",
//!     auth_core::clock::Timestamp::from_seconds(1_767_225_600),
//!     auth_core::clock::Timestamp::from_seconds(2_082_758_400),
//! )?;
//! assert!(engine.load_der(&made.pkcs8, &made.certificate).is_ok());
//! # Ok::<(), auth_core::connector::saml::engine::EngineError>(())
//! ```

mod decrypt;
mod generate;
mod key;
#[cfg(test)]
mod tests;
mod verify;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use auth_core::clock::Timestamp;
use auth_core::connector::saml::engine::{
    EncryptedContent, EngineError, GeneratedKey, PrivateKey, SignatureAlgorithm, XmlSecurity,
};
use openssl::error::ErrorStack;
use zeroize::Zeroizing;

/// The engine. Has no state of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct XmlsecEngine;

impl XmlSecurity for XmlsecEngine {
    fn verify(
        &self,
        document: &str,
        certificates: &[&[u8]],
        algorithms: &[SignatureAlgorithm],
    ) -> Result<String, EngineError> {
        guarded(|| verify::verify(document, certificates, algorithms))
    }

    fn decrypt(
        &self,
        content: &EncryptedContent,
        keys: &[Arc<dyn PrivateKey>],
    ) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        guarded(|| decrypt::decrypt(content, keys)).map_err(|_| EngineError::Decryption)
    }

    fn load_pem(&self, pem: &[u8]) -> Result<Arc<dyn PrivateKey>, EngineError> {
        Ok(Arc::new(key::OpensslKey::from_pem(pem)?))
    }

    fn load_der(
        &self,
        pkcs8: &[u8],
        certificate: &[u8],
    ) -> Result<Arc<dyn PrivateKey>, EngineError> {
        Ok(Arc::new(key::OpensslKey::from_der(pkcs8, certificate)?))
    }

    fn generate_key(
        &self,
        common_name: &str,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<GeneratedKey, EngineError> {
        generate::generate(common_name, not_before, not_after).map_err(failed)
    }
}

/// A panic in there is an error here.
fn guarded<T>(call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(EngineError::Failed("the engine panicked".to_owned())))
}

#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn failed(error: ErrorStack) -> EngineError {
    EngineError::Failed(format!("OpenSSL: {error}"))
}
