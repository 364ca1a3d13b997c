//! The conformance suite: what every backend has to do, sentence by sentence of the store traits.
//!
//! A backend's test calls [`run`] with a function that makes an empty store, and, when several
//! nodes can share one database, [`run_across_nodes`] with two handles on it. Both need a tokio
//! runtime, best one with several threads. Every field of a sample record holds a value that is
//! neither zero nor the default, so that a column that is not written or read shows. All failing
//! cases are collected before the panic, so one run tells a backend's author the whole list.

mod accounts;
mod across_nodes;
mod audit;
mod client_accounts;
mod concurrency;
mod connector_identities;
mod devices;
mod enrolments;
mod factor_races;
mod factors;
mod given;
mod grants;
mod identities;
mod interleaving;
mod keys;
mod lifecycle;
mod linking;
mod login_completion;
mod logins;
mod outbox;
mod passkeys;
mod purge;
mod purge_sessions;
mod race;
mod replay;
mod revocation;
mod rotation;
mod saml;
mod saml_races;
mod sample;
mod sessions;
mod sync;
mod sync_batch;
mod sync_race;
mod throttle;
mod tokens;
mod upstream;

use std::pin::Pin;
use std::sync::Arc;

use super::{Store, StoreError};
use race::Nodes;

/// What a case gives back: a failed expectation panics, an unexpected store error is returned.
type Outcome = Result<(), StoreError>;

type CaseFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A case that wants a fresh store of its own.
struct Case {
    name: &'static str,
    run: fn(Arc<dyn Store>) -> CaseFuture,
}

/// A case whose tasks are spread over one or more handles on the same data.
struct RaceCase {
    name: &'static str,
    run: fn(Nodes) -> CaseFuture,
}

/// Lists the cases of a file: `cases!(AREA, Case: one, two)` makes its `cases()`.
macro_rules! cases {
    ($area:literal, $kind:ident: $($name:ident),+ $(,)?) => {
        pub(in crate::store::conformance) fn cases() -> Vec<$crate::store::conformance::$kind> {
            vec![$($crate::store::conformance::$kind {
                name: concat!($area, "::", stringify!($name)),
                run: |subject| Box::pin($name(subject)),
            }),+]
        }
    };
}
use cases;

/// Runs every case, each on a fresh and empty store that `fresh` makes.
///
/// # Panics
/// When a case fails; the message lists each failed case with what was expected.
pub async fn run<F, Fut>(fresh: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let mut failures = Vec::new();
    for case in all_cases() {
        let store = fresh().await;
        watch(case.name, (case.run)(Arc::clone(&store)), &mut failures).await;
        store.close().await;
    }
    for case in race_cases() {
        let store = fresh().await;
        watch(case.name, (case.run)(Nodes::of([Arc::clone(&store)])), &mut failures).await;
        store.close().await;
    }
    report(&failures);
}

/// Runs the cases of two nodes: `a` and `b` are handles of two processes' kind (nothing shared
/// but the database) on one database, which has to be empty.
///
/// # Panics
/// When a case fails; the message lists each failed case with what was expected.
pub async fn run_across_nodes(a: Arc<dyn Store>, b: Arc<dyn Store>) {
    let mut failures = Vec::new();
    for case in across_nodes::cases().into_iter().chain(race_cases()) {
        let nodes = Nodes::of([Arc::clone(&a), Arc::clone(&b)]);
        watch(case.name, (case.run)(nodes), &mut failures).await;
    }
    report(&failures);
}

fn all_cases() -> Vec<Case> {
    [
        accounts::cases(),
        identities::cases(),
        connector_identities::cases(),
        linking::cases(),
        upstream::cases(),
        logins::cases(),
        login_completion::cases(),
        sessions::cases(),
        revocation::cases(),
        tokens::cases(),
        rotation::cases(),
        factors::cases(),
        passkeys::cases(),
        enrolments::cases(),
        devices::cases(),
        keys::cases(),
        throttle::cases(),
        replay::cases(),
        grants::cases(),
        saml::cases(),
        audit::cases(),
        outbox::cases(),
        client_accounts::cases(),
        purge::cases(),
        purge_sessions::cases(),
        sync::cases(),
        sync_batch::cases(),
        lifecycle::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn race_cases() -> Vec<RaceCase> {
    [
        concurrency::cases(),
        interleaving::cases(),
        factor_races::cases(),
        saml_races::cases(),
        sync_race::cases(),
        outbox::races::cases(),
        client_accounts::races::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs one case in a task of its own, so that its panic ends only this case.
async fn watch(name: &str, case: CaseFuture, failures: &mut Vec<String>) {
    match tokio::spawn(case).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => failures.push(format!("{name}: the store failed: {error}")),
        Err(ended) => failures.push(format!("{name}: {}", panic_message(ended))),
    }
}

fn panic_message(ended: tokio::task::JoinError) -> String {
    let Ok(payload) = ended.try_into_panic() else {
        return "the case was cancelled".to_owned();
    };
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "panicked without a message".to_owned())
}

fn report(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} conformance case(s) failed:\n- {}",
        failures.len(),
        failures.join("\n- ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_memory_store_conforms() {
        run(async || Arc::new(MemoryStore::new()) as Arc<dyn Store>).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn two_handles_on_one_memory_store_conform() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        run_across_nodes(Arc::clone(&store), store).await;
    }

    #[tokio::test]
    async fn a_failed_case_is_named() {
        let mut failures = Vec::new();
        watch("area::case", Box::pin(async { panic!("expected {}", 1) }), &mut failures).await;
        let unavailable = StoreError::Unavailable { message: "gone".to_owned() };
        watch("area::other", Box::pin(async { Err(unavailable) }), &mut failures).await;
        watch("area::good", Box::pin(async { Ok(()) }), &mut failures).await;
        let expected =
            ["area::case: expected 1", "area::other: the store failed: store unavailable: gone"];
        assert_eq!(failures, expected);
    }
}
