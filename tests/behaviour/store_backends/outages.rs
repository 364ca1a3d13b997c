//! A PostgreSQL server that goes away and comes back, and a listener that loses its connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_core::audit::AuditRecord;
use auth_core::secret::TokenHash;
use auth_core::store::{AuditQuery, Revocation, RevocationScope, SessionId, Store, StoreError};
use auth_tests::harness::postgres::PostgresServer;
use tokio::time::timeout;

use super::given::{assert_unavailable, at, client, eventually, new_account, node};

async fn is_revoked(store: &dyn Store, access: TokenHash) -> Result<bool, StoreError> {
    let status = store.access_token(access).await?;
    Ok(status.is_none_or(|status| status.session.revoked_at.is_some()))
}

async fn revoke(store: &dyn Store, session: SessionId) {
    let scope = RevocationScope::Session(session);
    let revocation = Revocation { scope, at: at(100), reason: "logout".to_owned() };
    store.revoke_sessions(revocation, vec![]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_store_works_again_when_the_server_is_back() {
    let mut server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let store = node(&server, &database).await;
    let first = client(&*store, 1).await.unwrap();

    server.stop().unwrap();
    assert_unavailable(store.ping().await);
    assert_unavailable(store.account(new_account(1).account.id).await);
    assert_unavailable(store.create_account(new_account(2), vec![]).await);
    eventually("an access token is no more answered from memory", async || {
        store.access_token(first.access).await.is_err()
    })
    .await;

    server.restart().unwrap();
    eventually("the store answers again", async || store.ping().await.is_ok()).await;
    store.create_account(new_account(2), vec![]).await.unwrap();
    assert!(!is_revoked(&*store, first.access).await.unwrap());

    // A crash: what was answered is there, and the store recovers by itself.
    revoke(&*store, first.session).await;
    server.kill().unwrap();
    assert_unavailable(store.ping().await);
    server.restart().unwrap();
    eventually("the store answers again", async || store.ping().await.is_ok()).await;
    assert!(is_revoked(&*store, first.access).await.unwrap(), "an answered revocation is durable");
    assert!(store.account(new_account(2).account.id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revocation_is_seen_while_the_listener_is_down() {
    const LISTENERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name LIKE '% listener'";
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let (a, b) = (node(&server, &database).await, node(&server, &database).await);
    for n in 1..=5 {
        let client = client(&*a, n).await.unwrap();
        // Long enough for the cache to be in use.
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(700) {
            assert!(!is_revoked(&*b, client.access).await.unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let ended = server.query(&database, LISTENERS).unwrap();
        assert!(!ended.is_empty(), "a listener's connection was ended");
        revoke(&*a, client.browser).await;
        assert!(is_revoked(&*a, client.access).await.unwrap(), "at once on the same node");
        let began = Instant::now();
        while !is_revoked(&*b, client.access).await.unwrap() {
            assert!(began.elapsed() < Duration::from_secs(1), "within a second on the other");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn access_tokens_are_answered_from_memory_until_something_changes() {
    const SHUT: &str = "BEGIN; LOCK TABLE access_tokens IN ACCESS EXCLUSIVE MODE";
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let store = node(&server, &database).await;
    let client = client(&*store, 1).await.unwrap();
    let url = server.url(&database);
    let (door, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    // While the table is locked nobody can read it.
    let answers = async || {
        let answer = timeout(Duration::from_millis(500), is_revoked(&*store, client.access)).await;
        answer.is_ok_and(|revoked| !revoked.unwrap())
    };
    eventually("an answer from memory", async || {
        assert!(!is_revoked(&*store, client.access).await.unwrap());
        door.batch_execute(SHUT).await.unwrap();
        let answered = answers().await;
        door.batch_execute("ROLLBACK").await.unwrap();
        answered
    })
    .await;

    assert!(!is_revoked(&*store, client.access).await.unwrap());
    door.batch_execute(SHUT).await.unwrap();
    revoke(&*store, client.session).await;
    assert!(!answers().await, "an answer from before the revocation");
    door.batch_execute("ROLLBACK").await.unwrap();
    assert!(is_revoked(&*store, client.access).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancelled_call_leaves_no_half_done_transaction_behind() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let store = node(&server, &database).await;
    let client = client(&*store, 1).await.unwrap();
    for n in 0..40 {
        let store = Arc::clone(&store);
        let call = tokio::spawn(async move { revoke(&*store, client.session).await });
        tokio::time::sleep(Duration::from_micros(n * 50)).await;
        call.abort();
    }
    const OPEN: &str = "SELECT pid FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    eventually("no transaction is left open", async || {
        server.query(&database, OPEN).unwrap().is_empty()
    })
    .await;
    revoke(&*store, client.session).await;
    assert!(is_revoked(&*store, client.access).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_of_the_trail_misses_no_event_that_is_committed_late() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let store = node(&server, &database).await;
    // A writer that takes a position and keeps it uncommitted for a moment.
    let url = server.url(&database);
    let (late, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    late.batch_execute(
        "BEGIN; INSERT INTO audit (at, event, outcome, detail) \
         VALUES (1, 'late', 'success', '{}')",
    )
    .await
    .unwrap();
    store.append_audit(vec![AuditRecord::new(at(1), "early")]).await.unwrap();

    let query = AuditQuery { after: Some(0), limit: 10, ..AuditQuery::default() };
    let (seen, ()) = tokio::join!(store.audit(query.clone()), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        late.batch_execute("COMMIT").await.unwrap();
    });
    let names: Vec<_> = seen.unwrap().into_iter().map(|entry| entry.record.event).collect();
    assert_eq!(names, ["late", "early"], "the reader waited for the earlier position");

    // One that stays open for long: nothing behind it is given yet.
    late.batch_execute(
        "BEGIN; INSERT INTO audit (at, event, outcome, detail) \
         VALUES (1, 'later', 'success', '{}')",
    )
    .await
    .unwrap();
    store.append_audit(vec![AuditRecord::new(at(1), "last")]).await.unwrap();
    let after = AuditQuery { after: Some(2), ..query };
    assert_eq!(store.audit(after.clone()).await.unwrap(), []);
    late.batch_execute("ROLLBACK").await.unwrap();
    let seen = store.audit(after).await.unwrap();
    assert_eq!(seen.len(), 1, "the gap is final now");
}
