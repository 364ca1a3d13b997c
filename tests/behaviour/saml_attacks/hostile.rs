//! Each case of the attack table, judged in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use auth_core::connector::saml::metadata::judge_change;
use auth_core::connector::saml::{SamlSession, Statement, UnspentAssertion};
use auth_core::replay::claim;
use auth_core::store::memory::MemoryStore;
use auth_tests::harness::workspace;
use auth_tests::saml_corpus::{Case, Connections, Kind, Verdict, cases, folder, moment};
use serde_json::Value;

use super::{assert_none, hostile, logout};

#[tokio::test]
async fn every_case_has_the_outcome_that_the_manifest_says() {
    let (cases, connections) = hostile();
    let mut findings = Vec::new();
    let mut refused: BTreeMap<u8, usize> = BTreeMap::new();
    let session = logout::session_of_alice(&cases, &connections).await.expect("the control");
    for case in &cases {
        match judge(case, &connections, &session).await {
            Ok(Judged::Refused(code)) => {
                *refused.entry(case.row).or_default() += 1;
                println!("{} {code}", case.name);
            }
            Ok(Judged::Accepted | Judged::Elsewhere) => {}
            Err(problem) => {
                findings.push(format!("{}: {problem} ({})", case.name, case.description))
            }
        }
    }
    let total: usize = refused.values().sum();
    println!("{total} of {} cases refused; by row: {refused:?}", cases.len());
    assert_none(&findings);
    // RelayState is about where a browser is led, which is the daemon's doing.
    for row in (1..=36).filter(|row| *row != 30) {
        assert!(refused.contains_key(&row), "no case of row {row} was judged");
    }
    assert!(total >= 150, "{total}");
}

/// docs/saml-codes.md has a row for each class of attack, with the codes that its cases have.
#[test]
fn the_page_has_a_row_for_each_attack() {
    let (cases, _) = hostile();
    let mut wanted: BTreeMap<u8, BTreeSet<&str>> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.row > 0) {
        let codes = case.expect.iter().map(String::as_str);
        wanted.entry(case.row).or_default().extend(codes);
    }
    let page = std::fs::read_to_string(workspace().join("docs/saml-codes.md")).expect("the page");
    let mut listed: BTreeMap<u8, BTreeSet<&str>> = BTreeMap::new();
    for line in page.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let Some(row) = cells.next().and_then(|cell| cell.parse().ok()) else { continue };
        let codes = cells.nth(1).expect("the codes").split('`').skip(1).step_by(2);
        assert!(listed.insert(row, codes.collect()).is_none(), "row {row} stands twice");
    }
    assert_eq!(listed, wanted);
    assert!((1..=36).all(|row| wanted.contains_key(&row)), "{wanted:?}");
}

pub(super) enum Judged {
    /// With this code.
    Refused(String),
    Accepted,
    /// In another test: the kind needs more than a document.
    Elsewhere,
}

pub(super) type Finding = Result<Judged, String>;

async fn judge(case: &Case, connections: &Connections, session: &SamlSession) -> Finding {
    let folder = folder("hostile");
    let content = case.content(&folder).map_err(|error| format!("{error:#}"))?;
    let verdict =
        |content: &[u8]| case.judge(connections, content).map_err(|error| format!("{error:#}"));
    let second = || {
        let file = case.second_file.as_ref().expect("a second file");
        cases::read(folder.join(file)).map_err(|error| format!("{error:#}"))
    };
    match case.kind {
        Kind::Response | Kind::Form => refused(case, verdict(&content)?),
        Kind::Generated if case.recipe.as_deref() == Some("deflate-bomb") => {
            logout::judge(case, connections, &content, session)
        }
        Kind::Generated if case.recipe.as_deref() == Some("metadata") => {
            metadata_refused(case, &content)
        }
        // Without a code: large, and all the same bounded work.
        Kind::Generated if case.expect.is_empty() => {
            accepted(case, verdict(&content)?).map(|_| Judged::Accepted)
        }
        Kind::Generated => refused(case, verdict(&content)?),
        Kind::Accepted | Kind::FormAccepted => {
            accepted(case, verdict(&content)?).map(|_| Judged::Accepted)
        }
        Kind::Replay => replayed(case, connections, &content).await,
        Kind::Distinct => distinct(case, verdict(&content)?, verdict(&second()?)?),
        Kind::Mapped => mapped(case, verdict(&content)?),
        Kind::Metadata => metadata_refused(case, &content),
        Kind::MetadataAccepted => metadata_accepted(case, &content),
        Kind::MetadataChange => metadata_changed(case, &content, &folder),
        Kind::Redirect | Kind::RedirectAccepted | Kind::LogoutPost | Kind::LogoutAccepted => {
            logout::judge(case, connections, &content, session)
        }
        Kind::RelayState => Ok(Judged::Elsewhere),
    }
}

fn refused(case: &Case, verdict: Verdict) -> Finding {
    match verdict {
        Verdict::Accepted(accepted) => {
            Err(format!("ACCEPTED as {:?}, expected {:?}", accepted.0.name_id, case.expect))
        }
        Verdict::Refused(refusal) => code(case, refusal.code.as_str(), &refusal.detail),
    }
}

pub(super) fn code(case: &Case, code: &str, detail: &str) -> Finding {
    // What the log says of an assertion is why it was refused, never whom it is about.
    if detail.len() > 4096 || detail.contains("@example.org") || detail.contains("<saml") {
        return Err(format!("the detail of {code} quotes the document: {detail:.200}"));
    }
    match case.expect.iter().any(|expected| expected == code) {
        true => Ok(Judged::Refused(code.to_owned())),
        false => Err(format!("refused as {code} ({detail:.200}), expected {:?}", case.expect)),
    }
}

pub(super) fn accepted(
    case: &Case,
    verdict: Verdict,
) -> Result<Box<(Statement, UnspentAssertion)>, String> {
    match verdict {
        Verdict::Refused(refusal) => {
            Err(format!("refused as {} ({}), is to be accepted", refusal.code, refusal.detail))
        }
        Verdict::Accepted(accepted) => {
            let name = accepted.0.name_id.as_ref().map(|it| it.value.as_str());
            if case.name_id.is_some() && case.name_id.as_deref() != name {
                return Err(format!("accepted as {name:?}, expected {:?}", case.name_id));
            }
            Ok(accepted)
        }
    }
}

/// Verified both times; the second time there is no proof that it is the first.
async fn replayed(case: &Case, connections: &Connections, content: &[u8]) -> Finding {
    let store = MemoryStore::default();
    let first = case.judge(connections, content).map_err(|error| error.to_string())?;
    let (_, first) = *accepted(case, first)?;
    let fresh = claim(&store, first.replay_key()).await.map_err(|error| error.to_string())?;
    first.redeem(fresh.ok_or("seen before the first time")?).map_err(|error| error.to_string())?;

    let second = case.second_file.as_ref().map(|file| cases::read(folder("hostile").join(file)));
    let second = second.transpose().map_err(|error| error.to_string())?;
    let at = case.second_at.as_deref().unwrap_or(&case.at);
    let at = moment(at).map_err(|error| error.to_string())?;
    let again = case.judge_at(connections, second.as_deref().unwrap_or(content), at);
    let (_, again) = *accepted(case, again.map_err(|error| error.to_string())?)?;
    // The mark has to outlive the time until which the assertion is accepted.
    if again.replay_key().expires_at() <= at {
        return Err("the mark is gone while the assertion still counts".to_owned());
    }
    match claim(&store, again.replay_key()).await {
        Ok(None) => code(case, "replayed", ""),
        other => Err(format!("a second time: {other:?}")),
    }
}

fn distinct(case: &Case, first: Verdict, second: Verdict) -> Finding {
    let subject = |verdict| {
        let (statement, _) = *accepted(case, verdict)?;
        statement.person.map(|(subject, _)| subject).ok_or("no person").map_err(str::to_owned)
    };
    match (subject(first), subject(second)) {
        (Ok(first), Ok(second)) if first == second => Err(format!("both are {first}")),
        (Ok(_), Ok(_)) => Ok(Judged::Accepted),
        // Refusing one of them keeps them apart as well.
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => Ok(Judged::Accepted),
        (Err(first), Err(_)) => Err(first),
    }
}

fn mapped(case: &Case, verdict: Verdict) -> Finding {
    let (statement, _) = *accepted(case, verdict)?;
    let (_, profile) = statement.person.ok_or("no person")?;
    let profile = serde_json::to_value(profile).map_err(|error| error.to_string())?;
    let field = |name: &str| profile.get(name).cloned().unwrap_or(Value::Null);
    for (name, wanted) in case.person.iter().flatten() {
        if field(name) != *wanted {
            return Err(format!("{name} is {}, expected {wanted}", field(name)));
        }
    }
    if let Some(groups) = &case.groups
        && field("groups") != serde_json::json!(groups)
    {
        return Err(format!("groups are {}, expected {groups:?}", field("groups")));
    }
    for role in case.roles_without.iter().flatten() {
        if field("roles").to_string().contains(role.as_str()) {
            return Err(format!("roles are {}", field("roles")));
        }
    }
    Ok(Judged::Accepted)
}

fn metadata_refused(case: &Case, content: &[u8]) -> Finding {
    match case.metadata(content).map_err(|error| format!("{error:#}"))? {
        Ok(idp) => Err(format!("ACCEPTED with {:?}", idp.fingerprints())),
        Err(refusal) => code(case, refusal.code.as_str(), &refusal.detail),
    }
}

fn metadata_accepted(case: &Case, content: &[u8]) -> Finding {
    match case.metadata(content).map_err(|error| format!("{error:#}"))? {
        Err(refusal) => Err(format!("refused as {} ({})", refusal.code, refusal.detail)),
        Ok(idp) if Some(idp.keys().len()) == case.keys => Ok(Judged::Accepted),
        Ok(idp) => Err(format!("{} keys, expected {:?}", idp.keys().len(), case.keys)),
    }
}

/// Other metadata of an identity provider that is known already, without a pinned certificate.
fn metadata_changed(case: &Case, content: &[u8], folder: &Path) -> Finding {
    let known = cases::read(folder.join("33-control.xml")).map_err(|error| error.to_string())?;
    let read = |content: &[u8]| {
        let read = case.metadata(content).map_err(|error| format!("{error:#}"))?;
        read.map_err(|refusal| format!("refused as {refusal}"))
    };
    let (known, fetched) = (read(&known)?, read(content)?);
    judge_change(&known, &known, false).map_err(|refusal| format!("unchanged: {refusal}"))?;
    judge_change(&known, &fetched, true).map_err(|refusal| format!("pinned: {refusal}"))?;
    match judge_change(&known, &fetched, false) {
        Ok(()) => Err("taken over without approval".to_owned()),
        Err(refusal) => code(case, refusal.code.as_str(), &refusal.detail),
    }
}
