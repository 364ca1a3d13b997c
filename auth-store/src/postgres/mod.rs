//! The PostgreSQL backend, for several nodes on one database.
//!
//! A change is one statement where that is possible, else one transaction, with its audit events
//! inside. The isolation level is READ COMMITTED, so whatever a statement relies on is either in
//! the row that it changes (compare-and-swap) or in a row that it locks; locks are taken in one
//! order: accounts, logins, sessions, codes, tokens. A statement sees the rows of its beginning,
//! so one that has to see what another inserted while it waited comes after the lock, in a
//! statement of its own.
//!
//! A session of an account is inserted under a share lock on the account (and on the browser
//! session that it comes from), and ended under an update lock: so no session and no token
//! survives a revocation that came at the same time.

#[macro_use]
mod columns;

mod accounts;
mod audit;
mod cache;
mod client_accounts;
mod connection;
mod connector_identities;
mod devices;
mod enrolments;
mod error;
mod factors;
mod grants;
mod keys;
mod linking;
mod listener;
mod logins;
mod outbox;
mod passwords;
mod purge;
mod replay;
mod saml;
mod schema;
mod sessions;
mod sync;
mod sync_batch;
mod target;
mod throttle;
mod tls;
mod tokens;
mod upstream;

use std::sync::Arc;

use async_trait::async_trait;
use auth_core::clock::Timestamp;
use auth_core::store::{AccountId, Store, StoreError};
use tokio::sync::watch;

use crate::{Found, StoreOptions};
use cache::TokenCache;
use connection::{Connection, Database};
use listener::Listener;
use target::Target;

/// Looks whether a schema is there; see [`crate::look`].
pub(crate) async fn look(options: &StoreOptions) -> Result<Found, StoreError> {
    schema::look(&primary(options)?).await
}

/// Opens the store; see [`crate::open`].
pub(crate) async fn open(
    options: &StoreOptions,
    first_values: &[(&str, Vec<u8>)],
) -> Result<Arc<dyn Store>, StoreError> {
    let target = primary(options)?;
    let replica = options
        .read_url
        .as_deref()
        .map(|url| Target::parse(url, "storage.read_url", options.ca_file.as_deref(), false))
        .transpose()?;
    schema::bring_up_to_date(&target, first_values).await?;
    let database = Database::new(&target, replica.as_ref(), options.pool_size)?;
    let cache = Arc::new(TokenCache::new());
    let outbox = watch::Sender::new(0);
    let listener = Listener::start(target, Arc::clone(&cache), outbox.clone());
    Ok(Arc::new(PostgresStore { database, cache, listener, outbox }))
}

fn primary(options: &StoreOptions) -> Result<Target, StoreError> {
    Target::parse(&options.url, "storage.url", options.ca_file.as_deref(), true)
}

/// A store in a PostgreSQL database.
struct PostgresStore {
    database: Database,
    cache: Arc<TokenCache>,
    listener: Listener,
    /// Changes when there may be new events.
    outbox: watch::Sender<u64>,
}

impl PostgresStore {
    /// Takes the account's row lock until the end of the transaction. All that ends sessions of
    /// an account, or exchanges a set of its rows, stands behind it.
    async fn lock_account(
        connection: &mut Connection,
        account: AccountId,
    ) -> Result<(), StoreError> {
        const LOCK: &str = "SELECT FROM accounts WHERE id = $1 FOR NO KEY UPDATE";
        connection.execute(LOCK, &[&account.0]).await.map(drop)
    }

    /// Tells all nodes, with the commit, that an account's tokens are to be read again.
    async fn notify(connection: &mut Connection, payload: &str) -> Result<(), StoreError> {
        const NOTIFY: &str = "SELECT pg_notify($1, $2)";
        connection.execute(NOTIFY, &[&listener::CHANNEL, &payload]).await.map(drop)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        const PING: &str = "SELECT pg_is_in_recovery()";
        let mut connection = self.database.primary().await?;
        let row = connection.row(PING, &[]).await?;
        match row.map(|row| row.try_get(0)) {
            Some(Ok(false)) => Ok(()),
            _ => Err(StoreError::Unavailable {
                message: "the server of storage.url is a standby and takes no writes".to_owned(),
            }),
        }
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        purge::purge(&self.database, now).await
    }

    async fn close(&self) {
        self.listener.stop();
        self.database.close().await;
        self.cache.deaf();
    }

    fn backend(&self) -> &'static str {
        "postgres"
    }
}
