//! The one thread that writes: group commit.
//!
//! It takes what waits in the queue, runs each request in a savepoint of its own inside one
//! `BEGIN IMMEDIATE` transaction (a request that is alone needs none), commits once, and answers
//! only then. So one `fsync` serves all callers that wait, a request that fails undoes only itself,
//! and what was answered is durable. When the commit fails (disk full), all fail and the thread
//! goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use auth_core::store::StoreError;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::error::{closed, failure};
use super::file::set_spill;
use super::row::change;

/// A connection that [`Writer`] and, for a database in memory, the readers share. `None` once
/// closed.
pub(super) type Shared = Arc<Mutex<Option<Connection>>>;

/// The writing end of the queue.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    ended: watch::Receiver<()>,
    commits: watch::Receiver<u64>,
}

impl Writer {
    /// Starts the thread. It adds one to `epoch` after every commit, before anybody is answered
    /// and while it still holds `connection`.
    pub(super) fn start(connection: Shared, epoch: Arc<AtomicU64>) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(QUEUE_LENGTH);
        let (alive, ended) = watch::channel(());
        let (committed, commits) = watch::channel(0);
        thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                Committer { requests, connection, epoch, committed }.run();
                drop(alive);
            })
            .map_err(|error| StoreError::Unavailable {
                message: format!("the thread that writes cannot be started: {error}"),
            })?;
        Ok(Self { queue, ended, commits })
    }

    /// Runs `work` in a transaction. What it returns is given back after the commit; when it
    /// fails, all that it changed is undone.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.hand_in(work, false).await
    }

    /// As [`Writer::run`], in a transaction that it shares with nobody: for work that changes
    /// thousands of rows.
    pub(super) async fn run_alone<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.hand_in(work, true).await
    }

    async fn hand_in<T, F>(&self, work: F, alone: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let request = Ticket { work: Some(work), alone, outcome: None, caller };
        self.queue.send(Message::Run(Box::new(request))).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Changes with every commit of this process.
    pub(super) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    /// How many messages wait in the queue.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Lets the thread finish what waits, write all into the database file, and end.
    pub(super) async fn close(&self) {
        // An error of either call means that the thread has ended already.
        let _ = self.queue.send(Message::Close).await;
        let _ = self.ended.clone().changed().await;
    }
}

/// How many requests may wait before a caller waits to hand in its own.
const QUEUE_LENGTH: usize = 1024;

/// How many requests share one commit at most, so that the first does not wait for ever.
const BATCH_LENGTH: usize = 256;

/// Changed pages that a large request may keep in memory: 16 MiB, more than a batch of a
/// synchronisation changes.
const MANY_PAGES: u32 = 4096;

/// What others may: as many as the cache holds.
const FEW_PAGES: u32 = 1;

enum Message {
    Run(Box<dyn Request>),
    Close,
}

trait Request: Send {
    /// Does the work and keeps its outcome. `Err`: undo it, for this reason.
    fn perform(&mut self, connection: &Connection) -> Result<(), String>;

    /// Whether nothing else may be in its transaction.
    fn stands_alone(&self) -> bool;

    /// Answers the caller: with the outcome, or with why the whole batch came to nothing.
    fn answer(self: Box<Self>, batch: Result<(), &str>);
}

struct Ticket<T, F> {
    work: Option<F>,
    alone: bool,
    outcome: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Request for Ticket<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn perform(&mut self, connection: &Connection) -> Result<(), String> {
        let Some(work) = self.work.take() else { return Ok(()) };
        // A panic must not end the thread that everybody writes through.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(connection))).unwrap_or_else(|_| {
            Err(StoreError::Unavailable { message: "the request panicked".to_owned() })
        });
        let verdict = outcome.as_ref().map(drop).map_err(StoreError::to_string);
        self.outcome = Some(outcome);
        verdict
    }

    fn stands_alone(&self) -> bool {
        self.alone
    }

    fn answer(self: Box<Self>, batch: Result<(), &str>) {
        let outcome = match (batch, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            // Even a conflict is void then: it may have been with a neighbour that is undone too.
            (Err(message), _) => Err(StoreError::Unavailable { message: message.to_owned() }),
            (Ok(()), None) => Err(closed()),
        };
        // A caller that is gone wants no answer.
        let _ = self.caller.send(outcome);
    }
}

struct Committer {
    requests: mpsc::Receiver<Message>,
    connection: Shared,
    epoch: Arc<AtomicU64>,
    committed: watch::Sender<u64>,
}

impl Committer {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(message) = self.requests.blocking_recv() {
            self.collect(message, &mut batch);
            while batch.len() < BATCH_LENGTH
                && !batch.last().is_some_and(|last| last.stands_alone())
                && let Ok(message) = self.requests.try_recv()
            {
                if matches!(&message, Message::Run(next) if next.stands_alone()) {
                    self.commit(&mut batch);
                }
                self.collect(message, &mut batch);
            }
            self.commit(&mut batch);
        }
        if let Some(connection) = self.connection.lock().take() {
            finish(&connection);
        }
    }

    fn collect(&mut self, message: Message, batch: &mut Vec<Box<dyn Request>>) {
        match message {
            Message::Run(request) => batch.push(request),
            // What is in the queue already is still done.
            Message::Close => self.requests.close(),
        }
    }

    fn commit(&self, batch: &mut Vec<Box<dyn Request>>) {
        if batch.is_empty() {
            return;
        }
        let held = self.connection.lock();
        let result = held.as_ref().map_or_else(
            || Err(closed().to_string()),
            |connection| transact(connection, batch).inspect_err(|_| roll_back(connection)),
        );
        self.epoch.fetch_add(1, Ordering::SeqCst);
        drop(held);
        self.committed.send_modify(|commits| *commits = commits.wrapping_add(1));
        if let Err(message) = &result {
            tracing::error!(requests = batch.len(), cause = %message, "SQLite transaction failed");
        }
        for request in batch.drain(..) {
            request.answer(result.as_ref().copied().map_err(String::as_str));
        }
    }
}

fn transact(connection: &Connection, batch: &mut [Box<dyn Request>]) -> Result<(), String> {
    if let [only] = batch {
        if !only.stands_alone() {
            return transact_one(connection, only.as_mut());
        }
        set_spill(connection, MANY_PAGES).map_err(|error| error.to_string())?;
        let result = transact_one(connection, only.as_mut());
        // What was committed stays so: this is only about memory.
        if let Err(error) = set_spill(connection, FEW_PAGES) {
            tracing::warn!(%error, "SQLite goes on keeping many pages");
        }
        return result;
    }
    control(connection, "BEGIN IMMEDIATE")?;
    for request in batch {
        control(connection, "SAVEPOINT request")?;
        if let Err(message) = request.perform(connection) {
            // SQLite itself gives up the whole transaction when the disk is full or fails.
            if connection.is_autocommit() {
                return Err(message);
            }
            control(connection, "ROLLBACK TO request")?;
        }
        control(connection, "RELEASE request")?;
    }
    control(connection, "COMMIT")
}

/// Nobody's work stands beside it: the transaction itself can be undone. A savepoint would keep a
/// copy of every page that is changed, which a large request pays dearly for.
fn transact_one(connection: &Connection, request: &mut dyn Request) -> Result<(), String> {
    control(connection, "BEGIN IMMEDIATE")?;
    match request.perform(connection) {
        Ok(()) => control(connection, "COMMIT"),
        Err(message) if connection.is_autocommit() => Err(message),
        Err(_) => control(connection, "ROLLBACK"),
    }
}

fn control(connection: &Connection, sql: &str) -> Result<(), String> {
    match change(connection, sql, &[]) {
        Ok(_) => Ok(()),
        Err(StoreError::Unavailable { message }) => Err(message),
        Err(error) => Err(error.to_string()),
    }
}

fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = change(connection, "ROLLBACK", &[])
    {
        tracing::error!(%error, "SQLite transaction could not be rolled back");
    }
}

/// Moves the write-ahead log into the database file. Failing is no loss: the log is durable and
/// is read at the next start.
fn finish(connection: &Connection) {
    let checkpoint = connection
        .execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);")
        .map_err(failure);
    if let Err(error) = checkpoint {
        tracing::warn!(%error, "SQLite write-ahead log was not moved into the file");
    }
}
