//! The SQLite backend: one file in write-ahead-log mode, durable commits.
//!
//! [`writer`] is the one thread that writes, [`reader`] the connections that read; each other
//! module holds the SQL of one store trait. Two processes may use one file: every change is one
//! `BEGIN IMMEDIATE` transaction, and no cached answer outlives another process's commit.

mod accounts;
mod audit;
mod client_accounts;
mod connector_identities;
mod devices;
mod enrolments;
mod error;
mod factors;
mod file;
mod grants;
mod identities;
mod keys;
mod linking;
mod logins;
mod outbox;
mod purge;
mod reader;
mod replay;
mod row;
mod saml;
mod schema;
mod sessions;
mod sync;
mod sync_batch;
mod throttle;
mod tokens;
mod upstream;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::available_parallelism;

use async_trait::async_trait;
use auth_core::clock::Timestamp;
use auth_core::store::{Store, StoreError};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::task::spawn_blocking;

use self::file::{Place, connect_reader, use_memory_for_undoing};
use self::purge::PURGES;
use self::reader::Readers;
use self::row::{change, one};
use self::tokens::TokenCache;
use self::writer::Writer;
use crate::migration::Migration;
use crate::{Found, StoreOptions};

/// Whether the file holds a schema.
pub(crate) async fn look(options: &StoreOptions) -> Result<Found, StoreError> {
    let place = Place::of(options)?;
    blocking(move || schema::look(&place)).await
}

/// Opens the file, makes or updates its schema and starts the writing thread.
pub(crate) async fn open(
    options: &StoreOptions,
    first_values: &[(&str, Vec<u8>)],
) -> Result<Arc<dyn Store>, StoreError> {
    let place = Place::of(options)?;
    let first_values: Vec<(String, Vec<u8>)> =
        first_values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let lookups =
        lookup_connections(options.pool_size, available_parallelism().ok().map(usize::from));
    let store =
        blocking(move || SqliteStore::open(&place, schema::MIGRATIONS, &first_values, lookups))
            .await?;
    Ok(Arc::new(store))
}

/// The store over one SQLite database.
struct SqliteStore {
    writer: Writer,
    readers: Arc<Readers>,
    tokens: TokenCache,
}

impl SqliteStore {
    fn open(
        place: &Place,
        known: &[Migration],
        first_values: &schema::FirstValues,
        lookups: usize,
    ) -> Result<Self, StoreError> {
        let connection = schema::open(place, known, first_values)?;
        use_memory_for_undoing(&connection)?;
        let connection = Arc::new(Mutex::new(Some(connection)));
        let epoch = Arc::new(AtomicU64::new(0));
        let readers = match place {
            Place::Memory => Readers::sharing(&connection, Arc::clone(&epoch)),
            Place::File(_) => {
                let connections = |count| -> Result<Vec<Connection>, StoreError> {
                    (0..count).map(|_| connect_reader(place)).collect()
                };
                Readers::new(
                    connections(lookups)?,
                    connections(LISTING_CONNECTIONS)?,
                    Arc::clone(&epoch),
                )
            }
        };
        let writer = Writer::start(connection, epoch)?;
        Ok(Self { writer, readers: Arc::new(readers), tokens: TokenCache::new() })
    }

    /// Runs a look-up of microseconds here and now.
    fn look_up<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.readers.look_up(|lookup| read(lookup.connection()))
    }

    /// Runs a listing on a blocking thread.
    async fn list<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        blocking(move || readers.list(read)).await
    }

    /// Runs a change in a transaction; answers after the commit.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(work).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.look_up(|c| one(c, "SELECT writes FROM readiness", &[], |_| Ok(())))?;
        self.write(|c| change(c, "UPDATE readiness SET writes = writes + 1", &[]).map(drop)).await
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        for &purge in PURGES {
            // In slices, so that other requests get their turn between them.
            loop {
                let slice = self.write(move |c| purge.slice(c, now)).await?;
                removed += slice;
                if slice == 0 {
                    break;
                }
            }
        }
        Ok(removed)
    }

    async fn close(&self) {
        let readers = Arc::clone(&self.readers);
        // The writer's connection is the last, so that it leaves one tidy file behind.
        if spawn_blocking(move || readers.close()).await.is_err() {
            tracing::warn!("SQLite connections for reading were not closed");
        }
        self.writer.close().await;
    }

    fn backend(&self) -> &'static str {
        "sqlite"
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(StoreError::Unavailable { message: format!("a blocking thread failed: {error}") })
    })
}

/// More connections than threads that ask serve nobody: a look-up runs where it is asked for, and
/// each further connection has caches of its own that have to warm up. So `pool_size`, which is
/// made for a server on the network, can only make them fewer.
fn lookup_connections(pool_size: Option<usize>, cores: Option<usize>) -> usize {
    let useful = cores.unwrap_or(2).clamp(2, 8);
    pool_size.map_or(useful, |size| size.clamp(1, useful))
}

const LISTING_CONNECTIONS: usize = 2;

#[cfg(test)]
mod lookups {
    use super::lookup_connections;

    #[test]
    fn no_more_connections_read_than_cores_ask() {
        for (pool_size, cores, expected) in [
            (Some(10), Some(2), 2),
            (Some(200), Some(64), 8),
            (None, Some(4), 4),
            (None, None, 2),
            (Some(1), Some(8), 1),
            (Some(0), Some(8), 1),
        ] {
            assert_eq!(lookup_connections(pool_size, cores), expected, "{pool_size:?} {cores:?}");
        }
    }
}
