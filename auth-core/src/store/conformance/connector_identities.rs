//! Identities of a connector, and what it says beside the account.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{
    AccountId, ClaimMap, IdentityMove, IdentityRecord, PasswordChange, Store, StoreError,
};

cases!(
    "connector_identities",
    Case: identities_come_in_pages,
    identities_are_moved_all_or_none,
    subjects_may_be_exchanged,
    what_is_noted_goes_with_the_identity,
    a_change_of_the_password_ends_sessions,
    claims_are_replaced_whole,
);

async fn people<const N: usize>(
    store: &dyn Store,
    subjects: [&str; N],
) -> Result<[AccountId; N], StoreError> {
    let mut accounts = [sample::account_id(0); N];
    for ((n, subject), place) in (1..).zip(subjects).zip(&mut accounts) {
        let account = given::account(store, n).await?.id;
        let identity = IdentityRecord {
            connector: "corp".to_owned(),
            subject: subject.to_owned(),
            ..sample::identity(account, n)
        };
        store.link_identity(identity, vec![]).await?;
        *place = account;
    }
    Ok(accounts)
}

async fn subjects(store: &dyn Store) -> Result<Vec<String>, StoreError> {
    let all = store.identities_of_connector("corp", None, 100).await?;
    Ok(all.into_iter().map(|identity| identity.subject).collect())
}

fn moves(pairs: &[(&str, &str)]) -> Vec<IdentityMove> {
    let pairs = pairs.iter();
    pairs.map(|&(from, to)| IdentityMove { from: from.to_owned(), to: to.to_owned() }).collect()
}

fn change(subject: &str, before: Option<&str>, after: &str) -> PasswordChange {
    PasswordChange {
        connector: "corp".to_owned(),
        subject: subject.to_owned(),
        before: before.map(str::to_owned),
        after: after.to_owned(),
        end_sessions_at: None,
    }
}

async fn identities_come_in_pages(store: Arc<dyn Store>) -> Outcome {
    let [b, _, _, a_b] = people(&*store, ["b", "B", "é", "a b"]).await?;
    let mut elsewhere = sample::identity(b, 9);
    elsewhere.connector = "corp-2".to_owned();
    store.link_identity(elsewhere, vec![]).await?;
    assert_eq!(subjects(&*store).await?, ["B", "a b", "b", "é"], "in byte order");
    let page = store.identities_of_connector("corp", Some("B"), 2).await?;
    let found: Vec<_> = page.iter().map(|i| (i.subject.as_str(), i.account)).collect();
    assert_eq!(found, [("a b", a_b), ("b", b)]);
    assert!(store.identities_of_connector("corp", Some("é"), 2).await?.is_empty());
    assert!(store.identities_of_connector("other", None, 2).await?.is_empty());
    Ok(())
}

async fn identities_are_moved_all_or_none(store: Arc<dyn Store>) -> Outcome {
    let [a, _, _] = people(&*store, ["a", "b", "c"]).await?;
    let unknown = moves(&[("a", "x"), ("nobody", "y")]);
    assert!(!store.move_identities("corp", unknown, vec![sample::event(1)]).await?);
    let other = moves(&[("a", "x")]);
    assert!(!store.move_identities("other", other, vec![sample::event(1)]).await?);
    for pairs in [[("a", "x"), ("b", "c")], [("a", "x"), ("b", "x")]] {
        let moved = store.move_identities("corp", moves(&pairs), vec![sample::event(1)]).await;
        given::assert_conflict(moved, "identity");
    }
    assert_eq!(subjects(&*store).await?, ["a", "b", "c"], "nothing was changed");
    assert_eq!(given::trail(&*store).await?, [], "and nothing told");

    let good = moves(&[("a", "x"), ("b", "y")]);
    assert!(store.move_identities("corp", good, vec![sample::event(2)]).await?);
    assert_eq!(subjects(&*store).await?, ["c", "x", "y"]);
    let found = store.account_by_identity("corp", "x").await?;
    assert_eq!(found.map(|account| account.id), Some(a));
    assert_eq!(given::trail(&*store).await?, [sample::event(2)]);
    Ok(())
}

async fn subjects_may_be_exchanged(store: Arc<dyn Store>) -> Outcome {
    let [a, b, c] = people(&*store, ["a", "b", "c"]).await?;
    let circle = moves(&[("a", "b"), ("b", "c"), ("c", "a")]);
    assert!(store.move_identities("corp", circle, vec![]).await?);
    let all = store.identities_of_connector("corp", None, 100).await?;
    let found: Vec<_> = all.iter().map(|i| (i.subject.as_str(), i.account)).collect();
    assert_eq!(found, [("a", c), ("b", a), ("c", b)]);
    Ok(())
}

async fn what_is_noted_goes_with_the_identity(store: Arc<dyn Store>) -> Outcome {
    people(&*store, ["a"]).await?;
    assert_eq!(store.password_change("corp", "a").await?, None);
    assert!(store.note_password_change(change("a", None, "1"), vec![]).await?);
    assert!(store.move_identities("corp", moves(&[("a", "b")]), vec![]).await?);
    assert_eq!(store.password_change("corp", "b").await?.as_deref(), Some("1"));
    assert_eq!(store.password_change("corp", "a").await?, None);
    assert!(store.unlink_identity("corp", "b", vec![]).await?);
    assert_eq!(store.password_change("corp", "b").await?, None);
    let again = sample::identity(sample::account_id(1), 1);
    let again = IdentityRecord { connector: "corp".to_owned(), subject: "b".to_owned(), ..again };
    store.link_identity(again, vec![]).await?;
    assert_eq!(store.password_change("corp", "b").await?, None, "another identity");
    Ok(())
}

async fn a_change_of_the_password_ends_sessions(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let identity = IdentityRecord {
        connector: "corp".to_owned(),
        subject: "a".to_owned(),
        ..sample::identity(browser.account, 1)
    };
    store.link_identity(identity, vec![]).await?;
    let told = given::trail(&*store).await?.len();
    assert!(store.note_password_change(change("a", None, "1"), vec![]).await?);
    given::assert_untouched(&*store, &browser).await?;

    let at = Some(sample::at(1300));
    let stale = PasswordChange { end_sessions_at: at, ..change("a", None, "2") };
    assert!(!store.note_password_change(stale, vec![sample::event(1)]).await?);
    let nobody = PasswordChange { end_sessions_at: at, ..change("z", None, "2") };
    assert!(!store.note_password_change(nobody, vec![sample::event(1)]).await?);
    given::assert_untouched(&*store, &browser).await?;
    assert_eq!(given::trail(&*store).await?.len(), told);

    let real = PasswordChange { end_sessions_at: at, ..change("a", Some("1"), "2") };
    assert!(store.note_password_change(real, vec![sample::event(2)]).await?);
    given::assert_ended(&*store, &browser, 1300, "password_changed").await?;
    assert_eq!(store.password_change("corp", "a").await?.as_deref(), Some("2"));
    assert_eq!(given::trail(&*store).await?.len(), told + 1);
    Ok(())
}

async fn claims_are_replaced_whole(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let other = given::account(&*store, 2).await?.id;
    assert_eq!(store.claims(account).await?, ClaimMap::new());
    let first = ClaimMap::from([
        ("department".to_owned(), vec!["42 \"x\" 🦊".to_owned(), "Łęcki".to_owned()]),
        ("phone".to_owned(), vec!["1".to_owned()]),
    ]);
    store.set_claims(account, first.clone()).await?;
    assert_eq!(store.claims(account).await?, first);
    let second = ClaimMap::from([("phone".to_owned(), vec!["2".to_owned()])]);
    store.set_claims(account, second.clone()).await?;
    assert_eq!(store.claims(account).await?, second);
    assert_eq!(store.claims(other).await?, ClaimMap::new());
    store.set_claims(account, ClaimMap::new()).await?;
    assert_eq!(store.claims(account).await?, ClaimMap::new());
    Ok(())
}
