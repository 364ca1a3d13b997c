//! The audit trail.

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::audit::AuditRecord;
use crate::store::{AuditEntry, AuditQuery, AuditStore, StoreError};

impl State {
    /// Appends the events of a step that took place.
    pub(super) fn append(&mut self, records: Vec<AuditRecord>) {
        for record in records {
            self.security_event(&record);
            self.last_sequence += 1;
            self.trail.push(AuditEntry { sequence: self.last_sequence, record });
        }
    }
}

#[async_trait]
impl AuditStore for MemoryStore {
    async fn append_audit(&self, records: Vec<AuditRecord>) -> Result<(), StoreError> {
        self.open()?.append(records);
        Ok(())
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let state = self.open()?;
        let wanted = state.trail.iter().filter(|entry| {
            query.after.is_none_or(|after| entry.sequence > after)
                && query.since.is_none_or(|since| entry.record.at >= since)
                && query
                    .account
                    .as_ref()
                    .is_none_or(|name| entry.record.account.as_ref() == Some(name))
        });
        if query.after.is_some() {
            return Ok(wanted.take(query.limit).cloned().collect());
        }
        let mut newest: Vec<_> = wanted.rev().take(query.limit).cloned().collect();
        newest.reverse();
        Ok(newest)
    }
}
