//! Signing keys, clients and named values in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{ClientRecord, KeyStore, SigningKeyRecord, StoreError};
use rusqlite::{Connection, params};

use super::row::{Columns, all, change, one, to_json};
use super::{SqliteStore, audit, sessions};

/// Sets a named value.
pub(super) fn set_named_value(c: &Connection, name: &str, value: &[u8]) -> Result<(), StoreError> {
    let sql = "INSERT INTO named_value (name, value) VALUES (?1, ?2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    change(c, sql, params![name, value]).map(drop)
}

fn add_key(c: &Connection, key: &SigningKeyRecord, only_if_none: bool) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM signing_key WHERE algorithm = ?1 AND retired_at IS NULL";
    if only_if_none && one(c, sql, params![key.algorithm], |_| Ok(()))?.is_some() {
        return Ok(false);
    }
    change(
        c,
        "INSERT INTO signing_key (kid, algorithm, sealed, created_at, active_from, retired_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            key.kid,
            key.algorithm,
            key.sealed,
            key.created_at.millis(),
            key.active_from.millis(),
            key.retired_at.map(|at| at.millis()),
        ],
    )?;
    Ok(true)
}

fn write_client(c: &Connection, sql: &str, client: &ClientRecord) -> Result<bool, StoreError> {
    let params = params![
        client.id,
        to_json(&client.settings)?,
        client.sealed_secret,
        client.created_at.millis(),
        client.updated_at.millis(),
    ];
    Ok(change(c, sql, params)? == 1)
}

fn read_client(columns: &mut Columns<'_, '_>) -> Result<ClientRecord, StoreError> {
    columns.of("client");
    Ok(ClientRecord {
        id: columns.take()?,
        settings: columns.json()?,
        sealed_secret: columns.take()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
    })
}

fn read_key(columns: &mut Columns<'_, '_>) -> Result<SigningKeyRecord, StoreError> {
    columns.of("signing_key");
    Ok(SigningKeyRecord {
        kid: columns.take()?,
        algorithm: columns.take()?,
        sealed: columns.take()?,
        created_at: columns.time()?,
        active_from: columns.time()?,
        retired_at: columns.optional_time()?,
    })
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        let sql = "SELECT kid, algorithm, sealed, created_at, active_from, retired_at \
                   FROM signing_key ORDER BY created_at, kid";
        self.list(move |c| all(c, sql, &[], read_key)).await
    }

    async fn add_signing_key(
        &self,
        key: SigningKeyRecord,
        only_if_none: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        self.write(move |c| {
            let added = add_key(c, &key, only_if_none)?;
            audit::append_if(added, c, &audit)
        })
        .await
    }

    async fn retire_signing_key(
        &self,
        kid: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let kid = kid.to_owned();
        let sql = "UPDATE signing_key SET retired_at = ?2 WHERE kid = ?1 AND retired_at IS NULL";
        self.write(move |c| {
            let retired = change(c, sql, params![kid, at.millis()])? == 1;
            audit::append_if(retired, c, &audit)
        })
        .await
    }

    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError> {
        let sql = "SELECT id, settings, sealed_secret, created_at, updated_at \
                   FROM client ORDER BY id";
        self.list(move |c| all(c, sql, &[], read_client)).await
    }

    async fn client(&self, id: &str) -> Result<Option<ClientRecord>, StoreError> {
        let sql = "SELECT id, settings, sealed_secret, created_at, updated_at \
                   FROM client WHERE id = ?1";
        self.look_up(|c| one(c, sql, params![id], read_client))
    }

    async fn add_client(
        &self,
        client: ClientRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO client (id, settings, sealed_secret, created_at, updated_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        self.write(move |c| {
            write_client(c, sql, &client)?;
            audit::append(c, &audit)
        })
        .await
    }

    async fn update_client(
        &self,
        client: ClientRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE client SET settings = ?2, sealed_secret = ?3, created_at = ?4, \
                   updated_at = ?5 WHERE id = ?1";
        self.write(move |c| {
            let written = write_client(c, sql, &client)?;
            audit::append_if(written, c, &audit)
        })
        .await
    }

    async fn remove_client(
        &self,
        id: &str,
        at: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(move |c| {
            let removed = change(c, "DELETE FROM client WHERE id = ?1", params![id])? == 1;
            if removed {
                sessions::end_of_client(c, &id, at, "client_removed")?;
            }
            audit::append_if(removed, c, &audit)
        })
        .await
    }

    async fn named_value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT value FROM named_value WHERE name = ?1";
        self.look_up(|c| one(c, sql, params![name], |columns| columns.of("named_value").take()))
    }

    async fn set_named_value(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let (name, value) = (name.to_owned(), value.to_vec());
        self.write(move |c| set_named_value(c, &name, &value)).await
    }
}
