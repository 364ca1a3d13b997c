//! Accounts as clients know them, in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{
    AccountId, ClientAccountRecord, ClientAccountStore, NewDelivery, OutboxLease, StoreError,
};
use rusqlite::params;

use super::row::{Columns, all, change, limit, one};
use super::{SqliteStore, audit, outbox};

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT client, account, username, remote_id, deactivated, memberships, updated_at, \
             version FROM client_account ",
            $condition
        )
    };
}

fn read(columns: &mut Columns<'_, '_>) -> Result<ClientAccountRecord, StoreError> {
    columns.of("client_account");
    Ok(ClientAccountRecord {
        client: columns.take()?,
        account: AccountId(columns.uuid()?),
        username: columns.take()?,
        remote_id: columns.take()?,
        deactivated: columns.take()?,
        memberships: columns.take()?,
        updated_at: columns.time()?,
        version: columns.take()?,
    })
}

#[async_trait]
impl ClientAccountStore for SqliteStore {
    async fn client_account(
        &self,
        client: &str,
        account: AccountId,
    ) -> Result<Option<ClientAccountRecord>, StoreError> {
        let sql = select!("WHERE client = ?1 AND account = ?2");
        self.look_up(|c| one(c, sql, params![client, account.0.as_bytes()], read))
    }

    async fn client_account_by_remote(
        &self,
        client: &str,
        remote_id: &str,
    ) -> Result<Option<ClientAccountRecord>, StoreError> {
        let sql = select!("WHERE client = ?1 AND remote_id = ?2");
        self.look_up(|c| one(c, sql, params![client, remote_id], read))
    }

    async fn client_accounts(
        &self,
        client: &str,
        after: Option<AccountId>,
        rows: usize,
    ) -> Result<Vec<ClientAccountRecord>, StoreError> {
        let sql = select!("WHERE client = ?1 AND account > ?2 ORDER BY account LIMIT ?3");
        let client = client.to_owned();
        self.list(move |c| {
            // The empty blob comes before every id.
            let after = after.map_or_else(Vec::new, |id| id.0.as_bytes().to_vec());
            all(c, sql, params![client, after, limit(rows)], read)
        })
        .await
    }

    async fn claim_username(
        &self,
        client: &str,
        account: AccountId,
        candidates: Vec<String>,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        const TAKEN: &str = "SELECT 1 FROM client_account \
             WHERE client = ?1 AND username = ?2 AND account <> ?3";
        const CLAIM: &str = "INSERT INTO client_account (client, account, username, deactivated, \
             memberships, updated_at, version) VALUES (?1, ?2, ?3, 0, '[]', ?4, 1) \
             ON CONFLICT (client, account) DO UPDATE SET username = ?3, updated_at = ?4, \
             version = version + 1";
        let client = client.to_owned();
        self.write(move |c| {
            for name in candidates {
                let params = params![client, name, account.0.as_bytes()];
                if one(c, TAKEN, params, |_| Ok(()))?.is_none() {
                    let params = params![client, account.0.as_bytes(), name, now.millis()];
                    change(c, CLAIM, params)?;
                    return Ok(Some(name));
                }
            }
            Ok(None)
        })
        .await
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
        const HELD: &str = "SELECT account, remote_id FROM client_account \
             WHERE client = ?1 AND (account = ?2 AND remote_id IS NOT NULL OR remote_id = ?3)";
        const PIN: &str = "INSERT INTO client_account (client, account, remote_id, deactivated, \
             memberships, updated_at, version) VALUES (?1, ?2, ?3, 0, '[]', ?4, 1) \
             ON CONFLICT (client, account) DO UPDATE SET remote_id = ?3, updated_at = ?4, \
             version = version + 1";
        let (client, remote_id) = (client.to_owned(), remote_id.to_owned());
        self.write(move |c| {
            let params = params![client, account.0.as_bytes(), remote_id];
            let held = all(c, HELD, params, |columns| {
                columns.of("client_account");
                Ok((AccountId(columns.uuid()?), columns.take::<String>()?))
            })?;
            let same = (account, remote_id.clone());
            if held.iter().any(|one| *one != same) {
                return Err(StoreError::Conflict { field: "remote_id" });
            }
            if !held.is_empty() {
                return Ok(false);
            }
            change(c, PIN, params![client, account.0.as_bytes(), remote_id, now.millis()])?;
            for new in &deliveries {
                outbox::deliver(c, new)?;
            }
            audit::append_if(true, c, &audit)
        })
        .await
    }

    async fn update_client_account(
        &self,
        lease: OutboxLease,
        record: ClientAccountRecord,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE client_account SET deactivated = ?4, memberships = ?5, updated_at = ?6, \
                   version = version + 1 WHERE client = ?1 AND account = ?2 AND version = ?3";
        self.write(move |c| {
            if !outbox::is_held(c, lease)? {
                return Ok(false);
            }
            let params = params![
                record.client,
                record.account.0.as_bytes(),
                record.version,
                record.deactivated,
                record.memberships,
                record.updated_at.millis(),
            ];
            Ok(change(c, sql, params)? == 1)
        })
        .await
    }
}
