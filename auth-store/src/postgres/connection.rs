//! Connections from the pools, and statements on them.
//!
//! Every statement is bounded twice: by the server (`statement_timeout`) and by us, for a server
//! that does not answer at all. A connection whose statement or transaction was not finished, by
//! a timeout, an error or a caller that went away, is closed instead of given back: the server
//! rolls back, and nobody else waits behind it.

use std::sync::Arc;
use std::time::Duration;

use auth_core::store::StoreError;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::Row;

use super::columns::Param;
use super::error;
use super::target::Target;

/// Connections of a pool, if the configuration does not say.
const POOL_SIZE: usize = 16;
/// How long a call waits for a connection.
const WAIT: Duration = Duration::from_secs(5);
/// How long a new connection may take, several hosts included.
const CREATE: Duration = Duration::from_secs(10);
/// How long we wait for a statement; above the server's own limit.
const STATEMENT: Duration = Duration::from_secs(15);
/// How long a statement over all rows may take.
const LONG_STATEMENT: Duration = Duration::from_secs(600);
/// More than there will ever be connections.
const OPEN: u32 = 1 << 20;

/// What every connection is set to. Answered means durable, so a server that is set to
/// acknowledge before the log is on disk is overruled.
const SESSION: &str = "\
    SET statement_timeout = '10s'; \
    SET lock_timeout = '5s'; \
    SET idle_in_transaction_session_timeout = '30s'; \
    SET default_transaction_isolation = 'read committed'; \
    SET jit = off; \
    SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') = 'off'";

/// The pools of a store.
pub(super) struct Database {
    primary: Pool,
    replica: Option<Pool>,
    /// A permit for each connection in use, so that closing can wait for them.
    in_use: Arc<Semaphore>,
}

impl Database {
    /// Makes the pools; connects nowhere yet.
    pub(super) fn new(
        primary: &Target,
        replica: Option<&Target>,
        size: Option<usize>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            primary: pool(primary, size)?,
            replica: replica.map(|target| pool(target, size)).transpose()?,
            in_use: Arc::new(Semaphore::new(OPEN as usize)),
        })
    }

    /// A connection to the server that takes the writes.
    pub(super) async fn primary(&self) -> Result<Connection, StoreError> {
        let permit = self.permit().await?;
        let client = self.primary.get().await.map_err(error::pool)?;
        Ok(Connection::of(client, permit))
    }

    /// A connection for listings: to the replica if there is one and it answers.
    pub(super) async fn listing(&self) -> Result<Connection, StoreError> {
        let Some(replica) = &self.replica else { return self.primary().await };
        let permit = self.permit().await?;
        match replica.get().await {
            Ok(client) => Ok(Connection::of(client, permit)),
            Err(failed) => {
                let error = error::pool(failed);
                tracing::warn!(%error, "storage.read_url gives no connection; asking storage.url");
                let client = self.primary.get().await.map_err(error::pool)?;
                Ok(Connection::of(client, permit))
            }
        }
    }

    /// Waits for the connections in use and closes all.
    pub(super) async fn close(&self) {
        // Fair: calls that come later queue behind this one, and fail once it is closed.
        let all = self.in_use.acquire_many(OPEN).await;
        self.in_use.close();
        drop(all);
        self.primary.close();
        if let Some(replica) = &self.replica {
            replica.close();
        }
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        Arc::clone(&self.in_use).acquire_owned().await.map_err(|_| error::closed())
    }
}

fn pool(target: &Target, size: Option<usize>) -> Result<Pool, StoreError> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(target.config.clone(), target.tls.clone(), recycling);
    Pool::builder(manager)
        .max_size(size.unwrap_or(POOL_SIZE).max(1))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(CREATE))
        .recycle_timeout(Some(WAIT))
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
        }))
        .build()
        .map_err(|error| StoreError::Unavailable { message: error.to_string() })
}

/// A connection of a pool, in the hands of one call.
pub(super) struct Connection {
    client: Option<Object>,
    in_transaction: bool,
    unfinished: bool,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn of(client: Object, permit: OwnedSemaphorePermit) -> Self {
        Self { client: Some(client), in_transaction: false, unfinished: false, _permit: permit }
    }

    /// Runs a statement and returns its rows.
    pub(super) async fn rows(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.run(STATEMENT, async |client| {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, params).await
        })
        .await
    }

    /// Runs a statement and returns its first row.
    pub(super) async fn row(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Runs a statement and returns how many rows it wrote or gave.
    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<u64, StoreError> {
        self.run(STATEMENT, async |client| {
            let statement = client.prepare_cached(sql).await?;
            client.execute(&statement, params).await
        })
        .await
    }

    /// Runs a statement over all rows of a table, for which the usual limit is too short. Only in
    /// a transaction.
    pub(super) async fn long_rows(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.run(LONG_STATEMENT, async |client| {
            client.batch_execute("SET LOCAL statement_timeout = '590s'").await?;
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, params).await
        })
        .await
    }

    /// Begins a transaction. One that is not committed is rolled back.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        self.in_transaction = true;
        self.run(STATEMENT, async |client| client.batch_execute("BEGIN").await).await
    }

    /// Commits; answers once the commit is durable.
    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    /// Undoes the transaction.
    pub(super) async fn rollback(&mut self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.run(STATEMENT, async |client| client.batch_execute(sql).await).await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn run<T>(
        &mut self,
        limit: Duration,
        statement: impl AsyncFnOnce(&Object) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let client = self.client.as_ref().ok_or_else(error::closed)?;
        // Stays set when this future is dropped half-way.
        self.unfinished = true;
        match timeout(limit, statement(client)).await {
            Ok(Ok(value)) => {
                self.unfinished = false;
                Ok(value)
            }
            Ok(Err(failed)) => {
                self.unfinished = error::is_connection_lost(&failed);
                Err(error::statement(&failed))
            }
            Err(_) => Err(error::timed_out("a statement")),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if (self.unfinished || self.in_transaction)
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client));
        }
    }
}
