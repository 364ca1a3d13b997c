//! A thousand mutants of the corpus.
//!
//! A mutant may be accepted only when its mutated bytes are insignificant, which is exactly this:
//! 1. it states what its original states: assertion id, NameID with format and qualifiers,
//!    session, attributes and mapped person;
//! 2. `xmlsec1`, which shares no code with ours, finds the same element signed by a pinned key: the
//!    digest covers the element's canonical form, so no byte that means something was changed. The
//!    signature's own KeyInfo, which counts for nobody and is not signed, is taken out before;
//! 3. where the signature is inside a cipher text and nothing outside is signed, the cipher texts
//!    are the original's but for blanks.

use auth_core::connector::saml::{SamlConnection, Statement};
use auth_tests::saml_corpus::mutation::Mutator;
use auth_tests::saml_corpus::{Case, Kind, Verdict, folder, independent};

use super::{assert_none, genuine, hostile};

const SEED: u64 = 20_261_102;
const MUTANTS: usize = 1000;

#[test]
fn mutants_of_the_corpus_are_refused_or_mean_the_same() {
    println!("seed {SEED}");
    let mut mutator = Mutator::new(SEED);
    let (hostile_cases, hostile_connections) = hostile();
    let hostile_cases: Vec<(&Case, Vec<u8>)> = hostile_cases
        .iter()
        .filter(|case| matches!(case.kind, Kind::Response | Kind::Accepted | Kind::Mapped))
        .map(|case| (case, case.content(&folder("hostile")).unwrap()))
        .collect();
    let (manifest, connections) = genuine::load();
    let documents: Vec<Vec<u8>> = manifest.cases.iter().map(genuine::Genuine::document).collect();

    let (mut accepted, mut findings) = (0, Vec::new());
    let mut look = |name: &str,
                    connection: &SamlConnection,
                    original: &[u8],
                    mutant: &[u8],
                    verdicts: [Verdict; 2]| {
        let [before, after] = verdicts;
        let Verdict::Accepted(after) = after else { return };
        accepted += 1;
        let before = match &before {
            Verdict::Accepted(before) => Some(&before.0),
            Verdict::Refused(_) => None,
        };
        if let Err(problem) = insignificant(connection, original, mutant, before, &after.0) {
            let mutant = String::from_utf8_lossy(mutant);
            findings.push(format!("{name}: {problem}\n{mutant:.6000}"));
        }
    };
    // Every hostile case once, the rest of the thousand from the genuine ones, which pass further.
    for (case, original) in &hostile_cases {
        let other = &documents[mutator.below(documents.len())];
        let mutant = mutator.mutate(original, other);
        let connection = hostile_connections.get(&case.connection).unwrap();
        let judge = |document: &[u8]| case.judge(&hostile_connections, document).unwrap();
        look(&case.name, connection, original, &mutant, [judge(original), judge(&mutant)]);
    }
    let rest = MUTANTS.saturating_sub(hostile_cases.len()).max(300);
    for round in 0..rest {
        let case = &manifest.cases[round % manifest.cases.len()];
        let original = &documents[round % documents.len()];
        let other = &documents[mutator.below(documents.len())];
        let mutant = mutator.mutate(original, other);
        let connection = connections.get(&case.connection).unwrap();
        let judge = |document: &[u8]| case.judge_at_its_clock(connection, document);
        look(&case.name, connection, original, &mutant, [judge(original), judge(&mutant)]);
    }
    println!("{} mutants, {accepted} accepted", hostile_cases.len() + rest);
    assert_none(&findings);
    // Some hit what does not count; if none did, the mutations were no mutations.
    assert!(accepted > 0 && accepted < 400, "{accepted} accepted");
}

fn insignificant(
    connection: &SamlConnection,
    original: &[u8],
    mutant: &[u8],
    before: Option<&Statement>,
    after: &Statement,
) -> Result<(), String> {
    if let Some(before) = before
        && told(before) != told(after)
    {
        return Err(format!("says {} instead of {}", told(after), told(before)));
    }
    let name = after.name_id.as_ref().map(|it| it.value.as_str()).unwrap_or_default();
    if name.contains("admin") || name.contains("evil") {
        return Err(format!("became {name}"));
    }
    let keys = connection.identity_provider().keys();
    let certificates: Vec<&[u8]> = keys.iter().map(|key| key.certificate()).collect();
    let text = String::from_utf8_lossy(mutant);
    let response = between(&text, "Response", " ID=\"", "\"").unwrap_or_default();
    for id in [response.as_str(), &after.assertion_id] {
        let document = without_key_info(&text, id);
        let signed = independent::is_signed(document.as_bytes(), id, &certificates);
        if signed.map_err(|error| error.to_string())? {
            return Ok(());
        }
    }
    let texts = cipher_texts(&text);
    if !texts.is_empty() && texts == cipher_texts(&String::from_utf8_lossy(original)) {
        return Ok(());
    }
    Err("xmlsec1 finds nothing signed".to_owned())
}

fn told(statement: &Statement) -> String {
    let Statement { assertion_id, name_id, session_index, attributes, person, .. } = statement;
    format!("{assertion_id} {name_id:?} {session_index:?} {attributes:?} {person:?}")
}

/// Without the KeyInfo of the signature that stands in the element with this ID.
fn without_key_info(document: &str, id: &str) -> String {
    let cut = || {
        let element = document.find(&format!(" ID=\"{id}\""))?;
        let inside = document.get(element..)?;
        let end = inside.find("KeyInfo>")?;
        let start = inside.get(..end)?.rfind('<')?;
        let name = inside.get(start + 1..end + "KeyInfo".len())?;
        let close = format!("</{name}>");
        let after = inside.find(&close)? + close.len();
        Some(format!("{}{}", document.get(..element + start)?, inside.get(after..)?))
    };
    cut().unwrap_or_else(|| document.to_owned())
}

fn cipher_texts(document: &str) -> Vec<String> {
    let parts = document.split("CipherValue>").skip(1).step_by(2);
    let value = |part: &str| part.split('<').next().unwrap_or_default().to_owned();
    parts.map(|part| value(part).split_whitespace().collect()).collect()
}

fn between(text: &str, after: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(after)?;
    let (_, rest) = rest.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found.to_owned())
}
