//! The shape that a response must have before anything is verified: one assertion in its place,
//! signatures in theirs, nothing unknown. What is not listed is refused.

use super::code::{SamlCode, SamlRefusal};
use super::signature::{AllowedAlgorithms, SignatureShape};
use super::xml::{DS, Element, SAML, SAMLP, XENC};

/// A response whose shape was found good.
pub(crate) struct ResponseShape<'e, 'a> {
    /// Its own signature.
    pub(crate) signature: Option<SignatureShape<'e, 'a>>,
    /// Its one assertion.
    pub(crate) assertion: AssertionPlace<'e, 'a>,
}

/// The one assertion of a response.
pub(crate) enum AssertionPlace<'e, 'a> {
    /// In clear.
    Plain(AssertionShape<'e, 'a>),
    /// An `EncryptedAssertion`.
    Encrypted(&'e Element<'a>),
}

/// An assertion whose shape was found good.
pub(crate) struct AssertionShape<'e, 'a> {
    pub(crate) element: &'e Element<'a>,
    pub(crate) signature: Option<SignatureShape<'e, 'a>>,
}

/// Judges the shape of a response.
///
/// # Errors
/// The first rule that is broken.
pub(crate) fn response<'e, 'a>(
    root: &'e Element<'a>,
    allowed: AllowedAlgorithms,
) -> Result<ResponseShape<'e, 'a>, SamlRefusal> {
    message(root, "Response")?;
    let assertion = place_of_assertion(root)?;
    refuse_encrypted_values(root)?;
    let assertion_parent = match &assertion {
        Found::Plain(element) => Some(*element),
        Found::Encrypted(_) => None,
    };
    check_places_of_signatures(root, assertion_parent)?;
    check_signature_parts(root)?;
    children(root, RESPONSE)?;
    let signature = signature_of(root, allowed)?;
    let assertion = match assertion {
        Found::Encrypted(element) => AssertionPlace::Encrypted(element),
        Found::Plain(element) => {
            children(element, ASSERTION)?;
            version(element)?;
            AssertionPlace::Plain(AssertionShape {
                element,
                signature: signature_of(element, allowed)?,
            })
        }
    };
    Ok(ResponseShape { signature, assertion })
}

/// Judges the shape of any protocol message: root, Version, ID.
///
/// # Errors
/// `not_a_response`, `version`, `structure`.
pub(crate) fn message(root: &Element<'_>, local: &str) -> Result<(), SamlRefusal> {
    if !root.is(SAMLP, local) {
        return Err(SamlCode::NotAResponse.because(format!(
            "the root element is {} in {:?}, expected is {local}",
            root.local, root.namespace
        )));
    }
    version(root)
}

/// The one signature directly inside `parent`, if there is one.
///
/// # Errors
/// What is wrong with its shape.
pub(crate) fn signature_of<'e, 'a>(
    parent: &'e Element<'a>,
    allowed: AllowedAlgorithms,
) -> Result<Option<SignatureShape<'e, 'a>>, SamlRefusal> {
    let found = parent.elements().find(|element| element.is(DS, "Signature"));
    found.map(|signature| SignatureShape::read(signature, parent, allowed)).transpose()
}

/// Every signature below `root` stands directly in `root` or in `other`, one each.
///
/// # Errors
/// `misplaced_signature`.
pub(crate) fn check_places_of_signatures(
    root: &Element<'_>,
    other: Option<&Element<'_>>,
) -> Result<(), SamlRefusal> {
    let mut all = 0;
    root.walk(&mut |element| all += usize::from(element.is(DS, "Signature")));
    let directly = |parent: &Element<'_>| parent.all(DS, "Signature").count();
    let at_root = directly(root);
    let at_other = other.map_or(0, directly);
    if at_root > 1 || at_other > 1 || all != at_root + at_other {
        return Err(SamlCode::MisplacedSignature.because(format!(
            "{all} signatures, of which {at_root} directly in {} and {at_other} in the assertion",
            root.local
        )));
    }
    Ok(())
}

/// Parts of signatures stand nowhere else than in a signature (or with an encrypted key): nothing
/// that searches for one finds a wrong one.
fn check_signature_parts(parent: &Element<'_>) -> Result<(), SamlRefusal> {
    let may_hold_parts = parent.namespace == DS
        || parent.namespace == XENC
        || parent.is(SAML, "SubjectConfirmationData");
    for element in parent.elements() {
        if element.namespace == DS && element.local != "Signature" && !may_hold_parts {
            return Err(SamlCode::MisplacedSignature
                .because(format!("{} stands in {}", element.local, parent.local)));
        }
        check_signature_parts(element)?;
    }
    Ok(())
}

enum Found<'e, 'a> {
    Plain(&'e Element<'a>),
    Encrypted(&'e Element<'a>),
}

fn place_of_assertion<'e, 'a>(root: &'e Element<'a>) -> Result<Found<'e, 'a>, SamlRefusal> {
    let is_assertion = |element: &Element<'_>| {
        element.is(SAML, "Assertion") || element.is(SAML, "EncryptedAssertion")
    };
    let mut all = 0;
    root.walk(&mut |element| all += usize::from(is_assertion(element)));
    let mut direct = root.elements().filter(|element| is_assertion(element));
    let (first, more) = (direct.next(), direct.count());
    if all > more + usize::from(first.is_some()) {
        return Err(SamlCode::MisplacedAssertion.because(format!(
            "{all} assertions, of which {} directly in the response",
            more + usize::from(first.is_some())
        )));
    }
    match first {
        None => Err(SamlCode::NoAssertion.because("the response holds none")),
        Some(_) if more > 0 => {
            Err(SamlCode::SeveralAssertions.because(format!("{all} assertions")))
        }
        Some(element) if element.local == "Assertion" => Ok(Found::Plain(element)),
        Some(element) => Ok(Found::Encrypted(element)),
    }
}

fn refuse_encrypted_values(root: &Element<'_>) -> Result<(), SamlRefusal> {
    let mut found = None;
    root.walk(&mut |element| {
        if element.is(SAML, "EncryptedID") || element.is(SAML, "EncryptedAttribute") {
            found = Some(element.local);
        }
    });
    found.map_or(Ok(()), |local| Err(SamlCode::EncryptedId.because(local)))
}

/// Only these elements (namespace and name), and no text beside them.
pub(crate) fn children(parent: &Element<'_>, allowed: &[(&str, &str)]) -> Result<(), SamlRefusal> {
    if !parent.holds_elements_only() {
        return Err(SamlCode::Structure.because(format!("text in {}", parent.local)));
    }
    for element in parent.elements() {
        if !allowed.iter().any(|(namespace, local)| element.is(namespace, local)) {
            return Err(SamlCode::Structure
                .because(format!("{} may not stand in {}", element.local, parent.local)));
        }
    }
    Ok(())
}

fn version(element: &Element<'_>) -> Result<(), SamlRefusal> {
    match element.attribute("Version") {
        Some("2.0") => {}
        other => {
            return Err(SamlCode::Version.because(format!("{} has {other:?}", element.local)));
        }
    }
    match element.attribute("ID") {
        Some(id) if !id.is_empty() => Ok(()),
        _ => Err(SamlCode::Structure.because(format!("{} has no ID", element.local))),
    }
}

const RESPONSE: &[(&str, &str)] = &[
    (SAML, "Issuer"),
    (DS, "Signature"),
    (SAMLP, "Extensions"),
    (SAMLP, "Status"),
    (SAML, "Assertion"),
    (SAML, "EncryptedAssertion"),
];

pub(crate) const ASSERTION: &[(&str, &str)] = &[
    (SAML, "Issuer"),
    (DS, "Signature"),
    (SAML, "Subject"),
    (SAML, "Conditions"),
    (SAML, "Advice"),
    (SAML, "AuthnStatement"),
    (SAML, "AuthzDecisionStatement"),
    (SAML, "AttributeStatement"),
];
