//! How a synchronisation is asked for, what it tells on its way, and what it comes to.

use std::time::Duration;

use tokio::sync::watch;

use super::change::Change;
use super::guard::{Brake, BrakeReport};
use crate::audit::Origin;
use crate::clock::Timestamp;
use crate::connector::ConnectorError;
use crate::store::{StoreError, SyncCounts};

/// Settings of the synchronisation of one directory.
#[derive(Clone, Debug)]
pub struct SyncSettings {
    /// The directory's id.
    pub directory: String,
    /// What stops a harmful run.
    pub brake: Brake,
    /// User names, normalised, of accounts that are never deactivated.
    pub administrators: Vec<String>,
    /// A full read comes at least this often.
    pub full_every: Duration,
    /// Who this is: a name of the node and process.
    pub holder: String,
}

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadWish {
    /// Everybody.
    Full,
    /// Who changed since the last run, where that can be known.
    Incremental,
    /// Who changed, and everybody when the last full read is older than `full_every`.
    AsDue,
}

/// How a run is to go.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// What is read.
    pub wish: ReadWish,
    /// Whether an administrator orders to go on against the brake.
    pub override_brake: bool,
    /// `schedule` or `command`.
    pub trigger: &'static str,
    /// Where the order came from.
    pub origin: Origin,
    /// Does nothing when a run began at or after this moment: another node was first.
    pub unless_started_since: Option<Timestamp>,
    /// Waits for the lease of a node that may be dead.
    pub wait: bool,
    /// True once the run is to end, between two batches.
    pub stop: watch::Receiver<bool>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another run holds the lease; it is waited for in case its node is dead.
    Waiting {
        /// Who holds it.
        holder: String,
    },
    /// People that were read so far.
    Reading {
        /// How many.
        entries: u64,
    },
    /// People who are new or changed are being looked at.
    Comparing {
        /// How many were.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// People are being written.
    Applying {
        /// How many were.
        done: u64,
        /// Of how many.
        total: u64,
    },
}

/// Is told how far a run is, and of each line of the plan.
pub trait Watcher: Send + Sync {
    /// How far it is.
    fn progress(&self, progress: Progress);

    /// A line of the plan; of a run, once it is written.
    fn change(&self, change: &Change);
}

/// What a plan or a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncOutcome {
    /// `full` or `incremental`.
    pub kind: &'static str,
    /// Entries that the directory gave.
    pub entries: u64,
    /// Searches that were made.
    pub searches: u64,
    /// Which server was read.
    pub server: Option<String>,
    /// What was planned.
    pub counts: SyncCounts,
    /// Why the brake held it, or would have.
    pub brake: Option<BrakeReport>,
    /// Accounts that were written.
    pub applied: u64,
    /// People who are looked at again by the next run: their account kept changing.
    pub left_out: u64,
    /// How long it took.
    pub took: Duration,
}

impl SyncOutcome {
    /// Whether the brake held it, so that nothing was changed.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.brake.as_ref().is_some_and(|brake| !brake.overridden)
    }
}

/// Why there is no plan, or a run did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The directory could not be read; nothing was changed.
    #[error("the directory could not be read, so nothing was changed: {0}")]
    Directory(#[from] ConnectorError),
    /// The store failed; what whole batches wrote stays.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// People could not be kept between reading and writing; nothing was changed.
    #[error("temporary file: {0}; is the disk full?")]
    Spool(#[from] std::io::Error),
    /// Another run is under way.
    #[error("another run is under way: {holder}; `auth-daemon sync status` shows it")]
    Busy {
        /// Who runs it.
        holder: String,
    },
    /// Another node was first.
    #[error("another node has run it already")]
    NotDue,
    /// Another run took over; what whole batches wrote stays, nothing more was written.
    #[error("another run took over, because this one was silent for too long")]
    LeaseLost,
    /// Somebody stopped it between two batches.
    #[error("stopped after {applied} accounts; what was written is whole, the next run goes on")]
    Stopped {
        /// Accounts written before.
        applied: u64,
    },
}
