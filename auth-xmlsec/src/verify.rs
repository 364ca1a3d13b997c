//! Verification by samael, in the one mode that gives back exactly the bytes that were digested.

use auth_core::connector::saml::engine::{EngineError, SignatureAlgorithm};
use samael::crypto::{
    AllowedSignatureAlgorithm, CertificateDer, Crypto, CryptoError, CryptoProvider as _, ReduceMode,
};

/// Every signature in `document` verifies with one of `certificates`; gives the bytes that the
/// outermost covers.
pub(crate) fn verify(
    document: &str,
    certificates: &[&[u8]],
    algorithms: &[SignatureAlgorithm],
) -> Result<String, EngineError> {
    // samael takes no certificates for "nothing to verify with" only in some of its callers:
    // here it is an error always.
    if certificates.is_empty() || algorithms.is_empty() {
        return Err(EngineError::Key("there is no key to verify with".to_owned()));
    }
    let certificates: Vec<CertificateDer> =
        certificates.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let allowed = allowed(algorithms);
    Crypto::reduce_xml_to_signed_with_allowed_algorithms(
        document,
        &certificates,
        ReduceMode::PreDigest,
        allowed.as_deref(),
    )
    .map_err(|error| match error {
        CryptoError::InvalidSignature => EngineError::SignatureInvalid,
        other => EngineError::Failed(other.to_string()),
    })
}

/// samael's list knows no SHA-1. A document with it gets here only where `allow_sha1` is set and
/// our own list let it through; samael then has no list to check against.
fn allowed(algorithms: &[SignatureAlgorithm]) -> Option<Vec<AllowedSignatureAlgorithm>> {
    let mut allowed = Vec::new();
    for algorithm in algorithms {
        allowed.push(match algorithm {
            SignatureAlgorithm::EcdsaSha256 => AllowedSignatureAlgorithm::EcdsaSha256,
            SignatureAlgorithm::EcdsaSha384 => AllowedSignatureAlgorithm::EcdsaSha384,
            SignatureAlgorithm::EcdsaSha512 => AllowedSignatureAlgorithm::EcdsaSha512,
            SignatureAlgorithm::RsaSha256 => AllowedSignatureAlgorithm::RsaSha256,
            SignatureAlgorithm::RsaSha384 => AllowedSignatureAlgorithm::RsaSha384,
            SignatureAlgorithm::RsaSha512 => AllowedSignatureAlgorithm::RsaSha512,
            SignatureAlgorithm::RsaSha1 => return None,
        });
    }
    // A list with a signature method allows its digest only; SHA-512 over SHA-256 digests and the
    // like are common, and our own list judged both.
    let digests = [
        AllowedSignatureAlgorithm::RsaSha256,
        AllowedSignatureAlgorithm::RsaSha384,
        AllowedSignatureAlgorithm::RsaSha512,
    ];
    allowed.extend(digests);
    Some(allowed)
}
