//! The store as a whole: readiness, name, closing.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{Store, StoreError};
use sample::at;

cases!("lifecycle", Case: it_answers_and_has_a_name, a_closed_store_is_unavailable);

async fn it_answers_and_has_a_name(store: Arc<dyn Store>) -> Outcome {
    store.ping().await?;
    let name = store.backend();
    let label = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    assert!(label, "the backend's name {name:?} is a label of lower-case letters");
    Ok(())
}

fn assert_unavailable<T>(what: &str, result: Result<T, StoreError>) {
    match result {
        Err(StoreError::Unavailable { .. }) => {}
        Err(other) => panic!("{what} on a closed store: expected Unavailable, got: {other}"),
        Ok(_) => panic!("{what} on a closed store: expected Unavailable, but it succeeded"),
    }
}

async fn a_closed_store_is_unavailable(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let client = given::client(&*store, &browser, 2).await?;
    // A warm cache must not answer for a closed store.
    store.access_token(client.access).await?;
    store.close().await;
    store.close().await;
    assert_unavailable("ping", store.ping().await);
    assert_unavailable("account", store.account(account).await);
    assert_unavailable("create_account", given::account(&*store, 2).await);
    assert_unavailable("access_token", store.access_token(client.access).await);
    assert_unavailable("session", store.session(browser.id).await);
    assert_unavailable("append_audit", store.append_audit(vec![sample::event(1)]).await);
    assert_unavailable("purge", store.purge(at(1)).await);
    Ok(())
}
