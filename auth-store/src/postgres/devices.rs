//! Remembered devices.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{AccountId, DeviceId, DeviceRecord, DeviceStore, StoreError};
use tokio_postgres::Row;
use uuid::Uuid;

use super::audit::events;
use super::columns::{Columns, Param, optional};
use super::connection::Connection;
use super::{PostgresStore, audit};

macro_rules! select_device {
    ($condition:literal) => {
        concat!(
            "SELECT token, id, account, created_at, last_used_at, expires_at, ip, user_agent \
             FROM devices WHERE ",
            $condition
        )
    };
}

/// Forgets all devices of an account, whose row lock is held; how many there were.
pub(super) async fn forget_devices(
    connection: &mut Connection,
    account: AccountId,
) -> Result<u64, StoreError> {
    const FORGET: &str = "DELETE FROM devices WHERE account = $1";
    connection.execute(FORGET, &[&account.0]).await
}

/// Forgets all devices of accounts, whose row locks are held.
pub(super) async fn forget_devices_of(
    connection: &mut Connection,
    accounts: &[Uuid],
) -> Result<(), StoreError> {
    const FORGET: &str = "DELETE FROM devices WHERE account = ANY($1)";
    connection.execute(FORGET, &[&accounts]).await.map(drop)
}

/// Forgets everybody's devices.
pub(super) async fn forget_all_devices(connection: &mut Connection) -> Result<(), StoreError> {
    const FORGET: &str = "DELETE FROM devices";
    connection.long_rows(FORGET, &[]).await.map(drop)
}

#[async_trait]
impl DeviceStore for PostgresStore {
    async fn add_device(
        &self,
        device: DeviceRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        // Behind the account's lock, so that what ends its sessions at the same time sees it.
        const ADD: &str = concat!(
            "WITH made AS (INSERT INTO devices (token, id, account, created_at, last_used_at, \
             expires_at, ip, user_agent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id) ",
            insert_audit!("$9", "made")
        );
        let params: [Param<'_>; 9] = [
            &device.token.as_bytes().as_slice(),
            &device.id.0,
            &device.account.0,
            &device.created_at.millis(),
            &device.last_used_at.map(Timestamp::millis),
            &device.expires_at.millis(),
            &optional(&device.ip),
            &optional(&device.user_agent),
            &events(&audit),
        ];
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, device.account).await?;
        connection.execute(ADD, &params).await?;
        connection.commit().await
    }

    async fn device(&self, token: TokenHash) -> Result<Option<DeviceRecord>, StoreError> {
        const FIND: &str = select_device!("token = $1");
        let token = token.as_bytes().as_slice();
        let row = self.database.primary().await?.row(FIND, &[&token]).await?;
        row.as_ref().map(read).transpose()
    }

    async fn devices(&self, account: AccountId) -> Result<Vec<DeviceRecord>, StoreError> {
        const OF_ACCOUNT: &str = select_device!("account = $1 ORDER BY created_at, id");
        let rows = self.database.primary().await?.rows(OF_ACCOUNT, &[&account.0]).await?;
        rows.iter().map(read).collect()
    }

    async fn touch_device(&self, token: TokenHash, now: Timestamp) -> Result<bool, StoreError> {
        const TOUCH: &str = "UPDATE devices SET last_used_at = $2 WHERE token = $1";
        let token = token.as_bytes().as_slice();
        let mut connection = self.database.primary().await?;
        Ok(connection.execute(TOUCH, &[&token, &now.millis()]).await? == 1)
    }

    async fn remove_devices(
        &self,
        account: AccountId,
        id: Option<DeviceId>,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError> {
        const ONE: &str = "DELETE FROM devices WHERE account = $1 AND id = $2";
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, account).await?;
        let gone = match id {
            Some(id) => connection.execute(ONE, &[&account.0, &id.0]).await?,
            None => forget_devices(&mut connection, account).await?,
        };
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(gone)
    }
}

fn read(row: &Row) -> Result<DeviceRecord, StoreError> {
    let columns = &mut Columns::of(row, "devices");
    Ok(DeviceRecord {
        token: columns.hash()?,
        id: DeviceId(columns.take()?),
        account: AccountId(columns.take()?),
        created_at: columns.time()?,
        last_used_at: columns.optional_time()?,
        expires_at: columns.time()?,
        ip: columns.take()?,
        user_agent: columns.take()?,
    })
}
