//! The replay guard.

use std::sync::Arc;

use super::{Outcome, cases, sample};
use crate::store::Store;
use sample::{at, hash};

cases!("replay", Case: a_key_is_seen_first_once, a_mark_lasts_until_it_is_purged);

async fn a_key_is_seen_first_once(store: Arc<dyn Store>) -> Outcome {
    let key = hash("assertion", 1);
    assert!(store.first_seen("saml", key, at(100)).await?);
    assert!(!store.first_seen("saml", key, at(100)).await?, "the second time");
    assert!(!store.first_seen("saml", key, at(9000)).await?, "with a later expiry");
    assert!(store.first_seen("jwt", key, at(100)).await?, "another scope");
    assert!(store.first_seen("SAML", key, at(100)).await?, "scopes are compared exactly");
    assert!(store.first_seen("saml", hash("assertion", 2), at(100)).await?, "another key");
    assert!(!store.first_seen("jwt", key, at(100)).await?);
    Ok(())
}

async fn a_mark_lasts_until_it_is_purged(store: Arc<dyn Store>) -> Outcome {
    let [short, long] = [1, 2].map(|n| hash("assertion", n));
    assert!(store.first_seen("saml", short, at(100)).await?);
    assert!(store.first_seen("saml", long, at(200)).await?);
    store.purge(at(99)).await?;
    assert!(!store.first_seen("saml", short, at(100)).await?, "a live mark survives a purge");
    store.purge(at(101)).await?;
    assert!(store.first_seen("saml", short, at(300)).await?, "an expired mark was purged");
    assert!(!store.first_seen("saml", long, at(200)).await?, "the other one is live");
    Ok(())
}
