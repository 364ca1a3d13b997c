//! What an assertion says, read from verified bytes and nothing else. Reading judges the form of
//! each value; what the values have to be is judged in `semantics`.

use super::code::{SamlCode, SamlRefusal};
use super::name_id::NameId;
use super::xml::{Element, Node, SAML};
use crate::clock::Timestamp;

/// An assertion.
#[derive(Debug)]
pub(crate) struct Assertion {
    pub(crate) id: String,
    pub(crate) issuer: String,
    pub(crate) issuer_format: Option<String>,
    pub(crate) issue_instant: Option<String>,
    pub(crate) name_id: Option<NameId>,
    pub(crate) confirmations: Vec<Confirmation>,
    pub(crate) conditions: Option<Conditions>,
    pub(crate) statements: Vec<AuthnStatement>,
    pub(crate) attributes: Vec<AssertedAttribute>,
}

/// `SubjectConfirmation`
#[derive(Debug)]
pub(crate) struct Confirmation {
    pub(crate) method: String,
    pub(crate) recipient: Option<String>,
    pub(crate) not_before: Option<String>,
    pub(crate) not_on_or_after: Option<String>,
    pub(crate) in_response_to: Option<String>,
}

/// `Conditions`
#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) not_before: Option<String>,
    pub(crate) not_on_or_after: Option<String>,
    /// One list for each restriction; all of them must name us.
    pub(crate) audiences: Vec<Vec<String>>,
    pub(crate) unknown: Option<String>,
}

/// `AuthnStatement`
#[derive(Debug)]
pub(crate) struct AuthnStatement {
    pub(crate) instant: Option<String>,
    pub(crate) session_index: Option<String>,
    pub(crate) session_not_on_or_after: Option<String>,
    pub(crate) context: Option<String>,
}

/// `Attribute`
#[derive(Clone, Debug)]
pub(crate) struct AssertedAttribute {
    pub(crate) name: String,
    pub(crate) friendly_name: Option<String>,
    pub(crate) values: Vec<AssertedValue>,
}

/// `AttributeValue`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AssertedValue {
    Text(String),
    /// Elements inside: refused when a mapped attribute has it.
    Structured,
}

impl Assertion {
    /// Reads an `Assertion` element.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub(crate) fn read(element: &Element<'_>) -> Result<Self, SamlRefusal> {
        let issuer = element.required(SAML, "Issuer")?;
        let subject = element.optional(SAML, "Subject")?;
        let name_id = match subject {
            Some(subject) => subject.optional(SAML, "NameID")?.map(NameId::read).transpose()?,
            None => None,
        };
        let confirmations = subject.map_or_else(
            || Ok(Vec::new()),
            |subject| subject.all(SAML, "SubjectConfirmation").map(confirmation).collect(),
        )?;
        let mut attributes = Vec::new();
        for statement in element.all(SAML, "AttributeStatement") {
            for attribute in statement.all(SAML, "Attribute") {
                attributes.push(asserted_attribute(attribute)?);
            }
        }
        Ok(Self {
            id: element.attribute("ID").unwrap_or_default().to_owned(),
            issuer: issuer.text()?.to_owned(),
            issuer_format: issuer.attribute("Format").map(str::to_owned),
            issue_instant: owned(element, "IssueInstant"),
            name_id,
            confirmations,
            conditions: element.optional(SAML, "Conditions")?.map(conditions).transpose()?,
            statements: element
                .all(SAML, "AuthnStatement")
                .map(authn_statement)
                .collect::<Result<_, _>>()?,
            attributes,
        })
    }
}

fn confirmation(element: &Element<'_>) -> Result<Confirmation, SamlRefusal> {
    let details = element.optional(SAML, "SubjectConfirmationData")?;
    let attribute = |name| details.and_then(|it| owned(it, name));
    Ok(Confirmation {
        method: element.attribute("Method").unwrap_or_default().to_owned(),
        recipient: attribute("Recipient"),
        not_before: attribute("NotBefore"),
        not_on_or_after: attribute("NotOnOrAfter"),
        in_response_to: attribute("InResponseTo"),
    })
}

fn conditions(element: &Element<'_>) -> Result<Conditions, SamlRefusal> {
    let mut audiences = Vec::new();
    let mut unknown = None;
    for condition in element.elements() {
        if condition.is(SAML, "AudienceRestriction") {
            let names = condition.all(SAML, "Audience");
            let names = names.map(|it| it.text().map(|name| name.trim().to_owned()));
            audiences.push(names.collect::<Result<Vec<_>, _>>()?);
        } else if !condition.is(SAML, "OneTimeUse") && !condition.is(SAML, "ProxyRestriction") {
            // Every assertion is used once only here, and none is passed on.
            unknown = Some(condition.local.to_owned());
        }
    }
    Ok(Conditions {
        not_before: owned(element, "NotBefore"),
        not_on_or_after: owned(element, "NotOnOrAfter"),
        audiences,
        unknown,
    })
}

fn authn_statement(element: &Element<'_>) -> Result<AuthnStatement, SamlRefusal> {
    let context = element.optional(SAML, "AuthnContext")?;
    let class = match context {
        Some(context) => context.optional(SAML, "AuthnContextClassRef")?,
        None => None,
    };
    Ok(AuthnStatement {
        instant: owned(element, "AuthnInstant"),
        session_index: owned(element, "SessionIndex"),
        session_not_on_or_after: owned(element, "SessionNotOnOrAfter"),
        context: class.map(|class| class.text().map(|it| it.trim().to_owned())).transpose()?,
    })
}

fn asserted_attribute(element: &Element<'_>) -> Result<AssertedAttribute, SamlRefusal> {
    let name = element.attribute("Name").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| SamlCode::Structure.because("an Attribute without Name"))?;
    let values = element.all(SAML, "AttributeValue").filter_map(|value| {
        match value.children.as_slice() {
            // Empty, or xsi:nil: the person has no value.
            [] => None,
            [Node::Text(text)] if text.trim().is_empty() => None,
            [Node::Text(text)] => Some(AssertedValue::Text(text.clone().into_owned())),
            _ => Some(AssertedValue::Structured),
        }
    });
    Ok(AssertedAttribute {
        name: name.to_owned(),
        friendly_name: owned(element, "FriendlyName"),
        values: values.collect(),
    })
}

fn owned(element: &Element<'_>, attribute: &str) -> Option<String> {
    element.attribute(attribute).map(str::to_owned)
}

/// Reads an `xs:dateTime` with time zone (SAML wants UTC).
///
/// # Errors
/// `times` when it is none.
pub(crate) fn moment(name: &str, text: &str) -> Result<Timestamp, SamlRefusal> {
    let short: String = text.chars().take(40).collect();
    // A year, a time, nine digits of a second and a zone fit into it.
    let plain = text.len() <= 40;
    plain
        .then(|| Timestamp::parse_rfc3339(text))
        .flatten()
        .ok_or_else(|| SamlCode::Times.because(format!("{name} is no time: {short:?}")))
}
