//! Accounts as clients know them: names and ids there are unique, and an id is noted for good.

use std::sync::Arc;

use super::race::{Nodes, race_all};
use super::{Outcome, cases, given, sample};
use crate::store::{ClientAccountRecord, NewDelivery, OutboxLease, Store};
use sample::at;

pub(super) mod races {
    use super::*;

    cases!("client_accounts", RaceCase: a_name_goes_to_one);
}

cases!(
    "client_accounts",
    Case: a_name_is_claimed_kept_and_exchanged,
    a_remote_id_is_pinned_for_good,
    flags_are_written_under_the_lease_only,
    pages_are_in_the_order_of_ids,
);

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn a_name_is_claimed_kept_and_exchanged(store: Arc<dyn Store>) -> Outcome {
    let jane = given::account(&*store, 1).await?.id;
    let other = given::account(&*store, 2).await?.id;
    assert_eq!(store.client_account("chat", jane).await?, None);
    let wanted = names(&["jane", "jane-1"]);
    let claimed = store.claim_username("chat", jane, wanted.clone(), at(10)).await?;
    assert_eq!(claimed.as_deref(), Some("jane"));
    let expected = ClientAccountRecord {
        client: "chat".to_owned(),
        account: jane,
        username: Some("jane".to_owned()),
        remote_id: None,
        deactivated: false,
        memberships: "[]".to_owned(),
        updated_at: at(10),
        version: 1,
    };
    assert_eq!(store.client_account("chat", jane).await?, Some(expected));
    let claimed = store.claim_username("chat", other, names(&["jane", "jane-2"]), at(11)).await?;
    assert_eq!(claimed.as_deref(), Some("jane-2"), "the name is another's");
    let none = store.claim_username("chat", other, names(&["jane"]), at(12)).await?;
    assert_eq!(none, None, "nothing left");
    let kept = store.client_account("chat", other).await?.and_then(|one| one.username);
    assert_eq!(kept.as_deref(), Some("jane-2"), "nothing changed");
    let elsewhere = store.claim_username("mail", other, names(&["jane"]), at(13)).await?;
    assert_eq!(elsewhere.as_deref(), Some("jane"), "another client has names of its own");
    let again = store.claim_username("chat", jane, wanted, at(14)).await?;
    assert_eq!(again.as_deref(), Some("jane"), "one's own name is no hindrance");
    let renamed = store.claim_username("chat", jane, names(&["joan"]), at(15)).await?;
    assert_eq!(renamed.as_deref(), Some("joan"));
    let freed = store.claim_username("chat", other, names(&["jane"]), at(16)).await?;
    assert_eq!(freed.as_deref(), Some("jane"), "the old name is free again");
    Ok(())
}

async fn a_remote_id_is_pinned_for_good(store: Arc<dyn Store>) -> Outcome {
    let jane = given::account(&*store, 1).await?.id;
    let other = given::account(&*store, 2).await?.id;
    store.claim_username("chat", jane, names(&["jane"]), at(10)).await?;
    let told = || {
        vec![NewDelivery {
            destination: "mattermost:chat".to_owned(),
            subject: jane.to_string(),
            body: "{}".to_owned(),
            created_at: at(20),
            due_at: at(20),
            expires_at: at(90_000),
            dead: None,
        }]
    };
    let audit = || vec![sample::event(1)];
    assert!(store.pin_remote("chat", jane, "mm-1", at(20), told(), audit()).await?);
    assert!(!store.pin_remote("chat", jane, "mm-1", at(21), told(), audit()).await?, "again");
    let taken = store.pin_remote("chat", other, "mm-1", at(22), told(), audit()).await;
    given::assert_conflict(taken, "remote_id");
    let second = store.pin_remote("chat", jane, "mm-2", at(23), told(), audit()).await;
    given::assert_conflict(second, "remote_id");
    assert!(store.pin_remote("mail", other, "mm-1", at(24), vec![], vec![]).await?);
    let found = store.client_account_by_remote("chat", "mm-1").await?;
    let found = found.unwrap_or_else(|| panic!("found by its remote id"));
    assert_eq!((found.account, found.username.as_deref()), (jane, Some("jane")));
    assert_eq!((found.updated_at, found.version), (at(20), 2));
    assert_eq!(store.client_account_by_remote("chat", "mm-2").await?, None);
    assert_eq!(store.client_account_by_remote("mail", "mm-2").await?, None);
    assert_eq!(store.deliveries("mattermost:chat", 0, 10).await?.len(), 1, "with its delivery");
    assert_eq!(given::trail(&*store).await?, [sample::event(1)]);
    Ok(())
}

async fn flags_are_written_under_the_lease_only(store: Arc<dyn Store>) -> Outcome {
    let jane = given::account(&*store, 1).await?.id;
    store.claim_username("chat", jane, names(&["jane"]), at(10)).await?;
    store.pin_remote("chat", jane, "mm-1", at(20), vec![], vec![]).await?;
    let read = async || -> Result<ClientAccountRecord, crate::store::StoreError> {
        let found = store.client_account("chat", jane).await?;
        Ok(found.unwrap_or_else(|| panic!("jane is known at chat")))
    };
    let record = read().await?;
    let changed = ClientAccountRecord {
        deactivated: true,
        memberships: "[{\"team\":\"ä\"}]".to_owned(),
        updated_at: at(30),
        ..record.clone()
    };
    let nobodys = OutboxLease { generation: 77 };
    assert!(!store.update_client_account(nobodys, changed.clone()).await?);
    let holder = uuid::Uuid::from_u128(7);
    let lease = store.hold_outbox(holder, at(0), at(60)).await?;
    let lease = lease.unwrap_or_else(|| panic!("the lease is free"));
    let renamed = ClientAccountRecord {
        username: Some("mallory".to_owned()),
        remote_id: Some("mm-9".to_owned()),
        ..changed.clone()
    };
    assert!(store.update_client_account(lease, renamed).await?);
    let written = ClientAccountRecord { version: record.version + 1, ..changed.clone() };
    assert_eq!(read().await?, written, "name and remote id are not changed by this");
    assert!(!store.update_client_account(lease, changed).await?, "another version");
    Ok(())
}

async fn pages_are_in_the_order_of_ids(store: Arc<dyn Store>) -> Outcome {
    for n in 1..=5 {
        let id = given::account(&*store, n).await?.id;
        store.claim_username("chat", id, names(&[&format!("n{n}")]), at(10)).await?;
    }
    let ids = |page: Vec<ClientAccountRecord>| -> Vec<_> {
        page.into_iter().map(|one| one.account).collect()
    };
    let first = ids(store.client_accounts("chat", None, 3).await?);
    assert_eq!(first, [1, 2, 3].map(sample::account_id));
    let rest = ids(store.client_accounts("chat", Some(sample::account_id(3)), 10).await?);
    assert_eq!(rest, [4, 5].map(sample::account_id));
    assert_eq!(store.client_accounts("mail", None, 10).await?, []);
    Ok(())
}

async fn a_name_goes_to_one(nodes: Nodes) -> Outcome {
    for n in 461_000..461_016 {
        given::account(&*nodes.first(), n).await?;
    }
    let answers = race_all(&nodes, 16, |store, i| async move {
        let own = format!("same-{i}");
        let wanted = names(&["same", &own]);
        store.claim_username("race", sample::account_id(461_000 + i), wanted, at(10)).await
    })
    .await?;
    let got: Vec<String> = answers.into_iter().flatten().collect();
    assert_eq!(got.len(), 16, "everybody has a name");
    assert_eq!(got.iter().filter(|name| *name == "same").count(), 1, "{got:?}");
    Ok(())
}
