//! Every rule about meaning, at its boundary.

use super::*;
use crate::connector::saml::assertion::{AuthnStatement, Conditions};

const NOW: &str = "2026-11-02T08:00:00Z";

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn expected() -> Expected<'static> {
    Expected {
        idp_entity_id: "https://idp.example/",
        sp_entity_id: "https://sso.example/",
        acs_url: "https://sso.example/acs",
        skew: Duration::from_secs(60),
        allow_idp_initiated: false,
        authn_context: &[],
        expectation: Expectation::Request(PendingRequest { id: "_r", forced_at: None }),
        now: at(NOW),
    }
}

fn good() -> Assertion {
    let text = |text: &str| Some(text.to_owned());
    Assertion {
        id: "_a".to_owned(),
        issuer: "https://idp.example/".to_owned(),
        issuer_format: None,
        issue_instant: text("2026-11-02T08:00:00Z"),
        name_id: None,
        confirmations: vec![Confirmation {
            method: BEARER.to_owned(),
            recipient: text("https://sso.example/acs"),
            not_before: None,
            not_on_or_after: text("2026-11-02T08:05:00Z"),
            in_response_to: text("_r"),
        }],
        conditions: Some(Conditions {
            not_before: text("2026-11-02T07:59:30Z"),
            not_on_or_after: text("2026-11-02T08:05:00Z"),
            audiences: vec![vec!["https://sso.example/".to_owned()]],
            unknown: None,
        }),
        statements: vec![AuthnStatement {
            instant: text("2026-11-02T07:59:55Z"),
            session_index: text("_s"),
            session_not_on_or_after: text("2026-11-02T16:00:00Z"),
            context: text("urn:x"),
        }],
        attributes: vec![],
    }
}

fn verdict(assertion: &Assertion, expected: &Expected<'_>) -> Result<Window, SamlCode> {
    let mut checks = Checks::default();
    let window = check(assertion, expected, &mut checks);
    match (checks.into_parts().1, window) {
        (None, Some(window)) => Ok(window),
        (Some(refusal), _) => Err(refusal.code),
        (None, None) => panic!("no window and no refusal"),
    }
}

/// `change` makes a good assertion one that is refused with `code`.
fn refuses(code: SamlCode, change: impl FnOnce(&mut Assertion)) {
    let mut assertion = good();
    change(&mut assertion);
    assert_eq!(verdict(&assertion, &expected()).map(|_| ()), Err(code), "{assertion:?}");
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_good_assertion_passes() {
    let window = verdict(&good(), &expected()).unwrap();
    assert_eq!(window.usable_until, at("2026-11-02T08:06:00Z"), "the later end, and the skew");
    assert_eq!(window.session_not_on_or_after, Some(at("2026-11-02T16:00:00Z")));
    assert_eq!(window.authn_instant, at("2026-11-02T07:59:55Z"));
}

#[test]
fn each_thing_that_is_wrong_has_its_code() {
    use SamlCode as C;
    refuses(C::Issuer, |it| it.issuer = "https://idp.example".into());
    refuses(C::Issuer, |it| it.issuer_format = some("urn:other"));
    refuses(C::IssueInstant, |it| it.issue_instant = None);
    refuses(C::IssueInstant, |it| it.issue_instant = some("yesterday"));
    refuses(C::IssueInstant, |it| it.issue_instant = some("2026-11-02T08:00:00"));
    refuses(C::SubjectConfirmation, |it| it.confirmations.clear());
    refuses(C::SubjectConfirmation, |it| it.confirmations[0].method = "urn:holder".into());
    refuses(C::SubjectConfirmation, |it| it.confirmations[0].not_before = some(NOW));
    refuses(C::Recipient, |it| it.confirmations[0].recipient = None);
    refuses(C::Recipient, |it| it.confirmations[0].recipient = some("https://sso.example/acs/"));
    refuses(C::InResponseTo, |it| it.confirmations[0].in_response_to = None);
    refuses(C::InResponseTo, |it| it.confirmations[0].in_response_to = some("_R"));
    refuses(C::Times, |it| it.confirmations[0].not_on_or_after = None);
    refuses(C::Times, |it| it.confirmations[0].not_on_or_after = some("2026-13-02T08:05:00Z"));
    refuses(C::Conditions, |it| it.conditions = None);
    refuses(C::AuthnStatement, |it| it.statements.clear());
    refuses(C::AuthnStatement, |it| it.statements[0].instant = None);
    refuses(C::AuthnStatement, |it| it.statements[0].instant = some("2026-11-02T08:02:00Z"));
    refuses(C::SessionExpired, |it| {
        it.statements[0].session_not_on_or_after = some("2026-11-02T07:00:00Z");
    });
    let conditions = |code, change: fn(&mut Conditions)| {
        refuses(code, |it| change(it.conditions.as_mut().unwrap()));
    };
    conditions(C::Conditions, |it| it.unknown = some("Condition"));
    conditions(C::Audience, |it| it.audiences.clear());
    conditions(C::Audience, |it| it.audiences[0].clear());
    conditions(C::Audience, |it| it.audiences = vec![vec!["https://sso.example".into()]]);
    conditions(C::Audience, |it| it.audiences.push(vec!["urn:other".into()]));
    conditions(C::Times, |it| {
        it.not_before = some("2026-11-02T08:00:30Z");
        it.not_on_or_after = some("2026-11-02T08:00:30Z");
    });
    conditions(C::Times, |it| it.not_before = some("now"));
    conditions(C::Times, |it| it.not_on_or_after = some(&"0".repeat(4000)));
}

#[test]
fn one_good_bearer_is_enough_and_restrictions_are_all_met() {
    let mut assertion = good();
    let mut wrong = good().confirmations.remove(0);
    wrong.recipient = some("https://elsewhere.example/");
    assertion.confirmations.insert(0, wrong);
    let conditions = assertion.conditions.as_mut().unwrap();
    conditions.audiences = vec![
        vec!["urn:other".to_owned(), "https://sso.example/".to_owned()],
        vec!["https://sso.example/".to_owned()],
    ];
    assert!(verdict(&assertion, &expected()).is_ok());
}

#[test]
fn clocks_may_differ_by_the_skew_and_no_more() {
    let judged = |now: &str, skew: u64| {
        let now = at(now);
        verdict(&good(), &Expected { skew: Duration::from_secs(skew), now, ..expected() })
            .map(|_| ())
    };
    // NotBefore is 07:59:30, IssueInstant 08:00:00, NotOnOrAfter 08:05:00.
    assert_eq!(judged("2026-11-02T07:59:00Z", 60), Ok(()));
    assert_eq!(judged("2026-11-02T07:58:59.999Z", 60), Err(SamlCode::IssueInstant));
    assert_eq!(judged("2026-11-02T07:58:29.999Z", 60), Err(SamlCode::NotYetValid));
    assert_eq!(judged("2026-11-02T08:05:59.999Z", 60), Ok(()));
    assert_eq!(judged("2026-11-02T08:06:00Z", 60), Err(SamlCode::Expired));
    assert_eq!(judged("2026-11-02T08:00:00Z", 0), Ok(()));
    assert_eq!(judged("2026-11-02T07:59:59.999Z", 0), Err(SamlCode::IssueInstant));
    assert_eq!(judged("2026-11-02T08:04:59.999Z", 0), Ok(()));
    assert_eq!(judged("2026-11-02T08:05:00Z", 0), Err(SamlCode::Expired));
    assert_eq!(judged("2026-11-02T08:09:59.999Z", 300), Ok(()));
}

#[test]
fn the_earlier_of_two_ends_counts() {
    refuses(SamlCode::Expired, |it| {
        it.conditions.as_mut().unwrap().not_on_or_after = some("2026-11-02T07:59:31Z");
        it.confirmations[0].not_on_or_after = some("2026-11-02T07:58:00Z");
    });
    let late = Expected { now: at("2026-11-02T08:03:00Z"), ..expected() };
    let mut assertion = good();
    assertion.conditions.as_mut().unwrap().not_on_or_after = some("2026-11-02T08:01:00Z");
    assert_eq!(verdict(&assertion, &late).map(|_| ()), Err(SamlCode::Expired), "conditions");
    let mut assertion = good();
    assertion.confirmations[0].not_on_or_after = some("2026-11-02T08:01:00Z");
    assert_eq!(verdict(&assertion, &late).map(|_| ()), Err(SamlCode::Expired), "confirmation");
}

#[test]
fn what_answers_no_request_needs_the_connection_s_leave() {
    let mut unasked = good();
    unasked.confirmations[0].in_response_to = None;
    let none = Expected { expectation: Expectation::Unsolicited, ..expected() };
    assert_eq!(verdict(&unasked, &none).map(|_| ()), Err(SamlCode::Unsolicited));
    let allowed = Expected { allow_idp_initiated: true, ..none };
    assert!(verdict(&unasked, &allowed).is_ok());
    assert_eq!(verdict(&good(), &allowed).map(|_| ()), Err(SamlCode::InResponseTo));
    let solicited = Expected { allow_idp_initiated: true, ..expected() };
    assert_eq!(
        verdict(&unasked, &solicited).map(|_| ()),
        Err(SamlCode::InResponseTo),
        "the leave changes nothing for a request that is pending"
    );
}

#[test]
fn forced_authentication_is_not_older_than_the_request() {
    let forced = |sent: &str| {
        let request = PendingRequest { id: "_r", forced_at: Some(at(sent)) };
        let expected = Expected { expectation: Expectation::Request(request), ..expected() };
        verdict(&good(), &expected).map(|_| ())
    };
    assert_eq!(forced("2026-11-02T07:59:50Z"), Ok(()));
    assert_eq!(forced("2026-11-02T08:00:55Z"), Ok(()), "within the skew");
    assert_eq!(forced("2026-11-02T08:00:56Z"), Err(SamlCode::ForceAuthn));
}

#[test]
fn a_context_that_was_asked_for_has_to_be_there() {
    let wanted = ["urn:mfa".to_owned()];
    let strict = Expected { authn_context: &wanted, ..expected() };
    assert_eq!(verdict(&good(), &strict).map(|_| ()), Err(SamlCode::AuthnContext));
    let mut assertion = good();
    assertion.statements[0].context = some("urn:mfa");
    assert!(verdict(&assertion, &strict).is_ok());
}
