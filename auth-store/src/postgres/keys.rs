//! Signing keys, clients kept in the store, and named values.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{ClientRecord, KeyStore, SigningKeyRecord, StoreError};
use tokio_postgres::Row;

use super::columns::{Columns, Param};
use super::listener::ALL;
use super::sessions::end_sessions_of_client;
use super::{PostgresStore, audit, audit::events};

/// Key of the advisory lock under which signing keys are added ("keys" in ASCII).
const KEYS_LOCK: i64 = 0x6b65_7973;

macro_rules! select_clients {
    ($condition:literal) => {
        concat!(
            "SELECT id, CAST(settings AS text), sealed_secret, created_at, updated_at \
             FROM clients ",
            $condition
        )
    };
}

#[async_trait]
impl KeyStore for PostgresStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        const KEYS: &str = "SELECT kid, algorithm, sealed, created_at, active_from, retired_at \
             FROM signing_keys ORDER BY created_at, kid";
        let rows = self.database.primary().await?.rows(KEYS, &[]).await?;
        rows.iter().map(signing_key).collect()
    }

    async fn add_signing_key(
        &self,
        key: SigningKeyRecord,
        only_if_none: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
        // After the lock, so that it sees what was added under it before.
        const ADD: &str = "INSERT INTO signing_keys (kid, algorithm, sealed, created_at, \
             active_from, retired_at) \
             SELECT $1::text, $2::text, $3::bytea, $4::bigint, $5::bigint, $6::bigint \
             WHERE NOT ($7 AND EXISTS (SELECT FROM signing_keys k \
             WHERE k.algorithm = $2::text AND k.retired_at IS NULL))";
        let params: [Param<'_>; 7] = [
            &key.kid,
            &key.algorithm,
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

    async fn retire_signing_key(
        &self,
        kid: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const RETIRE: &str = concat!(
            "WITH retired AS (UPDATE signing_keys SET retired_at = $2 \
             WHERE kid = $1 AND retired_at IS NULL RETURNING kid), trail AS (",
            insert_audit!("$3", "retired"),
            ") SELECT FROM retired"
        );
        let params: [Param<'_>; 3] = [&kid, &at.millis(), &events(&audit)];
        Ok(self.database.primary().await?.row(RETIRE, &params).await?.is_some())
    }

    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError> {
        const CLIENTS: &str = select_clients!("ORDER BY id");
        let rows = self.database.primary().await?.rows(CLIENTS, &[]).await?;
        rows.iter().map(client).collect()
    }

    async fn client(&self, id: &str) -> Result<Option<ClientRecord>, StoreError> {
        const CLIENT: &str = select_clients!("WHERE id = $1");
        // What a stranger names as client id gets here.
        if id.contains('\0') {
            return Ok(None);
        }
        let row = self.database.primary().await?.row(CLIENT, &[&id]).await?;
        row.as_ref().map(client).transpose()
    }

    async fn add_client(
        &self,
        client: ClientRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        const ADD: &str = concat!(
            "WITH added AS (INSERT INTO clients (id, settings, sealed_secret, created_at, \
             updated_at) VALUES ($1, CAST($2::text AS json), $3, $4, $5) RETURNING id) ",
            insert_audit!("$6", "added")
        );
        let params: [Param<'_>; 6] = [
            &client.id,
            &client.settings.to_string(),
            &client.sealed_secret,
            &client.created_at.millis(),
            &client.updated_at.millis(),
            &events(&audit),
        ];
        self.database.primary().await?.execute(ADD, &params).await.map(drop)
    }

    async fn update_client(
        &self,
        client: ClientRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const UPDATE: &str = concat!(
            "WITH written AS (UPDATE clients SET settings = CAST($2::text AS json), \
             sealed_secret = $3, created_at = $4, updated_at = $5 WHERE id = $1 RETURNING id), \
             trail AS (",
            insert_audit!("$6", "written"),
            ") SELECT FROM written"
        );
        let params: [Param<'_>; 6] = [
            &client.id,
            &client.settings.to_string(),
            &client.sealed_secret,
            &client.created_at.millis(),
            &client.updated_at.millis(),
            &events(&audit),
        ];
        Ok(self.database.primary().await?.row(UPDATE, &params).await?.is_some())
    }

    async fn remove_client(
        &self,
        id: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const REMOVE: &str = "DELETE FROM clients WHERE id = $1";
        if id.contains('\0') {
            return Ok(false);
        }
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        if connection.execute(REMOVE, &[&id]).await? == 0 {
            connection.rollback().await?;
            return Ok(false);
        }
        end_sessions_of_client(&mut connection, id, at, "client_removed").await?;
        audit::insert(&mut connection, &audit).await?;
        Self::notify(&mut connection, ALL).await?;
        let committed = connection.commit().await;
        self.cache.everything_changed();
        committed.map(|()| true)
    }

    async fn named_value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        const FIND: &str = "SELECT value FROM named_values WHERE name = $1";
        let row = self.database.primary().await?.row(FIND, &[&name]).await?;
        row.map(|row| Columns::of(&row, "named_values").take()).transpose()
    }

    async fn set_named_value(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        const SET: &str = "INSERT INTO named_values (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value";
        self.database.primary().await?.execute(SET, &[&name, &value]).await.map(drop)
    }
}

fn signing_key(row: &Row) -> Result<SigningKeyRecord, StoreError> {
    let columns = &mut Columns::of(row, "signing_keys");
    Ok(SigningKeyRecord {
        kid: columns.take()?,
        algorithm: columns.take()?,
        sealed: columns.take()?,
        created_at: columns.time()?,
        active_from: columns.time()?,
        retired_at: columns.optional_time()?,
    })
}

fn client(row: &Row) -> Result<ClientRecord, StoreError> {
    let columns = &mut Columns::of(row, "clients");
    Ok(ClientRecord {
        id: columns.take()?,
        settings: serde_json::from_str(columns.take()?)
            .map_err(|error| columns.corrupt(&format!("settings: {error}")))?,
        sealed_secret: columns.take()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
    })
}
