//! Directory synchronisation: batches are whole, fenced, and change no row that changed meanwhile.

use std::sync::Arc;

use super::sync::{DIRECTORY, found, identity, last_run, lease, mark, person, running};
use super::{Outcome, cases, given, sample};
use crate::store::{
    AccountRecord, ClaimMap, NewAccount, Store, SyncBatch, SyncBatchOutcome, SyncJobRecord,
    SyncLease, SyncStep, SyncWrite,
};
use sample::at;

cases!(
    "sync_batch",
    Case: a_batch_makes_changes_and_notes,
    an_old_generation_changes_no_row,
    a_changed_account_is_left_out,
    an_unlinked_person_is_left_out,
    a_taken_value_undoes_the_whole_batch,
    names_may_be_swapped_and_handed_on,
    a_deactivation_ends_sessions_and_pending_logins,
    sessions_may_end_while_the_account_stays_active,
    a_reactivated_account_has_no_old_session,
    further_claims_are_put_replaced_and_removed,
);

pub(super) fn batch(lease: &SyncLease, job: &SyncJobRecord, steps: Vec<SyncStep>) -> SyncBatch {
    SyncBatch { lease: lease.clone(), job: job.id, at: at(1500), steps }
}

pub(super) fn update(account: AccountRecord, subject: &str, deactivates: bool) -> SyncStep {
    SyncStep {
        write: SyncWrite::Update {
            account: Box::new(account),
            subject: subject.to_owned(),
            claims: None,
            mark: Some(mark(2)),
            end_sessions: None,
        },
        deactivates,
        audit: vec![sample::event(2)],
    }
}

fn create(n: u32) -> SyncStep {
    let new = NewAccount {
        account: sample::account(n),
        identity: Some(identity(DIRECTORY, &format!("subject-{n}"), n)),
        password: None,
    };
    SyncStep {
        write: SyncWrite::Create {
            new: Box::new(new),
            claims: claims(&format!("claim-{n}")),
            mark: mark(1),
        },
        deactivates: false,
        audit: vec![sample::event(1)],
    }
}

fn claims(name: &str) -> ClaimMap {
    ClaimMap::from([(name.to_owned(), vec!["a \"é\"".to_owned(), String::new()])])
}

const DONE: SyncBatchOutcome = SyncBatchOutcome::Done { stale: vec![] };

async fn a_batch_makes_changes_and_notes(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &lease, 1).await?;
    let subject = person(&*store, 2).await?;
    let before = given::existing_account(&*store, sample::account_id(2)).await?;
    let changed = sample::changed(&before, 22);
    let noted = person(&*store, 3).await?;
    let note = SyncStep {
        write: SyncWrite::Note { subject: noted.clone(), mark: mark(4) },
        deactivates: false,
        audit: vec![],
    };
    let steps = vec![create(1), update(changed.clone(), &subject, false), note];
    assert_eq!(store.apply_sync_batch(batch(&lease, &job, steps)).await?, DONE);

    let made = given::existing_account(&*store, sample::account_id(1)).await?;
    assert!(made.numeric_id > 0, "a number of the store's own");
    let wanted = AccountRecord { numeric_id: made.numeric_id, version: 1, ..sample::account(1) };
    assert_eq!(made, wanted);
    let linked = store.account_by_identity(DIRECTORY, "subject-1").await?;
    assert_eq!(linked, Some(made));
    let stored = given::existing_account(&*store, before.id).await?;
    assert_eq!(stored, AccountRecord { version: before.version + 1, ..changed });
    let subjects = ["subject-1".to_owned(), subject, noted];
    let mut people = store.synced_people(DIRECTORY, &subjects).await?;
    people.sort_by(|a, b| a.subject.cmp(&b.subject));
    let marks: Vec<_> = people.into_iter().map(|person| person.mark).collect();
    assert_eq!(marks, [Some(mark(1)), Some(mark(2)), Some(mark(4))]);
    let untouched = given::existing_account(&*store, sample::account_id(3)).await?;
    assert_eq!(untouched.version, 1, "a note writes no account");
    let mut trail = given::trail(&*store).await?;
    trail.sort_by_key(|event| event.at);
    assert_eq!(trail, [sample::event(1), sample::event(2)]);
    let stored = last_run(&*store).await?;
    assert_eq!((stored.applied, stored.deactivated), (2, 0));
    assert_eq!(store.apply_sync_batch(batch(&lease, &job, vec![])).await?, DONE, "an empty one");
    Ok(())
}

async fn an_old_generation_changes_no_row(store: Arc<dyn Store>) -> Outcome {
    let old = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &old, 1).await?;
    let subject = person(&*store, 2).await?;
    let before = given::existing_account(&*store, sample::account_id(2)).await?;
    let session = given::browser(&*store, before.id, 1).await?;
    // The old node stood still; its lease ran out and another one took over.
    let new = lease(&*store, "node-b", 160).await?;
    let trail = given::trail(&*store).await?;
    let jobs = store.sync_jobs(DIRECTORY, 9).await?;
    let inactive = AccountRecord { active: false, ..before.clone() };
    let note = SyncStep {
        write: SyncWrite::Note { subject: subject.clone(), mark: mark(4) },
        deactivates: false,
        audit: vec![sample::event(3)],
    };
    for steps in [vec![create(1)], vec![update(inactive, &subject, true)], vec![note], vec![]] {
        let outcome = store.apply_sync_batch(batch(&old, &job, steps)).await?;
        assert_eq!(outcome, SyncBatchOutcome::LeaseLost);
    }
    assert_eq!(store.account(sample::account_id(1)).await?, None, "nobody was made");
    assert_eq!(given::existing_account(&*store, before.id).await?, before);
    given::assert_untouched(&*store, &session).await?;
    assert_eq!(found(&*store, &subject).await?.mark, None);
    assert_eq!(given::trail(&*store).await?, trail);
    assert_eq!(store.sync_jobs(DIRECTORY, 9).await?, jobs);
    // The same generation in another's name is no right either.
    let forged = SyncLease { holder: "node-c".to_owned(), ..new };
    let outcome = store.apply_sync_batch(batch(&forged, &job, vec![create(1)])).await?;
    assert_eq!(outcome, SyncBatchOutcome::LeaseLost);
    Ok(())
}

async fn a_changed_account_is_left_out(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &lease, 1).await?;
    let mut steps = Vec::new();
    for n in 1..=3 {
        let subject = person(&*store, n).await?;
        let account = given::existing_account(&*store, sample::account_id(n)).await?;
        steps.push(update(sample::changed(&account, n + 20), &subject, n == 2));
    }
    // Somebody signs in between plan and batch.
    let mut second = given::existing_account(&*store, sample::account_id(2)).await?;
    second.last_login_at = Some(at(999));
    assert!(store.update_account(second.clone(), vec![]).await?);
    let outcome = store.apply_sync_batch(batch(&lease, &job, steps)).await?;
    assert_eq!(outcome, SyncBatchOutcome::Done { stale: vec![1] });
    let stored = given::existing_account(&*store, second.id).await?;
    assert_eq!(stored, AccountRecord { version: 2, ..second });
    assert_eq!(found(&*store, "subject-2").await?.mark, None);
    for n in [1, 3] {
        let account = given::existing_account(&*store, sample::account_id(n)).await?;
        assert_eq!(account.username, format!("Person{:05}", n + 20));
    }
    assert_eq!(given::trail(&*store).await?.len(), 2, "the events of what was written only");
    let stored = last_run(&*store).await?;
    assert_eq!((stored.applied, stored.deactivated), (2, 0));

    // The same account twice in one batch: only the first is as it was read.
    let account = given::existing_account(&*store, sample::account_id(1)).await?;
    store.link_identity(identity(DIRECTORY, "again", 1), vec![]).await?;
    let twice = vec![
        update(AccountRecord { nickname: None, ..account.clone() }, "subject-1", false),
        update(AccountRecord { position: None, ..account.clone() }, "again", false),
    ];
    let outcome = store.apply_sync_batch(batch(&lease, &job, twice)).await?;
    assert_eq!(outcome, SyncBatchOutcome::Done { stale: vec![1] });
    Ok(())
}

async fn an_unlinked_person_is_left_out(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &lease, 1).await?;
    let subject = person(&*store, 1).await?;
    let before = given::existing_account(&*store, sample::account_id(1)).await?;
    assert!(store.unlink_identity(DIRECTORY, &subject, vec![]).await?);
    let inactive = AccountRecord { active: false, ..before.clone() };
    let steps = vec![update(inactive, &subject, true)];
    let outcome = store.apply_sync_batch(batch(&lease, &job, steps)).await?;
    assert_eq!(outcome, SyncBatchOutcome::Done { stale: vec![0] });
    assert_eq!(given::existing_account(&*store, before.id).await?, before);
    Ok(())
}

async fn a_taken_value_undoes_the_whole_batch(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &lease, 1).await?;
    let owner = given::account(&*store, 9).await?;
    let subject = person(&*store, 2).await?;
    let before = given::existing_account(&*store, sample::account_id(2)).await?;
    let taken = |field: &str| {
        let mut account = sample::changed(&before, 22);
        match field {
            "username" => account.username_key.clone_from(&owner.username_key),
            _ => account.email_key.clone_from(&owner.email_key),
        }
        account
    };
    let mut identity = create(5);
    if let SyncWrite::Create { new, .. } = &mut identity.write
        && let Some(identity) = &mut new.identity
    {
        identity.subject.clone_from(&subject);
    }
    for (step, field) in [
        (update(taken("username"), &subject, false), "username"),
        (update(taken("email"), &subject, false), "email"),
        (identity, "identity"),
    ] {
        let steps = vec![create(1), step];
        given::assert_conflict(store.apply_sync_batch(batch(&lease, &job, steps)).await, field);
        assert_eq!(store.account(sample::account_id(1)).await?, None, "after {field}");
        assert_eq!(given::existing_account(&*store, before.id).await?, before, "after {field}");
        let by_name = store.account_by_username(&before.username_key).await?;
        assert_eq!(by_name, Some(before.clone()), "it has its name still, after {field}");
        let linked = store.account_by_identity(DIRECTORY, &subject).await?;
        assert_eq!(linked, Some(before.clone()), "after {field}");
        assert_eq!(given::trail(&*store).await?, [], "after {field}");
        assert_eq!(last_run(&*store).await?.applied, 0, "after {field}");
    }
    Ok(())
}

async fn names_may_be_swapped_and_handed_on(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &lease, 1).await?;
    let linked = async |n: u32| {
        person(&*store, n).await?;
        given::existing_account(&*store, sample::account_id(n)).await
    };
    let (one, two, three) = (linked(1).await?, linked(2).await?, linked(3).await?);
    let named = |account: &AccountRecord, as_of: &AccountRecord| AccountRecord {
        username: as_of.username.clone(),
        username_key: as_of.username_key.clone(),
        email: as_of.email.clone(),
        email_key: as_of.email_key.clone(),
        ..account.clone()
    };
    // One and two swap; three gets a name of its own, and a new account takes three's old one.
    let mut heir = create(4);
    if let SyncWrite::Create { new, .. } = &mut heir.write {
        new.account = named(&new.account, &three);
    }
    let steps = vec![
        heir,
        update(named(&one, &two), "subject-1", false),
        update(named(&two, &one), "subject-2", false),
        update(named(&three, &sample::account(33)), "subject-3", false),
    ];
    assert_eq!(store.apply_sync_batch(batch(&lease, &job, steps)).await?, DONE);
    for (key, n) in [("person00001", 2), ("person00002", 1), ("person00003", 4), ("person00033", 3)]
    {
        let id = Some(sample::account_id(n));
        let found = store.account_by_username(key).await?;
        assert_eq!(found.map(|account| account.id), id, "{key}");
        let found = store.account_by_email(&format!("{key}@example.org")).await?;
        assert_eq!(found.map(|account| account.id), id, "{key}");
    }
    Ok(())
}

async fn a_deactivation_ends_sessions_and_pending_logins(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &lease, 1).await?;
    let subject = person(&*store, 1).await?;
    person(&*store, 2).await?;
    let account = given::existing_account(&*store, sample::account_id(1)).await?;
    let browser = given::browser(&*store, account.id, 1).await?;
    let client = given::client(&*store, &browser, 2).await?;
    let other = given::browser(&*store, sample::account_id(2), 3).await?;
    store.add_login(sample::login(4)).await?;
    let inactive = AccountRecord {
        active: false,
        inactive_reason: Some("sync:gone".to_owned()),
        ..account.clone()
    };
    store.add_device(sample::device(account.id, 1), vec![]).await?;
    let steps = vec![update(inactive, &subject, true)];
    assert_eq!(store.apply_sync_batch(batch(&lease, &job, steps)).await?, DONE);
    given::assert_ended(&*store, &browser, 1500, "account_inactive").await?;
    assert_eq!(store.devices(account.id).await?, []);
    given::assert_ended(&*store, &client.record, 1500, "account_inactive").await?;
    given::assert_untouched(&*store, &other).await?;
    let token = store.access_token(client.access).await?;
    assert!(token.is_none_or(|token| !token.account.active && token.session.revoked_at.is_some()));
    let late = given::completion(4, sample::browser_session(account.id, 9));
    assert!(!store.complete_login(late).await?, "a pending login comes to nothing");
    let stored = last_run(&*store).await?;
    assert_eq!((stored.applied, stored.deactivated), (1, 1));
    Ok(())
}

async fn sessions_may_end_while_the_account_stays_active(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &lease, 1).await?;
    let subject = person(&*store, 1).await?;
    let account = given::existing_account(&*store, sample::account_id(1)).await?;
    let browser = given::browser(&*store, account.id, 1).await?;
    store.add_device(sample::device(account.id, 1), vec![]).await?;
    let mut step = update(account.clone(), &subject, false);
    if let SyncWrite::Update { end_sessions, .. } = &mut step.write {
        *end_sessions = Some("password_changed");
    }
    assert_eq!(store.apply_sync_batch(batch(&lease, &job, vec![step])).await?, DONE);
    given::assert_ended(&*store, &browser, 1500, "password_changed").await?;
    assert_eq!(store.devices(account.id).await?, [], "a device spares no factor after it");
    assert!(given::existing_account(&*store, account.id).await?.active);
    given::browser(&*store, account.id, 2).await?;
    Ok(())
}

async fn a_reactivated_account_has_no_old_session(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &lease, 1).await?;
    let subject = person(&*store, 1).await?;
    let account = given::existing_account(&*store, sample::account_id(1)).await?;
    let browser = given::browser(&*store, account.id, 1).await?;
    for active in [false, true] {
        let stored = given::existing_account(&*store, account.id).await?;
        let step = update(AccountRecord { active, ..stored }, &subject, !active);
        assert_eq!(store.apply_sync_batch(batch(&lease, &job, vec![step])).await?, DONE);
    }
    given::assert_ended(&*store, &browser, 1500, "account_inactive").await?;
    assert!(given::existing_account(&*store, account.id).await?.active);
    Ok(())
}

async fn further_claims_are_put_replaced_and_removed(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, "node-a", 100).await?;
    let job = running(&*store, &lease, 1).await?;
    let id = sample::account_id(1);
    let steps = vec![create(1), create(2)];
    assert_eq!(store.apply_sync_batch(batch(&lease, &job, steps)).await?, DONE);
    assert_eq!(store.claims(id).await?, claims("claim-1"));
    let subject = "subject-1".to_owned();
    for new in [Some(claims("other")), None, Some(ClaimMap::new())] {
        let stored = given::existing_account(&*store, id).await?;
        let before = store.claims(id).await?;
        let mut step = update(stored, &subject, false);
        if let SyncWrite::Update { claims, .. } = &mut step.write {
            claims.clone_from(&new);
        }
        assert_eq!(store.apply_sync_batch(batch(&lease, &job, vec![step])).await?, DONE);
        let expected = new.unwrap_or(before);
        assert_eq!(store.claims(id).await?, expected);
        assert_eq!(found(&*store, &subject).await?.claims, expected);
    }
    assert_eq!(store.claims(sample::account_id(2)).await?, claims("claim-2"), "another's");
    Ok(())
}
