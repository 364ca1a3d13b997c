//! Accounts as clients know them.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{
    AccountId, ClientAccountRecord, ClientAccountStore, NewDelivery, OutboxLease, StoreError,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{Columns, Param, limit};
use super::outbox::{deliver, lock_lease};
use super::{PostgresStore, audit};

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT client, account, username, remote_id, deactivated, memberships, updated_at, \
             version FROM client_accounts ",
            $condition
        )
    };
}

fn read(row: &Row) -> Result<ClientAccountRecord, StoreError> {
    let columns = &mut Columns::of(row, "client_accounts");
    Ok(ClientAccountRecord {
        client: columns.take()?,
        account: AccountId(columns.take()?),
        username: columns.take()?,
        remote_id: columns.take()?,
        deactivated: columns.take()?,
        memberships: columns.take()?,
        updated_at: columns.time()?,
        version: columns.take()?,
    })
}

#[async_trait]
impl ClientAccountStore for PostgresStore {
    async fn client_account(
        &self,
        client: &str,
        account: AccountId,
    ) -> Result<Option<ClientAccountRecord>, StoreError> {
        const FIND: &str = select!("WHERE client = $1 AND account = $2");
        let row = self.database.primary().await?.row(FIND, &[&client, &account.0]).await?;
        row.as_ref().map(read).transpose()
    }

    async fn client_account_by_remote(
        &self,
        client: &str,
        remote_id: &str,
    ) -> Result<Option<ClientAccountRecord>, StoreError> {
        const FIND: &str = select!("WHERE client = $1 AND remote_id = $2");
        let row = self.database.primary().await?.row(FIND, &[&client, &remote_id]).await?;
        row.as_ref().map(read).transpose()
    }

    async fn client_accounts(
        &self,
        client: &str,
        after: Option<AccountId>,
        rows: usize,
    ) -> Result<Vec<ClientAccountRecord>, StoreError> {
        const LIST: &str = select!("WHERE client = $1 AND account > $2 ORDER BY account LIMIT $3");
        // No account has the nil id.
        let after = after.map_or(Uuid::nil(), |after| after.0);
        let mut connection = self.database.primary().await?;
        connection.rows(LIST, &[&client, &after, &limit(rows)]).await?.iter().map(read).collect()
    }

    async fn claim_username(
        &self,
        client: &str,
        account: AccountId,
        candidates: Vec<String>,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        const TAKEN: &str = "SELECT FROM client_accounts \
             WHERE client = $1 AND username = $2 AND account <> $3";
        const CLAIM: &str = "INSERT INTO client_accounts AS c (client, account, username, \
             deactivated, memberships, updated_at, version) \
             VALUES ($1, $2, $3, FALSE, '[]', $4, 1) ON CONFLICT (client, account) \
             DO UPDATE SET username = $3, updated_at = $4, version = c.version + 1";
        let mut connection = self.database.primary().await?;
        for name in candidates {
            if connection.row(TAKEN, &[&client, &name, &account.0]).await?.is_some() {
                continue;
            }
            let params: [Param<'_>; 4] = [&client, &account.0, &name, &now.millis()];
            match connection.execute(CLAIM, &params).await {
                Ok(_) => return Ok(Some(name)),
                // Another node was faster: the next name.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
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
        const PIN: &str = "INSERT INTO client_accounts AS c (client, account, remote_id, \
             deactivated, memberships, updated_at, version) \
             VALUES ($1, $2, $3, FALSE, '[]', $4, 1) ON CONFLICT (client, account) \
             DO UPDATE SET remote_id = $3, updated_at = $4, version = c.version + 1";
        const BEFORE: &str = "SELECT remote_id FROM client_accounts \
             WHERE client = $1 AND account = $2 FOR NO KEY UPDATE";
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, account).await?;
        let before = connection.row(BEFORE, &[&client, &account.0]).await?;
        let before: Option<String> = match &before {
            Some(row) => Columns::of(row, "client_accounts").take()?,
            None => None,
        };
        match before.as_deref() {
            Some(held) if held == remote_id => {
                connection.rollback().await?;
                return Ok(false);
            }
            Some(_) => return Err(StoreError::Conflict { field: "remote_id" }),
            None => {}
        }
        let params: [Param<'_>; 4] = [&client, &account.0, &remote_id, &now.millis()];
        connection.execute(PIN, &params).await?;
        deliver(&mut connection, &deliveries).await?;
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(true)
    }

    async fn update_client_account(
        &self,
        lease: OutboxLease,
        record: ClientAccountRecord,
    ) -> Result<bool, StoreError> {
        const UPDATE: &str = "UPDATE client_accounts SET deactivated = $4, memberships = $5, \
             updated_at = $6, version = version + 1 \
             WHERE client = $1 AND account = $2 AND version = $3";
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        if !lock_lease(&mut connection, lease).await? {
            connection.rollback().await?;
            return Ok(false);
        }
        let params: [Param<'_>; 6] = [
            &record.client,
            &record.account.0,
            &record.version,
            &record.deactivated,
            &record.memberships,
            &record.updated_at.millis(),
        ];
        let written = connection.execute(UPDATE, &params).await? == 1;
        connection.commit().await?;
        Ok(written)
    }
}
