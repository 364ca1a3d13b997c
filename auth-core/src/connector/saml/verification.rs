//! Verification: first by ourselves (our canonical form, AWS-LC), then by the engine (libxml2 and
//! xmlsec). Both must find the same bytes signed by a pinned key.
//!
//! The order keeps strangers away from the engine's C code: it is shown nothing that a pinned key
//! has not signed.

use std::collections::BTreeSet;

use super::code::{SamlCode, SamlRefusal};
use super::engine::{EngineError, XmlSecurity};
use super::legacy::{LegacyAlgorithm, weaknesses};
use super::pinned_key::PinnedKey;
use super::signature::{SignatureShape, digest_of};
use super::xml::{Element, canonical, write};

/// A signature with the element that it stands in.
pub(crate) struct Signed<'s, 'e, 'a> {
    pub(crate) shape: &'s SignatureShape<'e, 'a>,
    /// The element, which the signature covers.
    pub(crate) parent: &'e Element<'a>,
    /// The element's ancestors, the root first.
    pub(crate) ancestors: Vec<&'e Element<'a>>,
}

/// What a verification found.
#[derive(Debug)]
pub(crate) struct Verified {
    /// The bytes that the outermost signature covers.
    pub(crate) bytes: String,
    /// What only `allow_sha1` lets through.
    pub(crate) legacy: BTreeSet<LegacyAlgorithm>,
}

/// Verifies all `signatures` of the document `root`, the outermost first.
///
/// # Errors
/// `signature_invalid`, `engine_failed`.
pub(crate) fn verify(
    root: &Element<'_>,
    signatures: &[Signed<'_, '_, '_>],
    keys: &[PinnedKey],
    engine: &dyn XmlSecurity,
) -> Result<Verified, SamlRefusal> {
    let mut covered = None;
    let mut legacy = BTreeSet::new();
    let mut certificates: Vec<&[u8]> = Vec::new();
    let mut algorithms = Vec::new();
    for signed in signatures {
        let (bytes, key) = check(signed, keys)?;
        covered.get_or_insert(bytes);
        algorithms.push(signed.shape.algorithm);
        legacy.extend(weaknesses(signed.shape.algorithm, Some(signed.shape.digest), key));
        if !certificates.contains(&key.certificate()) {
            certificates.push(key.certificate());
        }
    }
    let covered =
        covered.ok_or_else(|| SamlCode::Unsigned.because("there is no signature to verify"))?;
    let by_engine =
        engine.verify(&write(root), &certificates, &algorithms).map_err(|error| match error {
            EngineError::SignatureInvalid => {
                SamlCode::EngineFailed.because("the engine does not find the signature valid")
            }
            other => SamlCode::EngineFailed.because(other.to_string()),
        })?;
    if by_engine != covered {
        return Err(SamlCode::EngineFailed.because("the engine found other bytes signed"));
    }
    Ok(Verified { bytes: by_engine, legacy })
}

fn check<'k>(
    signed: &Signed<'_, '_, '_>,
    keys: &'k [PinnedKey],
) -> Result<(String, &'k PinnedKey), SamlRefusal> {
    let Signed { shape, parent, ancestors } = signed;
    let covered = canonical(parent, ancestors, &shape.content_method, Some(shape.element));
    let digest = digest_of(shape.digest, covered.as_bytes());
    if digest.as_ref() != shape.digest_value {
        return Err(SamlCode::SignatureInvalid
            .because(format!("the digest of the {} differs: it was changed", parent.local)));
    }
    let mut above = ancestors.clone();
    above.extend([*parent, shape.element]);
    let signed_info = canonical(shape.signed_info, &above, &shape.signed_info_method, None);
    let made_it =
        |key: &&PinnedKey| key.verifies(shape.algorithm, signed_info.as_bytes(), &shape.value);
    let key = keys.iter().find(made_it).ok_or_else(|| {
        SamlCode::SignatureInvalid.because(format!(
            "none of {} pinned keys made the signature of the {}",
            keys.len(),
            parent.local
        ))
    })?;
    Ok((covered, key))
}
