//! What SAML connections keep: the identity provider's metadata, and keys of ours (sealed).

use async_trait::async_trait;

use super::StoreError;
use crate::audit::AuditRecord;
use crate::clock::Timestamp;

/// The metadata that a connection goes by, and a newer document that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamlMetadataRecord {
    /// Id of the connection.
    pub connection: String,
    /// Where it came from: `import`, or a URL.
    pub source: String,
    /// The document as it was read.
    pub document: Vec<u8>,
    /// When it was taken over.
    pub accepted_at: Timestamp,
    /// When the source was last read with success.
    pub checked_at: Timestamp,
    /// A newer document with changed keys or addresses.
    pub pending: Option<PendingMetadata>,
    /// Counts the writes; the store sets it: 1 when the record is made.
    pub version: i64,
}

/// A document that waits for an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingMetadata {
    /// The document as it was read.
    pub document: Vec<u8>,
    /// When it was first seen.
    pub found_at: Timestamp,
}

/// A private key of ours for one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamlKeyRecord {
    /// SHA-256 of the certificate, hexadecimal.
    pub id: String,
    /// Id of the connection.
    pub connection: String,
    /// Certificate, DER.
    pub certificate: Vec<u8>,
    /// Sealed PKCS#8.
    pub sealed: Vec<u8>,
    /// When it was made (published and good for decryption from then on).
    pub created_at: Timestamp,
    /// From when it signs.
    pub active_from: Timestamp,
    /// When it was withdrawn.
    pub retired_at: Option<Timestamp>,
}

/// Metadata and keys of SAML connections.
#[async_trait]
pub trait SamlStore: Send + Sync {
    /// The metadata of a connection.
    async fn saml_metadata(
        &self,
        connection: &str,
    ) -> Result<Option<SamlMetadataRecord>, StoreError>;

    /// Writes metadata. With `expected`, only over the record with that version; without, only
    /// when the connection has none. `false` when it was not written: somebody else was faster.
    async fn put_saml_metadata(
        &self,
        record: SamlMetadataRecord,
        expected: Option<i64>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// All keys of a connection, oldest first, retired ones included.
    async fn saml_keys(&self, connection: &str) -> Result<Vec<SamlKeyRecord>, StoreError>;

    /// Adds a key. With `only_if_none`, only when the connection has no unretired key (two nodes
    /// starting at once make one key); `false` when it was not added.
    async fn add_saml_key(
        &self,
        key: SamlKeyRecord,
        only_if_none: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// Marks a key retired; `false` when there is none or it is retired already.
    async fn retire_saml_key(
        &self,
        connection: &str,
        id: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;
}
