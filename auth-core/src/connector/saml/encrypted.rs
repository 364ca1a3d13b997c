//! An `EncryptedAssertion`: its shape, and what comes out of it.
//!
//! Which method is used is said openly in the document, so an unknown one is refused by name.
//! From the key transport on there is one refusal only, whatever went wrong: an attacker who
//! sends altered cipher texts learns nothing from the answer.

use zeroize::Zeroizing;

use super::base64_text::decode;
use super::code::{SamlCode, SamlRefusal};
use super::connection::Trust;
use super::engine::{ContentCipher, DigestAlgorithm, EncryptedContent, TransportedKey};
use super::xml::{DS, Declaration, Element, Limits, Node, SAML, XENC, XENC11, parse_fragment};

/// Recipients that one assertion may be encrypted for.
const MOST_KEYS: usize = 8;

/// Reads an `EncryptedAssertion`.
///
/// # Errors
/// `encryption_structure`, `encryption_algorithm`.
pub(crate) fn read(element: &Element<'_>) -> Result<EncryptedContent, SamlRefusal> {
    only(element, &[(XENC, "EncryptedData"), (XENC, "EncryptedKey")])?;
    let encrypted = one(element, XENC, "EncryptedData")?;
    only(encrypted, &[(XENC, "EncryptionMethod"), (DS, "KeyInfo"), (XENC, "CipherData")])?;
    if encrypted.attribute("Type").is_some_and(|kind| kind != TYPE_ELEMENT) {
        return Err(structure("the Type of EncryptedData is not Element"));
    }
    let method = one(encrypted, XENC, "EncryptionMethod")?;
    let uri = method.attribute("Algorithm").unwrap_or_default();
    let cipher =
        ContentCipher::from_uri(uri).ok_or_else(|| SamlCode::EncryptionAlgorithm.because(uri))?;
    let mut keys: Vec<&Element<'_>> = element.all(XENC, "EncryptedKey").collect();
    if let Some(key_info) = encrypted.all(DS, "KeyInfo").next() {
        for inside in key_info.elements() {
            if inside.is(XENC, "EncryptedKey") {
                keys.push(inside);
            } else if inside.is(DS, "RetrievalMethod") {
                check_retrieval(inside, &keys)?;
            } else if inside.is(XENC, "AgreementMethod") {
                return Err(SamlCode::EncryptionAlgorithm.because("AgreementMethod"));
            }
        }
    }
    if keys.is_empty() || keys.len() > MOST_KEYS {
        return Err(structure(format!(
            "{} EncryptedKey, 1 to {MOST_KEYS} are expected",
            keys.len()
        )));
    }
    Ok(EncryptedContent {
        cipher,
        ciphertext: cipher_value(encrypted)?,
        keys: keys.into_iter().map(transported_key).collect::<Result<_, _>>()?,
    })
}

/// Decrypts what `place` holds and parses it as it stands there.
///
/// # Errors
/// `decryption_failed`, for everything.
pub(crate) fn decrypt(
    content: &EncryptedContent,
    trust: &Trust,
) -> Result<Zeroizing<Vec<u8>>, SamlRefusal> {
    trust.engine.decrypt(content, &trust.decryption_keys).map_err(|_| failed())
}

/// The assertion in decrypted bytes; `declarations` are in scope where it stands.
///
/// # Errors
/// `decryption_failed`.
pub(crate) fn assertion<'a>(
    plain: &'a [u8],
    declarations: &[Declaration<'a>],
) -> Result<Element<'a>, SamlRefusal> {
    let element = parse_fragment(plain, &Limits::MESSAGE, declarations).map_err(|_| failed())?;
    if element.is(SAML, "Assertion") { Ok(element) } else { Err(failed()) }
}

/// `root` with `assertion` in the place of its `EncryptedAssertion`.
pub(crate) fn in_place<'a>(root: &Element<'a>, assertion: Element<'a>) -> Element<'a> {
    let mut assertion = Some(assertion);
    let mut replaced = root.clone();
    for node in &mut replaced.children {
        if let Node::Element(element) = node
            && element.is(SAML, "EncryptedAssertion")
            && let Some(decrypted) = assertion.take()
        {
            *element = decrypted;
        }
    }
    replaced
}

/// The one refusal.
pub(crate) fn failed() -> SamlRefusal {
    SamlCode::DecryptionFailed.because(
        "no valid assertion comes out with our keys: compare the certificate at the identity \
         provider with `saml metadata`",
    )
}

fn transported_key(element: &Element<'_>) -> Result<TransportedKey, SamlRefusal> {
    only(
        element,
        &[
            (XENC, "EncryptionMethod"),
            (DS, "KeyInfo"),
            (XENC, "CipherData"),
            (XENC, "ReferenceList"),
            (XENC, "CarriedKeyName"),
        ],
    )?;
    let method = one(element, XENC, "EncryptionMethod")?;
    let uri = method.attribute("Algorithm").unwrap_or_default();
    let unknown = |what: &str| SamlCode::EncryptionAlgorithm.because(what);
    if uri != OAEP_MGF1P && uri != OAEP {
        return Err(unknown(uri));
    }
    only(
        method,
        &[(DS, "DigestMethod"), (XENC11, "MGF"), (XENC, "OAEPparams"), (XENC, "KeySize")],
    )?;
    if method.all(XENC, "OAEPparams").any(|it| it.text() != Ok("")) {
        return Err(unknown("OAEPparams"));
    }
    let parameter = |namespace: &str, local: &str| {
        let found = method.elements().find(|it| it.is(namespace, local));
        found.map(|it| it.attribute("Algorithm").unwrap_or_default().to_owned())
    };
    let digest = match parameter(DS, "DigestMethod") {
        None => DigestAlgorithm::Sha1,
        Some(uri) => digest(&uri).ok_or_else(|| unknown(&uri))?,
    };
    let mask_digest = match parameter(XENC11, "MGF") {
        None => DigestAlgorithm::Sha1,
        // The older method means MGF1 with SHA-1 by its very name.
        Some(mgf) => mask_digest(&mgf)
            .filter(|&digest| uri == OAEP || digest == DigestAlgorithm::Sha1)
            .ok_or_else(|| unknown(&mgf))?,
    };
    Ok(TransportedKey { digest, mask_digest, ciphertext: cipher_value(element)? })
}

fn cipher_value(parent: &Element<'_>) -> Result<Vec<u8>, SamlRefusal> {
    let cipher_data = one(parent, XENC, "CipherData")?;
    only(cipher_data, &[(XENC, "CipherValue")])?;
    let value = one(cipher_data, XENC, "CipherValue")?;
    decode(value.text()?).map_err(|_| structure("a CipherValue is no base64"))
}

/// It may only name an EncryptedKey that stands beside it.
fn check_retrieval(method: &Element<'_>, keys: &[&Element<'_>]) -> Result<(), SamlRefusal> {
    let uri = method.attribute("URI").unwrap_or_default();
    let id = uri.strip_prefix('#').filter(|id| !id.is_empty());
    if !method.children.is_empty() {
        return Err(SamlCode::Transform.because("in RetrievalMethod"));
    }
    match id.is_some_and(|id| keys.iter().any(|key| key.attribute("Id") == Some(id))) {
        true => Ok(()),
        false => Err(SamlCode::ExternalReference.because(format!("RetrievalMethod {uri:?}"))),
    }
}

fn one<'e, 'a>(
    parent: &'e Element<'a>,
    namespace: &str,
    local: &str,
) -> Result<&'e Element<'a>, SamlRefusal> {
    let mut found = parent.elements().filter(|it| it.is(namespace, local));
    match (found.next(), found.next()) {
        (Some(element), None) => Ok(element),
        _ => Err(structure(format!("{} holds not exactly one {local}", parent.local))),
    }
}

fn only(parent: &Element<'_>, allowed: &[(&str, &str)]) -> Result<(), SamlRefusal> {
    let known = |element: &Element<'_>| allowed.iter().any(|(ns, local)| element.is(ns, local));
    match parent.elements().find(|element| !known(element)) {
        Some(other) => Err(structure(format!("{} in {}", other.local, parent.local))),
        None if parent.holds_elements_only() => Ok(()),
        None => Err(structure(format!("text in {}", parent.local))),
    }
}

fn structure(detail: impl Into<String>) -> SamlRefusal {
    SamlCode::EncryptionStructure.because(detail)
}

/// Digests of OAEP also go by the URI of XML Encryption.
fn digest(uri: &str) -> Option<DigestAlgorithm> {
    match uri {
        "http://www.w3.org/2001/04/xmlenc#sha384" => Some(DigestAlgorithm::Sha384),
        _ => DigestAlgorithm::from_uri(uri),
    }
}

fn mask_digest(uri: &str) -> Option<DigestAlgorithm> {
    DigestAlgorithm::ALL.into_iter().find(|digest| mgf_uri(*digest) == uri)
}

const fn mgf_uri(digest: DigestAlgorithm) -> &'static str {
    match digest {
        DigestAlgorithm::Sha1 => "http://www.w3.org/2009/xmlenc11#mgf1sha1",
        DigestAlgorithm::Sha256 => "http://www.w3.org/2009/xmlenc11#mgf1sha256",
        DigestAlgorithm::Sha384 => "http://www.w3.org/2009/xmlenc11#mgf1sha384",
        DigestAlgorithm::Sha512 => "http://www.w3.org/2009/xmlenc11#mgf1sha512",
    }
}

const TYPE_ELEMENT: &str = "http://www.w3.org/2001/04/xmlenc#Element";
const OAEP_MGF1P: &str = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p";
const OAEP: &str = "http://www.w3.org/2009/xmlenc11#rsa-oaep";
