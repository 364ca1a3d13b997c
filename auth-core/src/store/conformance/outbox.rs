//! The outbox: what writes an event, who may work on it, and in which order it is delivered.

#![expect(clippy::indexing_slicing, reason = "an element that is not there fails the case")]

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::race::{Nodes, only_winner, race_all};
use super::{Outcome, cases, given, sample};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::store::outbox::SECURITY_CHANGES;
use crate::store::{
    AccountRecord, DeliveryOutcome, NewDelivery, OutboxEventKind, OutboxEventRecord, OutboxLease,
    OutboxLoad, Revocation, RevocationScope, Store, StoreError,
};
use sample::{DAY, ISSUED, at};

pub(super) mod races {
    use super::*;

    cases!("outbox", RaceCase: one_worker_holds_the_lease, a_worker_that_was_overtaken_writes_nothing);
}

cases!(
    "outbox",
    Case: changes_of_an_account_are_noted,
    an_undone_change_is_not_noted,
    ends_of_sessions_are_noted,
    changes_of_protection_are_noted,
    the_lease_is_taken_renewed_and_given_back,
    positions_are_given_in_order_once,
    a_subject_is_delivered_in_order,
    an_attempt_is_retried_or_given_up,
    dead_deliveries_are_listed_and_revived,
    the_signal_changes_with_an_event,
    purge_removes_old_events_and_deliveries,
);

const MINUTE: Duration = Duration::from_secs(60);

fn holder(n: u128) -> Uuid {
    Uuid::from_u128(0x0198_f3c1_0000_7abc_9def_0000_0000_0000 + n)
}

async fn lease(store: &dyn Store, n: u128, now: Timestamp) -> Result<OutboxLease, StoreError> {
    let held = store.hold_outbox(holder(n), now, now + MINUTE).await?;
    Ok(held.unwrap_or_else(|| panic!("the lease is free at {now}")))
}

fn delivery(destination: &str, subject: &str, n: u32) -> NewDelivery {
    NewDelivery {
        destination: destination.to_owned(),
        subject: subject.to_owned(),
        body: format!("{{\"n\":{n},\"text\":\"ä\\\"\"}}"),
        created_at: at(3000 + u64::from(n)),
        due_at: at(3000 + u64::from(n)),
        expires_at: at(30 * DAY),
        dead: None,
    }
}

/// Gives these deliveries to the store.
async fn deliver(
    store: &dyn Store,
    lease: OutboxLease,
    new: Vec<NewDelivery>,
) -> Result<(), StoreError> {
    assert!(store.fan_out(lease, vec![], new).await?, "fan_out under a good lease");
    Ok(())
}

/// What is new, without what differs from run to run.
async fn told(store: &dyn Store) -> Result<Vec<OutboxEventRecord>, StoreError> {
    let events = store.new_outbox_events(1000).await?;
    assert!(events.windows(2).all(|w| w[0].sequence < w[1].sequence), "by sequence: {events:?}");
    assert!(events.iter().all(|event| event.position.is_none()), "no position yet");
    let mut ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "ids are unique");
    Ok(events
        .into_iter()
        .map(|event| OutboxEventRecord { sequence: 0, id: String::new(), ..event })
        .collect())
}

fn event(
    kind: OutboxEventKind,
    account: Option<&AccountRecord>,
    at: Timestamp,
    reason: Option<&str>,
) -> OutboxEventRecord {
    OutboxEventRecord {
        sequence: 0,
        position: None,
        id: String::new(),
        at,
        kind,
        account: account.map(|account| account.id),
        numeric_id: account.map(|account| account.numeric_id),
        client: None,
        session: None,
        reason: reason.map(str::to_owned),
    }
}

async fn changes_of_protection_are_noted(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?;
    let named = |event: &str| AuditRecord::new(at(150), event).account(&account.username);
    let others = vec![
        named("login.accepted"),
        named("factor.added").refused("no"),
        AuditRecord::new(at(150), "factor.added").account("nobody of this name"),
        AuditRecord::new(at(150), "factor.added"),
    ];
    store.append_audit(others).await?;
    assert_eq!(told(&*store).await?, [], "nothing of anybody's protection");
    store.append_audit(SECURITY_CHANGES.map(named).to_vec()).await?;
    let kind = OutboxEventKind::SecurityChanged;
    let expected =
        SECURITY_CHANGES.map(|change| event(kind, Some(&account), at(150), Some(change)));
    assert_eq!(told(&*store).await?, expected);
    Ok(())
}

async fn changes_of_an_account_are_noted(store: Arc<dyn Store>) -> Outcome {
    let made = given::account(&*store, 1).await?;
    assert_eq!(told(&*store).await?, [], "making an account is nobody's business yet");

    let mut account = made.clone();
    account.last_login_at = Some(at(150));
    account.checked_at = Some(at(150));
    account.updated_at = at(150);
    assert!(store.update_account(account, vec![]).await?);
    assert_eq!(told(&*store).await?, [], "a login alone changes nothing");

    let changes: [fn(&mut AccountRecord); 10] = [
        |a| a.username = "Other".to_owned(),
        |a| a.email = Some("OTHER@example.org".to_owned()),
        |a| a.email_verified = !a.email_verified,
        |a| a.first_name = None,
        |a| a.last_name = None,
        |a| a.nickname = Some("Nick".to_owned()),
        |a| a.position = None,
        |a| a.locale = None,
        |a| a.roles = vec!["guest".to_owned()],
        |a| a.groups = vec![],
    ];
    let mut expected = Vec::new();
    for (second, change) in (200..).zip(changes) {
        let mut account = given::existing_account(&*store, made.id).await?;
        change(&mut account);
        account.updated_at = at(second);
        assert!(store.update_account(account, vec![]).await?);
        expected.push(event(OutboxEventKind::AccountUpdated, Some(&made), at(second), None));
    }
    given::deactivated(&*store, made.id, 300).await?;
    let why = Some("administrator");
    expected.push(event(OutboxEventKind::AccountDisabled, Some(&made), at(300), why));
    let mut account = given::existing_account(&*store, made.id).await?;
    account.position = Some("While inactive".to_owned());
    account.updated_at = at(301);
    assert!(store.update_account(account, vec![]).await?);
    let mut account = given::existing_account(&*store, made.id).await?;
    (account.active, account.inactive_reason, account.updated_at) = (true, None, at(302));
    assert!(store.update_account(account, vec![]).await?);
    expected.push(event(OutboxEventKind::AccountEnabled, Some(&made), at(302), None));
    assert_eq!(told(&*store).await?, expected);
    Ok(())
}

async fn an_undone_change_is_not_noted(store: Arc<dyn Store>) -> Outcome {
    let made = given::account(&*store, 1).await?;
    given::account(&*store, 2).await?;
    let stale = AccountRecord { active: false, version: 77, ..made.clone() };
    assert!(!store.update_account(stale, vec![]).await?);
    let taken = AccountRecord { username_key: "person00002".to_owned(), ..made };
    given::assert_conflict(store.update_account(taken, vec![]).await, "username");
    assert_eq!(told(&*store).await?, []);
    Ok(())
}

async fn ends_of_sessions_are_noted(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?;
    let browser = given::browser(&*store, account.id, 1).await?;
    let first = given::client(&*store, &browser, 2).await?.record;
    let second = given::client(&*store, &browser, 3).await?.record;
    let of = |session: &crate::store::SessionRecord, second, reason| OutboxEventRecord {
        client: Some("chat".to_owned()),
        session: Some(session.id),
        ..event(OutboxEventKind::SessionRevoked, Some(&account), at(second), Some(reason))
    };
    given::revoked(&*store, first.id, ISSUED + 10).await?;
    given::revoked(&*store, browser.id, ISSUED + 20).await?;
    given::revoked(&*store, browser.id, ISSUED + 30).await?;
    let mut expected = vec![of(&first, ISSUED + 10, "logout"), of(&second, ISSUED + 20, "logout")];
    assert_eq!(told(&*store).await?, expected, "a client's sessions, each once");

    let all = OutboxEventKind::SessionsRevoked;
    for (second, scope, whose) in [
        (ISSUED + 40, RevocationScope::Account(account.id), Some(&account)),
        (ISSUED + 50, RevocationScope::All, None),
    ] {
        let revocation = Revocation { scope, at: at(second), reason: "administrator".to_owned() };
        store.revoke_sessions(revocation, vec![]).await?;
        expected.push(event(all, whose, at(second), Some("administrator")));
    }
    assert_eq!(told(&*store).await?, expected, "also when none was left to end");

    let mut password = sample::password(account.id, 1);
    store.set_password(password.clone(), false, vec![]).await?;
    password.changed_at = at(ISSUED + 60);
    store.set_password(password, true, vec![]).await?;
    expected.push(event(all, Some(&account), at(ISSUED + 60), Some("password_changed")));
    assert_eq!(told(&*store).await?, expected, "a new password ends all sessions");
    Ok(())
}

async fn the_lease_is_taken_renewed_and_given_back(store: Arc<dyn Store>) -> Outcome {
    let first = lease(&*store, 1, at(0)).await?;
    assert_eq!(store.hold_outbox(holder(2), at(59), at(200)).await?, None, "it is held");
    assert_eq!(lease(&*store, 1, at(30)).await?, first, "renewed under the same generation");
    assert_eq!(store.hold_outbox(holder(2), at(89), at(200)).await?, None, "held after renewal");
    let second = lease(&*store, 2, at(90)).await?;
    assert!(second.generation > first.generation, "a new holder is a new generation");
    assert!(!store.fan_out(first, vec![], vec![delivery("webhook:a", "s", 1)]).await?);
    store.release_outbox(first).await?;
    assert_eq!(store.hold_outbox(holder(3), at(91), at(200)).await?, None, "not the first's");
    store.release_outbox(second).await?;
    let third = lease(&*store, 3, at(91)).await?;
    assert!(third.generation > second.generation);
    assert_eq!(store.due_deliveries("webhook:a", at(9000), 10).await?, [], "nothing was written");
    Ok(())
}

async fn positions_are_given_in_order_once(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(store.outbox_position().await?, 0);
    for n in 1..=3 {
        let account = given::account(&*store, n).await?;
        given::deactivated(&*store, account.id, 300 + u64::from(n)).await?;
    }
    let lease = lease(&*store, 1, at(0)).await?;
    let new = store.new_outbox_events(2).await?;
    assert_eq!(new.len(), 2, "limit");
    let mut turned: Vec<i64> = new.iter().map(|event| event.sequence).collect();
    turned.reverse();
    assert!(store.fan_out(lease, turned.clone(), vec![]).await?);
    assert!(store.fan_out(lease, turned.clone(), vec![]).await?, "again: no new positions");
    let left = store.new_outbox_events(10).await?;
    assert_eq!(left.len(), 1);
    assert!(store.fan_out(lease, vec![left[0].sequence], vec![]).await?);
    let stream = store.outbox_events(0, 10).await?;
    let order: Vec<_> = stream.iter().map(|event| (event.position, event.sequence)).collect();
    let expected =
        [(Some(1), turned[0]), (Some(2), turned[1]), (Some(3), left[0].sequence)].to_vec();
    assert_eq!(order, expected);
    assert_eq!(stream[0].account, new[1].account, "the event itself is kept");
    assert_eq!(store.outbox_events(1, 1).await?, stream[1..2], "after and limit");
    assert_eq!(store.outbox_events(3, 9).await?, []);
    assert_eq!(store.outbox_position().await?, 3);
    // Positions are never given twice, also when the events are gone.
    store.purge(at(300 + 8 * DAY)).await?;
    assert_eq!((store.outbox_events(0, 10).await?.len(), store.outbox_position().await?), (0, 3));
    Ok(())
}

/// Subjects and bodies of what is due.
async fn due(
    store: &dyn Store,
    destination: &str,
    second: u64,
) -> Result<Vec<(i64, String)>, StoreError> {
    let due = store.due_deliveries(destination, at(second), 10).await?;
    Ok(due.into_iter().map(|one| (one.id, one.body)).collect())
}

async fn a_subject_is_delivered_in_order(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, 1, at(0)).await?;
    let new = vec![
        delivery("webhook:a", "one", 1),
        delivery("webhook:a", "one", 2),
        delivery("webhook:a", "two", 3),
        delivery("webhook:b", "one", 4),
    ];
    deliver(&*store, lease, new.clone()).await?;
    let bodies = |due: &[(i64, String)]| -> Vec<String> {
        due.iter().map(|(_, body)| body.clone()).collect()
    };
    assert_eq!(due(&*store, "webhook:a", 3000).await?, [], "not before its time");
    let first = due(&*store, "webhook:a", 4000).await?;
    assert_eq!(bodies(&first), [new[0].body.clone(), new[2].body.clone()], "one of each subject");
    assert_eq!(bodies(&due(&*store, "webhook:b", 4000).await?), [new[3].body.clone()]);
    assert_eq!(store.due_deliveries("webhook:a", at(4000), 1).await?.len(), 1, "limit");
    let read = store.due_deliveries("webhook:b", at(4000), 1).await?.remove(0);
    assert_eq!((read.attempts, read.dead_at, read.last_error), (0, None, None));
    assert_eq!((read.created_at, read.due_at, read.expires_at), (at(3004), at(3004), at(30 * DAY)));
    assert_eq!((read.destination.as_str(), read.subject.as_str()), ("webhook:b", "one"));

    // While the first waits for its next attempt, the second of the subject waits behind it.
    let retry = DeliveryOutcome::Retry { due_at: at(5000), error: "503".to_owned() };
    assert!(store.finish_delivery(lease, first[0].0, retry, vec![], vec![]).await?);
    assert_eq!(bodies(&due(&*store, "webhook:a", 4000).await?), [new[2].body.clone()]);
    let done = DeliveryOutcome::Done;
    assert!(store.finish_delivery(lease, first[1].0, done.clone(), vec![], vec![]).await?);
    assert_eq!(due(&*store, "webhook:a", 4000).await?, []);
    let again = due(&*store, "webhook:a", 5000).await?;
    assert_eq!(again, first[..1]);
    assert!(store.finish_delivery(lease, again[0].0, done, vec![], vec![]).await?);
    assert_eq!(bodies(&due(&*store, "webhook:a", 5000).await?), [new[1].body.clone()]);
    Ok(())
}

async fn an_attempt_is_retried_or_given_up(store: Arc<dyn Store>) -> Outcome {
    let held = lease(&*store, 1, at(0)).await?;
    deliver(&*store, held, vec![delivery("webhook:a", "s", 1), delivery("webhook:a", "s", 2)])
        .await?;
    let id = due(&*store, "webhook:a", 4000).await?[0].0;
    let retry = |second| DeliveryOutcome::Retry { due_at: at(second), error: "late".to_owned() };
    for (attempt, second) in [(1, 4001), (2, 4002)] {
        assert!(store.finish_delivery(held, id, retry(second), vec![], vec![]).await?);
        let read = store.due_deliveries("webhook:a", at(second), 1).await?.remove(0);
        assert_eq!((read.attempts, read.due_at), (attempt, at(second)));
        assert_eq!(read.last_error.as_deref(), Some("late"));
    }
    let dead = DeliveryOutcome::Dead { at: at(4003), error: "gone \"for\" good".to_owned() };
    let further = vec![delivery("webhook:a", "other", 9)];
    let audit = vec![sample::event(1)];
    assert!(store.finish_delivery(held, id, dead.clone(), further, audit).await?);
    assert!(!store.finish_delivery(held, id, dead, vec![], vec![sample::event(2)]).await?);
    assert!(!store.finish_delivery(held, 999, retry(1), vec![], vec![]).await?, "unknown");
    assert_eq!(given::trail(&*store).await?, [sample::event(1)], "events of what was written");
    let open = store.due_deliveries("webhook:a", at(5000), 10).await?;
    let subjects: Vec<_> = open.iter().map(|one| one.subject.as_str()).collect();
    assert_eq!(subjects, ["s", "other"], "a dead one is out of the others' way");

    // Whoever lost the lease writes nothing.
    let taken = lease(&*store, 2, at(100)).await?;
    let (further, audit) = (vec![delivery("webhook:a", "s", 7)], vec![sample::event(3)]);
    let done = DeliveryOutcome::Done;
    assert!(!store.finish_delivery(held, open[0].id, done.clone(), further, audit).await?);
    assert_eq!(store.due_deliveries("webhook:a", at(5000), 10).await?, open);
    assert_eq!(given::trail(&*store).await?.len(), 1);
    assert!(store.finish_delivery(taken, open[0].id, done, vec![], vec![]).await?);
    Ok(())
}

async fn dead_deliveries_are_listed_and_revived(store: Arc<dyn Store>) -> Outcome {
    let lease = lease(&*store, 1, at(0)).await?;
    let full = NewDelivery { dead: Some("queue full".to_owned()), ..delivery("webhook:b", "s", 2) };
    deliver(
        &*store,
        lease,
        vec![delivery("webhook:b", "s", 1), full, delivery("webhook:a", "s", 3)],
    )
    .await?;
    let load = |destination: &str, pending, dead, second| OutboxLoad {
        destination: destination.to_owned(),
        pending,
        dead,
        oldest: Some(at(second)),
    };
    let expected = [load("webhook:a", 1, 0, 3003), load("webhook:b", 1, 1, 3001)];
    assert_eq!(store.outbox_load().await?, expected);
    let listed = store.deliveries("webhook:b", 0, 10).await?;
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1].dead_at, Some(at(3002)));
    assert_eq!(listed[1].last_error.as_deref(), Some("queue full"));
    assert_eq!(store.deliveries("webhook:b", listed[0].id, 10).await?, listed[1..]);
    assert_eq!(store.deliveries("webhook:b", 0, 1).await?, listed[..1]);

    let audit = vec![sample::event(1)];
    assert_eq!(store.revive_deliveries("webhook:b", at(6000), audit).await?, 1);
    assert_eq!(store.revive_deliveries("webhook:a", at(6000), vec![]).await?, 0);
    assert_eq!(given::trail(&*store).await?.len(), 1);
    let revived = store.deliveries("webhook:b", listed[0].id, 10).await?.remove(0);
    assert_eq!((revived.dead_at, revived.attempts, revived.due_at), (None, 0, at(6000)));
    Ok(())
}

async fn the_signal_changes_with_an_event(store: Arc<dyn Store>) -> Outcome {
    let mut signal = store.outbox_signal();
    signal.mark_unchanged();
    let account = given::account(&*store, 1).await?;
    // A store may hear of its events a moment later, never not at all.
    for second in 0..20 {
        given::deactivated(&*store, account.id, 300 + second).await?;
        let heard = tokio::time::timeout(Duration::from_millis(500), signal.changed()).await;
        if matches!(heard, Ok(Ok(()))) {
            return Ok(());
        }
        let mut account = given::existing_account(&*store, account.id).await?;
        account.active = true;
        assert!(store.update_account(account, vec![]).await?);
    }
    panic!("the signal does not change when an account is disabled");
}

async fn purge_removes_old_events_and_deliveries(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?;
    given::deactivated(&*store, account.id, 300).await?;
    let lease = lease(&*store, 1, at(0)).await?;
    let short = NewDelivery { expires_at: at(5000), ..delivery("webhook:a", "s", 1) };
    deliver(&*store, lease, vec![short, delivery("webhook:a", "t", 2)]).await?;
    store.purge(at(4999)).await?;
    assert_eq!(store.deliveries("webhook:a", 0, 10).await?.len(), 2);
    store.purge(at(5000)).await?;
    assert_eq!(store.deliveries("webhook:a", 0, 10).await?.len(), 1);
    store.purge(at(299 + 7 * DAY)).await?;
    assert_eq!(store.new_outbox_events(10).await?.len(), 1, "kept for seven days");
    store.purge(at(300 + 7 * DAY)).await?;
    assert_eq!(store.new_outbox_events(10).await?, []);
    Ok(())
}

async fn one_worker_holds_the_lease(nodes: Nodes) -> Outcome {
    let now = at(1_000_000);
    let answers = race_all(&nodes, 16, |store, i| async move {
        store.hold_outbox(holder(100 + u128::from(i)), now, now + MINUTE).await
    })
    .await?;
    let won: Vec<bool> = answers.iter().map(Option::is_some).collect();
    let winner = only_winner(&won, "hold_outbox");
    for lease in answers.into_iter().flatten() {
        let again = nodes.last().hold_outbox(holder(100 + u128::from(winner)), now, now).await?;
        assert_eq!(again, Some(lease), "the winner renews, on any node");
        nodes.last().release_outbox(lease).await?;
    }
    Ok(())
}

async fn a_worker_that_was_overtaken_writes_nothing(nodes: Nodes) -> Outcome {
    let (a, b) = (nodes.first(), nodes.last());
    let stopped = lease(&*a, 200, at(2_000_000)).await?;
    let account = given::account(&*a, 460_000).await?;
    given::deactivated(&*a, account.id, 300).await?;
    deliver(&*a, stopped, vec![delivery("webhook:race", "s", 1)]).await?;
    let id = due(&*a, "webhook:race", 4000).await?[0].0;
    let new = async || -> Result<Vec<i64>, StoreError> {
        let events = b.new_outbox_events(1000).await?;
        Ok(events.into_iter().map(|event| event.sequence).collect())
    };
    let events = new().await?;
    let running = lease(&*b, 201, at(2_000_061)).await?;
    // The old holder wakes up and goes on, at the same time as the new one works.
    let answers = race_all(&nodes, 16, |store, i| {
        let (lease, events) = (if i % 2 == 0 { stopped } else { running }, events.clone());
        async move {
            let delivery = vec![delivery("webhook:race", &format!("by {}", i % 2), 50 + i)];
            store.fan_out(lease, events, delivery).await
        }
    })
    .await?;
    let allowed: Vec<bool> = (0..16).map(|i| i % 2 == 1).collect();
    assert_eq!(answers, allowed, "only the present holder writes");
    let done = DeliveryOutcome::Done;
    assert!(!a.finish_delivery(stopped, id, done.clone(), vec![], vec![]).await?);
    assert!(b.finish_delivery(running, id, done, vec![], vec![]).await?);
    let subjects = b.deliveries("webhook:race", 0, 100).await?;
    assert!(subjects.iter().all(|one| one.subject == "by 1"), "{subjects:?}");
    assert_eq!(subjects.len(), 8);
    assert_eq!(new().await?, Vec::<i64>::new(), "every event got its position");
    let stream = b.outbox_events(0, 100_000).await?;
    let positions: Vec<_> = stream.iter().filter_map(|event| event.position).collect();
    assert!(positions.windows(2).all(|w| w[0] + 1 == w[1]), "no gap and none twice: {positions:?}");
    b.release_outbox(running).await?;
    Ok(())
}
