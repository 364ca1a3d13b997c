//! Signing keys, clients kept in the store, named values.

use std::sync::Arc;

use serde_json::json;

use super::{Outcome, cases, given, sample};
use crate::store::{ClientRecord, SigningKeyRecord, Store};
use sample::at;

cases!(
    "keys",
    Case: signing_keys_are_listed_oldest_first,
    a_first_key_is_added_once_per_algorithm,
    a_key_is_retired_once,
    clients_are_added_and_changed,
    a_removed_client_s_sessions_end,
    named_values_are_kept,
);

async fn signing_keys_are_listed_oldest_first(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(store.signing_keys().await?, []);
    let retired = SigningKeyRecord {
        retired_at: Some(at(950)),
        sealed: (0..=255).collect(),
        ..sample::signing_key(2, "RS256")
    };
    let young = sample::signing_key(3, "EdDSA");
    let old = SigningKeyRecord { created_at: at(10), ..sample::signing_key(9, "RS256") };
    for key in [&young, &old, &retired] {
        assert!(store.add_signing_key(key.clone(), false, vec![]).await?);
    }
    assert_eq!(store.signing_keys().await?, [old, retired, young], "retired ones included");
    Ok(())
}

async fn a_first_key_is_added_once_per_algorithm(store: Arc<dyn Store>) -> Outcome {
    let [rs, ed] = ["RS256", "EdDSA"];
    let events = |n| vec![sample::event(n)];
    assert!(store.add_signing_key(sample::signing_key(1, rs), true, events(1)).await?);
    assert!(!store.add_signing_key(sample::signing_key(2, rs), true, events(2)).await?);
    assert!(store.add_signing_key(sample::signing_key(3, ed), true, events(3)).await?, "other one");
    assert!(!store.add_signing_key(sample::signing_key(4, ed), true, events(4)).await?);
    assert!(store.add_signing_key(sample::signing_key(5, rs), false, events(5)).await?, "rotation");
    assert!(store.retire_signing_key("key-1", at(900), vec![]).await?);
    assert!(!store.add_signing_key(sample::signing_key(6, rs), true, events(6)).await?);
    assert!(store.retire_signing_key("key-5", at(901), vec![]).await?);
    let all_retired = store.add_signing_key(sample::signing_key(7, rs), true, events(7)).await?;
    assert!(all_retired, "retired keys do not count");
    let kids: Vec<_> = store.signing_keys().await?.into_iter().map(|key| key.kid).collect();
    assert_eq!(kids, ["key-1", "key-3", "key-5", "key-7"]);
    assert_eq!(given::trail(&*store).await?, [1, 3, 5, 7].map(sample::event));
    Ok(())
}

async fn a_key_is_retired_once(store: Arc<dyn Store>) -> Outcome {
    for n in [1, 2] {
        store.add_signing_key(sample::signing_key(n, "EdDSA"), false, vec![]).await?;
    }
    assert!(store.retire_signing_key("key-1", at(900), vec![sample::event(1)]).await?);
    assert!(!store.retire_signing_key("key-1", at(950), vec![sample::event(2)]).await?, "again");
    assert!(!store.retire_signing_key("Key-2", at(950), vec![sample::event(3)]).await?, "unknown");
    let first = SigningKeyRecord { retired_at: Some(at(900)), ..sample::signing_key(1, "EdDSA") };
    let expected = [first, sample::signing_key(2, "EdDSA")];
    assert_eq!(store.signing_keys().await?, expected);
    assert_eq!(given::trail(&*store).await?, [sample::event(1)]);
    Ok(())
}

async fn clients_are_added_and_changed(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(store.clients().await?, []);
    let ids = ["chat", "b-chat", "Chat", "b_chat", "bchat"];
    for id in ids {
        store.add_client(sample::client(id), vec![]).await?;
    }
    let mut sorted = ids;
    sorted.sort_unstable();
    let expected = sorted.map(sample::client);
    assert_eq!(store.clients().await?, expected, "by id, in byte order");
    assert_eq!(store.client("chat").await?, Some(sample::client("chat")));
    assert_eq!(store.client("CHAT").await?, None);

    let public = ClientRecord {
        id: "chat".to_owned(),
        settings: json!({ "name": "Zoë's chat", "list": [], "limit": 5, "off": false }),
        sealed_secret: None,
        created_at: at(860),
        updated_at: at(861),
    };
    let again = store.add_client(public.clone(), vec![sample::event(1)]).await;
    given::assert_conflict(again, "client");
    assert_eq!(store.client("chat").await?, Some(sample::client("chat")), "as it was");
    assert!(store.update_client(public.clone(), vec![sample::event(2)]).await?);
    assert_eq!(store.client("chat").await?, Some(public));
    let unknown = store.update_client(sample::client("none"), vec![sample::event(3)]).await?;
    assert!(!unknown, "there is none");
    assert_eq!(store.client("none").await?, None, "update makes no client");
    store.add_client(sample::client("new"), vec![sample::event(4)]).await?;
    assert_eq!(given::trail(&*store).await?, [sample::event(2), sample::event(4)]);
    Ok(())
}

async fn a_removed_client_s_sessions_end(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    for id in ["chat", "other"] {
        store.add_client(sample::client(id), vec![]).await?;
    }
    let first = given::client(&*store, &browser, 2).await?;
    let ended = given::client(&*store, &browser, 3).await?;
    let mut other = sample::client_session(&browser, 4);
    other.client = Some("other".to_owned());
    let other = given::client_session(&*store, &browser, other, 4).await?;
    given::revoked(&*store, ended.record.id, 1100).await?;

    assert!(store.remove_client("chat", at(1200), vec![sample::event(1)]).await?);
    assert_eq!(store.client("chat").await?, None);
    given::assert_ended(&*store, &first.record, 1200, "client_removed").await?;
    given::assert_ended(&*store, &ended.record, 1100, "logout").await?;
    given::assert_untouched(&*store, &other.record).await?;
    given::assert_untouched(&*store, &browser).await?;
    let status = store.access_token(first.access).await?;
    assert!(status.is_some_and(|s| s.session.revoked_at.is_some()), "its token is dead");
    assert!(!store.remove_client("chat", at(1300), vec![sample::event(2)]).await?, "again");
    assert_eq!(store.clients().await?, [sample::client("other")]);
    assert_eq!(given::trail(&*store).await?, [sample::event(1)]);
    Ok(())
}

async fn named_values_are_kept(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(store.named_value("ring_check_of_the_suite").await?, None);
    let bytes: Vec<u8> = (0..=255).collect();
    store.set_named_value("ring_check_of_the_suite", &bytes).await?;
    store.set_named_value("another", &[7]).await?;
    assert_eq!(store.named_value("ring_check_of_the_suite").await?, Some(bytes));
    store.set_named_value("ring_check_of_the_suite", &[0]).await?;
    assert_eq!(store.named_value("ring_check_of_the_suite").await?, Some(vec![0]), "replaced");
    store.set_named_value("ring_check_of_the_suite", &[]).await?;
    assert_eq!(store.named_value("ring_check_of_the_suite").await?, Some(vec![]), "empty");
    assert_eq!(store.named_value("another").await?, Some(vec![7]));
    assert_eq!(store.named_value("Another").await?, None);
    Ok(())
}
