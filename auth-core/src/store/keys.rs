//! Signing keys (sealed), clients kept in the store, and named values such as the ring check.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::audit::AuditRecord;
use crate::clock::Timestamp;

/// A signing key; its private part is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyRecord {
    /// Key id as in the JWKS.
    pub kid: String,
    /// JWS algorithm: `RS256` or `EdDSA`.
    pub algorithm: String,
    /// Sealed PKCS#8.
    pub sealed: Vec<u8>,
    /// When it was made (published from then on).
    pub created_at: Timestamp,
    /// From when it signs.
    pub active_from: Timestamp,
    /// When it stopped being published.
    pub retired_at: Option<Timestamp>,
}

/// A client (relying party) kept in the store by `client add`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRecord {
    /// Client id.
    pub id: String,
    /// Everything but the secret, in the form of the configuration's `[[client]]` as JSON.
    pub settings: serde_json::Value,
    /// Sealed client secret; none for a public client.
    pub sealed_secret: Option<Vec<u8>>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Keys, clients and named values.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// All signing keys, oldest first, retired ones included.
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError>;

    /// Adds a signing key. With `only_if_none`, only when no unretired key of the same algorithm
    /// exists (two nodes starting at once make one key); `false` when it was not added.
    async fn add_signing_key(
        &self,
        key: SigningKeyRecord,
        only_if_none: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// Marks a key retired; `false` when there is none or it is retired already.
    async fn retire_signing_key(
        &self,
        kid: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// All clients in the store, by id (byte by byte).
    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError>;

    /// One client.
    async fn client(&self, id: &str) -> Result<Option<ClientRecord>, StoreError>;

    /// Adds a client. `Conflict` names `client`.
    async fn add_client(
        &self,
        client: ClientRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError>;

    /// Replaces a client; `false` when there is none.
    async fn update_client(
        &self,
        client: ClientRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// Removes a client and ends its sessions in the same transaction (reason `client_removed`);
    /// `false` when there is none.
    async fn remove_client(
        &self,
        id: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// A named value, e.g. `ring_check`.
    async fn named_value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Sets a named value.
    async fn set_named_value(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;
}
