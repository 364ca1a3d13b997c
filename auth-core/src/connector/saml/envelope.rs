//! The Response around the assertion: status, addressee, the request that it answers.
//!
//! When the Response is not signed, its fields prove nothing; they live in [`UnsignedEnvelope`],
//! whose only ability is to raise objections.

use super::checks::Checks;
use super::code::{SamlCode, SamlRefusal};
use super::semantics::{Expected, answers, check_issue_instant, check_issuer};
use super::xml::{Element, SAML, SAMLP};

/// The fields of a signed Response.
#[derive(Debug)]
pub(crate) struct SignedEnvelope(Fields);

/// The fields of a Response that nobody signed: they can refuse, and do nothing else.
#[derive(Debug)]
pub(crate) struct UnsignedEnvelope(Fields);

#[derive(Debug)]
struct Fields {
    in_response_to: Option<String>,
    destination: Option<String>,
    issuer: Option<(String, Option<String>)>,
    issue_instant: Option<String>,
    status: Status,
}

/// `Status`, as far as it matters.
#[derive(Debug)]
pub(crate) struct Status {
    codes: Vec<String>,
    message: Option<String>,
}

impl SignedEnvelope {
    /// Reads a verified `Response`.
    pub(crate) fn read(verified: &Element<'_>) -> Result<Self, SamlRefusal> {
        Fields::read(verified).map(Self)
    }

    pub(crate) fn objections(&self, expected: &Expected<'_>, checks: &mut Checks) {
        let destination = match &self.0.destination {
            // SAML bindings 3.5.5.2: a signed message has to say where it goes.
            None => Err(SamlCode::Destination.because("the response is signed and names none")),
            Some(destination) => check_destination(destination, expected),
        };
        checks.note("destination", destination);
        self.0.objections(expected, checks);
    }
}

impl UnsignedEnvelope {
    /// Reads a `Response` that was parsed and nothing more.
    pub(crate) fn read(root: &Element<'_>) -> Result<Self, SamlRefusal> {
        Fields::read(root).map(Self)
    }

    pub(crate) fn objections(&self, expected: &Expected<'_>, checks: &mut Checks) {
        let destination = match &self.0.destination {
            None => Ok("none; the response is not signed".to_owned()),
            Some(destination) => check_destination(destination, expected),
        };
        checks.note("destination", destination);
        self.0.objections(expected, checks);
    }
}

impl Fields {
    fn read(root: &Element<'_>) -> Result<Self, SamlRefusal> {
        let issuer = root.optional(SAML, "Issuer")?;
        let issuer = match issuer {
            Some(it) => Some((it.text()?.to_owned(), it.attribute("Format").map(str::to_owned))),
            None => None,
        };
        Ok(Self {
            in_response_to: root.attribute("InResponseTo").map(str::to_owned),
            destination: root.attribute("Destination").map(str::to_owned),
            issuer,
            issue_instant: root.attribute("IssueInstant").map(str::to_owned),
            status: Status::read(root)?,
        })
    }

    fn objections(&self, expected: &Expected<'_>, checks: &mut Checks) {
        checks.note("status", self.status.check());
        if let Some((issuer, format)) = &self.issuer {
            checks.note("response_issuer", check_issuer(issuer, format.as_deref(), expected));
        }
        let instant = check_issue_instant(self.issue_instant.as_deref(), expected);
        checks.note("response_issue_instant", instant);
        checks.note("response_in_response_to", answers(self.in_response_to.as_deref(), expected));
    }
}

impl Status {
    /// Reads the `Status` of any response message.
    pub(crate) fn read(root: &Element<'_>) -> Result<Self, SamlRefusal> {
        let status = root.required(SAMLP, "Status")?;
        let mut codes = Vec::new();
        let mut level = status.optional(SAMLP, "StatusCode")?;
        while let Some(code) = level {
            codes.push(code.attribute("Value").unwrap_or_default().to_owned());
            level = code.optional(SAMLP, "StatusCode")?;
        }
        let message = status.optional(SAMLP, "StatusMessage")?;
        let message = message.map(Element::text).transpose()?.map(str::to_owned);
        Ok(Self { codes, message })
    }

    /// Whether the code on top is this one.
    pub(crate) fn begins_with(&self, code: &str) -> bool {
        self.codes.first().is_some_and(|it| it == code)
    }

    /// Whether this code is among them.
    pub(crate) fn holds(&self, code: &str) -> bool {
        self.codes.iter().any(|it| it == code)
    }

    /// Success, and nothing more exact below it.
    pub(crate) fn check(&self) -> Result<String, SamlRefusal> {
        if self.codes.as_slice() == [SUCCESS] {
            return Ok("Success".to_owned());
        }
        let short = |code: &String| {
            code.strip_prefix("urn:oasis:names:tc:SAML:2.0:status:").unwrap_or(code).to_owned()
        };
        let codes: Vec<String> = self.codes.iter().map(short).collect();
        let mut detail = format!("the identity provider answered {:?}", codes.join(" / "));
        if let Some(message) = self.message.as_ref().filter(|it| !it.trim().is_empty()) {
            let message: String = message.chars().take(300).collect();
            detail.push_str(&format!(": {:?}", message.trim()));
        }
        Err(SamlCode::Status.because(detail))
    }
}

fn check_destination(destination: &str, expected: &Expected<'_>) -> Result<String, SamlRefusal> {
    if destination == expected.acs_url {
        return Ok(destination.to_owned());
    }
    Err(SamlCode::Destination
        .because(format!("it is {destination:?}, ours is {:?}", expected.acs_url)))
}

pub(crate) const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
