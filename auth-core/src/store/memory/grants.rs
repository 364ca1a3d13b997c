//! Pushed authorization requests and device grants.

use async_trait::async_trait;

use super::{MemoryStore, conflict};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;
use crate::store::{
    DeviceAnswer, DeviceGrantRecord, DeviceGrantState, GrantStore, PushedRequestRecord, StoreError,
};

#[async_trait]
impl GrantStore for MemoryStore {
    async fn add_pushed_request(&self, request: PushedRequestRecord) -> Result<(), StoreError> {
        let mut state = self.open()?;
        if state.pushed_requests.contains_key(&request.hash) {
            return Err(conflict("pushed_request"));
        }
        state.pushed_requests.insert(request.hash, request);
        Ok(())
    }

    async fn take_pushed_request(
        &self,
        hash: TokenHash,
    ) -> Result<Option<PushedRequestRecord>, StoreError> {
        Ok(self.open()?.pushed_requests.remove(&hash))
    }

    async fn add_device_grant(&self, grant: DeviceGrantRecord) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if state.device_grants.contains_key(&grant.hash) {
            return Err(conflict("device_grant"));
        }
        if state.device_grants.values().any(|known| known.user_code == grant.user_code) {
            return Ok(false);
        }
        state.device_grants.insert(grant.hash, grant);
        Ok(true)
    }

    async fn device_grant(
        &self,
        user_code: TokenHash,
    ) -> Result<Option<DeviceGrantRecord>, StoreError> {
        let state = self.open()?;
        Ok(state.device_grants.values().find(|grant| grant.user_code == user_code).cloned())
    }

    async fn poll_device_grant(
        &self,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<Option<DeviceGrantRecord>, StoreError> {
        let mut state = self.open()?;
        let Some(grant) = state.device_grants.get_mut(&hash) else { return Ok(None) };
        let before = grant.clone();
        grant.polled_at = Some(now);
        Ok(Some(before))
    }

    async fn answer_device_grant(
        &self,
        hash: TokenHash,
        answer: DeviceAnswer,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let pending = state
            .device_grants
            .get(&hash)
            .is_some_and(|grant| grant.state == DeviceGrantState::Pending);
        if !pending {
            return Ok(false);
        }
        let answered = match answer {
            DeviceAnswer::Approve(code) => {
                if state.codes.contains_key(&code.hash) {
                    return Err(conflict("code"));
                }
                state.codes.insert(code.hash, *code);
                DeviceGrantState::Approved
            }
            DeviceAnswer::Deny => DeviceGrantState::Denied,
        };
        if let Some(grant) = state.device_grants.get_mut(&hash) {
            grant.state = answered;
        }
        state.append(audit);
        Ok(true)
    }
}
