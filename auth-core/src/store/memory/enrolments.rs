//! Enrolments under way and put off.

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::audit::AuditRecord;
use crate::secret::TokenHash;
use crate::store::{
    AccountId, EnrolmentRecord, EnrolmentStore, FactorRecord, GraceRule, PostponementRecord,
    RecoveryCodeRecord, StoreError,
};

impl State {
    fn postponed(&self, account: AccountId) -> Vec<PostponementRecord> {
        let of_account = self.postponements.iter().filter(|noted| noted.account == account);
        let mut noted: Vec<_> = of_account.cloned().collect();
        noted.sort_by_key(|noted| (noted.at, noted.session));
        noted
    }
}

#[async_trait]
impl EnrolmentStore for MemoryStore {
    async fn add_enrolment(&self, enrolment: EnrolmentRecord) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.require_account(enrolment.account)?;
        if state.enrolments.contains_key(&enrolment.handle) {
            return Err(conflict("enrolment"));
        }
        state
            .enrolments
            .retain(|_, other| other.session != enrolment.session || other.kind != enrolment.kind);
        state.enrolments.insert(enrolment.handle, enrolment);
        Ok(())
    }

    async fn enrolment(&self, handle: TokenHash) -> Result<Option<EnrolmentRecord>, StoreError> {
        Ok(self.open()?.enrolments.get(&handle).cloned())
    }

    async fn remove_enrolment(&self, handle: TokenHash) -> Result<bool, StoreError> {
        Ok(self.open()?.enrolments.remove(&handle).is_some())
    }

    async fn confirm_enrolment(
        &self,
        handle: TokenHash,
        factor: FactorRecord,
        recovery: Option<Vec<RecoveryCodeRecord>>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if !state.enrolments.contains_key(&handle) {
            return Ok(false);
        }
        state.check_new_factor(&factor)?;
        state.enrolments.remove(&handle);
        if let Some(codes) = recovery {
            state.replace_codes(factor.account, codes);
        }
        state.factors.insert(factor.id, factor);
        state.append(audit);
        Ok(true)
    }

    async fn postpone_enrolment(
        &self,
        postponement: PostponementRecord,
        rule: GraceRule,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        state.require_account(postponement.account)?;
        if !rule.allows(&state.postponed(postponement.account), postponement.at) {
            return Ok(false);
        }
        state.postponements.push(postponement);
        Ok(true)
    }

    async fn postponements(
        &self,
        account: AccountId,
    ) -> Result<Vec<PostponementRecord>, StoreError> {
        Ok(self.open()?.postponed(account))
    }
}
