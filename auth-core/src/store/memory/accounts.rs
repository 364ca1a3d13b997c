//! Accounts, identities and passwords.

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::audit::AuditRecord;
use crate::store::{
    AccountId, AccountPage, AccountRecord, AccountStore, IdentityRecord, NewAccount,
    PasswordRecord, RevocationScope, StoreError,
};

impl State {
    /// Refuses a user name or e-mail address that belongs to an account other than `account`.
    pub(super) fn check_unique(&self, account: &AccountRecord) -> Result<(), StoreError> {
        if self.by_username.get(&account.username_key).is_some_and(|&owner| owner != account.id) {
            return Err(conflict("username"));
        }
        let owner = account.email_key.as_ref().and_then(|key| self.by_email.get(key));
        if owner.is_some_and(|&owner| owner != account.id) {
            return Err(conflict("email"));
        }
        Ok(())
    }

    /// Whether the stored account has the version that `account` expects.
    pub(super) fn expects_stored_version(&self, account: &AccountRecord) -> bool {
        self.accounts.get(&account.id).is_some_and(|stored| stored.version == account.version)
    }

    /// Writes an account that passed [`Self::check_unique`] and [`Self::expects_stored_version`].
    pub(super) fn write_account(&mut self, mut account: AccountRecord) {
        let Some(stored) = self.accounts.get(&account.id).cloned() else { return };
        account.numeric_id = stored.numeric_id;
        account.created_at = stored.created_at;
        account.version = stored.version + 1;
        let deactivated = stored.active && !account.active;

        self.by_username.remove(&stored.username_key);
        if let Some(key) = &stored.email_key {
            self.by_email.remove(key);
        }
        if deactivated {
            let scope = RevocationScope::Account(account.id);
            self.revoke(scope, account.updated_at, "account_inactive");
        }
        self.account_event(&stored, &account);
        self.insert_account(account);
    }

    /// Makes an account; `numeric_id` none takes the next number.
    fn make_account(
        &mut self,
        new: NewAccount,
        numeric_id: Option<i64>,
    ) -> Result<AccountRecord, StoreError> {
        if self.accounts.contains_key(&new.account.id) {
            return Err(conflict("id"));
        }
        self.check_unique(&new.account)?;
        if let Some(identity) = &new.identity {
            self.check_unlinked(identity)?;
        }
        let taken = |number| self.accounts.values().any(|account| account.numeric_id == number);
        if numeric_id.is_some_and(taken) {
            return Err(conflict("numeric_id"));
        }
        let numeric_id = numeric_id.unwrap_or(self.last_numeric_id + 1);

        self.last_numeric_id = self.last_numeric_id.max(numeric_id);
        let account = AccountRecord { numeric_id, version: 1, ..new.account };
        self.insert_account(account.clone());
        if let Some(identity) = new.identity {
            self.identities.insert(identity_key(&identity), identity);
        }
        if let Some(password) = new.password {
            self.passwords.insert(account.id, password);
        }
        Ok(account)
    }

    fn insert_account(&mut self, account: AccountRecord) {
        self.by_username.insert(account.username_key.clone(), account.id);
        if let Some(key) = &account.email_key {
            self.by_email.insert(key.clone(), account.id);
        }
        self.accounts.insert(account.id, account);
    }

    fn check_unlinked(&self, identity: &IdentityRecord) -> Result<(), StoreError> {
        let taken = self.identities.contains_key(&identity_key(identity));
        if taken { Err(conflict("identity")) } else { Ok(()) }
    }

    /// Makes an account, or refuses it and changes nothing.
    pub(super) fn create(&mut self, new: NewAccount) -> Result<AccountRecord, StoreError> {
        self.make_account(new, None)
    }

    fn account_of(&self, id: Option<&AccountId>) -> Option<AccountRecord> {
        id.and_then(|id| self.accounts.get(id)).cloned()
    }
}

pub(super) fn identity_key(identity: &IdentityRecord) -> (String, String) {
    (identity.connector.clone(), identity.subject.clone())
}

#[async_trait]
impl AccountStore for MemoryStore {
    async fn account(&self, id: AccountId) -> Result<Option<AccountRecord>, StoreError> {
        Ok(self.open()?.account_of(Some(&id)))
    }

    async fn account_by_username(&self, key: &str) -> Result<Option<AccountRecord>, StoreError> {
        let state = self.open()?;
        Ok(state.account_of(state.by_username.get(key)))
    }

    async fn account_by_email(&self, key: &str) -> Result<Option<AccountRecord>, StoreError> {
        let state = self.open()?;
        Ok(state.account_of(state.by_email.get(key)))
    }

    async fn account_by_identity(
        &self,
        connector: &str,
        subject: &str,
    ) -> Result<Option<AccountRecord>, StoreError> {
        let state = self.open()?;
        let identity = state.identities.get(&(connector.to_owned(), subject.to_owned()));
        Ok(state.account_of(identity.map(|identity| &identity.account)))
    }

    async fn accounts(&self, page: AccountPage) -> Result<Vec<AccountRecord>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let state = self.open()?;
        let from = page.after.map_or(Unbounded, Excluded);
        let ids = state.by_username.range((from, Unbounded)).map(|(_, id)| id);
        Ok(ids.filter_map(|id| state.account_of(Some(id))).take(page.limit).collect())
    }

    async fn create_account(
        &self,
        new: NewAccount,
        audit: Vec<AuditRecord>,
    ) -> Result<AccountRecord, StoreError> {
        let mut state = self.open()?;
        let account = state.make_account(new, None)?;
        state.append(audit);
        Ok(account)
    }

    async fn create_numbered_account(
        &self,
        new: NewAccount,
        numeric_id: i64,
        audit: Vec<AuditRecord>,
    ) -> Result<AccountRecord, StoreError> {
        let mut state = self.open()?;
        let account = state.make_account(new, Some(numeric_id))?;
        state.append(audit);
        Ok(account)
    }

    async fn update_account(
        &self,
        account: AccountRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if !state.expects_stored_version(&account) {
            return Ok(false);
        }
        state.check_unique(&account)?;
        state.write_account(account);
        state.append(audit);
        Ok(true)
    }

    async fn identities(&self, accounts: &[AccountId]) -> Result<Vec<IdentityRecord>, StoreError> {
        let state = self.open()?;
        let of_accounts = state.identities.values().filter(|i| accounts.contains(&i.account));
        let mut found: Vec<_> = of_accounts.cloned().collect();
        // The map is in the order of connector and subject, and this sort keeps that.
        found.sort_by_key(|identity| identity.account);
        Ok(found)
    }

    async fn link_identity(
        &self,
        identity: IdentityRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.require_account(identity.account)?;
        state.check_unlinked(&identity)?;
        state.identities.insert(identity_key(&identity), identity);
        state.append(audit);
        Ok(())
    }

    async fn unlink_identity(
        &self,
        connector: &str,
        subject: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let key = (connector.to_owned(), subject.to_owned());
        let gone = state.identities.remove(&key).is_some();
        state.sync_marks.remove(&key);
        state.password_changes.remove(&key);
        if gone {
            state.append(audit);
        }
        Ok(gone)
    }

    async fn password(&self, account: AccountId) -> Result<Option<PasswordRecord>, StoreError> {
        Ok(self.open()?.passwords.get(&account).cloned())
    }

    async fn set_password(
        &self,
        password: PasswordRecord,
        revoke_sessions: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.require_account(password.account)?;
        if revoke_sessions {
            let scope = RevocationScope::Account(password.account);
            state.revoke(scope, password.changed_at, "password_changed");
            let account = Some(password.account);
            state.sessions_event(account, password.changed_at, "password_changed");
        }
        state.passwords.insert(password.account, password);
        state.append(audit);
        Ok(())
    }

    async fn rehash_password(
        &self,
        account: AccountId,
        old_hash: &str,
        new_hash: &str,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let stored = state.passwords.get_mut(&account).filter(|stored| stored.hash == old_hash);
        let Some(stored) = stored else { return Ok(false) };
        new_hash.clone_into(&mut stored.hash);
        Ok(true)
    }
}
