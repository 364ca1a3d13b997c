//! Identities of a connector, and what it says beside the account.

use std::collections::HashSet;

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::audit::AuditRecord;
use crate::store::{
    AccountId, ClaimMap, IdentityMove, IdentityRecord, IdentityStore, PasswordChange,
    RevocationScope, StoreError,
};

impl State {
    /// Replaces the further claims of an account.
    pub(super) fn put_claims(&mut self, account: AccountId, claims: ClaimMap) {
        if claims.is_empty() {
            self.claims.remove(&account);
        } else {
            self.claims.insert(account, claims);
        }
    }
}

#[async_trait]
impl IdentityStore for MemoryStore {
    async fn identities_of_connector(
        &self,
        connector: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<IdentityRecord>, StoreError> {
        let state = self.open()?;
        let of_connector = state.identities.values().filter(|identity| {
            identity.connector == connector
                && after.is_none_or(|after| identity.subject.as_str() > after)
        });
        Ok(of_connector.take(limit).cloned().collect())
    }

    async fn move_identities(
        &self,
        connector: &str,
        moves: Vec<IdentityMove>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let key = |subject: &str| (connector.to_owned(), subject.to_owned());
        let leaving: HashSet<&str> = moves.iter().map(|one| one.from.as_str()).collect();
        if leaving.len() != moves.len()
            || leaving.iter().any(|from| !state.identities.contains_key(&key(from)))
        {
            return Ok(false);
        }
        let mut coming = HashSet::new();
        for one in &moves {
            let stays =
                state.identities.contains_key(&key(&one.to)) && !leaving.contains(one.to.as_str());
            if stays || !coming.insert(one.to.as_str()) {
                return Err(conflict("identity"));
            }
        }
        let mut moved = Vec::new();
        for one in &moves {
            let Some(identity) = state.identities.remove(&key(&one.from)) else { continue };
            let noted = state.password_changes.remove(&key(&one.from));
            let mark = state.sync_marks.remove(&key(&one.from));
            moved.push((one.to.clone(), identity, noted, mark));
        }
        for (to, identity, noted, mark) in moved {
            if let Some(noted) = noted {
                state.password_changes.insert(key(&to), noted);
            }
            if let Some(mark) = mark {
                state.sync_marks.insert(key(&to), mark);
            }
            state.identities.insert(key(&to), IdentityRecord { subject: to, ..identity });
        }
        state.append(audit);
        Ok(true)
    }

    async fn password_change(
        &self,
        connector: &str,
        subject: &str,
    ) -> Result<Option<String>, StoreError> {
        let key = (connector.to_owned(), subject.to_owned());
        Ok(self.open()?.password_changes.get(&key).cloned())
    }

    async fn note_password_change(
        &self,
        change: PasswordChange,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let key = (change.connector, change.subject);
        let Some(account) = state.identities.get(&key).map(|identity| identity.account) else {
            return Ok(false);
        };
        if state.password_changes.get(&key) != change.before.as_ref() {
            return Ok(false);
        }
        if let Some(at) = change.end_sessions_at {
            state.revoke(RevocationScope::Account(account), at, "password_changed");
        }
        state.password_changes.insert(key, change.after);
        state.append(audit);
        Ok(true)
    }

    async fn claims(&self, account: AccountId) -> Result<ClaimMap, StoreError> {
        Ok(self.open()?.claims.get(&account).cloned().unwrap_or_default())
    }

    async fn set_claims(&self, account: AccountId, claims: ClaimMap) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.require_account(account)?;
        state.put_claims(account, claims);
        Ok(())
    }
}
