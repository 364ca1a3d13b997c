//! The ways to the database: TLS with verification, and a replica for listings.

use std::path::PathBuf;

use auth_core::store::{AccountPage, StoreError};
use auth_store::{StoreOptions, open};
use auth_tests::harness::postgres::PostgresServer;

use super::given::{new_account, node, options};

async fn refusal(url: String, ca_file: Option<PathBuf>) -> StoreError {
    let options = StoreOptions { url, ca_file, ..StoreOptions::default() };
    match open(&options, &[]).await {
        Ok(_) => panic!("the store was opened"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_servers_certificate_and_name_are_verified() {
    const PLAIN: &str = "SELECT pid FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE application_name LIKE 'auth-daemon%' AND NOT ssl";
    let server = PostgresServer::start_with_tls().unwrap();
    let database = server.create_database().unwrap();
    let good = StoreOptions {
        url: server.tls_url("localhost", &database),
        ca_file: Some(server.authority()),
        ..StoreOptions::default()
    };
    let store = open(&good, &[]).await.unwrap();
    store.create_account(new_account(1), vec![]).await.unwrap();
    assert_eq!(server.query(&database, PLAIN).unwrap(), [""; 0], "every connection is encrypted");

    let other = PostgresServer::start_with_tls().unwrap();
    let (url, by_address) =
        (server.tls_url("localhost", &database), server.tls_url("127.0.0.1", &database));
    for (why, error) in [
        ("another authority", refusal(url.clone(), Some(other.authority())).await),
        ("the system's authorities", refusal(url.clone(), None).await),
        ("another name", refusal(by_address, Some(server.authority())).await),
    ] {
        let text = error.to_string();
        assert!(text.contains("certificate") || text.contains("storage.ca_file"), "{why}: {text}");
    }
    let missing = refusal(url, Some(PathBuf::from("/nowhere/ca.pem"))).await.to_string();
    assert!(missing.contains("storage.ca_file") && missing.contains("/nowhere/ca.pem"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_without_tls_is_not_spoken_to_in_the_clear() {
    let mut server = PostgresServer::start_with_tls().unwrap();
    let database = server.create_database().unwrap();
    server.set("ssl=off");
    server.restart().unwrap();
    let error = refusal(server.tls_url("localhost", &database), Some(server.authority())).await;
    assert!(error.to_string().contains("TLS"), "{error}");
}

/// Two unlike databases show which of them was asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_serves_listings_only_and_may_be_down() {
    let server = PostgresServer::start().unwrap();
    let (database, replica) =
        (server.create_database().unwrap(), server.create_database().unwrap());
    let other = node(&server, &replica).await;
    other.create_account(new_account(2), vec![]).await.unwrap();
    let with_replica =
        StoreOptions { read_url: Some(server.url(&replica)), ..options(&server, &database) };
    let store = open(&with_replica, &[]).await.unwrap();
    store.create_account(new_account(1), vec![]).await.unwrap();
    let page = || AccountPage { after: None, limit: 10 };
    let listed = store.accounts(page()).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].username, "Person2", "listings come from the replica");
    assert!(store.account(new_account(1).account.id).await.unwrap().is_some());
    assert!(store.account(new_account(2).account.id).await.unwrap().is_none());

    let down = StoreOptions {
        read_url: Some("postgres://auth@127.0.0.1:1/auth".to_owned()),
        ..options(&server, &database)
    };
    let store = open(&down, &[]).await.unwrap();
    let listed = store.accounts(page()).await.unwrap();
    assert_eq!(listed[0].username, "Person1", "the primary stands in");
}
