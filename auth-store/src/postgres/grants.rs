//! Pushed authorization requests and device grants.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{
    DeviceAnswer, DeviceGrantRecord, DeviceGrantState, GrantStore, PushedRequestRecord, StoreError,
};
use tokio_postgres::Row;

use super::PostgresStore;
use super::audit::events;
use super::columns::{Columns, Param, optional, text};

macro_rules! device_grant_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".hash, ",
            $table,
            ".user_code, ",
            $table,
            ".client, ",
            $table,
            ".scope, ",
            $table,
            ".ip, ",
            $table,
            ".user_agent, ",
            $table,
            ".state, ",
            $table,
            ".created_at, ",
            $table,
            ".expires_at, ",
            $table,
            ".polled_at"
        )
    };
}

/// `$1` the grant, `$2` events, `$3` to `$12` the code.
const APPROVE: &str = concat!(
    "WITH answered AS (UPDATE device_grants SET state = 'approved' \
     WHERE hash = $1 AND state = 'pending' RETURNING hash), \
     made AS (INSERT INTO codes (hash, client, account, session, redirect_uri, code_challenge, \
     nonce, scope, created_at, expires_at) SELECT $3::bytea, $4::text, $5::uuid, $6::uuid, \
     $7::text, $8::text, $9::text, $10::text, $11::bigint, $12::bigint FROM answered), \
     trail AS (",
    insert_audit!("$2", "answered"),
    ") SELECT FROM answered"
);

const DENY: &str = concat!(
    "WITH answered AS (UPDATE device_grants SET state = 'denied' \
     WHERE hash = $1 AND state = 'pending' RETURNING hash), \
     trail AS (",
    insert_audit!("$2", "answered"),
    ") SELECT FROM answered"
);

#[async_trait]
impl GrantStore for PostgresStore {
    async fn add_pushed_request(&self, request: PushedRequestRecord) -> Result<(), StoreError> {
        const ADD: &str = "INSERT INTO pushed_requests (hash, client, parameters, created_at, \
             expires_at) VALUES ($1, $2, $3, $4, $5)";
        let params: [Param<'_>; 5] = [
            &request.hash.as_bytes().as_slice(),
            &request.client,
            &request.parameters,
            &request.created_at.millis(),
            &request.expires_at.millis(),
        ];
        self.database.primary().await?.execute(ADD, &params).await.map(drop)
    }

    async fn take_pushed_request(
        &self,
        hash: TokenHash,
    ) -> Result<Option<PushedRequestRecord>, StoreError> {
        const TAKE: &str = "DELETE FROM pushed_requests WHERE hash = $1 \
             RETURNING hash, client, parameters, created_at, expires_at";
        let mut connection = self.database.primary().await?;
        let row = connection.row(TAKE, &[&hash.as_bytes().as_slice()]).await?;
        let Some(row) = row else { return Ok(None) };
        let columns = &mut Columns::of(&row, "pushed_requests");
        Ok(Some(PushedRequestRecord {
            hash: columns.hash()?,
            client: columns.take()?,
            parameters: columns.take()?,
            created_at: columns.time()?,
            expires_at: columns.time()?,
        }))
    }

    async fn add_device_grant(&self, grant: DeviceGrantRecord) -> Result<bool, StoreError> {
        const ADD: &str = "INSERT INTO device_grants (hash, user_code, client, scope, ip, \
             user_agent, state, created_at, expires_at, polled_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT ON CONSTRAINT device_grants_user_code DO NOTHING";
        let params: [Param<'_>; 10] = [
            &grant.hash.as_bytes().as_slice(),
            &grant.user_code.as_bytes().as_slice(),
            &grant.client,
            &text(&grant.scope),
            &optional(&grant.ip),
            &optional(&grant.user_agent),
            &grant.state.as_str(),
            &grant.created_at.millis(),
            &grant.expires_at.millis(),
            &grant.polled_at.map(Timestamp::millis),
        ];
        Ok(self.database.primary().await?.execute(ADD, &params).await? == 1)
    }

    async fn device_grant(
        &self,
        user_code: TokenHash,
    ) -> Result<Option<DeviceGrantRecord>, StoreError> {
        const FIND: &str = concat!(
            "SELECT ",
            device_grant_columns!("g"),
            " FROM device_grants g WHERE g.user_code = $1"
        );
        let mut connection = self.database.primary().await?;
        let row = connection.row(FIND, &[&user_code.as_bytes().as_slice()]).await?;
        row.as_ref().map(read).transpose()
    }

    async fn poll_device_grant(
        &self,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<Option<DeviceGrantRecord>, StoreError> {
        // The lock makes two polls see one another.
        const POLL: &str = concat!(
            "WITH before AS MATERIALIZED (SELECT * FROM device_grants WHERE hash = $1 \
             FOR NO KEY UPDATE), \
             polled AS (UPDATE device_grants SET polled_at = $2 FROM before \
             WHERE device_grants.hash = before.hash) SELECT ",
            device_grant_columns!("before"),
            " FROM before"
        );
        let mut connection = self.database.primary().await?;
        let row = connection.row(POLL, &[&hash.as_bytes().as_slice(), &now.millis()]).await?;
        row.as_ref().map(read).transpose()
    }

    async fn answer_device_grant(
        &self,
        hash: TokenHash,
        answer: DeviceAnswer,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let grant = hash.as_bytes().as_slice();
        let events = events(&audit);
        let mut connection = self.database.primary().await?;
        let row = match answer {
            DeviceAnswer::Deny => connection.row(DENY, &[&grant, &events]).await?,
            DeviceAnswer::Approve(code) => {
                let params: [Param<'_>; 12] = [
                    &grant,
                    &events,
                    &code.hash.as_bytes().as_slice(),
                    &code.client,
                    &code.account.0,
                    &code.session.0,
                    &code.redirect_uri,
                    &code.code_challenge,
                    &code.nonce,
                    &code.scope,
                    &code.created_at.millis(),
                    &code.expires_at.millis(),
                ];
                connection.row(APPROVE, &params).await?
            }
        };
        Ok(row.is_some())
    }
}

fn read(row: &Row) -> Result<DeviceGrantRecord, StoreError> {
    let columns = &mut Columns::of(row, "device_grants");
    Ok(DeviceGrantRecord {
        hash: columns.hash()?,
        user_code: columns.hash()?,
        client: columns.take()?,
        scope: columns.take()?,
        ip: columns.take()?,
        user_agent: columns.take()?,
        state: {
            let word: &str = columns.take()?;
            DeviceGrantState::parse(word).ok_or_else(|| columns.corrupt("an unknown state"))?
        },
        created_at: columns.time()?,
        expires_at: columns.time()?,
        polled_at: columns.optional_time()?,
    })
}
