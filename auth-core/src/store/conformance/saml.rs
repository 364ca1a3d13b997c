//! Metadata and keys of SAML connections.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{SamlKeyRecord, SamlMetadataRecord, Store};
use sample::at;

cases!(
    "saml",
    Case: metadata_is_written_over_the_version_that_was_read,
    keys_are_listed_oldest_first_by_connection,
    a_first_key_is_added_once,
    a_key_is_retired_once,
);

async fn metadata_is_written_over_the_version_that_was_read(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(store.saml_metadata("okta").await?, None);
    let first = sample::saml_metadata("okta");
    let event = |n| vec![sample::event(n)];
    assert!(!store.put_saml_metadata(first.clone(), Some(1), event(1)).await?, "none there");
    assert!(store.put_saml_metadata(first.clone(), None, event(2)).await?);
    let stored = SamlMetadataRecord { version: 1, ..first.clone() };
    assert_eq!(store.saml_metadata("okta").await?, Some(stored.clone()));
    assert_eq!(store.saml_metadata("Okta").await?, None, "ids are compared exactly");
    assert!(!store.put_saml_metadata(first.clone(), None, event(3)).await?, "there is one");

    let second = SamlMetadataRecord {
        source: "https://idp.example/ü".to_owned(),
        document: (0..=255).collect(),
        pending: None,
        accepted_at: at(3000),
        checked_at: at(3001),
        ..first.clone()
    };
    assert!(!store.put_saml_metadata(second.clone(), Some(2), event(4)).await?, "not yet");
    assert_eq!(store.saml_metadata("okta").await?, Some(stored));
    assert!(store.put_saml_metadata(second.clone(), Some(1), event(5)).await?);
    let stored = SamlMetadataRecord { version: 2, ..second };
    assert_eq!(store.saml_metadata("okta").await?, Some(stored));
    assert!(!store.put_saml_metadata(first.clone(), Some(1), event(6)).await?, "too late");
    let other = sample::saml_metadata("adfs");
    assert!(store.put_saml_metadata(other, None, event(7)).await?, "another connection");
    assert_eq!(given::trail(&*store).await?, [2, 5, 7].map(sample::event));
    Ok(())
}

async fn keys_are_listed_oldest_first_by_connection(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(store.saml_keys("okta").await?, []);
    let retired = SamlKeyRecord { retired_at: Some(at(950)), ..sample::saml_key("okta", 2) };
    let young = sample::saml_key("okta", 3);
    let old = SamlKeyRecord { created_at: at(10), ..sample::saml_key("okta", 9) };
    let other = sample::saml_key("adfs", 1);
    for key in [&young, &old, &other, &retired] {
        assert!(store.add_saml_key(key.clone(), false, vec![]).await?);
    }
    assert_eq!(store.saml_keys("okta").await?, [old, retired, young], "retired included");
    assert_eq!(store.saml_keys("adfs").await?, [other]);
    assert_eq!(store.saml_keys("OKTA").await?, []);
    Ok(())
}

async fn a_first_key_is_added_once(store: Arc<dyn Store>) -> Outcome {
    let event = |n| vec![sample::event(n)];
    let key = |n| sample::saml_key("okta", n);
    assert!(store.add_saml_key(key(1), true, event(1)).await?);
    assert!(!store.add_saml_key(key(2), true, event(2)).await?);
    assert!(store.add_saml_key(sample::saml_key("adfs", 1), true, event(3)).await?);
    assert!(store.add_saml_key(key(3), false, event(4)).await?, "a second one on demand");
    assert!(store.retire_saml_key("okta", &key(1).id, at(900), vec![]).await?);
    assert!(!store.add_saml_key(key(4), true, event(5)).await?, "one is left");
    assert!(store.retire_saml_key("okta", &key(3).id, at(901), vec![]).await?);
    assert!(store.add_saml_key(key(5), true, event(6)).await?, "retired keys do not count");
    assert_eq!(given::trail(&*store).await?, [1, 3, 4, 6].map(sample::event));
    Ok(())
}

async fn a_key_is_retired_once(store: Arc<dyn Store>) -> Outcome {
    let key = sample::saml_key("okta", 1);
    store.add_saml_key(key.clone(), false, vec![]).await?;
    let retire = |connection: &'static str, n| {
        let (store, id) = (Arc::clone(&store), key.id.clone());
        async move { store.retire_saml_key(connection, &id, at(900), vec![sample::event(n)]).await }
    };
    assert!(!retire("adfs", 1).await?, "of another connection");
    assert!(retire("okta", 2).await?);
    assert!(!retire("okta", 3).await?, "again");
    let expected = SamlKeyRecord { retired_at: Some(at(900)), ..key };
    assert_eq!(store.saml_keys("okta").await?, [expected]);
    assert_eq!(given::trail(&*store).await?, [sample::event(2)]);
    Ok(())
}
