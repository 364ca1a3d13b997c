//! Directory synchronisation: what was last seen of each person, who may write, and past runs.
//!
//! A run holds the lease of its directory. The lease has a generation that every take-over
//! increases; a batch of a run whose generation is not the stored one writes nothing, however
//! late it comes. What was last seen of a person stands beside the identity that links the person
//! to an account, so that it goes when the identity goes.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AccountRecord, ClaimMap, NewAccount, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;

/// 128 bits over the mapped fields and the state of a person.
pub type SyncDigest = [u8; 16];

/// One line of what was last seen: enough to tell who changed without reading an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncTrace {
    /// Stable subject at the directory.
    pub subject: String,
    /// Digest of what was applied last; `None` when the person was never wholly applied.
    pub digest: Option<SyncDigest>,
    /// Whether the directory's last word was that the person may not come in.
    pub shut_out: bool,
}

/// What a synchronisation notes beside an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncMark {
    /// Digest of what was applied; `None`: look at the person again next time.
    pub digest: Option<SyncDigest>,
    /// Whether the directory's word is that the person may not come in.
    pub shut_out: bool,
    /// When the password was last changed, as the directory writes it.
    pub password_changed_at: Option<String>,
    /// DN of the entry; empty when only a login has noted something so far.
    pub dn: String,
}

/// A person of a directory who has an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedPerson {
    /// Stable subject at the directory.
    pub subject: String,
    /// What was last noted, by a synchronisation or a login; `None`: nothing.
    pub mark: Option<SyncMark>,
    /// Whether another directory's last word about the same account was that the person may not
    /// come in.
    pub shut_out_elsewhere: bool,
    /// The account.
    pub account: AccountRecord,
    /// Its further claims.
    pub claims: ClaimMap,
}

/// Identifies a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SyncJobId(pub Uuid);

impl fmt::Display for SyncJobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Numbers of people by what is done, or was done, with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncCounts {
    /// Accounts to be made.
    pub create: u64,
    /// Accounts whose fields change.
    pub update: u64,
    /// Accounts that are shut out.
    pub deactivate: u64,
    /// Accounts that are let in again.
    pub reactivate: u64,
    /// People about whom somebody has to decide.
    pub conflict: u64,
    /// People of whom nothing changes.
    pub unchanged: u64,
}

impl SyncCounts {
    /// How many accounts are written.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.create + self.update + self.deactivate + self.reactivate
    }
}

/// How a run stands or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncJobState {
    /// Under way, or its node died.
    Running,
    /// All was applied but for the conflicts.
    Succeeded,
    /// The brake held it; nothing was changed.
    Refused,
    /// It failed; what its whole batches applied stays.
    Failed,
    /// Somebody stopped it between two batches.
    Stopped,
    /// Another run took over after its node fell silent.
    Abandoned,
}

impl SyncJobState {
    /// The word in listings, metrics and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Abandoned => "abandoned",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Running,
            Self::Succeeded,
            Self::Refused,
            Self::Failed,
            Self::Stopped,
            Self::Abandoned,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// What is known of a run beyond its state; grows without a change of the schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncJobDetail {
    /// `schedule` or `command`.
    pub trigger: String,
    /// `full` or `incremental`, as it turned out.
    pub kind: String,
    /// Which server was read.
    pub server: Option<String>,
    /// Entries that the directory gave.
    pub entries: u64,
    /// Searches that were made.
    pub searches: u64,
    /// What was planned.
    pub counts: SyncCounts,
    /// Whether an administrator ordered it to go on against the brake.
    pub overridden: bool,
    /// Why it was refused, failed or was stopped.
    pub message: Option<String>,
    /// The first conflicts, each with both sides.
    pub conflicts: Vec<String>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncJobRecord {
    /// Its id; grows with time.
    pub id: SyncJobId,
    /// The directory.
    pub directory: String,
    /// Generation of the lease under which it ran.
    pub generation: i64,
    /// Who ran it: a name of the node and process.
    pub holder: String,
    /// How it stands.
    pub state: SyncJobState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Accounts written so far; counted by [`SyncStore::apply_sync_batch`] alone.
    pub applied: i64,
    /// Accounts shut out so far; counted by [`SyncStore::apply_sync_batch`] alone.
    pub deactivated: i64,
    /// Everything else.
    pub detail: SyncJobDetail,
}

/// The right to write for a directory, until somebody takes it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncLease {
    /// The directory.
    pub directory: String,
    /// Who holds it.
    pub holder: String,
    /// Increased each time it is taken.
    pub generation: i64,
}

/// What came of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// It is the asker's now.
    Granted(SyncLease),
    /// Somebody else has it.
    Held {
        /// Who.
        holder: String,
        /// Until when, unless it is renewed.
        until: Timestamp,
    },
}

/// How the synchronisation of a directory stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncStatus {
    /// Who holds the lease and until when; `None` when nobody does. It may have run out.
    pub lease: Option<(String, Timestamp)>,
    /// Where an incremental read goes on, in the connector's own form.
    pub position: Option<serde_json::Value>,
    /// Start of the last full run that succeeded.
    pub full_at: Option<Timestamp>,
    /// End of the last run that succeeded.
    pub succeeded_at: Option<Timestamp>,
    /// Start of the last run, however it ended.
    pub started_at: Option<Timestamp>,
}

/// One write of a batch.
#[derive(Clone, Debug)]
pub enum SyncWrite {
    /// Makes an account for a person of the directory.
    Create {
        /// The account with its identity at the directory.
        new: Box<NewAccount>,
        /// Its further claims.
        claims: ClaimMap,
        /// What to note.
        mark: SyncMark,
    },
    /// Writes an account if its stored version is the given one and it is still linked.
    Update {
        /// The account as it is to be; `version` is the expected one.
        account: Box<AccountRecord>,
        /// The person.
        subject: String,
        /// Further claims in place of the stored ones; `None` leaves those.
        claims: Option<ClaimMap>,
        /// What to note; `None` leaves what is noted, so that the person is looked at again.
        mark: Option<SyncMark>,
        /// Ends the account's sessions for this reason although it stays active.
        end_sessions: Option<&'static str>,
    },
    /// Notes what was seen; no account is read or written.
    Note {
        /// The person.
        subject: String,
        /// What to note.
        mark: SyncMark,
    },
}

/// One write with what it means.
#[derive(Clone, Debug)]
pub struct SyncStep {
    /// The write.
    pub write: SyncWrite,
    /// Whether it shuts somebody out who was in.
    pub deactivates: bool,
    /// Its events, written only if it is.
    pub audit: Vec<AuditRecord>,
}

/// Writes that are one transaction.
#[derive(Clone, Debug)]
pub struct SyncBatch {
    /// Under which right.
    pub lease: SyncLease,
    /// For which run.
    pub job: SyncJobId,
    /// When.
    pub at: Timestamp,
    /// The writes.
    pub steps: Vec<SyncStep>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncBatchOutcome {
    /// Somebody else holds the lease now: nothing was written.
    LeaseLost,
    /// Written, except for the steps with these numbers, whose account was changed or unlinked
    /// in the meantime.
    Done {
        /// Numbers of the steps that were left out, ascending.
        stale: Vec<usize>,
    },
}

/// What the end of a run changes beside its own row.
#[derive(Clone, Debug, Default)]
pub struct SyncCompletion {
    /// Where the next incremental read goes on; `None` leaves the stored position as it is.
    pub position: Option<Option<serde_json::Value>>,
    /// Whether everybody was read.
    pub full: bool,
}

/// Directory synchronisation.
#[async_trait]
pub trait SyncStore: Send + Sync {
    /// One page of what was last seen of the people of a directory who have an account, by subject
    /// (byte by byte), after the given one.
    async fn sync_traces(
        &self,
        directory: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<SyncTrace>, StoreError>;

    /// Those of these subjects of a directory that have an account, in any order.
    async fn synced_people(
        &self,
        directory: &str,
        subjects: &[String],
    ) -> Result<Vec<SyncedPerson>, StoreError>;

    /// The accounts whose `username_key` or `email_key` is one of `keys`, each once, in any order.
    async fn accounts_by_keys(&self, keys: &[String]) -> Result<Vec<AccountRecord>, StoreError>;

    /// How many active accounts have an identity at this directory.
    async fn count_synced_accounts(&self, directory: &str) -> Result<u64, StoreError>;

    /// Takes the lease of a directory until `until`, if nobody holds it or it has run out at
    /// `now`. The generation grows with every grant.
    async fn acquire_sync_lease(
        &self,
        directory: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseAnswer, StoreError>;

    /// Holds the lease until `until`; `false` when somebody else has taken it.
    async fn renew_sync_lease(
        &self,
        lease: &SyncLease,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Gives the lease back; `false` when somebody else has taken it.
    async fn release_sync_lease(&self, lease: &SyncLease) -> Result<bool, StoreError>;

    /// Adds a run, and calls those of the same directory that are still said to be running
    /// abandoned (at the new run's start). `false`, and nothing written, when the lease is lost.
    async fn begin_sync_job(
        &self,
        lease: &SyncLease,
        job: SyncJobRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// Carries out a batch: all of it or nothing.
    ///
    /// Within a batch, names and addresses that one account gives up may be taken by another one,
    /// in a circle too. A written account that is inactive has its sessions ended at the batch's
    /// time (reason `account_inactive`). Counts what it wrote in the run's row.
    ///
    /// `Conflict` names `username`, `email` or `identity`; nothing was written then.
    async fn apply_sync_batch(&self, batch: SyncBatch) -> Result<SyncBatchOutcome, StoreError>;

    /// Writes the run's end (state, `finished_at`, detail) and, with `completion`, that it
    /// succeeded. `false`, and nothing written, when the lease is lost.
    async fn finish_sync_job(
        &self,
        lease: &SyncLease,
        job: SyncJobRecord,
        completion: Option<SyncCompletion>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// How the synchronisation of a directory stands.
    async fn sync_status(&self, directory: &str) -> Result<SyncStatus, StoreError>;

    /// Runs of a directory, newest first.
    async fn sync_jobs(
        &self,
        directory: &str,
        limit: usize,
    ) -> Result<Vec<SyncJobRecord>, StoreError>;

    /// How many people runs of a directory that ended, or still ran, at or after `since` have shut
    /// out, without those that an administrator ordered against the brake.
    async fn sync_deactivations(
        &self,
        directory: &str,
        since: Timestamp,
    ) -> Result<u64, StoreError>;
}
