//! The conformance suite on PostgreSQL, on a database that is emptied before each case.

use auth_core::store::conformance;
use auth_tests::harness::postgres::PostgresServer;

use super::given::node;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_postgres_store_conforms() {
    const EMPTY: &str = "DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(relname, ', ') \
         || ' RESTART IDENTITY' FROM pg_stat_user_tables WHERE relname <> 'schema_migration'); \
         END $$";
    let server = PostgresServer::start().unwrap();
    server.forgo_durability().unwrap();
    let database = server.create_database().unwrap();
    node(&server, &database).await.close().await;
    conformance::run(async || {
        server.query(&database, EMPTY).unwrap();
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
