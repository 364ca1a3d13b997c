//! Metadata that has to be signed by a pinned certificate.

use crate::connector::saml::allowlist::{check_places_of_signatures, signature_of};
use crate::connector::saml::base64_text::decode;
use crate::connector::saml::code::{SamlCode, SamlRefusal};
use crate::connector::saml::engine::XmlSecurity;
use crate::connector::saml::pinned_key::PinnedKey;
use crate::connector::saml::signature::AllowedAlgorithms;
use crate::connector::saml::verification::{Signed, verify};
use crate::connector::saml::xml::{DS, Element};
use crate::secret::sha256;

/// The bytes of `root` that a certificate with one of these fingerprints signed.
///
/// The certificate itself is taken from the document; that it is the pinned one, its fingerprint
/// proves.
pub(super) fn verified(
    root: &Element<'_>,
    fingerprints: &[[u8; 32]],
    engine: &dyn XmlSecurity,
) -> Result<String, SamlRefusal> {
    let refused = |detail: String| SamlCode::MetadataSignature.because(detail);
    check_places_of_signatures(root, None).map_err(|it| refused(it.detail))?;
    let shape = signature_of(root, AllowedAlgorithms { sha1: false })
        .map_err(|it| refused(it.to_string()))?
        .ok_or_else(|| refused("the document is not signed".to_owned()))?;
    let mut keys = Vec::new();
    shape.element.walk(&mut |element| {
        if element.is(DS, "X509Certificate")
            && let Ok(der) = element.text().map(decode).unwrap_or_else(|_| decode("-"))
            && fingerprints.contains(&sha256(&der))
            && let Ok(key) = PinnedKey::from_certificate(&der, false)
        {
            keys.push(key);
        }
    });
    if keys.is_empty() {
        return Err(refused("none of its certificates is the pinned one".to_owned()));
    }
    let signed = Signed { shape: &shape, parent: root, ancestors: Vec::new() };
    let verified = verify(root, &[signed], &keys, engine);
    verified.map(|it| it.bytes).map_err(|it| refused(it.to_string()))
}
