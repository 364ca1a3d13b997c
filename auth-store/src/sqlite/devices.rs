//! Remembered devices in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{AccountId, DeviceId, DeviceRecord, DeviceStore, StoreError};
use rusqlite::{Connection, params};

use super::row::{Columns, all, change, one};
use super::{SqliteStore, audit};

macro_rules! select_device {
    ($condition:literal) => {
        concat!(
            "SELECT token, id, account, created_at, last_used_at, expires_at, ip, user_agent \
             FROM device WHERE ",
            $condition
        )
    };
}

fn read_device(columns: &mut Columns<'_, '_>) -> Result<DeviceRecord, StoreError> {
    columns.of("device");
    Ok(DeviceRecord {
        token: columns.hash()?,
        id: DeviceId(columns.uuid()?),
        account: AccountId(columns.uuid()?),
        created_at: columns.time()?,
        last_used_at: columns.optional_time()?,
        expires_at: columns.time()?,
        ip: columns.take()?,
        user_agent: columns.take()?,
    })
}

/// Forgets all devices of an account; how many there were.
pub(super) fn forget(c: &Connection, account: AccountId) -> Result<usize, StoreError> {
    change(c, "DELETE FROM device WHERE account = ?1", params![account.0.as_bytes()])
}

/// Forgets everybody's devices.
pub(super) fn forget_all(c: &Connection) -> Result<(), StoreError> {
    change(c, "DELETE FROM device", &[]).map(drop)
}

#[async_trait]
impl DeviceStore for SqliteStore {
    async fn add_device(
        &self,
        device: DeviceRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO device (token, id, account, created_at, last_used_at, expires_at, \
                   ip, user_agent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.write(move |c| {
            let params = params![
                device.token.as_bytes(),
                device.id.0.as_bytes(),
                device.account.0.as_bytes(),
                device.created_at.millis(),
                device.last_used_at.map(Timestamp::millis),
                device.expires_at.millis(),
                device.ip,
                device.user_agent,
            ];
            change(c, sql, params)?;
            audit::append(c, &audit)
        })
        .await
    }

    async fn device(&self, token: TokenHash) -> Result<Option<DeviceRecord>, StoreError> {
        let sql = select_device!("token = ?1");
        self.look_up(|c| one(c, sql, params![token.as_bytes()], read_device))
    }

    async fn devices(&self, account: AccountId) -> Result<Vec<DeviceRecord>, StoreError> {
        let sql = select_device!("account = ?1 ORDER BY created_at, id");
        self.list(move |c| all(c, sql, params![account.0.as_bytes()], read_device)).await
    }

    async fn touch_device(&self, token: TokenHash, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE device SET last_used_at = ?2 WHERE token = ?1";
        self.write(move |c| Ok(change(c, sql, params![token.as_bytes(), now.millis()])? == 1)).await
    }

    async fn remove_devices(
        &self,
        account: AccountId,
        id: Option<DeviceId>,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError> {
        self.write(move |c| {
            let removed = match id {
                None => forget(c, account)?,
                Some(id) => {
                    let sql = "DELETE FROM device WHERE account = ?1 AND id = ?2";
                    change(c, sql, params![account.0.as_bytes(), id.0.as_bytes()])?
                }
            };
            audit::append(c, &audit)?;
            Ok(u64::try_from(removed).unwrap_or(u64::MAX))
        })
        .await
    }
}
