//! Remembered devices.

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;
use crate::store::{AccountId, DeviceId, DeviceRecord, DeviceStore, StoreError};

impl State {
    /// Forgets all devices of an account.
    pub(super) fn forget_devices(&mut self, account: AccountId) {
        self.devices.retain(|_, device| device.account != account);
    }
}

#[async_trait]
impl DeviceStore for MemoryStore {
    async fn add_device(
        &self,
        device: DeviceRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.require_account(device.account)?;
        if state.devices.contains_key(&device.token) {
            return Err(conflict("device"));
        }
        state.devices.insert(device.token, device);
        state.append(audit);
        Ok(())
    }

    async fn device(&self, token: TokenHash) -> Result<Option<DeviceRecord>, StoreError> {
        Ok(self.open()?.devices.get(&token).cloned())
    }

    async fn devices(&self, account: AccountId) -> Result<Vec<DeviceRecord>, StoreError> {
        let state = self.open()?;
        let of_account = state.devices.values().filter(|device| device.account == account);
        let mut found: Vec<_> = of_account.cloned().collect();
        found.sort_by_key(|device| (device.created_at, device.id));
        Ok(found)
    }

    async fn touch_device(&self, token: TokenHash, now: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let Some(device) = state.devices.get_mut(&token) else { return Ok(false) };
        device.last_used_at = Some(now);
        Ok(true)
    }

    async fn remove_devices(
        &self,
        account: AccountId,
        id: Option<DeviceId>,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError> {
        let mut state = self.open()?;
        let before = state.devices.len();
        state.devices.retain(|_, device| {
            device.account != account || id.is_some_and(|wanted| device.id != wanted)
        });
        let gone = before - state.devices.len();
        state.append(audit);
        Ok(gone as u64)
    }
}
