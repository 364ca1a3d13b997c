//! Sessions of identity providers.

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::{SessionId, StoreError, UpstreamSessionRecord, UpstreamSessionStore};

#[async_trait]
impl UpstreamSessionStore for MemoryStore {
    async fn add_upstream_session(&self, record: UpstreamSessionRecord) -> Result<(), StoreError> {
        self.open()?.upstream_sessions.insert(record.session, record);
        Ok(())
    }

    async fn upstream_session(
        &self,
        session: SessionId,
    ) -> Result<Option<UpstreamSessionRecord>, StoreError> {
        Ok(self.open()?.upstream_sessions.get(&session).cloned())
    }

    async fn take_upstream_sessions(
        &self,
        connector: &str,
        subject: Option<&str>,
        index: Option<&str>,
    ) -> Result<Vec<UpstreamSessionRecord>, StoreError> {
        let mut state = self.open()?;
        if subject.is_none() && index.is_none() {
            return Ok(Vec::new());
        }
        let matches = |record: &UpstreamSessionRecord| {
            record.connector == connector
                && subject.is_none_or(|subject| record.subject == subject)
                && index.is_none_or(|index| record.index.as_deref() == Some(index))
        };
        let taken = state.upstream_sessions.extract_if(.., |_, record| matches(record));
        Ok(taken.map(|(_, record)| record).collect())
    }
}
