//! Changes of several identities at once.

use async_trait::async_trait;

use super::accounts::identity_key;
use super::{MemoryStore, conflict};
use crate::audit::AuditRecord;
use crate::store::{AccountId, AccountRecord, IdentityRecord, LinkingStore, StoreError, Unlinking};

#[async_trait]
impl LinkingStore for MemoryStore {
    async fn replace_identity(
        &self,
        old: IdentityRecord,
        new: IdentityRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let (old_key, new_key) = (identity_key(&old), identity_key(&new));
        if state.identities.get(&old_key).is_none_or(|stored| stored.account != new.account) {
            return Ok(false);
        }
        if new_key != old_key && state.identities.contains_key(&new_key) {
            return Err(conflict("identity"));
        }
        state.identities.remove(&old_key);
        state.identities.insert(new_key, new);
        state.append(audit);
        Ok(true)
    }

    async fn unlink_spare_identity(
        &self,
        connector: &str,
        subject: &str,
        local: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<Unlinking, StoreError> {
        let mut state = self.open()?;
        let key = (connector.to_owned(), subject.to_owned());
        let Some(account) = state.identities.get(&key).map(|identity| identity.account) else {
            return Ok(Unlinking::Missing);
        };
        if state.identities.values().filter(|identity| identity.account == account).count() < 2 {
            return Ok(Unlinking::Last);
        }
        state.identities.remove(&key);
        if connector == local {
            state.passwords.remove(&account);
        }
        state.append(audit);
        Ok(Unlinking::Done)
    }

    async fn merge_accounts(
        &self,
        from: AccountRecord,
        into: AccountId,
        local: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let id = from.id;
        if id == into || !state.is_active(into) || !state.expects_stored_version(&from) {
            return Ok(false);
        }
        state.check_unique(&from)?;
        state.write_account(from);
        state.passwords.remove(&id);
        state.identities.retain(|_, it| it.account != id || it.connector != local);
        for identity in state.identities.values_mut().filter(|it| it.account == id) {
            identity.account = into;
        }
        state.append(audit);
        Ok(true)
    }
}
