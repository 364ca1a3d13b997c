//! Changes of several identities at once.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{AccountRecord, IdentityRecord, Store, Unlinking};

cases!(
    "linking",
    Case: an_identity_is_replaced_by_another,
    the_last_identity_stays,
    a_local_identity_goes_with_its_password,
    two_at_once_do_not_take_the_last_two,
    a_merged_account_gives_its_identities_away,
    a_merge_of_what_changed_does_nothing,
);

async fn an_identity_is_replaced_by_another(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?;
    let other = given::account(&*store, 2).await?;
    let (old, taken) = (sample::identity(account.id, 1), sample::identity(other.id, 2));
    store.link_identity(old.clone(), vec![]).await?;
    store.link_identity(taken.clone(), vec![]).await?;
    let new = IdentityRecord { connector: "saml".into(), ..sample::identity(account.id, 3) };
    let onto_taken = IdentityRecord { account: account.id, ..taken.clone() };
    let refused = store.replace_identity(old.clone(), onto_taken, vec![sample::event(1)]).await;
    assert!(matches!(refused, Err(crate::store::StoreError::Conflict { field: "identity" })));
    let of_another = IdentityRecord { account: other.id, ..new.clone() };
    assert!(!store.replace_identity(old.clone(), of_another, vec![sample::event(2)]).await?);
    assert!(store.replace_identity(old.clone(), new.clone(), vec![sample::event(3)]).await?);
    assert!(!store.replace_identity(old, new.clone(), vec![sample::event(4)]).await?);
    assert_eq!(store.identities(&[account.id, other.id]).await?, [new, taken]);
    assert_eq!(given::trail(&*store).await?, [sample::event(3)]);
    Ok(())
}

async fn the_last_identity_stays(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?;
    let (one, two) = (sample::identity(account.id, 1), sample::identity(account.id, 2));
    store.link_identity(one.clone(), vec![]).await?;
    store.link_identity(two.clone(), vec![]).await?;
    let unlink = |identity: &IdentityRecord, n: u32| {
        let (connector, subject) = (identity.connector.clone(), identity.subject.clone());
        let store = Arc::clone(&store);
        async move {
            store.unlink_spare_identity(&connector, &subject, "local", vec![sample::event(n)]).await
        }
    };
    assert_eq!(unlink(&sample::identity(account.id, 3), 1).await?, Unlinking::Missing);
    assert_eq!(unlink(&one, 2).await?, Unlinking::Done);
    assert_eq!(unlink(&one, 3).await?, Unlinking::Missing);
    assert_eq!(unlink(&two, 4).await?, Unlinking::Last);
    assert_eq!(store.identities(&[account.id]).await?, [two]);
    assert_eq!(given::trail(&*store).await?, [sample::event(2)]);
    Ok(())
}

async fn a_local_identity_goes_with_its_password(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?;
    let local = IdentityRecord { connector: "local".into(), ..sample::identity(account.id, 1) };
    let other = sample::identity(account.id, 2);
    store.link_identity(local.clone(), vec![]).await?;
    store.link_identity(other.clone(), vec![]).await?;
    store.set_password(sample::password(account.id, 1), false, vec![]).await?;
    let unlink = |identity: IdentityRecord| {
        let store = Arc::clone(&store);
        async move {
            store
                .unlink_spare_identity(&identity.connector, &identity.subject, "local", vec![])
                .await
        }
    };
    assert_eq!(unlink(local).await?, Unlinking::Done);
    assert!(store.password(account.id).await?.is_none());
    assert_eq!(unlink(other).await?, Unlinking::Last);
    Ok(())
}

async fn two_at_once_do_not_take_the_last_two(store: Arc<dyn Store>) -> Outcome {
    for n in 1..=10 {
        let account = given::account(&*store, n).await?;
        let mut tasks = Vec::new();
        for identity in [sample::identity(account.id, n), sample::identity(account.id, n + 100)] {
            store.link_identity(identity.clone(), vec![]).await?;
            tasks.push(identity);
        }
        let tasks: Vec<_> = tasks
            .into_iter()
            .map(|identity| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    store
                        .unlink_spare_identity(
                            &identity.connector,
                            &identity.subject,
                            "local",
                            vec![],
                        )
                        .await
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            let answer = task.await;
            done += usize::from(matches!(answer, Ok(Ok(Unlinking::Done))));
        }
        assert_eq!(done, 1, "one of the two stays");
        assert_eq!(store.identities(&[account.id]).await?.len(), 1);
    }
    Ok(())
}

async fn a_merged_account_gives_its_identities_away(store: Arc<dyn Store>) -> Outcome {
    let from = given::account(&*store, 1).await?;
    let into = given::account(&*store, 2).await?;
    let local = IdentityRecord { connector: "local".into(), ..sample::identity(from.id, 1) };
    let kept = sample::identity(into.id, 2);
    let moved = sample::identity(from.id, 3);
    for identity in [&local, &kept, &moved] {
        store.link_identity(identity.clone(), vec![]).await?;
    }
    store.set_password(sample::password(from.id, 1), false, vec![]).await?;
    let session = given::browser(&*store, from.id, 1).await?;
    let closed = closed(&from);
    assert!(store.merge_accounts(closed, into.id, "local", vec![sample::event(1)]).await?);
    let moved = IdentityRecord { account: into.id, ..moved };
    assert_eq!(store.identities(&[from.id, into.id]).await?, [kept, moved]);
    assert!(store.password(from.id).await?.is_none());
    let is_closed =
        |account: &AccountRecord| !account.active && account.version == from.version + 1;
    assert!(store.account(from.id).await?.as_ref().is_some_and(is_closed), "stays as a record");
    let ended = store.session(session.id).await?.and_then(|session| session.revoked_reason);
    assert_eq!(ended.as_deref(), Some("account_inactive"));
    assert_eq!(given::trail(&*store).await?, [sample::event(1)]);
    Ok(())
}

async fn a_merge_of_what_changed_does_nothing(store: Arc<dyn Store>) -> Outcome {
    let from = given::account(&*store, 1).await?;
    let into = given::account(&*store, 2).await?;
    let identity = sample::identity(from.id, 1);
    store.link_identity(identity.clone(), vec![]).await?;
    let old = AccountRecord { version: from.version + 1, ..closed(&from) };
    assert!(!store.merge_accounts(old, into.id, "local", vec![sample::event(1)]).await?);
    let nobody = sample::account_id(9);
    assert!(!store.merge_accounts(closed(&from), nobody, "local", vec![sample::event(2)]).await?);
    assert!(!store.merge_accounts(closed(&from), from.id, "local", vec![sample::event(3)]).await?);
    assert!(store.update_account(closed(&into), vec![]).await?);
    assert!(!store.merge_accounts(closed(&from), into.id, "local", vec![sample::event(4)]).await?);
    assert_eq!(store.identities(&[from.id]).await?, [identity]);
    assert!(store.account(from.id).await?.is_some_and(|account| account.active));
    assert!(given::trail(&*store).await?.is_empty());
    Ok(())
}

fn closed(account: &AccountRecord) -> AccountRecord {
    AccountRecord {
        active: false,
        inactive_reason: Some("merged".to_owned()),
        updated_at: sample::at(500),
        ..account.clone()
    }
}
