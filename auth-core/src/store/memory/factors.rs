//! Second factors and recovery codes.

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;
use crate::store::{
    AccountId, FactorId, FactorKind, FactorRecord, FactorRemoval, FactorStore, PasskeyOutcome,
    PasskeyUse, RecoveryCodeRecord, StoreError, WEBAUTHN_SCOPE,
};

impl State {
    /// Refuses a factor whose id or credential is there already, or that is nobody's.
    pub(super) fn check_new_factor(&self, factor: &FactorRecord) -> Result<(), StoreError> {
        self.require_account(factor.account)?;
        let same = |other: &FactorRecord| {
            other.id == factor.id
                || (factor.credential.is_some() && other.credential == factor.credential)
        };
        if self.factors.values().any(same) { Err(conflict("factor")) } else { Ok(()) }
    }

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
        state.check_new_factor(&factor)?;
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
            state.forget_devices(account);
        }
        state.append(audit);
        Ok(gone as u64)
    }

    async fn factor_by_credential(
        &self,
        credential: TokenHash,
    ) -> Result<Option<FactorRecord>, StoreError> {
        let state = self.open()?;
        Ok(state.factors.values().find(|factor| factor.credential == Some(credential)).cloned())
    }

    async fn use_passkey(&self, used: PasskeyUse) -> Result<PasskeyOutcome, StoreError> {
        let mut state = self.open()?;
        let mark = (WEBAUTHN_SCOPE.to_owned(), used.challenge);
        if state.seen.contains_key(&mark) {
            return Ok(PasskeyOutcome::ChallengeUsed);
        }
        state.seen.insert(mark, used.challenge_expires_at);
        let factor = state.factors.get_mut(&used.id).filter(|f| f.kind == FactorKind::Passkey);
        let Some(factor) = factor else { return Ok(PasskeyOutcome::Unknown) };
        let noted = factor.sign_count.unwrap_or(0);
        if (used.sign_count != 0 || noted != 0) && used.sign_count <= noted {
            return Ok(PasskeyOutcome::CounterBehind);
        }
        factor.sign_count = Some(used.sign_count);
        factor.sealed = used.sealed;
        factor.last_used_at = Some(used.now);
        Ok(PasskeyOutcome::Used)
    }

    async fn rename_factor(
        &self,
        account: AccountId,
        id: FactorId,
        name: String,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let factor = state.factors.get_mut(&id).filter(|factor| factor.account == account);
        let Some(factor) = factor else { return Ok(false) };
        factor.name = Some(name);
        state.append(audit);
        Ok(true)
    }

    async fn remove_factor(
        &self,
        account: AccountId,
        id: FactorId,
        keep_last: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<FactorRemoval, StoreError> {
        let mut state = self.open()?;
        if state.factors.get(&id).is_none_or(|factor| factor.account != account) {
            return Ok(FactorRemoval::Unknown);
        }
        let is_last = state.factors.values().filter(|f| f.account == account).count() == 1;
        if is_last && keep_last {
            return Ok(FactorRemoval::Last);
        }
        state.factors.remove(&id);
        if is_last {
            state.recovery_codes.remove(&account);
            state.forget_devices(account);
        }
        state.append(audit);
        Ok(FactorRemoval::Removed)
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
