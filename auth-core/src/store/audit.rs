//! The audit trail: appended to, read in order, never changed.

use async_trait::async_trait;

use super::StoreError;
use crate::audit::AuditRecord;
use crate::clock::Timestamp;

/// An event with its position in the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Position; grows, may have gaps.
    pub sequence: i64,
    /// The event.
    pub record: AuditRecord,
}

/// Which part of the trail to read.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only entries with a greater sequence, in ascending order. `None`: the newest `limit`
    /// entries, still in ascending order.
    pub after: Option<i64>,
    /// Only events at or after this moment.
    pub since: Option<Timestamp>,
    /// Only events of this account name, compared exactly.
    pub account: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// The audit trail.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends events that go with no other change.
    async fn append_audit(&self, records: Vec<AuditRecord>) -> Result<(), StoreError>;

    /// Reads a part of the trail.
    async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError>;
}
