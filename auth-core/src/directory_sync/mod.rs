//! Synchronisation of the accounts with the people of a directory.
//!
//! ```text
//! read -> compare with what was last seen -> decide -> settle names -> brake -> batches
//! ```
//!
//! `plan` and `run` go the same way; `run` alone writes. The rules are pure ([`compare`],
//! [`decision`], [`step`], [`plan`], [`names`], [`guard`]) and see one chunk of people at a time; [`runner`],
//! [`apply`], [`spool`] and [`lease`] do the I/O. Nothing is decided before the directory said
//! that the read is complete. Nobody is ever deleted, or linked by a name or an address.

mod apply;
mod change;
mod compare;
mod decision;
mod digest;
mod guard;
mod job;
mod lease;
mod names;
mod plan;
mod population;
mod prepare;
mod request;
mod runner;
mod spool;
mod step;
#[cfg(test)]
mod tests;

pub use change::{Change, FieldChange, Operation};
pub use guard::{Brake, BrakeReport};
pub use population::{Population, PopulationSummary};
pub use request::{Progress, ReadWish, RunRequest, SyncError, SyncOutcome, SyncSettings, Watcher};
pub use runner::DirectorySync;
