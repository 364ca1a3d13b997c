//! Devices on which a second factor was passed and is not asked for again for a while.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AccountId, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;

/// Identifies a remembered device; no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub Uuid);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A remembered device of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its id.
    pub id: DeviceId,
    /// SHA-256 of the token in the device's cookie.
    pub token: TokenHash,
    /// Whose.
    pub account: AccountId,
    /// When the second factor was passed on it.
    pub created_at: Timestamp,
    /// When it last spared the second factor.
    pub last_used_at: Option<Timestamp>,
    /// After this moment it is as if it were not there.
    pub expires_at: Timestamp,
    /// Source address then.
    pub ip: Option<String>,
    /// `User-Agent` then.
    pub user_agent: Option<String>,
}

/// Remembered devices. They end, in the same transaction, with whatever ends all of an account's
/// sessions (a changed password, "sign out everywhere", deactivation), with a reset of its factors
/// and with its last factor.
#[async_trait]
pub trait DeviceStore: Send + Sync {
    /// Adds a device.
    async fn add_device(
        &self,
        device: DeviceRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError>;

    /// The device with this token, expired or not.
    async fn device(&self, token: TokenHash) -> Result<Option<DeviceRecord>, StoreError>;

    /// The devices of an account, oldest first, expired or not.
    async fn devices(&self, account: AccountId) -> Result<Vec<DeviceRecord>, StoreError>;

    /// Notes that it spared the second factor at `now`; `false` when it is gone.
    async fn touch_device(&self, token: TokenHash, now: Timestamp) -> Result<bool, StoreError>;

    /// Removes one device of an account, or, with `id` None, all. Returns how many went.
    async fn remove_devices(
        &self,
        account: AccountId,
        id: Option<DeviceId>,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError>;
}
