//! The verdict on a response, in this order: strict parse, shape, signature and decryption, then
//! every rule about meaning, then the mapping. Identity is read from verified bytes only.
//!
//! Two orders of encryption and signature:
//! (a) the Response is signed: it is verified over the cipher text; what is decrypted out of the
//!     verified bytes is then good, and its own signature, if there is one, has to verify too;
//! (b) the Response is not signed: decrypted first, and then the inner signature has to be there
//!     and verify. Until it has, every failure is the same refusal.

use std::collections::BTreeSet;

use super::allowlist::{self, AssertionPlace, AssertionShape, ResponseShape};
use super::assertion::{AssertedValue, Assertion};
use super::checks::{Check, Checks, Failed};
use super::code::{SamlCode, SamlRefusal};
use super::connection::SamlConnection;
use super::encrypted;
use super::envelope::{SignedEnvelope, Status, UnsignedEnvelope};
use super::legacy::LegacyAlgorithm;
use super::mapping::{self, Person};
use super::name_id::NameId;
use super::semantics::{self, Expectation, Expected, Window};
use super::signature::SignatureShape;
use super::unspent::{Content, SamlSession, UnspentAssertion};
use super::verification::{Signed, verify};
use super::xml::{Declaration, Element, Limits, SAML, SAMLP, parse};
use crate::clock::Timestamp;
use crate::connector::Profile;

/// A verdict with everything that it stands on.
#[derive(Debug)]
pub struct Judgement {
    /// The checks that were made, in their order.
    pub checks: Vec<Check>,
    /// What was accepted only because `allow_sha1` is set, signatures that verified alone.
    pub legacy: BTreeSet<LegacyAlgorithm>,
    /// What was read from verified bytes, also when a later check failed. Plain data for a
    /// diagnosis, no proof of anything.
    pub statement: Option<Statement>,
    /// The assertion, good for one use; or the first refusal.
    pub outcome: Result<UnspentAssertion, SamlRefusal>,
}

/// What a verified assertion says. Plain data.
#[derive(Debug)]
pub struct Statement {
    /// The assertion's ID.
    pub assertion_id: String,
    /// Who is named.
    pub name_id: Option<NameId>,
    /// The session at the identity provider.
    pub session_index: Option<String>,
    /// Attributes as sent: name, friendly name and values (`None` for one with elements inside).
    pub attributes: Vec<(String, Option<String>, Vec<Option<String>>)>,
    /// The mapped person: subject and profile, when the mapping worked.
    pub person: Option<(String, Profile)>,
    /// What the mapping left out.
    pub notes: Vec<String>,
}

/// Judges `document` for `connection`.
pub(crate) fn judge(
    document: &[u8],
    connection: &SamlConnection,
    expectation: Expectation<'_>,
    now: Timestamp,
) -> Judgement {
    let mut checks = Checks::default();
    let expected = connection.expected(expectation, now);
    let read = read(document, connection, &expected, &mut checks);
    let (statement, unspent) = match read {
        Ok((statement, unspent)) => (Some(statement), unspent),
        Err(Failed) => (None, None),
    };
    let legacy = checks.take_legacy();
    let (checks, first) = checks.into_parts();
    let outcome = match (first, unspent) {
        (None, Some(unspent)) => Ok(unspent),
        (Some(refusal), _) => Err(refusal),
        (None, None) => Err(SamlCode::Structure.because("the response was not judged to its end")),
    };
    Judgement { checks, legacy, statement, outcome }
}

type Reading = (Statement, Option<UnspentAssertion>);

fn read(
    document: &[u8],
    connection: &SamlConnection,
    expected: &Expected<'_>,
    checks: &mut Checks,
) -> Result<Reading, Failed> {
    let size = |_: &Element<'_>| format!("{} bytes", document.len());
    let root = checks.stage("well_formed", size, parse(document, &Limits::MESSAGE))?;
    checks.stage("status", |it: &String| it.clone(), status_without_assertion(&root))?;
    let shape = allowlist::response(&root, connection.allowed());
    let shape = checks.stage("structure", describe, shape)?;

    let (envelope_signed, assertion) = match &shape {
        ResponseShape {
            signature: None,
            assertion: AssertionPlace::Plain(AssertionShape { signature: None, .. }),
        } => {
            let refusal = SamlCode::Unsigned.because("sign the response, the assertion or both");
            return checks.stage("signature", |_: &Reading| String::new(), Err(refusal));
        }
        ResponseShape { signature, assertion: AssertionPlace::Plain(plain) } => {
            if connection.settings().require_encryption {
                let refusal = SamlCode::EncryptionRequired.because("require_encryption is set");
                checks.note("encryption", Err(refusal));
            }
            plain_assertion(&root, signature.as_ref(), plain, connection, checks)?
        }
        ResponseShape { signature: Some(_), assertion: AssertionPlace::Encrypted(_) } => {
            signed_then_decrypted(&root, &shape, connection, checks)?
        }
        ResponseShape { signature: None, assertion: AssertionPlace::Encrypted(place) } => {
            (None, decrypted_then_verified(&root, place, connection, checks)?)
        }
    };
    match envelope_signed {
        Some(envelope) => envelope.objections(expected, checks),
        None => {
            let envelope = UnsignedEnvelope::read(&root);
            let envelope = checks.stage("envelope", |_| "not signed".to_owned(), envelope)?;
            envelope.objections(expected, checks);
        }
    }
    let window = semantics::check(&assertion, expected, checks);
    Ok(conclude(assertion, window, connection, expected, checks))
}

/// An identity provider that refuses sends no assertion; then its status is the reason.
fn status_without_assertion(root: &Element<'_>) -> Result<String, SamlRefusal> {
    let has_assertion =
        root.elements().any(|it| it.is(SAML, "Assertion") || it.is(SAML, "EncryptedAssertion"));
    if has_assertion || !root.is(SAMLP, "Response") {
        return Ok("judged below".to_owned());
    }
    Status::read(root)?.check()
}

type Outcome = (Option<SignedEnvelope>, Assertion);

fn plain_assertion(
    root: &Element<'_>,
    signature: Option<&SignatureShape<'_, '_>>,
    plain: &AssertionShape<'_, '_>,
    connection: &SamlConnection,
    checks: &mut Checks,
) -> Result<Outcome, Failed> {
    let mut signatures = Vec::new();
    if let Some(shape) = signature {
        signatures.push(Signed { shape, parent: root, ancestors: Vec::new() });
    }
    if let Some(shape) = &plain.signature {
        signatures.push(Signed { shape, parent: plain.element, ancestors: vec![root] });
    }
    let what = match (signature.is_some(), plain.signature.is_some()) {
        (true, true) => "response and assertion are signed",
        (true, false) => "the response is signed",
        _ => "the assertion is signed",
    };
    let trust = connection.trust();
    let verified = verify(root, &signatures, connection.pinned_keys(), trust.engine.as_ref());
    let verified = checks.stage("signature", |_| what.to_owned(), verified)?;
    checks.saw_legacy(verified.legacy);
    let read = read_verified(&verified.bytes, connection);
    checks.stage("verified_content", |_| "read from the verified bytes".to_owned(), read)
}

/// What the verified bytes hold: a whole response or an assertion.
fn read_verified(verified: &str, connection: &SamlConnection) -> Result<Outcome, SamlRefusal> {
    let element = parse(verified.as_bytes(), &Limits::MESSAGE)?;
    if element.is(SAML, "Assertion") {
        return Ok((None, Assertion::read(&element)?));
    }
    let shape = allowlist::response(&element, connection.allowed())?;
    match shape.assertion {
        AssertionPlace::Plain(plain) => {
            Ok((Some(SignedEnvelope::read(&element)?), Assertion::read(plain.element)?))
        }
        AssertionPlace::Encrypted(_) => {
            Err(SamlCode::Structure.because("an encrypted assertion where a plain one was"))
        }
    }
}

/// Order (a).
fn signed_then_decrypted(
    root: &Element<'_>,
    shape: &ResponseShape<'_, '_>,
    connection: &SamlConnection,
    checks: &mut Checks,
) -> Result<Outcome, Failed> {
    let trust = connection.trust();
    let signatures: Vec<Signed<'_, '_, '_>> = shape
        .signature
        .iter()
        .map(|shape| Signed { shape, parent: root, ancestors: Vec::new() })
        .collect();
    let verified = verify(root, &signatures, connection.pinned_keys(), trust.engine.as_ref());
    let verified = checks.stage("signature", |_| "the response is signed".to_owned(), verified)?;
    checks.saw_legacy(verified.legacy);
    let response = parse(verified.bytes.as_bytes(), &Limits::MESSAGE);
    let response = checks.stage("verified_content", |_| "read anew".to_owned(), response)?;
    let envelope = SignedEnvelope::read(&response);
    let envelope = checks.stage("envelope", |_| "signed".to_owned(), envelope)?;
    let place = encrypted_place(&response, connection);
    let place = checks.stage("encryption", |_| "shape is good".to_owned(), place)?;
    let content = encrypted::read(place);
    let content = checks.stage("encryption_method", |it| it.cipher.uri().to_owned(), content)?;
    let plain = encrypted::decrypt(&content, trust);
    let plain = checks.stage("decryption", |it| format!("{} bytes", it.len()), plain)?;
    let assertion = encrypted::assertion(&plain, &Declaration::in_scope(&[&response, place]));
    let assertion = checks.stage("decrypted_content", |_| "an assertion".to_owned(), assertion)?;
    let whole = encrypted::in_place(&response, assertion);
    let inner = inner_signature(&whole, connection);
    let inner = checks.stage("inner_signature", |it: &Inner| inner_text(it), inner)?;
    checks.saw_legacy(inner.legacy.unwrap_or_default());
    Ok((Some(envelope), inner.assertion))
}

/// An assertion that was decrypted.
struct Inner {
    assertion: Assertion,
    /// What its own signature needed `allow_sha1` for; `None` when it has no signature.
    legacy: Option<BTreeSet<LegacyAlgorithm>>,
}

fn inner_text(inner: &Inner) -> String {
    let text = match inner.legacy {
        Some(_) => "the assertion inside is signed too",
        None => "none; the response is signed",
    };
    text.to_owned()
}

fn encrypted_place<'e, 'a>(
    response: &'e Element<'a>,
    connection: &SamlConnection,
) -> Result<&'e Element<'a>, SamlRefusal> {
    match allowlist::response(response, connection.allowed())?.assertion {
        AssertionPlace::Encrypted(place) => Ok(place),
        AssertionPlace::Plain(_) => Err(SamlCode::Structure.because("no encrypted assertion")),
    }
}

/// The decrypted assertion of a signed response; its own signature, if there is one, verifies.
fn inner_signature(whole: &Element<'_>, connection: &SamlConnection) -> Result<Inner, SamlRefusal> {
    let shape = allowlist::response(whole, connection.allowed())?;
    let AssertionPlace::Plain(plain) = shape.assertion else {
        return Err(encrypted::failed());
    };
    match &plain.signature {
        None => Ok(Inner { assertion: Assertion::read(plain.element)?, legacy: None }),
        Some(signature) => verified_inner(whole, &plain, signature, connection),
    }
}

fn verified_inner(
    whole: &Element<'_>,
    plain: &AssertionShape<'_, '_>,
    shape: &SignatureShape<'_, '_>,
    connection: &SamlConnection,
) -> Result<Inner, SamlRefusal> {
    let signed = Signed { shape, parent: plain.element, ancestors: vec![whole] };
    let trust = connection.trust();
    let verified = verify(whole, &[signed], connection.pinned_keys(), trust.engine.as_ref())?;
    let element = parse(verified.bytes.as_bytes(), &Limits::MESSAGE)?;
    if !element.is(SAML, "Assertion") {
        return Err(encrypted::failed());
    }
    Ok(Inner { assertion: Assertion::read(&element)?, legacy: Some(verified.legacy) })
}

/// Order (b). From the decryption to the verified signature there is one refusal only.
fn decrypted_then_verified(
    root: &Element<'_>,
    place: &Element<'_>,
    connection: &SamlConnection,
    checks: &mut Checks,
) -> Result<Assertion, Failed> {
    let trust = connection.trust();
    let content = encrypted::read(place);
    let content = checks.stage("encryption_method", |it| it.cipher.uri().to_owned(), content)?;
    let opened = encrypted::decrypt(&content, trust).and_then(|plain| {
        let declarations = Declaration::in_scope(&[root, place]);
        let assertion = encrypted::assertion(&plain, &declarations)?;
        let whole = encrypted::in_place(root, assertion);
        match inner_signature(&whole, connection) {
            Ok(inner @ Inner { legacy: Some(_), .. }) => Ok(inner),
            Ok(Inner { legacy: None, .. }) | Err(_) => Err(encrypted::failed()),
        }
    });
    let passed = |_: &Inner| "decrypted; the assertion inside is signed".to_owned();
    let inner = checks.stage("decryption", passed, opened)?;
    checks.saw_legacy(inner.legacy.unwrap_or_default());
    Ok(inner.assertion)
}

fn conclude(
    assertion: Assertion,
    window: Option<Window>,
    connection: &SamlConnection,
    expected: &Expected<'_>,
    checks: &mut Checks,
) -> Reading {
    let person = mapping::person(&assertion, connection.settings());
    let person = checks.stage("mapping", |it: &Person| it.profile.username.clone(), person).ok();
    let contexts = assertion.statements.iter().find_map(|it| it.context.clone());
    let session_index = assertion.statements.iter().find_map(|it| it.session_index.clone());
    let unspent = match (window, &person) {
        (Some(window), Some(person)) if checks.all_passed() => {
            Some(UnspentAssertion::new(Content {
                connection: connection.id().to_owned(),
                issuer: assertion.issuer.clone(),
                assertion_id: assertion.id.clone(),
                usable_until: window.usable_until,
                verified_at: expected.now,
                subject: person.subject.clone(),
                profile: person.profile.clone(),
                amr: amr(contexts.as_deref()),
                session: SamlSession {
                    name_id: assertion.name_id.clone(),
                    session_index: session_index.clone(),
                    not_on_or_after: window.session_not_on_or_after,
                    authn_instant: window.authn_instant,
                    authn_context: contexts,
                },
            }))
        }
        _ => None,
    };
    let attributes = assertion.attributes.into_iter().map(|attribute| {
        let values = attribute.values.into_iter().map(|value| match value {
            AssertedValue::Text(text) => Some(text),
            AssertedValue::Structured => None,
        });
        (attribute.name, attribute.friendly_name, values.collect())
    });
    let attributes = attributes.collect();
    let (person, notes) = match person {
        Some(person) => (Some((person.subject, person.profile)), person.notes),
        None => (None, Vec::new()),
    };
    let statement = Statement {
        assertion_id: assertion.id,
        name_id: assertion.name_id,
        session_index,
        attributes,
        person,
        notes,
    };
    (statement, unspent)
}

/// How the person was authenticated there (RFC 8176), as far as the class says it.
fn amr(context: Option<&str>) -> Vec<String> {
    let word = match context {
        Some(
            "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
            | "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
        ) => "pwd",
        Some(
            "http://schemas.microsoft.com/claims/multipleauthn" | "https://refeds.org/profile/mfa",
        ) => "mfa",
        _ => return Vec::new(),
    };
    vec![word.to_owned()]
}

fn describe(shape: &ResponseShape<'_, '_>) -> String {
    let response = if shape.signature.is_some() { "a signed" } else { "an unsigned" };
    let assertion = match &shape.assertion {
        AssertionPlace::Encrypted(_) => "an encrypted assertion",
        AssertionPlace::Plain(plain) if plain.signature.is_some() => "a signed assertion",
        AssertionPlace::Plain(_) => "an unsigned assertion",
    };
    format!("{response} response with {assertion}")
}
