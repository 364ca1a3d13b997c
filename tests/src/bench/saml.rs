//! Responses verified per second on one core: the whole wrapper, beside the engine alone, and
//! beside python3-saml and node-saml, all on the same documents of `fixtures/saml`, in turn.
//!
//! "The engine alone" is what an application gets that calls samael's verification with pinned keys
//! and reads the result itself, without strict parse, allow-list or checks of meaning.

mod peers;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use auth_core::connector::saml::engine::{
    ContentCipher, DigestAlgorithm, EncryptedContent, SignatureAlgorithm, TransportedKey,
    XmlSecurity as _,
};
use auth_xmlsec::XmlsecEngine;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::figures::median;
use super::process::{mebibytes, resident};
use super::report::{Report, Row, per_second};
use crate::saml_corpus::{Case, Connections, Verdict, cases, folder};
use peers::Peer;

/// Documents by what they are.
const DOCUMENTS: [(&str, &str); 3] = [
    ("00-control-assertion-signed", "assertion signed"),
    ("00-control-both-signed", "response and assertion signed"),
    ("26-control-aes256-gcm", "assertion signed, then AES-256-GCM"),
];
const ROUNDS: usize = 3;
const WINDOW: Duration = Duration::from_secs(2);
const BESIDE_ENGINE: f64 = 0.8;
const BESIDE_PYTHON: f64 = 3.0;
/// An unoptimised build is there to be tried, not to be measured.
const MEMORY_ROUNDS: usize = if cfg!(debug_assertions) { 2_000 } else { 100_000 };
/// What a heap may grow by after its first thousand rounds and still be called flat.
const FLAT: u64 = 2 * 1024 * 1024;

/// Measures verification.
///
/// # Errors
/// A document of the corpus is refused by somebody, or a peer cannot be installed.
pub(super) fn measure(report: &mut Report) -> Result<()> {
    let folder = folder("hostile");
    let all = cases::load(&folder)?;
    let named = |name: &str| all.iter().find(|case| case.name == name).context("a control");
    let connections = Connections::load(&folder, named(DOCUMENTS[0].0)?.now()?)?;
    let peers = Peer::all()?;
    for (name, what) in DOCUMENTS {
        let case = named(name)?;
        let document = case.content(&folder)?;
        rates(report, what, case, &connections, &document, &peers)?;
    }
    memory(report, &all, &connections)
}

fn rates(
    report: &mut Report,
    what: &str,
    case: &Case,
    connections: &Connections,
    document: &[u8],
    peers: &[Peer],
) -> Result<()> {
    let engine = EngineAlone::of(case, connections, document)?;
    let mut figures: Vec<Vec<f64>> = vec![Vec::new(); 2 + peers.len()];
    for _ in 0..ROUNDS {
        let mut next = figures.iter_mut();
        let mut note = |rate: f64| next.next().map(|list| list.push(rate)).context("a list");
        note(rate(|| match case.judge(connections, document)? {
            Verdict::Accepted(_) => Ok(()),
            Verdict::Refused(refusal) => Err(refusal.into()),
        })?)?;
        note(rate(|| engine.verify())?)?;
        for peer in peers {
            note(peer.rate(case, document, WINDOW)?)?;
        }
    }
    let figures = figures.iter().map(|list| median(list)).collect::<Result<Vec<f64>>>()?;
    let (own, others) = figures.split_first().context("figures")?;
    let names = ["samael alone"].into_iter().chain(peers.iter().map(Peer::name));
    for (name, other) in names.zip(others) {
        let goal = match name {
            "samael alone" => Some(BESIDE_ENGINE),
            "python3-saml" => Some(BESIDE_PYTHON),
            _ => None,
        };
        report.add(Row {
            what: "SAML responses verified on one core".into(),
            of: what.into(),
            daemon: per_second(*own),
            beside: format!("{name} {}", per_second(*other)),
            ratio: Some(own / other),
            goal: goal.map(|goal| format!("ratio at least {goal:.2}")).unwrap_or_default(),
            reached: goal.map(|goal| own / other >= goal),
        });
    }
    Ok(())
}

/// Repetitions per second in this thread, after one that is not counted.
fn rate(mut once: impl FnMut() -> Result<()>) -> Result<f64> {
    once()?;
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < WINDOW {
        once()?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// The engine's work on a document, with everything prepared that is not its own.
struct EngineAlone {
    certificates: Vec<Vec<u8>>,
    document: String,
    sealed: Option<EncryptedContent>,
    keys: Vec<std::sync::Arc<dyn auth_core::connector::saml::engine::PrivateKey>>,
}

impl EngineAlone {
    fn of(case: &Case, connections: &Connections, document: &[u8]) -> Result<Self> {
        let connection = connections.get(&case.connection)?;
        let keys = connection.identity_provider().keys();
        let document = String::from_utf8(document.to_vec())?;
        Ok(Self {
            certificates: keys.iter().map(|key| key.certificate().to_vec()).collect(),
            sealed: sealed(&document)?,
            keys: connection.keys().to_vec(),
            document,
        })
    }

    fn verify(&self) -> Result<()> {
        let certificates: Vec<&[u8]> = self.certificates.iter().map(Vec::as_slice).collect();
        let decrypted = match &self.sealed {
            None => None,
            Some(content) => {
                let plain = XmlsecEngine.decrypt(content, &self.keys)?;
                Some(String::from_utf8(plain.to_vec())?)
            }
        };
        let document = decrypted.as_deref().unwrap_or(&self.document);
        let algorithms = [SignatureAlgorithm::RsaSha256];
        let verified = XmlsecEngine.verify(document, &certificates, &algorithms)?;
        ensure!(verified.contains("alice@example.org"), "other bytes were verified");
        Ok(())
    }
}

/// The encrypted content of a control: the first CipherValue is the key's.
fn sealed(document: &str) -> Result<Option<EncryptedContent>> {
    let values: Vec<&str> = document
        .split("<xenc:CipherValue>")
        .skip(1)
        .filter_map(|rest| rest.split('<').next())
        .collect();
    let [key, content] = values.as_slice() else { return Ok(None) };
    Ok(Some(EncryptedContent {
        cipher: ContentCipher::Aes256Gcm,
        ciphertext: STANDARD.decode(content)?,
        keys: vec![TransportedKey {
            digest: DigestAlgorithm::Sha1,
            mask_digest: DigestAlgorithm::Sha1,
            ciphertext: STANDARD.decode(key)?,
        }],
    }))
}

/// Resident memory over many rounds of accepted and refused documents.
fn memory(report: &mut Report, all: &[Case], connections: &Connections) -> Result<()> {
    let hostile = folder("hostile");
    let wanted = DOCUMENTS.map(|(name, _)| name).into_iter().chain([
        "03-signature-kept-same-id",
        "06-attacker-key",
        "26-cbc-last-bit",
    ]);
    let mut documents = Vec::new();
    for name in wanted {
        let case = all.iter().find(|case| case.name == name).context(name)?;
        documents.push((case, case.content(&hostile)?));
    }
    let own = std::process::id();
    let mut before = 0;
    for round in 0..MEMORY_ROUNDS {
        if round == MEMORY_ROUNDS.min(1_000) {
            before = resident(own)?;
        }
        let (case, document) = documents.get(round % documents.len()).context("a document")?;
        let accepted = matches!(case.judge(connections, document)?, Verdict::Accepted(_));
        ensure!(accepted == case.expect.is_empty(), "{} changed its mind", case.name);
    }
    let after = resident(own)?;
    let grown = after.saturating_sub(before);
    report.add(Row {
        what: "memory while SAML responses are verified".into(),
        of: format!("{MEMORY_ROUNDS} rounds, half of them refused"),
        daemon: format!("{} after, {} after the first 1,000", mebibytes(after), mebibytes(before)),
        goal: "flat".into(),
        reached: Some(grown <= FLAT),
        ..Row::default()
    });
    Ok(())
}

/// A file's text, for a peer.
fn text(path: &std::path::Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}
