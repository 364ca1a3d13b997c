//! The shape of one XML signature: exactly one SignedInfo with exactly one Reference to the
//! element that the signature stands in, allow-listed methods, and nothing else.

use aws_lc_rs::digest;

use super::base64_text::decode;
use super::code::{SamlCode, SamlRefusal};
use super::engine::{DigestAlgorithm, SignatureAlgorithm};
use super::xml::{Canonicalization, DS, Element};

/// Which methods a connection accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AllowedAlgorithms {
    /// Whether SHA-1 is among them: `allow_sha1`.
    pub(crate) sha1: bool,
}

impl AllowedAlgorithms {
    pub(crate) fn signature(self, uri: &str) -> Result<SignatureAlgorithm, SamlRefusal> {
        SignatureAlgorithm::from_uri(uri)
            .filter(|&algorithm| self.sha1 || algorithm != SignatureAlgorithm::RsaSha1)
            .ok_or_else(|| SamlCode::SignatureAlgorithm.because(uri))
    }

    fn digest(self, uri: &str) -> Result<DigestAlgorithm, SamlRefusal> {
        DigestAlgorithm::from_uri(uri)
            .filter(|&algorithm| self.sha1 || algorithm != DigestAlgorithm::Sha1)
            .ok_or_else(|| SamlCode::DigestAlgorithm.because(uri))
    }
}

/// A signature whose shape was found good. Nothing is verified yet.
pub(crate) struct SignatureShape<'e, 'a> {
    /// The element itself.
    pub(crate) element: &'e Element<'a>,
    /// What its value was made over.
    pub(crate) signed_info: &'e Element<'a>,
    /// How `signed_info` becomes bytes.
    pub(crate) signed_info_method: Canonicalization,
    /// Signature method.
    pub(crate) algorithm: SignatureAlgorithm,
    /// Signature value.
    pub(crate) value: Vec<u8>,
    /// How the parent becomes bytes.
    pub(crate) content_method: Canonicalization,
    /// Digest method.
    pub(crate) digest: DigestAlgorithm,
    /// Digest of the parent without this signature.
    pub(crate) digest_value: Vec<u8>,
}

impl<'e, 'a> SignatureShape<'e, 'a> {
    /// Reads the signature that stands directly in `parent`.
    pub(crate) fn read(
        element: &'e Element<'a>,
        parent: &Element<'_>,
        allowed: AllowedAlgorithms,
    ) -> Result<Self, SamlRefusal> {
        if element.all(DS, "Object").next().is_some() {
            return Err(SamlCode::SignatureObject.because(format!("in {}", parent.local)));
        }
        only(element, &["SignedInfo", "SignatureValue", "KeyInfo"])?;
        let signed_info = one(element, "SignedInfo")?;
        check_key_info(element)?;
        let value = base64(one(element, "SignatureValue")?)?;
        only(signed_info, &["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
        let method = one(signed_info, "CanonicalizationMethod")?;
        let signed_info_method = canonicalization(method, SamlCode::Canonicalization)?;
        let method = one(signed_info, "SignatureMethod")?;
        let algorithm = allowed.signature(algorithm_of(method)?)?;
        empty(method)?;

        let reference = one(signed_info, "Reference")?;
        check_target(reference, parent)?;
        only(reference, &["Transforms", "DigestMethod", "DigestValue"])?;
        let content_method = transforms(one(reference, "Transforms")?)?;
        let method = one(reference, "DigestMethod")?;
        let digest = allowed.digest(algorithm_of(method)?)?;
        empty(method)?;
        let digest_value = base64(one(reference, "DigestValue")?)?;
        check_digest(digest, &digest_value)?;
        Ok(Self {
            element,
            signed_info,
            signed_info_method,
            algorithm,
            value,
            content_method,
            digest,
            digest_value,
        })
    }
}

/// The Reference names the parent by its ID, and in no other way.
fn check_target(reference: &Element<'_>, parent: &Element<'_>) -> Result<(), SamlRefusal> {
    let uri = reference
        .attribute("URI")
        .ok_or_else(|| SamlCode::Reference.because("the Reference has no URI"))?;
    let Some(id) = uri.strip_prefix('#') else {
        let code = if uri.is_empty() { SamlCode::Reference } else { SamlCode::ExternalReference };
        return Err(code.because(format!("the Reference's URI is {uri:?}")));
    };
    if parent.attribute("ID") != Some(id) || id.is_empty() {
        return Err(SamlCode::Reference
            .because(format!("the Reference names {id:?}, not the {} it is in", parent.local)));
    }
    Ok(())
}

/// The enveloped-signature transform, then at most one canonicalisation.
fn transforms(transforms: &Element<'_>) -> Result<Canonicalization, SamlRefusal> {
    only(transforms, &["Transform"])?;
    let mut list = transforms.elements();
    let Some(first) = list.next() else {
        return Err(SamlCode::Transform.because("there is none"));
    };
    let uri = algorithm_of(first)?;
    if uri != ENVELOPED {
        return Err(SamlCode::Transform.because(format!("{uri} is not allowed as first")));
    }
    if !first.children.is_empty() {
        return Err(SamlCode::Transform.because("the first has something inside"));
    }
    let method = match list.next() {
        // XML Signature 4.4.3.2: what is left as nodes goes through Canonical XML 1.0.
        None => Canonicalization::Inclusive,
        Some(second) => canonicalization(second, SamlCode::Transform)?,
    };
    match list.next() {
        Some(_) => Err(SamlCode::Transform.because("more than two")),
        None => Ok(method),
    }
}

fn canonicalization(method: &Element<'_>, code: SamlCode) -> Result<Canonicalization, SamlRefusal> {
    let uri = algorithm_of(method)?;
    if INCLUSIVE.contains(&uri) {
        return match method.children.is_empty() {
            true => Ok(Canonicalization::Inclusive),
            false => Err(code.because(format!("{uri} with something inside"))),
        };
    }
    if uri != EXCLUSIVE {
        return Err(code.because(format!("{uri} is not allowed")));
    }
    let mut inside = method.elements();
    let prefixes = match (inside.next(), inside.next()) {
        (None, _) => Vec::new(),
        (Some(list), None) if list.is(EXCLUSIVE, "InclusiveNamespaces") => {
            empty(list)?;
            let names = list.attribute("PrefixList").unwrap_or_default();
            let names: Vec<&str> = names.split_ascii_whitespace().collect();
            if names.len() > MAX_PREFIXES {
                return Err(code.because(format!("{} prefixes in PrefixList", names.len())));
            }
            let plain = |name: &str| if name == "#default" { "" } else { name }.to_owned();
            names.into_iter().map(plain).collect()
        }
        _ => return Err(code.because("something else than InclusiveNamespaces inside")),
    };
    if !method.holds_elements_only() {
        return Err(code.because("text inside"));
    }
    Ok(Canonicalization::Exclusive(prefixes))
}

/// KeyInfo is never trusted; what makes an engine fetch something may not even be there.
fn check_key_info(signature: &Element<'_>) -> Result<(), SamlRefusal> {
    let mut found = signature.all(DS, "KeyInfo");
    let Some(key_info) = found.next() else { return Ok(()) };
    if found.next().is_some() {
        return Err(SamlCode::SignatureStructure.because("KeyInfo stands twice"));
    }
    let known = ["X509Data", "KeyName", "KeyValue"];
    match key_info.elements().find(|it| !known.iter().any(|local| it.is(DS, local))) {
        Some(other) => Err(SamlCode::KeyInfo.because(other.local)),
        None => Ok(()),
    }
}

fn check_digest(algorithm: DigestAlgorithm, value: &[u8]) -> Result<(), SamlRefusal> {
    let of_nothing = digest_of(algorithm, b"");
    if value.len() != of_nothing.as_ref().len() {
        return Err(SamlCode::EmptyDigest.because(format!("{} bytes", value.len())));
    }
    if value == of_nothing.as_ref() {
        return Err(SamlCode::EmptyDigest.because("it is the digest of nothing"));
    }
    Ok(())
}

/// The digest of `octets`.
pub(crate) fn digest_of(algorithm: DigestAlgorithm, octets: &[u8]) -> digest::Digest {
    let algorithm = match algorithm {
        DigestAlgorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        DigestAlgorithm::Sha256 => &digest::SHA256,
        DigestAlgorithm::Sha384 => &digest::SHA384,
        DigestAlgorithm::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, octets)
}

fn algorithm_of<'e>(element: &'e Element<'_>) -> Result<&'e str, SamlRefusal> {
    element.attribute("Algorithm").ok_or_else(|| {
        SamlCode::SignatureStructure.because(format!("{} has no Algorithm", element.local))
    })
}

fn one<'e, 'a>(parent: &'e Element<'a>, local: &str) -> Result<&'e Element<'a>, SamlRefusal> {
    let mut found = parent.elements().filter(|element| element.is(DS, local));
    match (found.next(), found.next()) {
        (Some(element), None) => Ok(element),
        (None, _) => {
            Err(SamlCode::SignatureStructure.because(format!("{} has no {local}", parent.local)))
        }
        _ => Err(SamlCode::SignatureStructure
            .because(format!("{} has more than one {local}", parent.local))),
    }
}

fn only(parent: &Element<'_>, names: &[&str]) -> Result<(), SamlRefusal> {
    let other = parent.elements().find(|it| !names.iter().any(|local| it.is(DS, local)));
    match other {
        Some(other) => Err(SamlCode::SignatureStructure
            .because(format!("{} may not stand in {}", other.local, parent.local))),
        None if parent.holds_elements_only() => Ok(()),
        None => Err(SamlCode::SignatureStructure.because(format!("text in {}", parent.local))),
    }
}

fn empty(element: &Element<'_>) -> Result<(), SamlRefusal> {
    let blank = element.holds_elements_only() && element.elements().next().is_none();
    match blank {
        true => Ok(()),
        false => {
            Err(SamlCode::SignatureStructure
                .because(format!("{} has something inside", element.local)))
        }
    }
}

fn base64(element: &Element<'_>) -> Result<Vec<u8>, SamlRefusal> {
    decode(element.text()?).map_err(|_| {
        SamlCode::SignatureStructure.because(format!("{} is no base64", element.local))
    })
}

/// Each is looked up at every element.
const MAX_PREFIXES: usize = 16;
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
/// Without comments: there are none, and what would keep them has no business here.
const INCLUSIVE: &[&str] =
    &["http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "http://www.w3.org/2006/12/xml-c14n11"];
