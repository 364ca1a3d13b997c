//! Signing keys, clients and named values.

use async_trait::async_trait;

use super::{MemoryStore, conflict};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::store::{ClientRecord, KeyStore, SigningKeyRecord, StoreError};

#[async_trait]
impl KeyStore for MemoryStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        let mut keys = self.open()?.signing_keys.clone();
        keys.sort_by_key(|key| key.created_at);
        Ok(keys)
    }

    async fn add_signing_key(
        &self,
        key: SigningKeyRecord,
        only_if_none: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let in_use = |other: &SigningKeyRecord| {
            other.retired_at.is_none() && other.algorithm == key.algorithm
        };
        if only_if_none && state.signing_keys.iter().any(in_use) {
            return Ok(false);
        }
        if state.signing_keys.iter().any(|other| other.kid == key.kid) {
            return Err(conflict("kid"));
        }
        state.signing_keys.push(key);
        state.append(audit);
        Ok(true)
    }

    async fn retire_signing_key(
        &self,
        kid: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let mut keys = state.signing_keys.iter_mut();
        let Some(key) = keys.find(|key| key.kid == kid && key.retired_at.is_none()) else {
            return Ok(false);
        };
        key.retired_at = Some(at);
        state.append(audit);
        Ok(true)
    }

    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError> {
        Ok(self.open()?.clients.values().cloned().collect())
    }

    async fn client(&self, id: &str) -> Result<Option<ClientRecord>, StoreError> {
        Ok(self.open()?.clients.get(id).cloned())
    }

    async fn add_client(
        &self,
        client: ClientRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let mut state = self.open()?;
        if state.clients.contains_key(&client.id) {
            return Err(conflict("client"));
        }
        state.clients.insert(client.id.clone(), client);
        state.append(audit);
        Ok(())
    }

    async fn update_client(
        &self,
        client: ClientRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let Some(stored) = state.clients.get_mut(&client.id) else { return Ok(false) };
        *stored = client;
        state.append(audit);
        Ok(true)
    }

    async fn remove_client(
        &self,
        id: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if state.clients.remove(id).is_none() {
            return Ok(false);
        }
        state.revoke_where(at, "client_removed", |session| session.client.as_deref() == Some(id));
        state.append(audit);
        Ok(true)
    }

    async fn named_value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.open()?.named_values.get(name).cloned())
    }

    async fn set_named_value(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.open()?.named_values.insert(name.to_owned(), value.to_vec());
        Ok(())
    }
}
