//! Second factors and recovery codes.

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::store::{
    AccountId, FactorId, FactorRecord, FactorStore, RecoveryCodeRecord, StoreError,
};

impl State {
    pub(super) fn has_factor(&self, account: AccountId) -> bool {
        self.factors.values().any(|factor| factor.account == account)
    }

    pub(super) fn replace_codes(&mut self, account: AccountId, codes: Vec<RecoveryCodeRecord>) {
        self.recovery_codes.insert(account, codes.into_iter().map(|code| code.hash).collect());
    }
}

#[async_trait]
impl FactorStore for MemoryStore {
    async fn factors(&self, accounts: &[AccountId]) -> Result<Vec<FactorRecord>, StoreError> {
        let state = self.open()?;
        let of_accounts = state.factors.values().filter(|f| accounts.contains(&f.account));
        let mut found: Vec<_> = of_accounts.cloned().collect();
        found.sort_by_key(|factor| (factor.account, factor.created_at));
        Ok(found)
    }

    async fn add_factor(
        &self,
        factor: FactorRecord,
        recovery: Option<Vec<RecoveryCodeRecord>>,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.require_account(factor.account)?;
        if state.factors.contains_key(&factor.id) {
            return Err(conflict("factor"));
        }
        if let Some(codes) = recovery {
            state.replace_codes(factor.account, codes);
        }
        state.factors.insert(factor.id, factor);
        state.append(audit);
        Ok(())
    }

    async fn replace_recovery_codes(
        &self,
        account: AccountId,
        codes: Vec<RecoveryCodeRecord>,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.require_account(account)?;
        state.replace_codes(account, codes);
        state.append(audit);
        Ok(())
    }

    async fn remove_factors(
        &self,
        account: AccountId,
        id: Option<FactorId>,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError> {
        let mut state = self.open()?;
        let goes = |factor: &FactorRecord| {
            factor.account == account && id.is_none_or(|wanted| factor.id == wanted)
        };
        let before = state.factors.len();
        state.factors.retain(|_, factor| !goes(factor));
        let gone = before - state.factors.len();
        if id.is_none() {
            state.recovery_codes.remove(&account);
        }
        state.append(audit);
        Ok(gone as u64)
    }

    async fn consume_totp_step(
        &self,
        id: FactorId,
        step: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let factor = state.factors.get_mut(&id);
        let Some(factor) = factor.filter(|f| f.last_step.is_none_or(|last| step > last)) else {
            return Ok(false);
        };
        factor.last_step = Some(step);
        factor.last_used_at = Some(now);
        Ok(true)
    }

    async fn consume_recovery_code(
        &self,
        account: AccountId,
        hash: [u8; 32],
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        Ok(state.recovery_codes.get_mut(&account).is_some_and(|codes| codes.remove(&hash)))
    }

    async fn recovery_codes_left(&self, account: AccountId) -> Result<u64, StoreError> {
        Ok(self.open()?.recovery_codes.get(&account).map_or(0, |codes| codes.len() as u64))
    }
}
