//! Grants on their way: pushed authorization requests (RFC 9126) and device grants (RFC 8628).

use async_trait::async_trait;

use super::{CodeRecord, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;

/// An authorization request that a client pushed, under the hash of its `request_uri`'s token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRequestRecord {
    /// SHA-256 of the token in the `request_uri`.
    pub hash: TokenHash,
    /// The client that pushed it.
    pub client: String,
    /// Its parameters as a JSON list of pairs.
    pub parameters: String,
    /// When it came.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// What a person said to a device that wants in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceGrantState {
    /// Nothing yet.
    Pending,
    /// Yes; the code that stands for it was written with this.
    Approved,
    /// No.
    Denied,
}

impl DeviceGrantState {
    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Denied]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// A device that waits for a person's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceGrantRecord {
    /// SHA-256 of the device code.
    pub hash: TokenHash,
    /// Keyed hash of the user code; unique.
    pub user_code: TokenHash,
    /// The client that runs on the device.
    pub client: String,
    /// What it asks for, space separated.
    pub scope: String,
    /// Source address of the device, so that the person can tell it from another.
    pub ip: Option<String>,
    /// `User-Agent` of the device.
    pub user_agent: Option<String>,
    /// What the person said.
    pub state: DeviceGrantState,
    /// When the device asked.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When the device last asked for the answer.
    pub polled_at: Option<Timestamp>,
}

/// A person's answer to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceAnswer {
    /// Yes: from now on this code can be redeemed.
    Approve(Box<CodeRecord>),
    /// No.
    Deny,
}

/// Pushed authorization requests and device grants.
#[async_trait]
pub trait GrantStore: Send + Sync {
    /// Keeps a pushed request.
    async fn add_pushed_request(&self, request: PushedRequestRecord) -> Result<(), StoreError>;

    /// Takes a pushed request out, expired or not: it is given once.
    async fn take_pushed_request(
        &self,
        hash: TokenHash,
    ) -> Result<Option<PushedRequestRecord>, StoreError>;

    /// Keeps a device grant; `false` when its user code is taken.
    async fn add_device_grant(&self, grant: DeviceGrantRecord) -> Result<bool, StoreError>;

    /// The device grant with this user code, expired and answered or not.
    async fn device_grant(
        &self,
        user_code: TokenHash,
    ) -> Result<Option<DeviceGrantRecord>, StoreError>;

    /// The device grant with this device code as it was before, and notes that the device asked
    /// at `now`.
    async fn poll_device_grant(
        &self,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<Option<DeviceGrantRecord>, StoreError>;

    /// Writes a person's answer, with the code of an approval in the same transaction; `false`,
    /// and nothing written, when it is answered already or not there.
    async fn answer_device_grant(
        &self,
        hash: TokenHash,
        answer: DeviceAnswer,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;
}
