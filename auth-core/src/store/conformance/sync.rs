//! Directory synchronisation: what was last seen, leases and past runs.

use std::sync::Arc;

use serde_json::json;

use super::{Outcome, cases, given, sample};
use crate::store::{
    IdentityRecord, LeaseAnswer, PasswordChange, Store, StoreError, SyncBatchOutcome,
    SyncCompletion, SyncCounts, SyncJobDetail, SyncJobId, SyncJobRecord, SyncJobState, SyncLease,
    SyncMark, SyncStatus, SyncStep, SyncTrace, SyncWrite,
};
use sample::{DAY, at};

cases!(
    "sync",
    Case: a_lease_is_granted_once_and_taken_over_when_it_ran_out,
    a_lost_lease_writes_nothing,
    a_run_reads_back,
    earlier_runs_are_abandoned,
    success_is_noted_for_the_directory,
    deactivations_are_counted_in_their_window,
    traces_come_in_pages_and_in_byte_order,
    people_are_found_with_what_was_noted,
    what_a_login_noted_is_found,
    another_directory_that_shuts_out_is_told,
    accounts_are_found_by_either_key_once,
    active_accounts_of_a_directory_are_counted_once,
    what_was_noted_goes_with_the_identity,
    old_runs_are_purged,
);

/// The directory that [`person`] makes people of.
pub(super) const DIRECTORY: &str = "corp";

/// The lease of [`DIRECTORY`], held by `holder` from `seconds` on for a minute.
pub(super) async fn lease(
    store: &dyn Store,
    holder: &str,
    seconds: u64,
) -> Result<SyncLease, StoreError> {
    match store.acquire_sync_lease(DIRECTORY, holder, at(seconds), at(seconds + 60)).await? {
        LeaseAnswer::Granted(lease) => Ok(lease),
        held => panic!("expected the lease, got {held:?}"),
    }
}

pub(super) fn job(lease: &SyncLease, n: u32) -> SyncJobRecord {
    SyncJobRecord {
        id: SyncJobId(sample::session_id(n).0),
        directory: lease.directory.clone(),
        generation: lease.generation,
        holder: lease.holder.clone(),
        state: SyncJobState::Running,
        started_at: at(u64::from(n)),
        finished_at: None,
        applied: 0,
        deactivated: 0,
        detail: SyncJobDetail {
            trigger: "schedule".to_owned(),
            kind: "full".to_owned(),
            server: Some(format!("ldaps://dc{n}.example.org")),
            entries: u64::from(n) + 1,
            searches: 3,
            counts: counts(),
            overridden: false,
            message: Some("wörd \"x\"".to_owned()),
            conflicts: vec!["a and b".to_owned()],
        },
    }
}

const fn counts() -> SyncCounts {
    SyncCounts { create: 1, update: 2, deactivate: 3, reactivate: 4, conflict: 5, unchanged: 6 }
}

/// A run under way.
pub(super) async fn running(
    store: &dyn Store,
    lease: &SyncLease,
    n: u32,
) -> Result<SyncJobRecord, StoreError> {
    let job = job(lease, n);
    assert!(store.begin_sync_job(lease, job.clone(), vec![]).await?, "begin_sync_job");
    Ok(job)
}

pub(super) fn mark(n: u8) -> SyncMark {
    SyncMark {
        digest: Some([n; 16]),
        shut_out: n.is_multiple_of(2),
        password_changed_at: Some(format!("2026010{n}000000Z")),
        dn: format!("uid=p{n},ou=people,dc=example,dc=org"),
    }
}

/// Account `n`, linked to the subject `subject-n` of [`DIRECTORY`].
pub(super) async fn person(store: &dyn Store, n: u32) -> Result<String, StoreError> {
    let account = given::account(store, n).await?.id;
    let subject = format!("subject-{n}");
    store.link_identity(identity(DIRECTORY, &subject, n), vec![]).await?;
    assert_eq!(account, sample::account_id(n));
    Ok(subject)
}

pub(super) fn identity(connector: &str, subject: &str, n: u32) -> IdentityRecord {
    IdentityRecord {
        connector: connector.to_owned(),
        subject: subject.to_owned(),
        account: sample::account_id(n),
        linked_at: at(110),
    }
}

/// Notes what was seen of a person, in a batch of its own.
pub(super) async fn note(
    store: &dyn Store,
    lease: &SyncLease,
    job: &SyncJobRecord,
    subject: &str,
    mark: SyncMark,
) -> Outcome {
    let step = SyncStep {
        write: SyncWrite::Note { subject: subject.to_owned(), mark },
        deactivates: false,
        audit: vec![],
    };
    let batch = super::sync_batch::batch(lease, job, vec![step]);
    let outcome = store.apply_sync_batch(batch).await?;
    assert_eq!(outcome, SyncBatchOutcome::Done { stale: vec![] });
    Ok(())
}

async fn a_lease_is_granted_once_and_taken_over_when_it_ran_out(store: Arc<dyn Store>) -> Outcome {
    let first = lease(&*store, "node-a", 100).await?;
    assert_eq!((first.directory.as_str(), first.holder.as_str()), (DIRECTORY, "node-a"));
    for seconds in [100, 159] {
        let answer = store.acquire_sync_lease(DIRECTORY, "node-b", at(seconds), at(500)).await?;
        let held = LeaseAnswer::Held { holder: "node-a".to_owned(), until: at(160) };
        assert_eq!(answer, held, "at {seconds}");
    }
    // The same name does not get it either: two processes of one node are two.
    let answer = store.acquire_sync_lease(DIRECTORY, "node-a", at(101), at(500)).await?;
    assert!(matches!(answer, LeaseAnswer::Held { .. }), "{answer:?}");
    assert!(store.renew_sync_lease(&first, at(200)).await?, "renew");
    let status = store.sync_status(DIRECTORY).await?;
    assert_eq!(status.lease, Some(("node-a".to_owned(), at(200))));

    let second = lease(&*store, "node-b", 200).await?;
    assert!(second.generation > first.generation, "each grant has a greater generation");
    assert!(!store.renew_sync_lease(&first, at(900)).await?, "renewed after a take-over");
    assert!(!store.release_sync_lease(&first).await?, "given back after a take-over");
    assert!(store.release_sync_lease(&second).await?, "given back");
    assert!(!store.release_sync_lease(&second).await?, "given back twice");
    assert!(!store.renew_sync_lease(&second, at(900)).await?, "renewed after it was given back");
    assert_eq!(store.sync_status(DIRECTORY).await?.lease, None);

    let third = lease(&*store, "node-a", 201).await?;
    assert!(third.generation > second.generation);
    // Another directory has a lease of its own.
    let other = store.acquire_sync_lease("lab", "node-b", at(202), at(300)).await?;
    assert!(matches!(other, LeaseAnswer::Granted(_)), "{other:?}");
    assert_eq!(store.sync_status("nowhere").await?, SyncStatus::default());
    Ok(())
}

async fn a_lost_lease_writes_nothing(store: Arc<dyn Store>) -> Outcome {
    let old = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &old, 1).await?;
    let new = lease(&*store, "node-b", 160).await?;
    let trail = given::trail(&*store).await?;
    let status = store.sync_status(DIRECTORY).await?;
    let jobs = store.sync_jobs(DIRECTORY, 10).await?;

    let event = || vec![sample::event(1)];
    let late = super::sync::job(&old, 2);
    assert!(!store.begin_sync_job(&old, late, event()).await?, "begin under an old lease");
    let done = Some(SyncCompletion { position: Some(Some(json!({"usn": 1}))), full: true });
    let mut ended = job.clone();
    ended.state = SyncJobState::Succeeded;
    ended.finished_at = Some(at(170));
    assert!(!store.finish_sync_job(&old, ended, done, event()).await?, "finish under an old lease");
    let forged = SyncLease { holder: "node-c".to_owned(), ..new.clone() };
    assert!(!store.begin_sync_job(&forged, super::sync::job(&new, 3), event()).await?, "forged");

    assert_eq!(given::trail(&*store).await?, trail, "no event");
    assert_eq!(store.sync_status(DIRECTORY).await?, status, "the directory as it was");
    assert_eq!(store.sync_jobs(DIRECTORY, 10).await?, jobs, "the run as it was");
    Ok(())
}

async fn a_run_reads_back(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 1).await?;
    let mut job = running(&*store, &lease, 2).await?;
    assert_eq!(store.sync_jobs(DIRECTORY, 10).await?, [job.clone()]);
    assert_eq!(store.sync_status(DIRECTORY).await?.started_at, Some(at(2)));
    job.state = SyncJobState::Refused;
    job.finished_at = Some(at(9));
    job.detail.message = Some("brake".to_owned());
    job.detail.entries = 77;
    let events = vec![sample::event(1)];
    assert!(store.finish_sync_job(&lease, job.clone(), None, events.clone()).await?);
    assert_eq!(store.sync_jobs(DIRECTORY, 10).await?, [job]);
    assert_eq!(given::trail(&*store).await?, events);
    assert_eq!(store.sync_status(DIRECTORY).await?.succeeded_at, None, "it did not succeed");
    let unknown = super::sync::job(&lease, 9);
    assert!(!store.finish_sync_job(&lease, unknown, None, events.clone()).await?, "no such run");
    assert_eq!(given::trail(&*store).await?, events);
    for n in 3..6 {
        running(&*store, &lease, n).await?;
    }
    let newest: Vec<_> =
        store.sync_jobs(DIRECTORY, 2).await?.into_iter().map(|job| job.started_at).collect();
    assert_eq!(newest, [at(5), at(4)], "newest first, at most so many");
    assert_eq!(store.sync_jobs("lab", 10).await?, []);
    Ok(())
}

async fn earlier_runs_are_abandoned(store: Arc<dyn Store>) -> Outcome {
    let first = lease(&*store, "node-a", 100).await?;
    running(&*store, &first, 1).await?;
    let second = lease(&*store, "node-b", 160).await?;
    running(&*store, &second, 7).await?;
    let jobs = store.sync_jobs(DIRECTORY, 10).await?;
    assert_eq!(
        jobs.iter().map(|job| job.state).collect::<Vec<_>>(),
        [SyncJobState::Running, SyncJobState::Abandoned]
    );
    assert_eq!(jobs.last().and_then(|job| job.finished_at), Some(at(7)));
    Ok(())
}

async fn success_is_noted_for_the_directory(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    let finish = async |n: u32, completion: SyncCompletion| {
        let mut job = running(&*store, &lease, n).await?;
        job.state = SyncJobState::Succeeded;
        job.finished_at = Some(at(u64::from(n) + 5));
        assert!(store.finish_sync_job(&lease, job, Some(completion), vec![]).await?);
        store.sync_status(DIRECTORY).await
    };
    let position = json!({ "usn": 42, "server": "é" });
    let full = SyncCompletion { position: Some(Some(position.clone())), full: true };
    let status = finish(10, full).await?;
    assert_eq!((status.full_at, status.succeeded_at), (Some(at(10)), Some(at(15))));
    assert_eq!(status.position, Some(position.clone()));
    let kept = finish(20, SyncCompletion { position: None, full: false }).await?;
    assert_eq!((kept.full_at, kept.succeeded_at), (Some(at(10)), Some(at(25))));
    assert_eq!(kept.position, Some(position), "the position stays");
    let cleared = finish(30, SyncCompletion { position: Some(None), full: true }).await?;
    assert_eq!((cleared.position, cleared.full_at), (None, Some(at(30))));
    Ok(())
}

async fn deactivations_are_counted_in_their_window(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    for (n, overridden) in [(1u32, false), (2, true), (3, false)] {
        let subject = person(&*store, n).await?;
        let mut job = job(&lease, n);
        assert!(store.begin_sync_job(&lease, job.clone(), vec![]).await?);
        job.detail.overridden = overridden;
        let mut account = given::existing_account(&*store, sample::account_id(n)).await?;
        account.active = false;
        let step = super::sync_batch::update(account, &subject, true);
        store.apply_sync_batch(super::sync_batch::batch(&lease, &job, vec![step])).await?;
        job.state = SyncJobState::Succeeded;
        job.finished_at = Some(at(u64::from(n) * 100));
        if n < 3 {
            assert!(store.finish_sync_job(&lease, job, None, vec![]).await?);
        }
    }
    for (since, expected) in [(0, 2), (100, 2), (101, 1), (9999, 1)] {
        let counted = store.sync_deactivations(DIRECTORY, at(since)).await?;
        assert_eq!(counted, expected, "since {since}: overridden ones never, running ones always");
    }
    assert_eq!(store.sync_deactivations("lab", at(0)).await?, 0);
    Ok(())
}

async fn traces_come_in_pages_and_in_byte_order(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 1).await?;
    let job = running(&*store, &lease, 1).await?;
    let subjects = ["b", "a-1", "B", "é", "a1"];
    for (n, subject) in (1..).zip(subjects) {
        given::account(&*store, n).await?;
        store.link_identity(identity(DIRECTORY, subject, n), vec![]).await?;
        store.link_identity(identity("lab", subject, n), vec![]).await?;
    }
    note(&*store, &lease, &job, "a1", mark(2)).await?;
    let unwhole = SyncMark { digest: None, ..mark(3) };
    note(&*store, &lease, &job, "b", unwhole).await?;
    let bare =
        |subject: &str| SyncTrace { subject: subject.to_owned(), digest: None, shut_out: false };
    let noted = SyncTrace { subject: "a1".into(), digest: Some([2; 16]), shut_out: true };
    let expected = [bare("B"), bare("a-1"), noted, bare("b"), bare("é")];
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.sync_traces(DIRECTORY, after.as_deref(), 2).await?;
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2 && seen.len() < 9, "pages end");
        after = Some(last.subject.clone());
        seen.extend(page);
    }
    assert_eq!(seen, expected);
    assert_eq!(store.sync_traces("nowhere", None, 10).await?, []);
    Ok(())
}

async fn people_are_found_with_what_was_noted(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 1).await?;
    let job = running(&*store, &lease, 1).await?;
    let first = person(&*store, 1).await?;
    let second = person(&*store, 2).await?;
    note(&*store, &lease, &job, &first, mark(2)).await?;
    note(&*store, &lease, &job, "nobody", mark(4)).await?;
    let wanted = [first.clone(), "nobody".to_owned(), second.clone(), "Subject-1".to_owned()];
    let mut found = store.synced_people(DIRECTORY, &wanted).await?;
    found.sort_by(|a, b| a.subject.cmp(&b.subject));
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].subject.as_str(), &found[0].mark), (first.as_str(), &Some(mark(2))));
    assert_eq!(found[0].account.id, sample::account_id(1));
    assert_eq!((found[1].subject.as_str(), &found[1].mark), (second.as_str(), &None));
    assert_eq!(found[1].account, given::existing_account(&*store, sample::account_id(2)).await?);
    let bare =
        SyncMark { digest: None, shut_out: false, password_changed_at: None, dn: String::new() };
    note(&*store, &lease, &job, &first, bare.clone()).await?;
    let found = store.synced_people(DIRECTORY, &[first]).await?;
    assert_eq!(found[0].mark, Some(bare));
    assert_eq!(store.synced_people("lab", &[second]).await?, []);
    assert_eq!(store.synced_people(DIRECTORY, &[]).await?, []);
    Ok(())
}

async fn what_a_login_noted_is_found(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 1).await?;
    let job = running(&*store, &lease, 1).await?;
    let subject = person(&*store, 1).await?;
    let noted = PasswordChange {
        connector: DIRECTORY.to_owned(),
        subject: subject.clone(),
        before: None,
        after: "20260101000000Z".to_owned(),
        end_sessions_at: None,
    };
    assert!(store.note_password_change(noted.clone(), vec![]).await?);
    let found = store.synced_people(DIRECTORY, std::slice::from_ref(&subject)).await?;
    let expected = SyncMark {
        digest: None,
        shut_out: false,
        password_changed_at: Some(noted.after),
        dn: String::new(),
    };
    assert_eq!(found[0].mark, Some(expected));
    note(&*store, &lease, &job, &subject, mark(3)).await?;
    let changed = store.password_change(DIRECTORY, &subject).await?;
    assert_eq!(changed, mark(3).password_changed_at, "a login finds what a synchronisation noted");
    Ok(())
}

async fn another_directory_that_shuts_out_is_told(store: Arc<dyn Store>) -> Outcome {
    let corp = lease(&*store, "node-a", 1).await?;
    let subject = person(&*store, 1).await?;
    store.link_identity(identity("lab", "x", 1), vec![]).await?;
    let told = async || -> Result<bool, StoreError> {
        let found = store.synced_people(DIRECTORY, std::slice::from_ref(&subject)).await?;
        Ok(found[0].shut_out_elsewhere)
    };
    let run = running(&*store, &corp, 1).await?;
    note(&*store, &corp, &run, &subject, mark(2)).await?;
    assert!(!told().await?, "its own word is not another's");
    let LeaseAnswer::Granted(lab) = store.acquire_sync_lease("lab", "n", at(1), at(9)).await?
    else {
        panic!("the lease of the other directory");
    };
    let run = running(&*store, &lab, 2).await?;
    note(&*store, &lab, &run, "x", mark(1)).await?;
    assert!(!told().await?, "the other one lets the person in");
    note(&*store, &lab, &run, "x", mark(2)).await?;
    assert!(told().await?, "the other one shuts the person out");
    Ok(())
}

async fn accounts_are_found_by_either_key_once(store: Arc<dyn Store>) -> Outcome {
    for n in 1..=3 {
        given::account(&*store, n).await?;
    }
    let keys =
        ["person00001", "person00001@example.org", "person00003@example.org", "PERSON00002", "x"];
    let mut found: Vec<_> = store
        .accounts_by_keys(&keys.map(str::to_owned))
        .await?
        .into_iter()
        .map(|account| account.id)
        .collect();
    found.sort();
    assert_eq!(found, [sample::account_id(1), sample::account_id(3)]);
    assert_eq!(store.accounts_by_keys(&[]).await?, []);
    Ok(())
}

async fn active_accounts_of_a_directory_are_counted_once(store: Arc<dyn Store>) -> Outcome {
    for n in 1..=3 {
        person(&*store, n).await?;
    }
    store.link_identity(identity(DIRECTORY, "second", 1), vec![]).await?;
    store.link_identity(identity("lab", "x", 2), vec![]).await?;
    given::account(&*store, 4).await?;
    assert_eq!(store.count_synced_accounts(DIRECTORY).await?, 3);
    given::deactivated(&*store, sample::account_id(3), 300).await?;
    assert_eq!(store.count_synced_accounts(DIRECTORY).await?, 2);
    assert_eq!(store.count_synced_accounts("lab").await?, 1);
    assert_eq!(store.count_synced_accounts("nowhere").await?, 0);
    Ok(())
}

async fn what_was_noted_goes_with_the_identity(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 1).await?;
    let job = running(&*store, &lease, 1).await?;
    let subject = person(&*store, 1).await?;
    note(&*store, &lease, &job, &subject, mark(2)).await?;
    assert!(store.unlink_identity(DIRECTORY, &subject, vec![]).await?);
    assert_eq!(store.sync_traces(DIRECTORY, None, 10).await?, []);
    store.link_identity(identity(DIRECTORY, &subject, 1), vec![]).await?;
    let found = store.synced_people(DIRECTORY, &[subject]).await?;
    assert_eq!(found[0].mark, None, "linked anew, seen by no synchronisation");
    Ok(())
}

async fn old_runs_are_purged(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 1).await?;
    let mut job = running(&*store, &lease, 1).await?;
    job.state = SyncJobState::Failed;
    job.finished_at = Some(at(10));
    assert!(store.finish_sync_job(&lease, job.clone(), None, vec![]).await?);
    let second = running(&*store, &lease, 2).await?;
    store.purge(at(90 * DAY + 9)).await?;
    assert_eq!(store.sync_jobs(DIRECTORY, 10).await?.len(), 2, "kept for 90 days");
    assert_eq!(store.purge(at(90 * DAY + 11)).await?, 1);
    assert_eq!(store.sync_jobs(DIRECTORY, 10).await?, [second], "one under way stays");
    Ok(())
}
