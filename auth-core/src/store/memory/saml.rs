//! Metadata and keys of SAML connections.

use async_trait::async_trait;

use super::{MemoryStore, conflict};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::store::{SamlKeyRecord, SamlMetadataRecord, SamlStore, StoreError};

#[async_trait]
impl SamlStore for MemoryStore {
    async fn saml_metadata(
        &self,
        connection: &str,
    ) -> Result<Option<SamlMetadataRecord>, StoreError> {
        Ok(self.open()?.saml_metadata.get(connection).cloned())
    }

    async fn put_saml_metadata(
        &self,
        mut record: SamlMetadataRecord,
        expected: Option<i64>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let found = state.saml_metadata.get(&record.connection).map(|stored| stored.version);
        if found != expected {
            return Ok(false);
        }
        record.version = found.map_or(1, |version| version + 1);
        state.saml_metadata.insert(record.connection.clone(), record);
        state.append(audit);
        Ok(true)
    }

    async fn saml_keys(&self, connection: &str) -> Result<Vec<SamlKeyRecord>, StoreError> {
        let state = self.open()?;
        let own = state.saml_keys.iter().filter(|key| key.connection == connection);
        let mut keys: Vec<SamlKeyRecord> = own.cloned().collect();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(keys)
    }

    async fn add_saml_key(
        &self,
        key: SamlKeyRecord,
        only_if_none: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let in_use = |other: &SamlKeyRecord| {
            other.retired_at.is_none() && other.connection == key.connection
        };
        if only_if_none && state.saml_keys.iter().any(in_use) {
            return Ok(false);
        }
        let same = |other: &SamlKeyRecord| other.id == key.id && other.connection == key.connection;
        if state.saml_keys.iter().any(same) {
            return Err(conflict("saml_key"));
        }
        state.saml_keys.push(key);
        state.append(audit);
        Ok(true)
    }

    async fn retire_saml_key(
        &self,
        connection: &str,
        id: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let mut keys = state.saml_keys.iter_mut();
        let wanted = |key: &&mut SamlKeyRecord| {
            key.connection == connection && key.id == id && key.retired_at.is_none()
        };
        let Some(key) = keys.find(wanted) else { return Ok(false) };
        key.retired_at = Some(at);
        state.append(audit);
        Ok(true)
    }
}
