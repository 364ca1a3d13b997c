//! Responses in the form of each vendor's product.

use auth_core::connector::saml::{Expectation, PendingRequest, SamlConnection};
use auth_tests::saml_corpus::cases::{read, verdict};
use auth_tests::saml_corpus::{Connections, Verdict, folder, moment};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::assert_none;

#[derive(Deserialize)]
pub(super) struct Manifest {
    clock_skew_seconds: u64,
    pub(super) cases: Vec<Genuine>,
}

#[derive(Deserialize)]
pub(super) struct Genuine {
    pub(super) name: String,
    file: String,
    pub(super) connection: String,
    in_response_to: Option<String>,
    at: String,
    accepted_at: Vec<String>,
    refused_at: Vec<Refusal>,
    name_id: String,
    format: Option<String>,
    person: Map<String, Value>,
    groups: Vec<String>,
}

#[derive(Deserialize)]
struct Refusal {
    at: String,
    code: Vec<String>,
}

pub(super) fn load() -> (Manifest, Connections) {
    let folder = folder("genuine");
    let text = read(folder.join("manifest.json")).unwrap();
    let manifest: Manifest = serde_json::from_slice(&text).unwrap();
    let now = moment(&manifest.cases[0].at).unwrap();
    (manifest, Connections::load(&folder, now).unwrap())
}

impl Genuine {
    pub(super) fn document(&self) -> Vec<u8> {
        read(folder("genuine").join(&self.file)).unwrap()
    }

    pub(super) fn judge(&self, connection: &SamlConnection, document: &[u8], at: &str) -> Verdict {
        let expectation = match self.in_response_to.as_deref() {
            Some(id) => Expectation::Request(PendingRequest { id, forced_at: None }),
            None => Expectation::Unsolicited,
        };
        verdict(connection.verify(document, expectation, moment(at).unwrap()))
    }

    pub(super) fn judge_at_its_clock(
        &self,
        connection: &SamlConnection,
        document: &[u8],
    ) -> Verdict {
        self.judge(connection, document, &self.at)
    }
}

#[test]
fn each_is_accepted_at_its_clock_with_its_person() {
    let (manifest, connections) = load();
    let mut findings = Vec::new();
    for case in &manifest.cases {
        let connection = connections.get(&case.connection).unwrap();
        match case.judge_at_its_clock(connection, &case.document()) {
            Verdict::Refused(refusal) => findings.push(format!("{}: {refusal}", case.name)),
            Verdict::Accepted(accepted) => {
                let (statement, unspent) = *accepted;
                let name_id = statement.name_id.expect("a NameID");
                let (_, profile) = statement.person.expect("a person");
                let profile = json!(profile);
                let mut compare = |what: &str, found: Value, wanted: Value| {
                    if found != wanted {
                        findings.push(format!("{}: {what} {found}, expected {wanted}", case.name));
                    }
                };
                compare("name", json!(name_id.value), json!(case.name_id));
                compare("format", json!(name_id.format), json!(case.format));
                compare("connection", json!(unspent.connection()), json!(case.connection));
                compare("groups", profile["groups"].clone(), json!(case.groups));
                for (field, wanted) in &case.person {
                    compare(field, profile[field].clone(), wanted.clone());
                }
            }
        }
    }
    assert_none(&findings);
    let vendors =
        ["adfs", "entra", "google", "keycloak", "okta", "onelogin", "shibboleth", "simplesamlphp"];
    for vendor in vendors {
        assert!(manifest.cases.iter().any(|case| case.name.starts_with(vendor)), "{vendor}");
    }
}

#[test]
fn each_is_refused_outside_of_its_clock_and_accepted_up_to_the_last_second() {
    let (manifest, connections) = load();
    assert_eq!(manifest.clock_skew_seconds, 60);
    let mut findings = Vec::new();
    for case in &manifest.cases {
        let connection = connections.get(&case.connection).unwrap();
        let document = case.document();
        for at in &case.accepted_at {
            if let Verdict::Refused(refusal) = case.judge(connection, &document, at) {
                findings.push(format!("{} at {at}: {refusal}", case.name));
            }
        }
        for Refusal { at, code } in &case.refused_at {
            let found = case.judge(connection, &document, at);
            if !code.iter().any(|wanted| wanted == found.code()) {
                findings.push(format!(
                    "{} at {at}: {}, expected {code:?}",
                    case.name,
                    found.code()
                ));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn each_counts_for_its_own_connection_only() {
    let (manifest, connections) = load();
    let mut findings = Vec::new();
    for case in &manifest.cases {
        for other in &manifest.cases {
            let connection = connections.get(&other.connection).unwrap();
            if case.connection == other.connection {
                continue;
            }
            if let Verdict::Accepted(_) = case.judge_at_its_clock(connection, &case.document()) {
                findings.push(format!("{} is accepted by {}", case.name, other.connection));
            }
        }
    }
    assert_none(&findings);
}
