//! What to do with metadata that was read again: take it over, or ask an administrator.

use super::IdentityProvider;
use crate::connector::saml::code::{SamlCode, SamlRefusal};

/// Judges `fetched` beside what is known. With `pinned`, the document was signed by the pinned
/// certificate, and everything in it counts.
///
/// Keys that went away are dropped at once: that is how an identity provider withdraws a stolen
/// key. A new key, or another address that browsers are sent to, needs the pin or approval.
///
/// # Errors
/// `metadata_entity` for another entity; `metadata_keys_changed` when approval is needed.
pub fn judge_change(
    known: &IdentityProvider,
    fetched: &IdentityProvider,
    pinned: bool,
) -> Result<(), SamlRefusal> {
    if known.entity_id() != fetched.entity_id() {
        return Err(SamlCode::MetadataEntity.because(format!(
            "it was {:?} and is {:?} now",
            known.entity_id(),
            fetched.entity_id()
        )));
    }
    if pinned {
        return Ok(());
    }
    let before = known.fingerprints();
    let added: Vec<String> =
        fetched.fingerprints().into_iter().filter(|key| !before.contains(key)).collect();
    if !added.is_empty() {
        return Err(SamlCode::MetadataKeysChanged.because(format!(
            "new signing keys: {}; compare them with the identity provider's, then run `saml \
             approve-keys`",
            added.join(", ")
        )));
    }
    if known.single_sign_on != fetched.single_sign_on
        || known.single_logout != fetched.single_logout
    {
        return Err(SamlCode::MetadataKeysChanged.because(
            "the addresses that browsers are sent to changed; compare them with the identity \
             provider's, then run `saml approve-keys`",
        ));
    }
    Ok(())
}
