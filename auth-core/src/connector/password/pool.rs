//! Threads of our own for password hashes: async threads never hash, and memory stays within
//! threads x memory cost however many people sign in at once.
//!
//! Each thread keeps its memory from hash to hash and frees it after a quiet minute. Callers wait
//! in a bounded queue for a bounded time, then hear [`PoolError::Busy`]. The work of a caller that
//! went away is skipped; a hash that panics costs its caller an error, not the pool a thread.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::oneshot;

use super::hash::{
    Argon2Parameters, HashMemory, ParametersError, SALT_LEN, StoredHash, StoredHashError, hash,
    hash_for_nobody,
};
use crate::random::Random;
use crate::secret::Secret;

/// How a pool is built.
#[derive(Clone, Copy, Debug)]
pub struct HashPoolSettings {
    /// Cost of new hashes.
    pub parameters: Argon2Parameters,
    /// Number of threads; more than cores is slower.
    pub threads: NonZeroUsize,
    /// How many callers may wait; the next one hears [`PoolError::Busy`].
    pub queue_length: usize,
    /// How long a caller waits for its turn and its hash.
    pub longest_wait: Duration,
    /// After so long without work a thread frees its memory.
    pub keep_memory: Duration,
}

impl Default for HashPoolSettings {
    /// One thread less than there are cores (at least one), 1,024 waiting, 10 s, 60 s.
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            parameters: Argon2Parameters::default(),
            threads: NonZeroUsize::new(cores.saturating_sub(1)).unwrap_or(NonZeroUsize::MIN),
            queue_length: 1024,
            longest_wait: Duration::from_secs(10),
            keep_memory: Duration::from_secs(60),
        }
    }
}

/// Why a pool did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The parameters are out of bounds.
    #[error("password.argon2: {0}")]
    Parameters(#[from] ParametersError),
    /// The system gave no thread.
    #[error("cannot start a hash thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why the pool gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// Too many wait, or the wait took too long; try again later.
    #[error("too many password checks are waiting")]
    Busy,
    /// The pool is shutting down.
    #[error("the password hash threads are shutting down")]
    Closed,
    /// The hash could not be computed, e.g. for want of memory.
    #[error("the password hash failed: {0}")]
    Failed(String),
    /// The stored hash cannot be used.
    #[error(transparent)]
    StoredHash(#[from] StoredHashError),
}

/// What a verification found.
#[derive(Debug, PartialEq, Eq)]
pub enum Verification {
    /// The right password.
    Right {
        /// A new hash of it, when the stored one has other parameters than the configured ones.
        rehashed: Option<String>,
    },
    /// Another password.
    Wrong,
}

/// A pool of hash threads. Dropping it ends them; each finishes at most the hash at hand.
pub struct HashPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    longest_wait: Duration,
}

impl HashPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the parameters are out of bounds, or the system gives no thread.
    pub fn start(settings: HashPoolSettings, random: Arc<dyn Random>) -> Result<Self, StartError> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { jobs: VecDeque::new(), closed: false }),
            changed: Condvar::new(),
            queue_length: settings.queue_length,
            keep_memory: settings.keep_memory,
            parameters: RwLock::new(settings.parameters.validate()?),
            held: AtomicUsize::new(0),
            random,
        });
        let mut pool = Self { shared, threads: Vec::new(), longest_wait: settings.longest_wait };
        for number in 0..settings.threads.get() {
            let shared = Arc::clone(&pool.shared);
            let name = format!("hash-{number}");
            pool.threads.push(thread::Builder::new().name(name).spawn(move || shared.work())?);
        }
        Ok(pool)
    }

    /// Hashes `password` with the pool's parameters and a fresh salt, to a PHC string.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn hash(&self, password: Secret) -> Result<String, PoolError> {
        let shared = Arc::clone(&self.shared);
        self.run(move |memory| shared.hash(&password, memory)).await?
    }

    /// Compares `password` with a stored PHC string, and hashes it anew when it is right and the
    /// stored parameters differ from the pool's.
    ///
    /// # Errors
    /// [`PoolError`]; `StoredHash` only after the work of a hash, so that it takes as long.
    pub async fn verify(
        &self,
        password: Secret,
        stored: String,
    ) -> Result<Verification, PoolError> {
        let shared = Arc::clone(&self.shared);
        self.run(move |memory| shared.verify(&password, &stored, memory)).await?
    }

    /// Does the work of a verification for somebody who has no password here.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn verify_dummy(&self, password: Secret) -> Result<(), PoolError> {
        let shared = Arc::clone(&self.shared);
        self.run(move |memory| {
            hash_for_nobody(&password, *shared.parameters.read(), memory).map_err(failed)
        })
        .await?
    }

    /// Cost of new hashes.
    #[must_use]
    pub fn parameters(&self) -> Argon2Parameters {
        *self.shared.parameters.read()
    }

    /// Changes the cost of new hashes, on a reload of the configuration.
    ///
    /// # Errors
    /// When they are out of bounds; the old ones then stay.
    pub fn set_parameters(&self, parameters: Argon2Parameters) -> Result<(), ParametersError> {
        *self.shared.parameters.write() = parameters.validate()?;
        Ok(())
    }

    /// How many callers wait for a thread.
    #[must_use]
    pub fn queue_length(&self) -> usize {
        self.shared.queue.lock().jobs.len()
    }

    /// Number of threads.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Bytes of hash memory that the threads hold at present.
    #[must_use]
    pub fn held_memory(&self) -> usize {
        self.shared.held.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (reply, answer) = oneshot::channel();
        let caller = Arc::new(());
        self.shared.submit(Job {
            caller: Arc::downgrade(&caller),
            // A caller that gave up meanwhile takes no answer; nobody else wants it.
            work: Box::new(move |memory| drop(reply.send(work(memory)))),
        })?;
        let answer = tokio::time::timeout(self.longest_wait, answer).await;
        drop(caller);
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) if self.shared.queue.lock().closed => Err(PoolError::Closed),
            Ok(Err(_)) => Err(PoolError::Failed("the hash thread panicked".to_owned())),
            Err(_) => Err(PoolError::Busy),
        }
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        let waiting = {
            let mut queue = self.shared.queue.lock();
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        drop(waiting);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a password hash thread had ended by a panic");
            }
        }
    }
}

struct Job {
    /// Dead when the caller's future is gone.
    caller: Weak<()>,
    work: Box<dyn FnOnce(&mut HashMemory) + Send>,
}

impl Job {
    fn is_wanted(&self) -> bool {
        self.caller.strong_count() > 0
    }
}

struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

enum Next {
    Closed,
    Job(Job),
    Quiet,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    queue_length: usize,
    keep_memory: Duration,
    parameters: RwLock<Argon2Parameters>,
    held: AtomicUsize,
    random: Arc<dyn Random>,
}

impl Shared {
    fn submit(&self, job: Job) -> Result<(), PoolError> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(PoolError::Closed);
        }
        if queue.jobs.len() >= self.queue_length {
            queue.jobs.retain(Job::is_wanted);
        }
        if queue.jobs.len() >= self.queue_length {
            return Err(PoolError::Busy);
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        let mut memory = HashMemory::default();
        loop {
            let before = memory.held();
            match self.next(before > 0) {
                Next::Closed => break,
                Next::Quiet => memory.release(),
                Next::Job(job) if !job.is_wanted() => {}
                Next::Job(job) => {
                    if catch_unwind(AssertUnwindSafe(|| (job.work)(&mut memory))).is_err() {
                        tracing::error!("a password hash panicked; its thread goes on");
                        memory.release();
                    }
                    memory.trim(*self.parameters.read());
                }
            }
            self.held.fetch_add(memory.held(), Ordering::Relaxed);
            self.held.fetch_sub(before, Ordering::Relaxed);
        }
        self.held.fetch_sub(memory.held(), Ordering::Relaxed);
    }

    fn next(&self, holds_memory: bool) -> Next {
        let quiet_at = Instant::now() + self.keep_memory;
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return Next::Closed;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Next::Job(job);
            }
            if !holds_memory {
                self.changed.wait(&mut queue);
            } else if self.changed.wait_until(&mut queue, quiet_at).timed_out()
                && queue.jobs.is_empty()
            {
                return if queue.closed { Next::Closed } else { Next::Quiet };
            }
        }
    }

    fn hash(&self, password: &Secret, memory: &mut HashMemory) -> Result<String, PoolError> {
        let mut salt = [0u8; SALT_LEN];
        self.random.fill(&mut salt);
        hash(password, *self.parameters.read(), &salt, memory).map_err(failed)
    }

    fn verify(
        &self,
        password: &Secret,
        stored: &str,
        memory: &mut HashMemory,
    ) -> Result<Verification, PoolError> {
        let wanted = *self.parameters.read();
        let stored = match StoredHash::parse(stored) {
            Ok(stored) => stored,
            Err(error) => {
                hash_for_nobody(password, wanted, memory).map_err(failed)?;
                return Err(error.into());
            }
        };
        if !stored.matches(password, memory).map_err(failed)? {
            return Ok(Verification::Wrong);
        }
        let rehashed = match stored.needs_rehash(wanted) {
            true => Some(self.hash(password, memory)?),
            false => None,
        };
        Ok(Verification::Right { rehashed })
    }
}

fn failed(error: argon2::Error) -> PoolError {
    PoolError::Failed(error.to_string())
}

#[cfg(test)]
mod tests;
