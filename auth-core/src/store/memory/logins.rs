//! Pending logins.

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::audit::AuditRecord;
use crate::secret::TokenHash;
use crate::store::{LoginCompletion, LoginRecord, LoginStore, RevocationScope, StoreError};

impl State {
    fn expects_stored_step(&self, login: &LoginRecord) -> bool {
        self.logins.get(&login.handle).is_some_and(|stored| stored.version == login.version)
    }

    /// Writes a login that passed [`Self::expects_stored_step`].
    fn write_login(&mut self, mut login: LoginRecord) {
        login.version += 1;
        self.logins.insert(login.handle, login);
    }

    /// Whether the account behind a completion is active and as the completion expects it.
    fn expects_stored_account(&self, completion: &LoginCompletion) -> bool {
        self.is_active(completion.session.account)
            && completion.account.as_ref().is_none_or(|account| {
                account.id == completion.session.account
                    && account.active
                    && self.expects_stored_version(account)
            })
    }
}

#[async_trait]
impl LoginStore for MemoryStore {
    async fn add_login(&self, login: LoginRecord) -> Result<(), StoreError> {
        let mut state = self.open()?;
        if state.logins.contains_key(&login.handle) {
            return Err(conflict("login"));
        }
        state.logins.insert(login.handle, login);
        Ok(())
    }

    async fn login(&self, handle: TokenHash) -> Result<Option<LoginRecord>, StoreError> {
        Ok(self.open()?.logins.get(&handle).cloned())
    }

    async fn advance_login(
        &self,
        login: LoginRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if !state.expects_stored_step(&login) {
            return Ok(false);
        }
        state.write_login(login);
        state.append(audit);
        Ok(true)
    }

    async fn complete_login(&self, completion: LoginCompletion) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if !state.expects_stored_step(&completion.login)
            || !state.expects_stored_account(&completion)
        {
            return Ok(false);
        }
        if let Some(account) = &completion.account {
            state.check_unique(account)?;
        }
        state.check_session_id(&completion.session)?;
        if let Some((factor, _)) = &completion.factor {
            if state.has_factor(completion.session.account) {
                return Ok(false);
            }
            state.check_new_factor(factor)?;
        }

        state.write_login(completion.login);
        if let Some(account) = completion.account {
            state.write_account(account);
        }
        if let Some((factor, codes)) = completion.factor {
            state.replace_codes(factor.account, codes);
            state.factors.insert(factor.id, factor);
        }
        if let Some(replaced) = completion.replaces {
            for child in state.sessions.values_mut() {
                let moves = child.parent == Some(replaced)
                    && child.account == completion.session.account
                    && child.revoked_at.is_none();
                if moves {
                    child.parent = Some(completion.session.id);
                }
            }
            let scope = RevocationScope::Session(replaced);
            state.revoke(scope, completion.session.created_at, "replaced");
        }
        state.sessions.insert(completion.session.id, completion.session);
        for key in &completion.clear_throttle {
            state.counters.remove(key);
        }
        state.append(completion.audit);
        Ok(true)
    }
}
