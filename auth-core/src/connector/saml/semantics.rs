//! What an assertion has to say for this connection, this request and this moment (SAML profiles
//! section 4.1.4, core section 2.5). Each rule by itself, each with a code of its own; the clock
//! is an argument.

use std::time::Duration;

use super::assertion::{Assertion, Confirmation, moment};
use super::checks::Checks;
use super::code::{SamlCode, SamlRefusal};
use super::name_id::ENTITY;
use crate::clock::Timestamp;

/// The request that a response has to answer.
#[derive(Clone, Copy, Debug)]
pub enum Expectation<'r> {
    /// The one request that is pending for this browser and connection.
    Request(PendingRequest<'r>),
    /// None: the identity provider began by itself. Refused unless the connection allows it.
    Unsolicited,
}

/// A request that was sent and not answered yet.
#[derive(Clone, Copy, Debug)]
pub struct PendingRequest<'r> {
    /// Its ID.
    pub id: &'r str,
    /// When it was sent, for a request with `ForceAuthn`: an older authentication is refused.
    pub forced_at: Option<Timestamp>,
}

/// What this connection expects at this moment.
#[derive(Debug)]
pub(crate) struct Expected<'c> {
    pub(crate) idp_entity_id: &'c str,
    pub(crate) sp_entity_id: &'c str,
    pub(crate) acs_url: &'c str,
    pub(crate) skew: Duration,
    pub(crate) allow_idp_initiated: bool,
    pub(crate) authn_context: &'c [String],
    pub(crate) expectation: Expectation<'c>,
    pub(crate) now: Timestamp,
}

/// What the checks learn beside their verdict.
#[derive(Debug)]
pub(crate) struct Window {
    /// Until when the assertion could be used again: the replay mark lasts until then.
    pub(crate) usable_until: Timestamp,
    /// When the session at the identity provider ends.
    pub(crate) session_not_on_or_after: Option<Timestamp>,
    /// When the person was authenticated.
    pub(crate) authn_instant: Timestamp,
}

/// Makes every check on an assertion. `None` when one failed.
pub(crate) fn check(
    assertion: &Assertion,
    expected: &Expected<'_>,
    checks: &mut Checks,
) -> Option<Window> {
    let format = assertion.issuer_format.as_deref();
    checks.note("issuer", check_issuer(&assertion.issuer, format, expected));
    let conditions_until = conditions(assertion, expected, checks);
    let confirmed_until = subject_confirmation(assertion, expected, checks);
    let statements = statements(assertion, expected, checks);
    let instant = check_issue_instant(assertion.issue_instant.as_deref(), expected);
    checks.note("issue_instant", instant);
    let (session_not_on_or_after, authn_instant) = statements?;
    let usable_until = [confirmed_until?, conditions_until?].into_iter().max()?;
    Some(Window {
        usable_until: usable_until + expected.skew,
        session_not_on_or_after,
        authn_instant,
    })
}

pub(crate) fn check_issuer(
    issuer: &str,
    format: Option<&str>,
    expected: &Expected<'_>,
) -> Result<String, SamlRefusal> {
    if issuer != expected.idp_entity_id {
        return Err(SamlCode::Issuer
            .because(format!("it is {issuer:?}, expected is {:?}", expected.idp_entity_id)));
    }
    match format {
        None | Some(ENTITY) => Ok(issuer.to_owned()),
        Some(other) => Err(SamlCode::Issuer.because(format!("its Format is {other:?}"))),
    }
}

pub(crate) fn check_issue_instant(
    text: Option<&str>,
    expected: &Expected<'_>,
) -> Result<String, SamlRefusal> {
    let text = text.ok_or_else(|| SamlCode::IssueInstant.because("it is missing"))?;
    let at = moment("IssueInstant", text)
        .map_err(|refusal| SamlCode::IssueInstant.because(refusal.detail))?;
    if at > expected.now + expected.skew {
        return Err(
            SamlCode::IssueInstant.because(format!("{at} is in the future{}", ahead(at, expected)))
        );
    }
    Ok(at.to_string())
}

/// `InResponseTo` of the Response or of the confirmation.
pub(crate) fn answers(
    in_response_to: Option<&str>,
    expected: &Expected<'_>,
) -> Result<String, SamlRefusal> {
    match (expected.expectation, in_response_to) {
        (Expectation::Request(request), Some(id)) if id == request.id && !id.is_empty() => {
            Ok(id.to_owned())
        }
        (Expectation::Request(request), Some(id)) => Err(SamlCode::InResponseTo
            .because(format!("it answers {id:?}, pending is {:?}", request.id))),
        (Expectation::Request(_), None) => {
            Err(SamlCode::InResponseTo.because("it is missing, but a request is pending"))
        }
        (Expectation::Unsolicited, Some(id)) => Err(SamlCode::InResponseTo
            .because(format!("it answers {id:?}, but no such request is pending"))),
        (Expectation::Unsolicited, None) if expected.allow_idp_initiated => {
            Ok("none: the identity provider began by itself".to_owned())
        }
        (Expectation::Unsolicited, None) => Err(SamlCode::Unsolicited
            .because("set allow_idp_initiated = true to let the identity provider begin")),
    }
}

/// One bearer confirmation that holds is enough; the first bearer's reason is the one told.
fn subject_confirmation(
    assertion: &Assertion,
    expected: &Expected<'_>,
    checks: &mut Checks,
) -> Option<Timestamp> {
    let bearers = assertion.confirmations.iter().filter(|it| it.method == BEARER);
    let judged: Vec<(Checks, Option<Timestamp>)> =
        bearers.map(|confirmation| bearer(confirmation, expected)).collect();
    let Some(index) =
        judged.iter().position(|(own, _)| own.all_passed()).or((!judged.is_empty()).then_some(0))
    else {
        let problem = SamlCode::SubjectConfirmation.because("there is no bearer confirmation");
        checks.note("subject_confirmation", Err(problem));
        return None;
    };
    let (own, until) = judged.into_iter().nth(index)?;
    checks.append(own);
    until
}

fn bearer(confirmation: &Confirmation, expected: &Expected<'_>) -> (Checks, Option<Timestamp>) {
    let mut checks = Checks::default();
    let recipient =
        match confirmation.recipient.as_deref() {
            Some(recipient) if recipient == expected.acs_url => Ok(recipient.to_owned()),
            other => Err(SamlCode::Recipient
                .because(format!("it is {other:?}, ours is {:?}", expected.acs_url))),
        };
    checks.note("recipient", recipient);
    let not_before = match &confirmation.not_before {
        None => Ok("bearer, without NotBefore".to_owned()),
        Some(_) => Err(SamlCode::SubjectConfirmation
            .because("a bearer confirmation may not have NotBefore (profiles 4.1.4.2)")),
    };
    checks.note("subject_confirmation", not_before);
    let until = match confirmation.not_on_or_after.as_deref() {
        Some(text) => moment("NotOnOrAfter of the confirmation", text),
        None => Err(SamlCode::Times.because("the confirmation has no NotOnOrAfter")),
    };
    let known = until.as_ref().ok().copied();
    checks.note("confirmation_not_on_or_after", until.and_then(|it| not_over(it, expected)));
    checks.note("in_response_to", answers(confirmation.in_response_to.as_deref(), expected));
    (checks, known)
}

fn conditions(
    assertion: &Assertion,
    expected: &Expected<'_>,
    checks: &mut Checks,
) -> Option<Timestamp> {
    let Some(conditions) = &assertion.conditions else {
        checks.note("conditions", Err(SamlCode::Conditions.because("there are none")));
        return None;
    };
    let known = match &conditions.unknown {
        None => Ok("all are known".to_owned()),
        Some(name) => Err(SamlCode::Conditions.because(format!("{name} is unknown here"))),
    };
    checks.note("conditions", known);
    let begun = match conditions.not_before.as_deref() {
        None => Ok("none".to_owned()),
        Some(text) => moment("NotBefore", text).and_then(|at| begun(at, expected)),
    };
    checks.note("not_before", begun);
    let until = conditions.not_on_or_after.as_deref();
    let until = until.map(|text| moment("NotOnOrAfter", text)).transpose();
    let known = until.as_ref().ok().copied().flatten();
    checks.note("conditions_window", window_is_open(conditions.not_before.as_deref(), known));
    let over = until.and_then(|until| match until {
        None => Ok("none".to_owned()),
        Some(at) => not_over(at, expected),
    });
    checks.note("not_on_or_after", over);
    checks.note("audience", audience(&conditions.audiences, expected));
    Some(known.unwrap_or(expected.now))
}

/// Core section 2.5.1.2: conditions begin before they end.
fn window_is_open(
    not_before: Option<&str>,
    not_on_or_after: Option<Timestamp>,
) -> Result<String, SamlRefusal> {
    let begin = not_before.and_then(|text| moment("NotBefore", text).ok());
    match (begin, not_on_or_after) {
        (Some(begin), Some(end)) if begin >= end => {
            Err(SamlCode::Times.because(format!("NotBefore {begin} is not before {end}")))
        }
        _ => Ok("begins before it ends".to_owned()),
    }
}

/// Every restriction has to name us.
fn audience(restrictions: &[Vec<String>], expected: &Expected<'_>) -> Result<String, SamlRefusal> {
    let ours = expected.sp_entity_id;
    if restrictions.is_empty() {
        return Err(SamlCode::Audience.because("there is no AudienceRestriction"));
    }
    match restrictions.iter().find(|names| !names.iter().any(|name| name == ours)) {
        None => Ok(ours.to_owned()),
        Some(names) => Err(SamlCode::Audience.because(format!(
            "it is for {:?}, we are {ours:?}: set sp_entity_id, or the audience at the identity \
             provider",
            names.join(", ")
        ))),
    }
}

fn statements(
    assertion: &Assertion,
    expected: &Expected<'_>,
    checks: &mut Checks,
) -> Option<(Option<Timestamp>, Timestamp)> {
    let mut ends: Option<Timestamp> = None;
    let mut latest: Option<Timestamp> = None;
    if assertion.statements.is_empty() {
        let problem = SamlCode::AuthnStatement.because("there is none");
        checks.note("authn_statement", Err(problem));
    }
    for statement in &assertion.statements {
        let instant = match statement.instant.as_deref() {
            None => Err(SamlCode::AuthnStatement.because("it has no AuthnInstant")),
            Some(text) => moment("AuthnInstant", text),
        };
        if let Ok(at) = &instant {
            latest = Some(latest.map_or(*at, |other| other.max(*at)));
        }
        checks.note("authn_statement", instant.and_then(|at| authenticated(at, expected)));
        if let Some(text) = statement.session_not_on_or_after.as_deref() {
            let at = moment("SessionNotOnOrAfter", text);
            if let Ok(at) = &at {
                ends = Some(ends.map_or(*at, |other| other.min(*at)));
            }
            checks.note("session_not_on_or_after", at.and_then(|at| session_lives(at, expected)));
        }
    }
    checks.note("authn_context", authn_context(assertion, expected));
    Some((ends, latest?))
}

fn authenticated(at: Timestamp, expected: &Expected<'_>) -> Result<String, SamlRefusal> {
    if at > expected.now + expected.skew {
        return Err(SamlCode::AuthnStatement.because(format!("AuthnInstant {at} is in the future")));
    }
    match expected.expectation {
        Expectation::Request(PendingRequest { forced_at: Some(sent), .. })
            if at < sent - expected.skew =>
        {
            Err(SamlCode::ForceAuthn
                .because(format!("AuthnInstant {at} is before the request of {sent}")))
        }
        _ => Ok(at.to_string()),
    }
}

fn authn_context(assertion: &Assertion, expected: &Expected<'_>) -> Result<String, SamlRefusal> {
    let found: Vec<&str> =
        assertion.statements.iter().filter_map(|it| it.context.as_deref()).collect();
    let wanted = expected.authn_context;
    if wanted.is_empty() || found.iter().any(|class| wanted.iter().any(|it| it == class)) {
        return Ok(found.join(", "));
    }
    Err(SamlCode::AuthnContext.because(format!("it is {:?}", found.join(", "))))
}

fn begun(at: Timestamp, expected: &Expected<'_>) -> Result<String, SamlRefusal> {
    if at > expected.now + expected.skew {
        return Err(
            SamlCode::NotYetValid.because(format!("NotBefore is {at}{}", ahead(at, expected)))
        );
    }
    Ok(at.to_string())
}

fn not_over(at: Timestamp, expected: &Expected<'_>) -> Result<String, SamlRefusal> {
    if expected.now >= at + expected.skew {
        return Err(SamlCode::Expired.because(format!(
            "NotOnOrAfter was {at}, {} s ago; {} s of difference are tolerated",
            expected.now.since(at).as_secs(),
            expected.skew.as_secs()
        )));
    }
    Ok(at.to_string())
}

fn session_lives(at: Timestamp, expected: &Expected<'_>) -> Result<String, SamlRefusal> {
    if expected.now >= at + expected.skew {
        return Err(SamlCode::SessionExpired.because(format!("SessionNotOnOrAfter was {at}")));
    }
    Ok(at.to_string())
}

fn ahead(at: Timestamp, expected: &Expected<'_>) -> String {
    format!(
        ", {} s ahead of our clock; {} s of difference are tolerated",
        at.since(expected.now).as_secs(),
        expected.skew.as_secs()
    )
}

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";

#[cfg(test)]
mod tests;
