//! Pending logins.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::secret::TokenHash;
use auth_core::store::{
    AccountId, LoginCompletion, LoginRecord, LoginStore, SessionId, StoreError,
};
use tokio_postgres::Row;

use super::PostgresStore;
use super::audit::events;
use super::columns::{AccountRow, Columns, Param, SessionRow};
use super::connection::Connection;
use super::factors;
use super::listener::CHANNEL;
use super::sessions::{end_session, hand_over};

/// `$1` to `$18`: the session. `$19` to `$23`: the login. `$24`: throttle keys. `$25`: events.
///
/// Account and login are locked and judged as they are after the wait for the lock; all else
/// hangs on both being as expected.
macro_rules! complete {
    ($account_condition:literal, $account_write:expr, $payload:literal) => {
        concat!(
            "WITH account AS MATERIALIZED (SELECT a.id FROM accounts a \
             WHERE a.id = $2 AND a.active",
            $account_condition,
            " FOR NO KEY UPDATE), \
             login AS MATERIALIZED (SELECT l.handle FROM logins l \
             WHERE l.handle = $19 AND l.version = $20 AND EXISTS (SELECT FROM account) \
             FOR NO KEY UPDATE), \
             moved AS (UPDATE logins SET browser = $21, state = $22, expires_at = $23, \
             version = version + 1 FROM login WHERE logins.handle = login.handle), ",
            $account_write,
            "made AS (",
            insert_session!("login"),
            "), counters AS MATERIALIZED (SELECT t.key FROM throttle t \
             WHERE t.key = ANY($24) AND EXISTS (SELECT FROM login) ORDER BY t.key FOR UPDATE), \
             cleared AS (DELETE FROM throttle USING counters WHERE throttle.key = counters.key), \
             trail AS (",
            insert_audit!("$25", "login"),
            ") SELECT ",
            $payload,
            " FROM login"
        )
    };
}

/// Leaves the account as it is.
const COMPLETE: &str = complete!("", "", "TRUE");

/// Writes the account too: `$26` its version, `$27` to `$43` its columns, `$44` the channel on
/// which that is told.
const COMPLETE_WITH_ACCOUNT: &str = complete!(
    " AND a.version = $26",
    "account_written AS (UPDATE accounts SET username = $27, username_key = $28, email = $29, \
     email_key = $30, email_verified = $31, first_name = $32, last_name = $33, nickname = $34, \
     position = $35, locale = $36, active = $37, inactive_reason = $38, roles = $39, \
     groups = $40, updated_at = $41, last_login_at = $42, checked_at = $43, \
     version = version + 1 FROM login WHERE accounts.id = $2), ",
    "pg_notify($44, CAST($2 AS text))"
);

#[async_trait]
impl LoginStore for PostgresStore {
    async fn add_login(&self, login: LoginRecord) -> Result<(), StoreError> {
        const ADD: &str = "INSERT INTO logins (handle, browser, version, state, created_at, \
             expires_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let params: [Param<'_>; 6] = [
            &login.handle.as_bytes().as_slice(),
            &login.browser.as_bytes().as_slice(),
            &login.version,
            &login.state,
            &login.created_at.millis(),
            &login.expires_at.millis(),
        ];
        self.database.primary().await?.execute(ADD, &params).await.map(drop)
    }

    async fn login(&self, handle: TokenHash) -> Result<Option<LoginRecord>, StoreError> {
        const FIND: &str = "SELECT handle, browser, version, state, created_at, expires_at \
             FROM logins WHERE handle = $1";
        let mut connection = self.database.primary().await?;
        let row = connection.row(FIND, &[&handle.as_bytes().as_slice()]).await?;
        row.as_ref().map(read).transpose()
    }

    async fn advance_login(
        &self,
        login: LoginRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const ADVANCE: &str = concat!(
            "WITH moved AS (UPDATE logins SET browser = $3, state = $4, expires_at = $5, \
             version = version + 1 WHERE handle = $1 AND version = $2 RETURNING handle), \
             trail AS (",
            insert_audit!("$6", "moved"),
            ") SELECT FROM moved"
        );
        let params: [Param<'_>; 6] = [
            &login.handle.as_bytes().as_slice(),
            &login.version,
            &login.browser.as_bytes().as_slice(),
            &login.state,
            &login.expires_at.millis(),
            &events(&audit),
        ];
        Ok(self.database.primary().await?.row(ADVANCE, &params).await?.is_some())
    }

    async fn complete_login(&self, completion: LoginCompletion) -> Result<bool, StoreError> {
        let owner = completion.session.account;
        if completion.account.as_ref().is_some_and(|a| a.id != owner || !a.active) {
            return Ok(false);
        }
        let mut connection = self.database.primary().await?;
        if completion.factor.is_none() && completion.replaces.is_none() {
            let done = complete(&mut connection, &completion).await;
            if completion.account.is_some() {
                self.cache.account_changed(owner);
            }
            return done;
        }
        connection.begin().await?;
        // Nobody has the nil id: without a replaced session only the account itself is locked.
        let replaced = completion.replaces.unwrap_or(SessionId(uuid::Uuid::nil()));
        let others = lock_accounts(&mut connection, owner, replaced).await?;
        let taken = completion.factor.is_some() && has_factor(&mut connection, owner).await?;
        if taken || !complete(&mut connection, &completion).await? {
            connection.rollback().await?;
            return Ok(false);
        }
        if let Some((factor, codes)) = &completion.factor {
            factors::add(&mut connection, factor, Some(codes)).await?;
        }
        if completion.replaces.is_some() {
            hand_over(&mut connection, replaced, &completion.session).await?;
            let at = completion.session.created_at;
            let ended = end_session(&mut connection, replaced, at, "replaced").await?;
            if let Some(session) = ended.first() {
                Self::notify(&mut connection, &session.account.to_string()).await?;
            }
        }
        let committed = connection.commit().await;
        for account in others {
            self.cache.account_changed(account);
        }
        committed.map(|()| true)
    }
}

/// Whether the account, whose row lock is held, has a second factor.
async fn has_factor(connection: &mut Connection, owner: AccountId) -> Result<bool, StoreError> {
    const HAS: &str = "SELECT TRUE FROM factors WHERE account = $1 LIMIT 1";
    Ok(connection.row(HAS, &[&owner.0]).await?.is_some())
}

/// Locks the account that signs in and the one whose session is replaced, in the order of ids.
async fn lock_accounts(
    connection: &mut Connection,
    owner: AccountId,
    replaced: SessionId,
) -> Result<Vec<AccountId>, StoreError> {
    const LOCK: &str = "SELECT a.id FROM accounts a \
         WHERE a.id = $1 OR a.id = (SELECT s.account FROM sessions s WHERE s.id = $2) \
         ORDER BY a.id FOR NO KEY UPDATE";
    let rows = connection.rows(LOCK, &[&owner.0, &replaced.0]).await?;
    rows.iter().map(|row| Ok(AccountId(Columns::of(row, "accounts").take()?))).collect()
}

async fn complete(
    connection: &mut Connection,
    completion: &LoginCompletion,
) -> Result<bool, StoreError> {
    let session = SessionRow::of(&completion.session);
    let login = &completion.login;
    let (handle, browser) =
        (login.handle.as_bytes().as_slice(), login.browser.as_bytes().as_slice());
    let expires_at = login.expires_at.millis();
    let counters: Vec<&[u8]> = completion.clear_throttle.iter().map(|key| key.as_bytes()).collect();
    let events = events(&completion.audit);
    let own: [Param<'_>; 7] =
        [&handle, &login.version, &browser, &login.state, &expires_at, &counters, &events];
    let mut params: Vec<Param<'_>> = session.params().into_iter().chain(own).collect();
    let Some(record) = &completion.account else {
        return Ok(connection.row(COMPLETE, &params).await?.is_some());
    };
    let account = AccountRow::of(record);
    params.push(&record.version);
    // The first one is the id, which is the session's account.
    params.extend(account.params().into_iter().skip(1));
    params.push(&CHANNEL);
    Ok(connection.row(COMPLETE_WITH_ACCOUNT, &params).await?.is_some())
}

fn read(row: &Row) -> Result<LoginRecord, StoreError> {
    let columns = &mut Columns::of(row, "logins");
    Ok(LoginRecord {
        handle: columns.hash()?,
        browser: columns.hash()?,
        version: columns.take()?,
        state: columns.take()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
    })
}
