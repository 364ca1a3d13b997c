//! What others have to be told of, in order and for certain: events, and their deliveries.
//!
//! An event is written by the store itself, in the transaction of the change that it tells of: an
//! account disabled, enabled or changed ([`OutboxEventKind`]), a client's session ended, all
//! sessions of somebody ended. So no caller can forget it. One worker at a time, of all nodes,
//! holds the lease; it gives each event its position and writes the deliveries that it means.
//! Every write of the worker names the lease's generation and is refused once another took over.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use super::{AccountId, SessionId, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OutboxEventKind {
    /// The account may not sign in any more; all its sessions ended.
    #[serde(rename = "account.disabled")]
    AccountDisabled,
    /// The account may sign in again.
    #[serde(rename = "account.enabled")]
    AccountEnabled,
    /// Name, address, profile, roles or groups of an active account changed.
    #[serde(rename = "account.updated")]
    AccountUpdated,
    /// How the account is protected changed: a factor, a password, an identity. The reason is the
    /// name of the audit event, which writes it.
    #[serde(rename = "account.security_changed")]
    SecurityChanged,
    /// One session of a client ended before its time.
    #[serde(rename = "session.revoked")]
    SessionRevoked,
    /// All sessions of an account, or of everybody, were ended.
    #[serde(rename = "sessions.revoked")]
    SessionsRevoked,
}

impl OutboxEventKind {
    /// The word in the store and in what is delivered.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountDisabled => "account.disabled",
            Self::AccountEnabled => "account.enabled",
            Self::AccountUpdated => "account.updated",
            Self::SecurityChanged => "account.security_changed",
            Self::SessionRevoked => "session.revoked",
            Self::SessionsRevoked => "sessions.revoked",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::AccountDisabled,
            Self::AccountEnabled,
            Self::AccountUpdated,
            Self::SecurityChanged,
            Self::SessionRevoked,
            Self::SessionsRevoked,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for OutboxEventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event as stored. It names people and sessions by their ids only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEventRecord {
    /// Place in the store: events of one account are in the order of their changes.
    pub sequence: i64,
    /// Place in the stream of all events: without gaps, growing, never given twice. None before
    /// the worker saw it.
    pub position: Option<i64>,
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: OutboxEventKind,
    /// To whom; none when it happened to everybody.
    pub account: Option<AccountId>,
    /// The account's number.
    pub numeric_id: Option<i64>,
    /// The only client that it concerns.
    pub client: Option<String>,
    /// The session that ended.
    pub session: Option<SessionId>,
    /// Why, e.g. `logout`.
    pub reason: Option<String>,
}

/// How long events are kept for those who read the stream.
pub const EVENTS_KEPT_MILLIS: i64 = 7 * 24 * 3600 * 1000;

/// A delivery to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Where to: channel and client, e.g. `webhook:chat`.
    pub destination: String,
    /// Deliveries of one subject at one destination are made in order, one at a time.
    pub subject: String,
    /// What is to be told: an [`OutboxEventRecord`] as JSON.
    pub body: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// Not before then.
    pub due_at: Timestamp,
    /// When it is given up and forgotten.
    pub expires_at: Timestamp,
    /// Written as dead already, for this reason: the destination's queue is full.
    pub dead: Option<String>,
}

/// A delivery as stored. One that was made is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Its number; grows.
    pub id: i64,
    /// Where to.
    pub destination: String,
    /// Of what.
    pub subject: String,
    /// What is to be told.
    pub body: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// Not before then.
    pub due_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was given up.
    pub dead_at: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// The right to work on the outbox, until another worker takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLease {
    /// Grows with each change of holder.
    pub generation: i64,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// It arrived.
    Done,
    /// To be tried again.
    Retry {
        /// When.
        due_at: Timestamp,
        /// What went wrong.
        error: String,
    },
    /// Given up; kept on the list of dead deliveries.
    Dead {
        /// When.
        at: Timestamp,
        /// What went wrong.
        error: String,
    },
}

/// How much a destination has before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxLoad {
    /// The destination.
    pub destination: String,
    /// Deliveries that are still to be made.
    pub pending: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    /// When the oldest pending one was written.
    pub oldest: Option<Timestamp>,
}

/// Events and deliveries.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Changes whenever this node hears that there may be new events; also at other times. What
    /// another process wrote may not be heard: look every few hundred milliseconds besides.
    fn outbox_signal(&self) -> watch::Receiver<u64>;

    /// Takes the lease for `holder` until `until`, or renews it. `None` while somebody else has
    /// it beyond `now`.
    async fn hold_outbox(
        &self,
        holder: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<OutboxLease>, StoreError>;

    /// Gives the lease back, so that the next worker need not wait; no error when it was lost.
    async fn release_outbox(&self, lease: OutboxLease) -> Result<(), StoreError>;

    /// Events without a position, oldest first.
    async fn new_outbox_events(&self, limit: usize) -> Result<Vec<OutboxEventRecord>, StoreError>;

    /// Gives these events (by their `sequence`) the next positions, in this order, and writes the
    /// deliveries. `false`, and nothing written, when the lease was lost.
    async fn fan_out(
        &self,
        lease: OutboxLease,
        events: Vec<i64>,
        deliveries: Vec<NewDelivery>,
    ) -> Result<bool, StoreError>;

    /// Deliveries of a destination that may be tried at `now`: of each subject the oldest pending
    /// one, if it is due. By number.
    async fn due_deliveries(
        &self,
        destination: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError>;

    /// Writes what became of an attempt at a pending delivery, and further deliveries. `false`,
    /// and nothing written, when the lease was lost or the delivery is not pending.
    async fn finish_delivery(
        &self,
        lease: OutboxLease,
        delivery: i64,
        outcome: DeliveryOutcome,
        further: Vec<NewDelivery>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// Events after this position, in order.
    async fn outbox_events(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<OutboxEventRecord>, StoreError>;

    /// The last position that was given; 0 before the first.
    async fn outbox_position(&self) -> Result<i64, StoreError>;

    /// Load by destination, ordered by destination.
    async fn outbox_load(&self) -> Result<Vec<OutboxLoad>, StoreError>;

    /// Pending and dead deliveries of a destination by number, after `after`.
    async fn deliveries(
        &self,
        destination: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError>;

    /// Makes a destination's dead deliveries pending again, as if they were new; how many.
    async fn revive_deliveries(
        &self,
        destination: &str,
        now: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError>;
}

/// Audit events that tell of a change of an account's protection; with the outcome `success` and an
/// account each means an event [`OutboxEventKind::SecurityChanged`]. The triggers of the backends
/// hold the same list.
pub const SECURITY_CHANGES: [&str; 8] = [
    "account.factors_reset",
    "account.password_changed",
    "factor.added",
    "factor.recovery_code_used",
    "factor.recovery_codes_replaced",
    "factor.removed",
    "identity.linked",
    "identity.unlinked",
];
