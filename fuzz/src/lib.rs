//! The fuzz targets: what arrives from strangers, given to the functions that judge it. The
//! connections trust the test keys of `fixtures/saml`, so a mutation of a file of the corpus gets
//! as far as a real message would.
//!
//! A target panics when something is found: a panic inside, or an identity that no key signed.
//! It tells whether the input was accepted, for whoever counts.

use std::sync::{Arc, LazyLock};

use auth_core::clock::Timestamp;
use auth_core::connector::saml::engine::XmlSecurity;
use auth_core::connector::saml::posted::Posted;
use auth_core::connector::saml::{
    Expectation, IdentityProvider, MetadataChoice, PendingRequest, Preset, Received,
    SamlConnection, SamlSettings,
};
use auth_xmlsec::XmlsecEngine;

/// A target: bytes in, whether they were accepted out.
pub type Target = fn(&[u8]) -> bool;

/// All of them by name.
pub const TARGETS: [(&str, Target); 4] =
    [("response", response), ("metadata", metadata), ("redirect", redirect), ("form", form)];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, run)| *run)
}

/// A decoded response, for a connection with and one without keys of its own.
///
/// # Panics
/// When somebody is let in whom no case of the corpus names.
pub fn response(bytes: &[u8]) -> bool {
    let mut accepted = false;
    for connection in CONNECTIONS.iter() {
        for expectation in EXPECTATIONS {
            let judgement = connection.verify(bytes, expectation, now());
            if judgement.outcome.is_ok() {
                accepted = true;
                let statement = judgement.statement.expect("a statement of what was accepted");
                let name = statement.name_id.expect("a NameID").value;
                // The corpus has no validly signed assertion about these.
                assert!(!name.contains("admin") && !name.contains("bob"), "{name} came in");
            }
        }
    }
    accepted
}

/// A form body, as posted to the assertion consumer service.
pub fn form(bytes: &[u8]) -> bool {
    Posted::from_form(bytes, "SAMLResponse").is_ok_and(|posted| response(&posted.document))
}

/// Metadata of an identity provider, with and without a pinned certificate.
///
/// # Panics
/// When an identity provider comes out that has no key.
pub fn metadata(bytes: &[u8]) -> bool {
    let mut accepted = false;
    for (entity_id, signed_by) in
        [(None, &[][..]), (Some(ENTITY), &[][..]), (Some(ENTITY), &[[0; 32]][..])]
    {
        let choice = MetadataChoice { entity_id, signed_by, allow_weak: false };
        if let Ok(idp) = IdentityProvider::from_metadata(bytes, choice, &XmlsecEngine, now()) {
            accepted = true;
            assert!(!idp.keys().is_empty(), "an identity provider without a key");
            assert!(signed_by.is_empty(), "nobody has the certificate with this digest");
        }
    }
    accepted
}

/// The raw query of a redirect to the logout address, and the same bytes as a posted document.
///
/// # Panics
/// When a logout of somebody is accepted whom no case of the corpus signs out.
pub fn redirect(bytes: &[u8]) -> bool {
    let Some(connection) = CONNECTIONS.first() else { return false };
    let mut received = vec![Received::Post { document: bytes, relay_state: None }];
    if let Ok(query) = std::str::from_utf8(bytes) {
        received.push(Received::Redirect { query });
    }
    let mut accepted = false;
    for received in received {
        if let Ok(request) = connection.verify_logout_request(received, now()) {
            accepted = true;
            let name = &request.name_id().value;
            assert!(!name.contains("admin"), "{name} is signed out");
        }
        accepted |=
            connection.verify_logout_response(received, Some("_our-logout-1"), now()).is_ok();
    }
    accepted
}

/// Runs a target on the files that the command line names.
pub fn judge_files(run: Target) {
    for file in std::env::args().skip(1) {
        match std::fs::read(&file) {
            Ok(bytes) if run(&bytes) => println!("{file}: accepted"),
            Ok(_) => println!("{file}: refused"),
            Err(error) => println!("{file}: {error}"),
        }
    }
}

const ENTITY: &str = "https://idp.example.org/metadata";
const EXPECTATIONS: [Expectation<'static>; 2] = [
    Expectation::Request(PendingRequest { id: "_request-4f2a", forced_at: None }),
    Expectation::Unsolicited,
];

/// The clock of the corpus: 2026-11-02T08:00:00Z.
fn now() -> Timestamp {
    Timestamp::from_seconds(1_793_606_400)
}

static CONNECTIONS: LazyLock<Vec<SamlConnection>> = LazyLock::new(|| {
    let metadata = include_bytes!("../../fixtures/saml/hostile/metadata/corp.xml");
    let keys = include_bytes!("../../fixtures/saml/keys/sp.pem");
    let connection = |id: &str, keys: Vec<_>| {
        let own = |what: &str| format!("https://sso.example.com/saml/{id}/{what}");
        let mut settings =
            SamlSettings::new(id, Preset::Generic, &own("metadata"), &own("acs"), &own("slo"));
        settings.sign_requests = false;
        settings.allow_idp_initiated = id == "tiles";
        let choice = MetadataChoice { entity_id: None, signed_by: &[], allow_weak: false };
        let idp = IdentityProvider::from_metadata(metadata, choice, &XmlsecEngine, now())
            .expect("the corpus's metadata");
        SamlConnection::new(settings, idp, Arc::new(XmlsecEngine), keys).expect("a connection")
    };
    let own = XmlsecEngine.load_pem(keys).expect("the corpus's key");
    vec![
        connection("corp", Vec::new()),
        connection("tiles", Vec::new()),
        connection("sealed", vec![own]),
    ]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_reach_what_they_are_for() {
        let file = |name: &str| {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/saml/hostile");
            std::fs::read(format!("{path}/{name}")).unwrap()
        };
        assert!(response(&file("00-control-both-signed.xml")));
        assert!(response(&file("26-control-aes256-gcm.xml")));
        assert!(!response(&file("05-unsigned.xml")));
        assert!(form(&file("27-wrapped-lines.form")));
        assert!(metadata(&file("33-control.xml")));
        assert!(!metadata(&file("33-no-key.xml")));
        assert!(redirect(&file("31-control.query")));
        assert!(redirect(&file("32-control.xml")));
        assert!(!redirect(&file("31-attacker.query")));
    }
}
