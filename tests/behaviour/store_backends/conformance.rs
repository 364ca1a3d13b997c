//! The conformance suite on PostgreSQL, each case on a database of its own.

use auth_core::store::conformance;
use auth_tests::harness::postgres::PostgresServer;

use super::given::{node, template};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_postgres_store_conforms() {
    let server = PostgresServer::start().unwrap();
    let template = template(&server).await;
    conformance::run(async || {
        let database = server.copy_database(&template).unwrap();
        node(&server, &database).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_on_one_database_conform() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let (a, b) = (node(&server, &database).await, node(&server, &database).await);
    conformance::run_across_nodes(a, b).await;
}
