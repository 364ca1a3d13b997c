//! The mapping: what counts, and what does not.

use super::*;
use crate::connector::saml::name_id::{EMAIL_ADDRESS, NameId, PERSISTENT, TRANSIENT};
use crate::connector::saml::preset::Preset;

fn settings(preset: Preset) -> SamlSettings {
    SamlSettings::new("idp", preset, "https://sso.example/", "https://sso.example/acs", "")
}

fn name_id(value: &str, format: &str) -> NameId {
    NameId {
        value: value.to_owned(),
        format: Some(format.to_owned()),
        name_qualifier: None,
        sp_name_qualifier: None,
    }
}

fn attribute(name: &str, values: &[&str]) -> AssertedAttribute {
    AssertedAttribute {
        name: name.to_owned(),
        friendly_name: None,
        values: values.iter().map(|&it| AssertedValue::Text(it.to_owned())).collect(),
    }
}

fn assertion(attributes: Vec<AssertedAttribute>) -> Assertion {
    Assertion {
        id: "_a".to_owned(),
        issuer: String::new(),
        issuer_format: None,
        issue_instant: None,
        name_id: Some(name_id("p-1", PERSISTENT)),
        confirmations: vec![],
        conditions: None,
        statements: vec![],
        attributes,
    }
}

fn code(assertion: &Assertion, settings: &SamlSettings) -> SamlCode {
    person(assertion, settings).unwrap_err().code
}

#[test]
fn the_guides_names_work_with_every_preset() {
    let all = assertion(vec![
        attribute("Username", &["alice"]),
        attribute("Email", &["alice@example.org"]),
        attribute("FirstName", &["Alice"]),
        attribute("LastName", &["Ångström"]),
        attribute("Groups", &["staff", "chat", "staff"]),
        attribute("Locale", &["sv_SE"]),
        attribute("Position", &["Engineer"]),
        attribute("Unasked", &["administrator"]),
    ]);
    for preset in Preset::ALL {
        let found = person(&all, &settings(preset)).unwrap();
        assert_eq!(found.profile.username, "alice", "{preset}");
        assert_eq!(found.profile.email.as_deref(), Some("alice@example.org"), "{preset}");
        assert!(found.profile.email_verified, "{preset}");
        assert_eq!(found.profile.last_name.as_deref(), Some("Ångström"), "{preset}");
        assert_eq!(found.profile.groups, ["staff", "chat"], "{preset}");
        assert_eq!(found.profile.locale.as_deref(), Some("sv-SE"), "{preset}");
        assert!(found.profile.roles.is_empty() && found.profile.claims.is_empty(), "{preset}");
        assert_eq!(found.subject, name_id("p-1", PERSISTENT).subject(), "{preset}");
    }
}

#[test]
fn names_are_exact_and_a_friendly_name_counts_only_where_no_name_does() {
    let mut friendly = attribute("urn:oid:1", &["friendly"]);
    friendly.friendly_name = Some("Username".to_owned());
    let generic = settings(Preset::Generic);
    let found = person(&assertion(vec![friendly.clone()]), &generic).unwrap();
    assert_eq!(found.profile.username, "friendly");
    let both = assertion(vec![friendly, attribute("Username", &["named"])]);
    assert_eq!(person(&both, &generic).unwrap().profile.username, "named");
    let similar = assertion(vec![attribute("USERNAME", &["x"]), attribute(" Username", &["y"])]);
    assert_eq!(code(&similar, &generic), SamlCode::MissingUsername);
}

#[test]
fn several_user_names_are_refused_and_never_chosen_from() {
    let generic = settings(Preset::Generic);
    let twice = assertion(vec![attribute("Username", &["alice", "root"])]);
    assert_eq!(code(&twice, &generic), SamlCode::MissingUsername);
    let two = assertion(vec![attribute("Username", &["alice"]), attribute("Username", &["root"])]);
    assert_eq!(code(&two, &generic), SamlCode::MissingUsername);
    let same = assertion(vec![attribute("Username", &["a"]), attribute("Username", &["a"])]);
    assert_eq!(person(&same, &generic).unwrap().profile.username, "a");
}

#[test]
fn values_are_never_split() {
    let groups = ["a,b", "c;d", "cn=x,dc=y", "e f"];
    let all = assertion(vec![attribute("Username", &["u"]), attribute("Groups", &groups)]);
    assert_eq!(person(&all, &settings(Preset::Generic)).unwrap().profile.groups, groups);
}

#[test]
fn roles_come_from_configured_rules_only() {
    let mut settings = settings(Preset::Generic);
    settings.admin_rules = vec!["groups=chat-admins".parse().unwrap()];
    settings.guest_rules = vec!["kind=Guest".parse().unwrap(), "groups=x".parse().unwrap()];
    let roles = |more: Vec<AssertedAttribute>| {
        let mut all = vec![attribute("Username", &["u"])];
        all.extend(more);
        person(&assertion(all), &settings).unwrap().profile.roles
    };
    assert!(roles(vec![]).is_empty());
    assert_eq!(roles(vec![attribute("Groups", &["chat-admins"])]), ["administrator"]);
    assert_eq!(roles(vec![attribute("kind", &["Guest"])]), ["guest"]);
    assert!(roles(vec![attribute("Groups", &["Chat-Admins", "chat-admins2"])]).is_empty());
    assert!(roles(vec![attribute("kind", &["guest"])]).is_empty());
    assert!(roles(vec![attribute("roles", &["administrator"])]).is_empty());
}

#[test]
fn the_account_is_found_by_name_id_or_by_the_chosen_attribute() {
    let mut by_id = settings(Preset::Adfs);
    by_id.attributes.id = Some("Id".to_owned());
    let user = || attribute("Username", &["u"]);
    let with_id = assertion(vec![user(), attribute("Id", &["5e65"])]);
    assert_eq!(person(&with_id, &by_id).unwrap().subject, "5e65");
    assert_eq!(code(&assertion(vec![user()]), &by_id), SamlCode::MissingId);
    for bad in [&["a", "b"][..], &["[\"nameid\"]"], &[]] {
        let bad = assertion(vec![user(), attribute("Id", bad)]);
        assert_eq!(code(&bad, &by_id), SamlCode::MissingId);
    }

    let by_name = settings(Preset::Adfs);
    let mut none = assertion(vec![user()]);
    none.name_id = None;
    assert_eq!(code(&none, &by_name), SamlCode::NameId);
    let mut transient = assertion(vec![user(), attribute("Id", &["5e65"])]);
    transient.name_id = Some(name_id("_t", TRANSIENT));
    assert_eq!(code(&transient, &by_name), SamlCode::TransientNameId);
    assert_eq!(person(&transient, &by_id).unwrap().subject, "5e65", "the attribute names them");
}

#[test]
fn google_s_name_id_is_user_name_and_address() {
    let mut google = assertion(vec![]);
    google.name_id = Some(name_id("alice@example.org", EMAIL_ADDRESS));
    let found = person(&google, &settings(Preset::Google)).unwrap();
    assert_eq!(found.profile.username, "alice@example.org");
    assert_eq!(found.profile.email.as_deref(), Some("alice@example.org"));
}

#[test]
fn what_cannot_be_taken_is_said() {
    let generic = settings(Preset::Generic);
    let odd = assertion(vec![
        attribute("Username", &["u"]),
        attribute("Email", &["a@b@c"]),
        attribute("FirstName", &["x\u{7}y"]),
    ]);
    let found = person(&odd, &generic).unwrap();
    assert_eq!((found.profile.email, found.profile.email_verified), (None, false));
    assert_eq!(found.profile.first_name, None);
    assert_eq!(found.notes.len(), 2, "{:?}", found.notes);

    let mut structured = attribute("Username", &[]);
    structured.values = vec![AssertedValue::Structured];
    assert_eq!(code(&assertion(vec![structured]), &generic), SamlCode::MixedText);
}

#[test]
fn a_link_in_place_of_groups_is_refused() {
    let link = "http://schemas.microsoft.com/claims/groups.link";
    let entra = settings(Preset::Entra);
    let user = || attribute("Username", &["u"]);
    let over = assertion(vec![user(), attribute(link, &["https://graph.example/"])]);
    assert_eq!(code(&over, &entra), SamlCode::GroupOverage);
    let both = assertion(vec![user(), attribute(link, &["x"]), attribute("Groups", &["g"])]);
    assert!(person(&both, &entra).is_ok());
}
