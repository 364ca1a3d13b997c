//! Responses in the form of each vendor's product.

use auth_core::connector::saml::{
    Expectation, Judgement, LegacyAlgorithm, PendingRequest, SamlConnection,
};
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
        verdict(self.judgement(connection, document, at))
    }

    fn judgement(&self, connection: &SamlConnection, document: &[u8], at: &str) -> Judgement {
        let expectation = match self.in_response_to.as_deref() {
            Some(id) => Expectation::Request(PendingRequest { id, forced_at: None }),
            None => Expectation::Unsolicited,
        };
        connection.verify(document, expectation, moment(at).unwrap())
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

/// What is counted is what was used, not what the connection would allow.
#[test]
fn what_is_weak_is_named_where_it_was_used() {
    use LegacyAlgorithm::{Sha1Digest, Sha1Signature, ShortRsaKey};
    let (manifest, connections) = load();
    let mut weak = 0;
    for case in &manifest.cases {
        let connection = connections.get(&case.connection).unwrap();
        let judgement = case.judgement(connection, &case.document(), &case.at);
        let found: Vec<LegacyAlgorithm> = judgement.legacy.into_iter().collect();
        let strength = judgement.checks.iter().filter(|check| check.check == "strength").count();
        if case.name.contains("sha1") {
            weak += 1;
            assert_eq!(found, [Sha1Digest, Sha1Signature], "{}", case.name);
            assert_eq!(strength, 1, "{}", case.name);
        } else {
            assert!(found.is_empty() && strength == 0, "{}: {found:?}", case.name);
        }
    }
    assert!(weak > 0, "no genuine case is weak");

    let (cases, connections) = super::hostile();
    let legacy = |name: &str| {
        let case = cases.iter().find(|case| case.name == name).expect("the case");
        let content = case.content(&folder("hostile")).expect("its content");
        let connection = connections.get(&case.connection).expect("its connection");
        let id = case.in_response_to.as_deref().expect("a request");
        let expectation = Expectation::Request(PendingRequest { id, forced_at: None });
        let judgement = connection.verify(&content, expectation, case.now().expect("a time"));
        (judgement.legacy.into_iter().collect::<Vec<_>>(), judgement.outcome.is_ok())
    };
    assert_eq!(legacy("19-legacy-accepted"), (vec![Sha1Digest, Sha1Signature], true));
    assert_eq!(legacy("19-legacy-weak-key-accepted"), (vec![ShortRsaKey], true));
    // What did not verify was not used.
    assert_eq!(legacy("19-legacy-changed"), (vec![], false));
    assert_eq!(legacy("19-legacy-attacker"), (vec![], false));
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
