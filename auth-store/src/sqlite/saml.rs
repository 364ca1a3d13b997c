//! Metadata and keys of SAML connections in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{PendingMetadata, SamlKeyRecord, SamlMetadataRecord, SamlStore, StoreError};
use rusqlite::params;

use super::row::{Columns, all, change, one};
use super::{SqliteStore, audit};

fn read_metadata(columns: &mut Columns<'_, '_>) -> Result<SamlMetadataRecord, StoreError> {
    columns.of("saml_metadata");
    Ok(SamlMetadataRecord {
        connection: columns.take()?,
        source: columns.take()?,
        document: columns.take()?,
        accepted_at: columns.time()?,
        checked_at: columns.time()?,
        pending: {
            let document: Option<Vec<u8>> = columns.take()?;
            let found_at = columns.optional_time()?;
            document
                .zip(found_at)
                .map(|(document, found_at)| PendingMetadata { document, found_at })
        },
        version: columns.take()?,
    })
}

fn read_key(columns: &mut Columns<'_, '_>) -> Result<SamlKeyRecord, StoreError> {
    columns.of("saml_key");
    Ok(SamlKeyRecord {
        connection: columns.take()?,
        id: columns.take()?,
        certificate: columns.take()?,
        sealed: columns.take()?,
        created_at: columns.time()?,
        active_from: columns.time()?,
        retired_at: columns.optional_time()?,
    })
}

#[async_trait]
impl SamlStore for SqliteStore {
    async fn saml_metadata(
        &self,
        connection: &str,
    ) -> Result<Option<SamlMetadataRecord>, StoreError> {
        let sql = "SELECT connection, source, document, accepted_at, checked_at, \
                   pending_document, pending_found_at, version \
                   FROM saml_metadata WHERE connection = ?1";
        self.look_up(|c| one(c, sql, params![connection], read_metadata))
    }

    async fn put_saml_metadata(
        &self,
        record: SamlMetadataRecord,
        expected: Option<i64>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let sql = if expected.is_some() {
            "UPDATE saml_metadata SET source = ?2, document = ?3, accepted_at = ?4, \
             checked_at = ?5, pending_document = ?6, pending_found_at = ?7, version = version + 1 \
             WHERE connection = ?1 AND version = ?8"
        } else {
            "INSERT INTO saml_metadata (connection, source, document, accepted_at, checked_at, \
             pending_document, pending_found_at, version) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1 + ?8) ON CONFLICT (connection) DO NOTHING"
        };
        self.write(move |c| {
            let pending = record.pending.as_ref();
            let params = params![
                record.connection,
                record.source,
                record.document,
                record.accepted_at.millis(),
                record.checked_at.millis(),
                pending.map(|pending| &pending.document),
                pending.map(|pending| pending.found_at.millis()),
                expected.unwrap_or(0),
            ];
            let written = change(c, sql, params)? == 1;
            audit::append_if(written, c, &audit)
        })
        .await
    }

    async fn saml_keys(&self, connection: &str) -> Result<Vec<SamlKeyRecord>, StoreError> {
        let connection = connection.to_owned();
        let sql = "SELECT connection, id, certificate, sealed, created_at, active_from, retired_at \
                   FROM saml_key WHERE connection = ?1 ORDER BY created_at, id";
        self.list(move |c| all(c, sql, params![connection], read_key)).await
    }

    async fn add_saml_key(
        &self,
        key: SamlKeyRecord,
        only_if_none: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let in_use = "SELECT 1 FROM saml_key WHERE connection = ?1 AND retired_at IS NULL";
        let add = "INSERT INTO saml_key \
                   (connection, id, certificate, sealed, created_at, active_from, retired_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.write(move |c| {
            if only_if_none && one(c, in_use, params![key.connection], |_| Ok(()))?.is_some() {
                return Ok(false);
            }
            let params = params![
                key.connection,
                key.id,
                key.certificate,
                key.sealed,
                key.created_at.millis(),
                key.active_from.millis(),
                key.retired_at.map(|at| at.millis()),
            ];
            change(c, add, params)?;
            audit::append(c, &audit)?;
            Ok(true)
        })
        .await
    }

    async fn retire_saml_key(
        &self,
        connection: &str,
        id: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let (connection, id) = (connection.to_owned(), id.to_owned());
        let sql = "UPDATE saml_key SET retired_at = ?3 \
                   WHERE connection = ?1 AND id = ?2 AND retired_at IS NULL";
        self.write(move |c| {
            let retired = change(c, sql, params![connection, id, at.millis()])? == 1;
            audit::append_if(retired, c, &audit)
        })
        .await
    }
}
