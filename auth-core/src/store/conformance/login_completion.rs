//! The end of a login: all of it or nothing.

use std::sync::Arc;
use std::time::Duration;

use super::{Outcome, cases, given, sample};
use crate::clock::Timestamp;
use crate::store::{
    AccountRecord, Attempt, LoginCompletion, LoginRecord, RecoveryCodeRecord, SessionRecord, Store,
    StoreError, ThrottleRule,
};
use sample::{ISSUED, at};

cases!(
    "login_completion",
    Case: everything_is_written,
    the_account_may_stay_as_it_is,
    a_refused_completion_writes_nothing,
    a_taken_value_writes_nothing,
    a_login_ends_once,
    the_replaced_session_ends_with_what_came_from_it,
    the_same_persons_new_login_keeps_the_chat_servers_sessions,
    the_first_factor_is_confirmed_once,
);

const RULE: ThrottleRule = ThrottleRule { limit: 5, lockout: Duration::from_secs(600) };

/// What was there before, to compare with afterwards.
struct Before {
    account: AccountRecord,
    session: SessionRecord,
    counted_at: Timestamp,
}

/// An account with a session that login 2 could replace, counters `a`, `b` and `c` at 2.
async fn before(store: &dyn Store) -> Result<Before, StoreError> {
    let account = given::account(store, 1).await?;
    let session = given::browser(store, account.id, 1).await?;
    let counted_at = at(850);
    for key in ["a", "b", "c"] {
        store.count_attempt(key, RULE, counted_at).await?;
        store.count_attempt(key, RULE, counted_at).await?;
    }
    store.add_login(sample::login(2)).await?;
    Ok(Before { account, session, counted_at })
}

/// A completion of login 2 that changes all it can.
fn full_completion(before: &Before) -> LoginCompletion {
    LoginCompletion {
        login: LoginRecord { state: "{\"step\":\"done\"}".to_owned(), ..sample::login(2) },
        account: Some(sample::changed(&before.account, 3)),
        session: sample::browser_session(before.account.id, 2),
        replaces: Some(before.session.id),
        factor: None,
        clear_throttle: vec!["a".to_owned(), "b".to_owned(), "unknown".to_owned()],
        audit: vec![sample::event(1), sample::event(2)],
    }
}

async fn count(store: &dyn Store, key: &str, now: Timestamp) -> Result<Attempt, StoreError> {
    store.count_attempt(key, RULE, now).await
}

async fn everything_is_written(store: Arc<dyn Store>) -> Outcome {
    let before = before(&*store).await?;
    let completion = full_completion(&before);
    assert!(store.complete_login(completion.clone()).await?);

    let login = LoginRecord { version: 8, ..completion.login };
    assert_eq!(store.login(login.handle).await?, Some(login), "the login's final state");
    let account = AccountRecord { version: 2, ..sample::changed(&before.account, 3) };
    assert_eq!(store.account(account.id).await?, Some(account.clone()), "the account");
    assert_eq!(store.account_by_username("person00003").await?, Some(account));
    given::assert_untouched(&*store, &completion.session).await?;
    given::assert_ended(&*store, &before.session, ISSUED, "replaced").await?;
    for (key, expected) in [("a", 1), ("b", 1), ("c", 3)] {
        let attempt = count(&*store, key, before.counted_at).await?;
        assert_eq!(attempt, Attempt::Allowed { count: expected }, "counter {key}");
    }
    assert_eq!(given::trail(&*store).await?, [sample::event(1), sample::event(2)]);
    Ok(())
}

async fn the_account_may_stay_as_it_is(store: Arc<dyn Store>) -> Outcome {
    let before = before(&*store).await?;
    let completion = LoginCompletion { account: None, ..full_completion(&before) };
    assert!(store.complete_login(completion).await?);
    assert_eq!(store.account(before.account.id).await?, Some(before.account));
    Ok(())
}

async fn assert_nothing_written(store: &dyn Store, before: &Before, why: &str) -> Outcome {
    let handle = sample::login(2).handle;
    assert_eq!(store.login(handle).await?, Some(sample::login(2)), "{why}: the login");
    let account = store.account(before.account.id).await?;
    assert_eq!(account.as_ref(), Some(&before.account), "{why}: the account");
    assert_eq!(store.session(sample::session_id(2)).await?, None, "{why}: no session");
    let replaced = store.session(before.session.id).await?;
    assert_eq!(replaced.as_ref(), Some(&before.session), "{why}: the session to replace");
    assert_eq!(given::trail(store).await?, [], "{why}: no event");
    // Counted and taken back: the counter shows its value without being changed.
    let attempt = count(store, "a", before.counted_at).await?;
    assert_eq!(attempt, Attempt::Allowed { count: 3 }, "{why}: the counter");
    store.forgive_attempt("a").await
}

async fn a_refused_completion_writes_nothing(store: Arc<dyn Store>) -> Outcome {
    let mut before = before(&*store).await?;
    let whole = full_completion(&before);

    let mut unknown = whole.clone();
    unknown.login.handle = sample::hash("login handle", 99);
    assert!(!store.complete_login(unknown).await?, "no such login");
    assert_nothing_written(&*store, &before, "no such login").await?;

    for version in [6, 8] {
        let mut stale = whole.clone();
        stale.login.version = version;
        assert!(!store.complete_login(stale).await?, "login version {version}, 7 is stored");
        assert_nothing_written(&*store, &before, "login version").await?;
    }
    for version in [0, 2] {
        let mut stale = whole.clone();
        stale.account = stale.account.map(|account| AccountRecord { version, ..account });
        assert!(!store.complete_login(stale).await?, "account version {version}, 1 is stored");
        assert_nothing_written(&*store, &before, "account version").await?;
    }

    let mut deactivating = whole.clone();
    deactivating.account = deactivating.account.map(|a| AccountRecord { active: false, ..a });
    assert!(!store.complete_login(deactivating).await?, "a session of an inactive account");
    assert_nothing_written(&*store, &before, "account given as inactive").await?;

    // The account becomes inactive between the steps of the login.
    before.account = given::deactivated(&*store, before.account.id, 1010).await?;
    before.session = given::existing_session(&*store, before.session.id).await?;
    let without_account = LoginCompletion { account: None, ..whole.clone() };
    assert!(!store.complete_login(without_account).await?, "inactive account, left as it is");
    assert_nothing_written(&*store, &before, "inactive account").await?;
    let mut reviving = whole;
    reviving.account = Some(AccountRecord { active: true, ..before.account.clone() });
    assert!(!store.complete_login(reviving).await?, "a login makes no account active");
    assert_nothing_written(&*store, &before, "inactive account made active").await
}

async fn a_taken_value_writes_nothing(store: Arc<dyn Store>) -> Outcome {
    let before = before(&*store).await?;
    let other = given::account(&*store, 5).await?;
    let mut completion = full_completion(&before);
    if let Some(account) = completion.account.as_mut() {
        account.email_key.clone_from(&other.email_key);
    }
    given::assert_conflict(store.complete_login(completion).await, "email");
    assert_nothing_written(&*store, &before, "taken e-mail address").await
}

async fn a_login_ends_once(store: Arc<dyn Store>) -> Outcome {
    let before = before(&*store).await?;
    let first = LoginCompletion { account: None, ..full_completion(&before) };
    assert!(store.complete_login(first.clone()).await?);
    let trail = given::trail(&*store).await?;
    let mut second = first;
    second.session.id = sample::session_id(7);
    assert!(!store.complete_login(second).await?, "the same step a second time");
    assert_eq!(store.session(sample::session_id(7)).await?, None);
    assert_eq!(given::trail(&*store).await?, trail);
    Ok(())
}

async fn the_replaced_session_ends_with_what_came_from_it(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let other = given::account(&*store, 2).await?.id;
    let replaced = given::browser(&*store, other, 1).await?;
    let child = given::client(&*store, &replaced, 2).await?;
    let bystander = given::browser(&*store, other, 3).await?;

    // Another person signs in with the same browser.
    store.add_login(sample::login(4)).await?;
    let mut completion = given::completion(4, sample::browser_session(account, 4));
    completion.replaces = Some(replaced.id);
    assert!(store.complete_login(completion).await?);
    given::assert_ended(&*store, &replaced, ISSUED, "replaced").await?;
    given::assert_ended(&*store, &child.record, ISSUED, "replaced").await?;
    given::assert_untouched(&*store, &bystander).await?;

    // What ended before, or never was, hinders no login and keeps its own reason.
    given::revoked(&*store, bystander.id, 1005).await?;
    for (n, replaces) in [(5, bystander.id), (6, sample::session_id(99))] {
        store.add_login(sample::login(n)).await?;
        let mut completion = given::completion(n, sample::browser_session(account, n));
        completion.replaces = Some(replaces);
        assert!(store.complete_login(completion).await?);
        given::assert_untouched(&*store, &sample::browser_session(account, n)).await?;
    }
    given::assert_ended(&*store, &bystander, 1005, "logout").await
}

async fn the_same_persons_new_login_keeps_the_chat_servers_sessions(
    store: Arc<dyn Store>,
) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let replaced = given::browser(&*store, account, 1).await?;
    let child = given::client(&*store, &replaced, 2).await?;
    let ended = given::client(&*store, &replaced, 3).await?;
    given::revoked(&*store, ended.record.id, 1005).await?;

    store.add_login(sample::login(4)).await?;
    let new = sample::browser_session(account, 4);
    let mut completion = given::completion(4, new.clone());
    completion.replaces = Some(replaced.id);
    assert!(store.complete_login(completion).await?);
    given::assert_ended(&*store, &replaced, ISSUED, "replaced").await?;
    let moved = store.session(child.record.id).await?;
    assert_eq!(moved.as_ref().map(|child| child.parent), Some(Some(new.id)), "its parent");
    assert_eq!(moved.and_then(|child| child.revoked_at), None, "it lives");
    given::assert_ended(&*store, &ended.record, 1005, "logout").await?;

    // A logout of the new session ends it.
    given::revoked(&*store, new.id, 1006).await?;
    let moved = store.session(child.record.id).await?;
    assert_eq!(moved.and_then(|child| child.revoked_at), Some(at(1006)), "after the logout");
    Ok(())
}

async fn the_first_factor_is_confirmed_once(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let confirmed = |n: u32| {
        let mut completion = given::completion(n, sample::browser_session(account, n));
        let code = RecoveryCodeRecord { account, hash: [u8::try_from(n).unwrap_or(0); 32] };
        completion.factor = Some((sample::factor(account, n), vec![code]));
        completion
    };
    store.add_login(sample::login(1)).await?;
    store.add_login(sample::login(2)).await?;
    assert!(store.complete_login(confirmed(1)).await?);
    assert_eq!(store.factors(&[account]).await?, vec![sample::factor(account, 1)]);
    assert_eq!(store.recovery_codes_left(account).await?, 1);

    // Another login of the same account that was about to confirm one too.
    let trail = given::trail(&*store).await?;
    assert!(!store.complete_login(confirmed(2)).await?, "a second first factor");
    assert_eq!(store.factors(&[account]).await?.len(), 1);
    assert_eq!(store.session(sample::session_id(2)).await?, None);
    assert_eq!(store.login(sample::login(2).handle).await?, Some(sample::login(2)));
    assert!(store.consume_recovery_code(account, [1; 32]).await?, "the first codes are kept");
    assert_eq!(given::trail(&*store).await?, trail);
    Ok(())
}
