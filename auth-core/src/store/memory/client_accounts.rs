//! Accounts as clients know them.

use async_trait::async_trait;

use super::{MemoryStore, conflict};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::store::{
    AccountId, ClientAccountRecord, ClientAccountStore, NewDelivery, OutboxLease, StoreError,
};

fn fresh(client: &str, account: AccountId, now: Timestamp) -> ClientAccountRecord {
    ClientAccountRecord {
        client: client.to_owned(),
        account,
        username: None,
        remote_id: None,
        deactivated: false,
        memberships: "[]".to_owned(),
        updated_at: now,
        version: 0,
    }
}

#[async_trait]
impl ClientAccountStore for MemoryStore {
    async fn client_account(
        &self,
        client: &str,
        account: AccountId,
    ) -> Result<Option<ClientAccountRecord>, StoreError> {
        Ok(self.open()?.client_accounts.get(&(client.to_owned(), account)).cloned())
    }

    async fn client_account_by_remote(
        &self,
        client: &str,
        remote_id: &str,
    ) -> Result<Option<ClientAccountRecord>, StoreError> {
        let state = self.open()?;
        let mut all = state.client_accounts.values();
        let found =
            all.find(|one| one.client == client && one.remote_id.as_deref() == Some(remote_id));
        Ok(found.cloned())
    }

    async fn client_accounts(
        &self,
        client: &str,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<ClientAccountRecord>, StoreError> {
        let state = self.open()?;
        let of_it = state
            .client_accounts
            .values()
            .filter(|one| one.client == client && after.is_none_or(|after| one.account > after));
        Ok(of_it.take(limit).cloned().collect())
    }

    async fn claim_username(
        &self,
        client: &str,
        account: AccountId,
        candidates: Vec<String>,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let mut state = self.open()?;
        state.require_account(account)?;
        let taken = |name: &str| {
            state.client_accounts.values().any(|one| {
                one.client == client
                    && one.account != account
                    && one.username.as_deref() == Some(name)
            })
        };
        let Some(name) = candidates.into_iter().find(|name| !taken(name)) else { return Ok(None) };
        let key = (client.to_owned(), account);
        let row = state.client_accounts.entry(key).or_insert_with(|| fresh(client, account, now));
        row.username = Some(name.clone());
        row.updated_at = now;
        row.version += 1;
        Ok(Some(name))
    }

    async fn pin_remote(
        &self,
        client: &str,
        account: AccountId,
        remote_id: &str,
        now: Timestamp,
        deliveries: Vec<NewDelivery>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        state.require_account(account)?;
        let of_another = state.client_accounts.values().any(|one| {
            one.client == client
                && one.account != account
                && one.remote_id.as_deref() == Some(remote_id)
        });
        if of_another {
            return Err(conflict("remote_id"));
        }
        let key = (client.to_owned(), account);
        let row = state.client_accounts.entry(key).or_insert_with(|| fresh(client, account, now));
        match row.remote_id.as_deref() {
            Some(held) if held == remote_id => return Ok(false),
            Some(_) => return Err(conflict("remote_id")),
            None => {}
        }
        row.remote_id = Some(remote_id.to_owned());
        row.updated_at = now;
        row.version += 1;
        deliveries.into_iter().for_each(|new| state.outbox.deliver(new));
        state.append(audit);
        Ok(true)
    }

    async fn update_client_account(
        &self,
        lease: OutboxLease,
        record: ClientAccountRecord,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if !state.outbox.is_held_by(lease) {
            return Ok(false);
        }
        let key = (record.client.clone(), record.account);
        let row = state.client_accounts.get_mut(&key);
        let Some(row) = row.filter(|row| row.version == record.version) else { return Ok(false) };
        row.deactivated = record.deactivated;
        row.memberships = record.memberships;
        row.updated_at = record.updated_at;
        row.version += 1;
        Ok(true)
    }
}
