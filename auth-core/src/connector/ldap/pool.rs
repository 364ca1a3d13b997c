//! A bounded pool of connections. Whoever finds none free waits, for a bounded time.
//!
//! A connection comes back only by [`Lease::give_back`]; one that is dropped in any other way (an
//! error, a timeout, a cancelled request) is closed, because nobody knows what is still under way
//! on it.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::client::Connection;
use super::failure::Failure;

/// Unused for longer than this, a connection is not trusted to be alive any more: firewalls and
/// servers forget it without a word.
const IDLE_LIFETIME: Duration = Duration::from_secs(60);

/// A pool of one server and one purpose.
pub(super) struct Pool {
    slots: Semaphore,
    size: usize,
    idle: Mutex<Vec<(Connection, Instant)>>,
    waiting: AtomicUsize,
}

/// Numbers of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// The most connections it may have.
    pub size: usize,
    /// Connections in use.
    pub in_use: usize,
    /// Open connections that nobody uses.
    pub idle: usize,
    /// Requests that wait for one.
    pub waiting: usize,
}

/// A connection on loan.
pub(super) struct Lease<'a> {
    /// The connection.
    pub(super) connection: Connection,
    /// Whether it was used before, so that its peer may have closed it in between.
    pub(super) reused: bool,
    pool: &'a Pool,
    _slot: SemaphorePermit<'a>,
}

impl Pool {
    /// A pool of at most `size` connections.
    pub(super) fn new(size: usize) -> Self {
        Self {
            slots: Semaphore::new(size),
            size,
            idle: Mutex::new(Vec::new()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// An idle connection, or one made by `open`; waits at most `wait` for a free place. `fresh`
    /// closes an idle one instead of using it.
    pub(super) async fn lease<F>(
        &self,
        wait: Duration,
        fresh: bool,
        open: impl FnOnce() -> F,
    ) -> Result<Lease<'_>, Failure>
    where
        F: Future<Output = Result<Connection, Failure>>,
    {
        let slot = match self.slots.try_acquire() {
            Ok(slot) => slot,
            Err(_) => self.wait_for_slot(wait).await?,
        };
        let idle = self.take_idle().filter(|_| !fresh);
        let reused = idle.is_some();
        let connection = match idle {
            Some(connection) => connection,
            None => open().await?,
        };
        Ok(Lease { connection, reused, pool: self, _slot: slot })
    }

    /// Numbers of the moment.
    pub(super) fn status(&self) -> PoolStatus {
        PoolStatus {
            size: self.size,
            in_use: self.size.saturating_sub(self.slots.available_permits()),
            idle: self.idle.lock().len(),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// Closes all idle connections.
    pub(super) fn clear(&self) {
        let closed = std::mem::take(&mut *self.idle.lock());
        drop(closed);
    }

    async fn wait_for_slot(&self, wait: Duration) -> Result<SemaphorePermit<'_>, Failure> {
        let _waiting = Waiting::new(&self.waiting);
        match timeout(wait, self.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(Failure::queue_full(format!(
                "all {} connections were in use for {wait:?}: raise pool_size",
                self.size
            ))),
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        // The one used last is the most likely to be alive.
        while let Some((connection, since)) = idle.pop() {
            if since.elapsed() < IDLE_LIFETIME && !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }
}

impl Lease<'_> {
    /// Puts the connection back for the next one.
    pub(super) fn give_back(self) {
        if !self.connection.is_closed() {
            self.pool.idle.lock().push((self.connection, Instant::now()));
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
