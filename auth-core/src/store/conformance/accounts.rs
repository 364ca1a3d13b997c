//! Accounts and passwords.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{AccountPage, AccountRecord, NewAccount, Store};
use sample::at;

cases!(
    "accounts",
    Case: a_new_account_reads_back,
    optional_fields_may_be_empty,
    numeric_ids_grow,
    a_number_may_be_chosen_and_is_never_given_again,
    a_taken_value_is_named_and_changes_nothing,
    pages_are_in_byte_order_of_the_key,
    update_is_compare_and_swap,
    update_to_a_taken_value_changes_nothing,
    update_to_inactive_ends_the_sessions,
    a_password_is_set_and_replaced,
    set_password_ends_sessions_when_asked,
    rehash_needs_the_old_hash,
    changes_write_their_events,
);

async fn a_new_account_reads_back(store: Arc<dyn Store>) -> Outcome {
    let id = sample::account_id(1);
    let new = NewAccount {
        account: sample::account(1),
        identity: Some(sample::identity(id, 1)),
        password: Some(sample::password(id, 1)),
    };
    let made = store.create_account(new, vec![]).await?;
    assert!((1..(1 << 53)).contains(&made.numeric_id), "numeric_id is from 1 to 2^53-1");
    let expected = AccountRecord { numeric_id: made.numeric_id, version: 1, ..sample::account(1) };
    assert_eq!(made, expected, "create_account");

    let made = Some(made);
    assert_eq!(store.account(id).await?, made, "account");
    assert_eq!(store.account_by_username("person00001").await?, made, "account_by_username");
    let by_email = store.account_by_email("person00001@example.org").await?;
    assert_eq!(by_email, made, "account_by_email");
    let by_identity = store.account_by_identity("corp-1", "Subject/1").await?;
    assert_eq!(by_identity, made, "account_by_identity");
    assert_eq!(store.identities(&[id]).await?, [sample::identity(id, 1)], "identities");
    assert_eq!(store.password(id).await?, Some(sample::password(id, 1)), "password");

    assert_eq!(store.account(sample::account_id(2)).await?, None, "another id");
    for key in ["Person00001", "person0000_", "person%", ""] {
        assert_eq!(store.account_by_username(key).await?, None, "username {key:?} is not exact");
    }
    assert_eq!(store.account_by_email("Person00001@example.org").await?, None, "e-mail's case");
    for (connector, subject) in
        [("corp-1", "subject/1"), ("Corp-1", "Subject/1"), ("corp-2", "Subject/1")]
    {
        let found = store.account_by_identity(connector, subject).await?;
        assert_eq!(found, None, "identity ({connector}, {subject}) is not exact");
    }
    Ok(())
}

async fn optional_fields_may_be_empty(store: Arc<dyn Store>) -> Outcome {
    for n in [1, 2] {
        let bare = AccountRecord {
            email: None,
            email_key: None,
            email_verified: false,
            first_name: None,
            last_name: None,
            nickname: None,
            position: None,
            locale: None,
            active: false,
            inactive_reason: Some("sync:gone".to_owned()),
            roles: vec![],
            groups: vec![],
            last_login_at: None,
            checked_at: None,
            ..sample::account(n)
        };
        let made = store.create_account(given::new_account(bare.clone()), vec![]).await?;
        let expected = AccountRecord { numeric_id: made.numeric_id, version: 1, ..bare };
        assert_eq!(made, expected, "two accounts without e-mail address do not conflict");
        assert_eq!(store.account(expected.id).await?, Some(expected));
        assert_eq!(store.password(made.id).await?, None, "no password was given");
    }
    Ok(())
}

async fn numeric_ids_grow(store: Arc<dyn Store>) -> Outcome {
    let mut last = 0;
    for n in 1..=5 {
        let made = given::account(&*store, n).await?;
        assert!(made.numeric_id > last, "numeric_id {} is above {last}", made.numeric_id);
        last = made.numeric_id;
        let mut again = sample::account(n + 100);
        again.username_key.clone_from(&made.username_key);
        let refused = store.create_account(given::new_account(again), vec![]).await;
        given::assert_conflict(refused, "username");
    }
    Ok(())
}

async fn a_number_may_be_chosen_and_is_never_given_again(store: Arc<dyn Store>) -> Outcome {
    let first = given::account(&*store, 1).await?.numeric_id;
    let numbered = |n, number| {
        let new = given::new_account(sample::account(n));
        store.create_numbered_account(new, number, vec![sample::event(n)])
    };
    let high = numbered(2, first + 5000).await?;
    assert_eq!((high.numeric_id, high.version), (first + 5000, 1));
    assert_eq!(store.account(high.id).await?, Some(high.clone()));
    given::assert_conflict(numbered(3, first + 5000).await, "numeric_id");
    assert!(numbered(2, first + 1).await.is_err(), "an account that is there");
    let low = numbered(4, first + 7).await?;
    assert_eq!(low.numeric_id, first + 7, "a number below that nobody has");
    let next = given::account(&*store, 5).await?.numeric_id;
    assert!(next > first + 5000, "{next} goes on above the chosen one");
    assert_eq!(given::trail(&*store).await?, [sample::event(2), sample::event(4)]);
    Ok(())
}

async fn a_taken_value_is_named_and_changes_nothing(store: Arc<dyn Store>) -> Outcome {
    let id = sample::account_id(1);
    let new = NewAccount {
        account: sample::account(1),
        identity: Some(sample::identity(id, 1)),
        password: None,
    };
    let first = store.create_account(new, vec![sample::event(1)]).await?;
    let before = given::trail(&*store).await?;

    let fresh = sample::account_id(2);
    let attempt = || NewAccount {
        account: sample::account(2),
        identity: Some(sample::identity(fresh, 2)),
        password: Some(sample::password(fresh, 2)),
    };
    let mut username = attempt();
    username.account.username_key.clone_from(&first.username_key);
    let mut email = attempt();
    email.account.email_key.clone_from(&first.email_key);
    let mut identity = attempt();
    identity.identity = Some(sample::identity(fresh, 1));
    for (new, field) in [(username, "username"), (email, "email"), (identity, "identity")] {
        given::assert_conflict(store.create_account(new, vec![sample::event(2)]).await, field);
        assert_eq!(store.account(fresh).await?, None, "no account after Conflict of {field}");
        assert_eq!(store.identities(&[fresh]).await?, [], "no identity after {field}");
        assert_eq!(store.password(fresh).await?, None, "no password after {field}");
        assert_eq!(given::trail(&*store).await?, before, "no event after {field}");
    }
    assert_eq!(store.account(id).await?, Some(first), "the first account is as it was");
    store.create_account(attempt(), vec![]).await?;
    Ok(())
}

async fn pages_are_in_byte_order_of_the_key(store: Arc<dyn Store>) -> Outcome {
    // A language's collation would mix these up.
    let keys = ["zoe", "a b", "ab", "a-b", "zoë", "ångström", "z", "a_b", "élan", "1", "a.b"];
    for (n, key) in (1..).zip(keys) {
        let account = AccountRecord { username_key: key.to_owned(), ..sample::account(n) };
        store.create_account(given::new_account(account), vec![]).await?;
    }
    let mut sorted: Vec<String> = keys.map(str::to_owned).to_vec();
    sorted.sort();

    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.accounts(AccountPage { after: after.clone(), limit: 3 }).await?;
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3, "a page has at most `limit` accounts");
        after = Some(last.username_key.clone());
        seen.extend(page.into_iter().map(|account| account.username_key));
        assert!(seen.len() <= keys.len(), "paging ends: {seen:?}");
    }
    assert_eq!(seen, sorted, "all accounts, once, in byte order");
    let all = store.accounts(AccountPage { after: None, limit: usize::MAX }).await?;
    assert_eq!(all.len(), keys.len(), "a limit of usize::MAX gives all");
    let none = store.accounts(AccountPage { after: None, limit: 0 }).await?;
    assert_eq!(none, [], "a limit of 0 gives none");
    Ok(())
}

async fn update_is_compare_and_swap(store: Arc<dyn Store>) -> Outcome {
    let made = given::account(&*store, 1).await?;
    let update = AccountRecord {
        numeric_id: made.numeric_id + 1000,
        created_at: at(1),
        ..sample::changed(&made, 2)
    };
    assert!(store.update_account(update, vec![]).await?, "update with the stored version");
    let stored = AccountRecord { version: 2, ..sample::changed(&made, 2) };
    assert_eq!(store.account(made.id).await?, Some(stored.clone()), "numeric_id, created_at stay");
    assert_eq!(store.account_by_username("person00002").await?, Some(stored.clone()));
    assert_eq!(store.account_by_username("person00001").await?, None, "the old name is free");
    let by_email = store.account_by_email("person00002@example.org").await?;
    assert_eq!(by_email, Some(stored.clone()));
    assert_eq!(store.account_by_email("person00001@example.org").await?, None);

    let trail = given::trail(&*store).await?;
    for version in [1, 3, 0, -1] {
        let stale = AccountRecord { version, ..sample::changed(&made, 3) };
        let written = store.update_account(stale, vec![sample::event(1)]).await?;
        assert!(!written, "update with version {version} where 2 is stored");
    }
    let unknown = AccountRecord { version: 1, ..sample::account(9) };
    assert!(!store.update_account(unknown, vec![sample::event(1)]).await?, "no such account");
    assert_eq!(store.account(sample::account_id(9)).await?, None, "update makes no account");
    assert_eq!(store.account(made.id).await?, Some(stored.clone()), "a refused update");
    assert_eq!(given::trail(&*store).await?, trail, "a refused update writes no event");

    let nickname = AccountRecord { nickname: None, email: None, email_key: None, ..stored };
    assert!(store.update_account(nickname.clone(), vec![]).await?, "it keeps its own name");
    let stored = AccountRecord { version: 3, ..nickname };
    assert_eq!(store.account(made.id).await?, Some(stored));
    let heir = AccountRecord { id: sample::account_id(7), ..sample::account(1) };
    store.create_account(given::new_account(heir), vec![]).await?;
    Ok(())
}

async fn update_to_a_taken_value_changes_nothing(store: Arc<dyn Store>) -> Outcome {
    let first = given::account(&*store, 1).await?;
    let second = given::account(&*store, 2).await?;
    let trail = given::trail(&*store).await?;
    let mut username = sample::changed(&second, 3);
    username.username_key.clone_from(&first.username_key);
    let mut email = sample::changed(&second, 3);
    email.email_key.clone_from(&first.email_key);
    for (update, field) in [(username, "username"), (email, "email")] {
        given::assert_conflict(store.update_account(update, vec![sample::event(1)]).await, field);
        assert_eq!(store.account(second.id).await?, Some(second.clone()), "after {field}");
        assert_eq!(given::trail(&*store).await?, trail, "no event after {field}");
    }
    Ok(())
}

async fn update_to_inactive_ends_the_sessions(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let other = given::account(&*store, 2).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let client = given::client(&*store, &browser, 2).await?;
    let ended = given::browser(&*store, account, 3).await?;
    let foreign = given::browser(&*store, other, 4).await?;
    given::revoked(&*store, ended.id, 1100).await?;

    let mut renamed = given::existing_account(&*store, account).await?;
    renamed.nickname = None;
    assert!(store.update_account(renamed, vec![]).await?);
    given::assert_untouched(&*store, &browser).await?;

    let mut inactive = given::deactivated(&*store, account, 1200).await?;
    given::assert_ended(&*store, &browser, 1200, "account_inactive").await?;
    given::assert_ended(&*store, &client.record, 1200, "account_inactive").await?;
    given::assert_ended(&*store, &ended, 1100, "logout").await?;
    given::assert_untouched(&*store, &foreign).await?;

    inactive.active = true;
    inactive.inactive_reason = None;
    assert!(store.update_account(inactive, vec![]).await?);
    given::assert_ended(&*store, &browser, 1200, "account_inactive").await
}

async fn a_password_is_set_and_replaced(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    assert_eq!(store.password(account).await?, None);
    let first = sample::password(account, 1);
    store.set_password(first.clone(), false, vec![]).await?;
    assert_eq!(store.password(account).await?, Some(first));
    let mut second = sample::password(account, 2);
    second.changed_at = at(130);
    store.set_password(second.clone(), false, vec![]).await?;
    assert_eq!(store.password(account).await?, Some(second));
    Ok(())
}

async fn set_password_ends_sessions_when_asked(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let other = given::account(&*store, 2).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let client = given::client(&*store, &browser, 2).await?;
    let foreign = given::browser(&*store, other, 3).await?;
    let mut password = sample::password(account, 1);
    password.changed_at = at(1300);

    store.set_password(password.clone(), false, vec![]).await?;
    given::assert_untouched(&*store, &browser).await?;
    given::assert_untouched(&*store, &client.record).await?;

    store.set_password(password, true, vec![]).await?;
    given::assert_ended(&*store, &browser, 1300, "password_changed").await?;
    given::assert_ended(&*store, &client.record, 1300, "password_changed").await?;
    given::assert_untouched(&*store, &foreign).await
}

async fn rehash_needs_the_old_hash(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    assert!(!store.rehash_password(account, "old", "new").await?, "no password at all");
    assert_eq!(store.password(account).await?, None, "rehash makes no password");
    let old = sample::password(account, 1);
    store.set_password(old.clone(), false, vec![]).await?;
    assert!(!store.rehash_password(account, "other", "new").await?, "another hash is stored");
    assert_eq!(store.password(account).await?, Some(old.clone()));
    assert!(store.rehash_password(account, &old.hash, "$argon2id$new").await?);
    let mut new = old.clone();
    new.hash = "$argon2id$new".to_owned();
    assert_eq!(store.password(account).await?, Some(new), "changed_at stays at a rehash");
    assert!(!store.rehash_password(account, &old.hash, "x").await?, "the old hash is gone");
    Ok(())
}

async fn changes_write_their_events(store: Arc<dyn Store>) -> Outcome {
    let new = given::new_account(sample::account(1));
    let made = store.create_account(new, vec![sample::event(1), sample::event(2)]).await?;
    store.update_account(sample::changed(&made, 2), vec![sample::event(3)]).await?;
    store.set_password(sample::password(made.id, 1), true, vec![sample::event(4)]).await?;
    let expected: Vec<_> = (1..=4).map(sample::event).collect();
    assert_eq!(given::trail(&*store).await?, expected);
    Ok(())
}
