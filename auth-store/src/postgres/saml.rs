//! Metadata and keys of SAML connections.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{PendingMetadata, SamlKeyRecord, SamlMetadataRecord, SamlStore, StoreError};
use tokio_postgres::Row;

use super::columns::{Columns, Param};
use super::{PostgresStore, audit, audit::events};

/// Key of the advisory lock under which keys are added ("saml" in ASCII).
const KEYS_LOCK: i64 = 0x7361_6d6c;

#[async_trait]
impl SamlStore for PostgresStore {
    async fn saml_metadata(
        &self,
        connection: &str,
    ) -> Result<Option<SamlMetadataRecord>, StoreError> {
        const FIND: &str = "SELECT connection, source, document, accepted_at, checked_at, \
             pending_document, pending_found_at, version \
             FROM saml_metadata WHERE connection = $1";
        let row = self.database.primary().await?.row(FIND, &[&connection]).await?;
        row.as_ref().map(metadata).transpose()
    }

    async fn put_saml_metadata(
        &self,
        record: SamlMetadataRecord,
        expected: Option<i64>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const INSERT: &str = concat!(
            "WITH written AS (INSERT INTO saml_metadata (connection, source, document, \
             accepted_at, checked_at, pending_document, pending_found_at, version) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 1 + $8::bigint) \
             ON CONFLICT (connection) DO NOTHING RETURNING connection), trail AS (",
            insert_audit!("$9", "written"),
            ") SELECT FROM written"
        );
        const UPDATE: &str = concat!(
            "WITH written AS (UPDATE saml_metadata SET source = $2, document = $3, \
             accepted_at = $4, checked_at = $5, pending_document = $6, pending_found_at = $7, \
             version = version + 1 WHERE connection = $1 AND version = $8 \
             RETURNING connection), trail AS (",
            insert_audit!("$9", "written"),
            ") SELECT FROM written"
        );
        let pending = record.pending.as_ref();
        let params: [Param<'_>; 9] = [
            &record.connection,
            &record.source,
            &record.document,
            &record.accepted_at.millis(),
            &record.checked_at.millis(),
            &pending.map(|pending| pending.document.as_slice()),
            &pending.map(|pending| pending.found_at.millis()),
            &expected.unwrap_or(0),
            &events(&audit),
        ];
        let sql = if expected.is_some() { UPDATE } else { INSERT };
        Ok(self.database.primary().await?.row(sql, &params).await?.is_some())
    }

    async fn saml_keys(&self, connection: &str) -> Result<Vec<SamlKeyRecord>, StoreError> {
        const KEYS: &str = "SELECT connection, id, certificate, sealed, created_at, active_from, \
             retired_at FROM saml_keys WHERE connection = $1 ORDER BY created_at, id";
        let rows = self.database.primary().await?.rows(KEYS, &[&connection]).await?;
        rows.iter().map(key).collect()
    }

    async fn add_saml_key(
        &self,
        key: SamlKeyRecord,
        only_if_none: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
        // After the lock, so that it sees what was added under it before.
        const ADD: &str = "INSERT INTO saml_keys (connection, id, certificate, sealed, created_at, \
             active_from, retired_at) \
             SELECT $1::text, $2::text, $3::bytea, $4::bytea, $5::bigint, $6::bigint, $7::bigint \
             WHERE NOT ($8 AND EXISTS (SELECT FROM saml_keys k \
             WHERE k.connection = $1::text AND k.retired_at IS NULL))";
        let params: [Param<'_>; 8] = [
            &key.connection,
            &key.id,
            &key.certificate,
            &key.sealed,
            &key.created_at.millis(),
            &key.active_from.millis(),
            &key.retired_at.map(Timestamp::millis),
            &only_if_none,
        ];
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        connection.execute(LOCK, &[&KEYS_LOCK]).await?;
        if connection.execute(ADD, &params).await? == 0 {
            connection.rollback().await?;
            return Ok(false);
        }
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(true)
    }

    async fn retire_saml_key(
        &self,
        connection: &str,
        id: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const RETIRE: &str = concat!(
            "WITH retired AS (UPDATE saml_keys SET retired_at = $3 \
             WHERE connection = $1 AND id = $2 AND retired_at IS NULL RETURNING id), trail AS (",
            insert_audit!("$4", "retired"),
            ") SELECT FROM retired"
        );
        let params: [Param<'_>; 4] = [&connection, &id, &at.millis(), &events(&audit)];
        Ok(self.database.primary().await?.row(RETIRE, &params).await?.is_some())
    }
}

fn metadata(row: &Row) -> Result<SamlMetadataRecord, StoreError> {
    let columns = &mut Columns::of(row, "saml_metadata");
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

fn key(row: &Row) -> Result<SamlKeyRecord, StoreError> {
    let columns = &mut Columns::of(row, "saml_keys");
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
