//! The SAML corpus (`fixtures/saml`): every hostile case is refused for its own reason, every
//! genuine one is accepted at its clock and refused outside of it, mutants of both are refused or
//! mean the same, nothing is opened or connected to, and memory stays bounded.

mod genuine;
mod hostile;
mod logout;
mod memory;
mod mutants;
mod nothing_opened;

use auth_tests::saml_corpus::{Case, Connections, cases, folder};

/// The hostile cases with their connections.
fn hostile() -> (Vec<Case>, Connections) {
    let folder = folder("hostile");
    let cases = cases::load(&folder).expect("the manifest");
    let now = cases.first().expect("a case").now().expect("a time");
    (cases, Connections::load(&folder, now).expect("the connections"))
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
