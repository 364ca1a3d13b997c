//! Connections for reading, and the count that says whether something was committed.
//!
//! A look-up by key takes microseconds and runs where it is asked for, on one of a few
//! connections; a listing has connections of its own and runs on a blocking thread, so that it
//! never keeps a look-up waiting. A database in memory has one connection for everything.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use auth_core::store::StoreError;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use super::error::{closed, failure};
use super::row::one;
use super::writer::Shared;

/// The connections for reading.
pub(super) struct Readers {
    lookups: Vec<Lane>,
    listings: Vec<Lane>,
    epoch: Arc<AtomicU64>,
}

struct Lane {
    connection: Shared,
    /// `PRAGMA data_version` when it was last asked for; read and written under `connection`.
    seen_version: AtomicI64,
}

/// A connection in use for one look-up.
pub(super) struct Lookup<'l> {
    connection: &'l Connection,
    seen_version: &'l AtomicI64,
    epoch: &'l AtomicU64,
}

impl Readers {
    /// Takes connections over. `epoch` is the one that the writer counts up.
    pub(super) fn new(
        lookups: Vec<Connection>,
        listings: Vec<Connection>,
        epoch: Arc<AtomicU64>,
    ) -> Self {
        let lanes = |connections: Vec<Connection>| {
            connections.into_iter().map(|c| Lane::new(Arc::new(Mutex::new(Some(c))))).collect()
        };
        Self { lookups: lanes(lookups), listings: lanes(listings), epoch }
    }

    /// Reads through the writer's own connection, whose lock it holds during a transaction.
    pub(super) fn sharing(connection: &Shared, epoch: Arc<AtomicU64>) -> Self {
        let lane = || vec![Lane::new(Arc::clone(connection))];
        Self { lookups: lane(), listings: lane(), epoch }
    }

    /// Runs a look-up of microseconds, here and now.
    pub(super) fn look_up<T>(
        &self,
        read: impl FnOnce(&Lookup<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (held, lane) = free_lane(&self.lookups)?;
        let connection = held.as_ref().ok_or_else(closed)?;
        read(&Lookup { connection, seen_version: &lane.seen_version, epoch: &self.epoch })
    }

    /// Runs a listing in a transaction: all its statements see the same, and the file is locked once
    /// for all of them. Blocks: for blocking threads only.
    pub(super) fn list<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (held, _) = free_lane(&self.listings)?;
        let transaction =
            held.as_ref().ok_or_else(closed)?.unchecked_transaction().map_err(failure)?;
        let found = read(&transaction)?;
        transaction.commit().map_err(failure)?;
        Ok(found)
    }

    /// How many look-ups can run side by side.
    #[cfg(test)]
    pub(super) fn lanes(&self) -> usize {
        self.lookups.len()
    }

    /// Waits for what is being read and closes. Blocks: for blocking threads only.
    pub(super) fn close(&self) {
        for lane in self.lookups.iter().chain(&self.listings) {
            lane.connection.lock().take();
        }
    }
}

impl Lane {
    const fn new(connection: Shared) -> Self {
        Self { connection, seen_version: AtomicI64::new(0) }
    }
}

impl Lookup<'_> {
    /// The connection.
    pub(super) const fn connection(&self) -> &Connection {
        self.connection
    }

    /// A number that differs from every one given before some commit, by this process or another,
    /// that has ended by now.
    ///
    /// SQLite's `data_version` says whether anybody else committed since *this* connection last
    /// asked, so every connection that learns of a commit counts `epoch` up. What is read after
    /// this call is at least as new as the number: keep it under that number, and it is good as
    /// long as this call gives the same number again.
    pub(super) fn epoch(&self) -> Result<u64, StoreError> {
        let version = one(self.connection, "PRAGMA data_version", &[], |c| c.take::<i64>())?;
        let version = version.unwrap_or_default();
        if self.seen_version.swap(version, Ordering::SeqCst) != version {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        Ok(self.epoch.load(Ordering::SeqCst))
    }
}

/// The lane of this thread if it is free, else any free one, else this thread's when it is.
fn free_lane(lanes: &[Lane]) -> Result<(MutexGuard<'_, Option<Connection>>, &Lane), StoreError> {
    let own = lane_number() % lanes.len().max(1);
    let (before, from_own) = lanes.split_at_checked(own).ok_or_else(closed)?;
    for lane in from_own.iter().chain(before) {
        if let Some(held) = lane.connection.try_lock() {
            return Ok((held, lane));
        }
    }
    let lane = from_own.first().ok_or_else(closed)?;
    Ok((lane.connection.lock(), lane))
}

/// A number for each thread, so that a thread finds the same connection, with warm caches, again.
fn lane_number() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.with(|number| {
        number.get().unwrap_or_else(|| {
            let fresh = THREADS.fetch_add(1, Ordering::Relaxed);
            number.set(Some(fresh));
            fresh
        })
    })
}
