//! Opening a PostgreSQL store: empty, shared, foreign and newer databases.

use auth_core::store::StoreError;
use auth_store::{Found, StoreOptions, look, open};
use auth_tests::harness::postgres::PostgresServer;

use super::given::{new_account, node, options};

fn schema_message<T>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Schema { message }) => message,
        Err(other) => panic!("expected a refusal of the schema, got: {other}"),
        Ok(_) => panic!("expected a refusal of the schema, but it was opened"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_start_at_once_make_one_schema_and_one_first_value() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let options = options(&server, &database);
    assert_eq!(look(&options).await.unwrap(), Found::Empty);
    assert_eq!(look(&options).await.unwrap(), Found::Empty, "looking makes nothing");

    let nodes: Vec<_> = (0..8_u8)
        .map(|n| {
            let options = options.clone();
            tokio::spawn(async move { open(&options, &[("ring_check", vec![n])]).await })
        })
        .collect();
    let mut values = Vec::new();
    for node in nodes {
        let store = node.await.unwrap().unwrap();
        values.push(store.named_value("ring_check").await.unwrap().unwrap());
        store.close().await;
    }
    values.dedup();
    assert_eq!(values.len(), 1, "all see the value of the node that made the schema");
    let once = "SELECT count(*) = count(DISTINCT name) AND min(number) = 1 FROM schema_migration";
    assert_eq!(server.query(&database, once).unwrap(), ["t"], "each migration is applied once");
    assert_eq!(look(&options).await.unwrap(), Found::Initialised);

    let later = open(&options, &[("ring_check", vec![99])]).await.unwrap();
    assert_eq!(later.named_value("ring_check").await.unwrap(), values.pop(), "not overwritten");
    later.create_account(new_account(1), vec![]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_schema_that_is_not_ours_is_refused_and_left_alone() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    node(&server, &database).await.close().await;
    let ours = options(&server, &database);

    let newest = server.query(&database, "SELECT max(number) FROM schema_migration").unwrap();
    let known = format!("schema {}", newest[0]);
    let newer = "INSERT INTO schema_migration (number, name, checksum) VALUES (999, 'x', 'y')";
    server.query(&database, newer).unwrap();
    let message = schema_message(open(&ours, &[]).await);
    assert!(message.contains("schema 999") && message.contains(&known), "{message}");
    schema_message(look(&ours).await);
    server.query(&database, "DELETE FROM schema_migration WHERE number = 999").unwrap();

    let altered = "UPDATE schema_migration SET checksum = 'ff' WHERE number = 1";
    server.query(&database, altered).unwrap();
    let message = schema_message(open(&ours, &[]).await);
    assert!(message.contains("migration 1 (initial)"), "{message}");

    let foreign = server.create_database().unwrap();
    server.query(&foreign, "CREATE TABLE accounts (theirs text)").unwrap();
    let theirs = options(&server, &foreign);
    let message = schema_message(open(&theirs, &[]).await);
    assert!(message.contains("storage.url"), "{message}");
    schema_message(look(&theirs).await);
    let tables = server.query(&foreign, "SELECT relname FROM pg_stat_user_tables").unwrap();
    assert_eq!(tables, ["accounts"], "nothing was added");
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_unavailable() {
    let server = PostgresServer::start().unwrap();
    for url in [server.url("nowhere"), "postgres://auth@127.0.0.1:1/auth".to_owned()] {
        let options = StoreOptions { url, ..StoreOptions::default() };
        let answer = open(&options, &[]).await.map(drop);
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    }
}
