//! Pushed authorization requests and device grants in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{
    DeviceAnswer, DeviceGrantRecord, DeviceGrantState, GrantStore, PushedRequestRecord, StoreError,
};
use rusqlite::params;

use super::row::{Columns, change, one};
use super::{SqliteStore, audit, tokens};

macro_rules! device_grant_columns {
    () => {
        "hash, user_code, client, scope, ip, user_agent, state, created_at, expires_at, polled_at"
    };
}

fn read_device_grant(columns: &mut Columns<'_, '_>) -> Result<DeviceGrantRecord, StoreError> {
    columns.of("device_grant");
    Ok(DeviceGrantRecord {
        hash: columns.hash()?,
        user_code: columns.hash()?,
        client: columns.take()?,
        scope: columns.take()?,
        ip: columns.take()?,
        user_agent: columns.take()?,
        state: columns.word(DeviceGrantState::parse)?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
        polled_at: columns.optional_time()?,
    })
}

fn read_pushed_request(columns: &mut Columns<'_, '_>) -> Result<PushedRequestRecord, StoreError> {
    columns.of("pushed_request");
    Ok(PushedRequestRecord {
        hash: columns.hash()?,
        client: columns.take()?,
        parameters: columns.take()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
    })
}

#[async_trait]
impl GrantStore for SqliteStore {
    async fn add_pushed_request(&self, request: PushedRequestRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO pushed_request (hash, client, parameters, created_at, expires_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        self.write(move |c| {
            let params = params![
                request.hash.as_bytes(),
                request.client,
                request.parameters,
                request.created_at.millis(),
                request.expires_at.millis()
            ];
            change(c, sql, params).map(drop)
        })
        .await
    }

    async fn take_pushed_request(
        &self,
        hash: TokenHash,
    ) -> Result<Option<PushedRequestRecord>, StoreError> {
        let read = "SELECT hash, client, parameters, created_at, expires_at FROM pushed_request \
                    WHERE hash = ?1";
        self.write(move |c| {
            let found = one(c, read, params![hash.as_bytes()], read_pushed_request)?;
            if found.is_some() {
                let sql = "DELETE FROM pushed_request WHERE hash = ?1";
                change(c, sql, params![hash.as_bytes()])?;
            }
            Ok(found)
        })
        .await
    }

    async fn add_device_grant(&self, grant: DeviceGrantRecord) -> Result<bool, StoreError> {
        let sql = "INSERT INTO device_grant (hash, user_code, client, scope, ip, user_agent, \
                   state, created_at, expires_at, polled_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
                   ON CONFLICT (user_code) DO NOTHING";
        self.write(move |c| {
            let params = params![
                grant.hash.as_bytes(),
                grant.user_code.as_bytes(),
                grant.client,
                grant.scope,
                grant.ip,
                grant.user_agent,
                grant.state.as_str(),
                grant.created_at.millis(),
                grant.expires_at.millis(),
                grant.polled_at.map(Timestamp::millis)
            ];
            Ok(change(c, sql, params)? == 1)
        })
        .await
    }

    async fn device_grant(
        &self,
        user_code: TokenHash,
    ) -> Result<Option<DeviceGrantRecord>, StoreError> {
        let sql =
            concat!("SELECT ", device_grant_columns!(), " FROM device_grant WHERE user_code = ?1");
        self.look_up(|c| one(c, sql, params![user_code.as_bytes()], read_device_grant))
    }

    async fn poll_device_grant(
        &self,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<Option<DeviceGrantRecord>, StoreError> {
        let read =
            concat!("SELECT ", device_grant_columns!(), " FROM device_grant WHERE hash = ?1");
        self.write(move |c| {
            let found = one(c, read, params![hash.as_bytes()], read_device_grant)?;
            if found.is_some() {
                let sql = "UPDATE device_grant SET polled_at = ?2 WHERE hash = ?1";
                change(c, sql, params![hash.as_bytes(), now.millis()])?;
            }
            Ok(found)
        })
        .await
    }

    async fn answer_device_grant(
        &self,
        hash: TokenHash,
        answer: DeviceAnswer,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE device_grant SET state = ?2 WHERE hash = ?1 AND state = 'pending'";
        self.write(move |c| {
            let state = match &answer {
                DeviceAnswer::Approve(_) => DeviceGrantState::Approved,
                DeviceAnswer::Deny => DeviceGrantState::Denied,
            };
            if change(c, sql, params![hash.as_bytes(), state.as_str()])? == 0 {
                return Ok(false);
            }
            if let DeviceAnswer::Approve(code) = &answer {
                tokens::insert_code(c, code)?;
            }
            audit::append(c, &audit)?;
            Ok(true)
        })
        .await
    }
}
