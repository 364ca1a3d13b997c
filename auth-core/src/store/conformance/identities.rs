//! Identities linked to accounts.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{IdentityRecord, Store};

cases!(
    "identities",
    Case: identities_are_ordered,
    an_identity_is_linked_once,
    an_identity_is_unlinked_once,
);

async fn identities_are_ordered(store: Arc<dyn Store>) -> Outcome {
    let mut expected = Vec::new();
    for n in [2, 1, 3] {
        let account = given::account(&*store, n).await?.id;
        for (connector, subject) in [
            ("saml", "b"),
            ("corp", "é"),
            ("corp", "z"),
            ("corp", "Z"),
            ("co-rp", "a"),
            ("corp", "a b"),
        ] {
            let identity = IdentityRecord {
                connector: connector.to_owned(),
                subject: format!("{subject}{n}"),
                ..sample::identity(account, n)
            };
            store.link_identity(identity.clone(), vec![]).await?;
            expected.push(identity);
        }
    }
    expected.sort_by(|a, b| {
        (a.account, &a.connector, &a.subject).cmp(&(b.account, &b.connector, &b.subject))
    });
    let [one, two, three] = [1, 2, 3].map(sample::account_id);
    assert_eq!(store.identities(&[three, one, two]).await?, expected, "by account, in byte order");
    expected.retain(|identity| identity.account != two);
    assert_eq!(store.identities(&[one, three]).await?, expected, "only of those accounts");
    assert_eq!(store.identities(&[]).await?, [], "of no account");
    assert_eq!(store.identities(&[sample::account_id(9)]).await?, [], "of an unknown account");
    Ok(())
}

async fn an_identity_is_linked_once(store: Arc<dyn Store>) -> Outcome {
    let first = given::account(&*store, 1).await?;
    let second = given::account(&*store, 2).await?;
    let identity = sample::identity(first.id, 1);
    store.link_identity(identity.clone(), vec![sample::event(1)]).await?;
    for account in [first.id, second.id] {
        let again = sample::identity(account, 1);
        given::assert_conflict(
            store.link_identity(again, vec![sample::event(2)]).await,
            "identity",
        );
    }
    assert_eq!(store.identities(&[first.id, second.id]).await?, [identity]);
    assert_eq!(given::trail(&*store).await?, [sample::event(1)], "Conflict writes no event");

    // The same subject elsewhere, and another case of it, are different identities.
    let mut elsewhere = sample::identity(second.id, 1);
    elsewhere.connector = "saml".to_owned();
    store.link_identity(elsewhere, vec![]).await?;
    let mut other_case = sample::identity(second.id, 1);
    other_case.subject = "SUBJECT/1".to_owned();
    store.link_identity(other_case, vec![]).await?;
    let found = store.account_by_identity("corp-1", "Subject/1").await?;
    assert_eq!(found, Some(first));
    Ok(())
}

async fn an_identity_is_unlinked_once(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?;
    store.link_identity(sample::identity(account.id, 1), vec![]).await?;
    store.link_identity(sample::identity(account.id, 2), vec![]).await?;
    let wrong = store.unlink_identity("corp-1", "subject/1", vec![sample::event(1)]).await?;
    assert!(!wrong, "unlink compares byte for byte");
    assert!(store.unlink_identity("corp-1", "Subject/1", vec![sample::event(2)]).await?);
    assert!(!store.unlink_identity("corp-1", "Subject/1", vec![sample::event(3)]).await?);
    assert_eq!(store.account_by_identity("corp-1", "Subject/1").await?, None);
    assert_eq!(store.identities(&[account.id]).await?, [sample::identity(account.id, 2)]);
    assert_eq!(given::trail(&*store).await?, [sample::event(2)], "only the unlinking is told");
    store.link_identity(sample::identity(account.id, 1), vec![]).await
}
