//! Sessions and cookie rows.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{
    AccountId, CookieRecord, Revocation, RevocationScope, SessionFilter, SessionId, SessionRecord,
    SessionStore, StoreError,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{Columns, Param, limit, session, sessions};
use super::connection::Connection;
use super::devices::{forget_all_devices, forget_devices};
use super::listener::ALL;
use super::outbox::all_sessions_ended;
use super::{PostgresStore, audit};

macro_rules! select_session {
    ($condition:literal) => {
        concat!("SELECT ", session_columns!("s"), " FROM sessions s ", $condition)
    };
}

macro_rules! end_sessions {
    ($condition:literal) => {
        concat!(
            "UPDATE sessions AS s SET revoked_at = $1, revoked_reason = $2 \
             WHERE s.revoked_at IS NULL",
            $condition,
            " RETURNING ",
            session_columns!("s")
        )
    };
}

/// Ends the sessions of an account whose row lock is held, and forgets its devices.
pub(super) async fn end_sessions_of_account(
    connection: &mut Connection,
    account: AccountId,
    at: Timestamp,
    reason: &str,
) -> Result<Vec<SessionRecord>, StoreError> {
    const END: &str = end_sessions!(" AND s.account = $3");
    forget_devices(connection, account).await?;
    sessions(&connection.rows(END, &[&at.millis(), &reason, &account.0]).await?)
}

/// Ends a session and those that came from it. The row lock of its account is held.
pub(super) async fn end_session(
    connection: &mut Connection,
    id: SessionId,
    at: Timestamp,
    reason: &str,
) -> Result<Vec<SessionRecord>, StoreError> {
    const END: &str = end_sessions!(" AND (s.id = $3 OR s.parent = $3)");
    sessions(&connection.rows(END, &[&at.millis(), &reason, &id.0]).await?)
}

/// Live sessions of the same account that came from `replaced` come from `session` from now on.
/// The row locks of both accounts are held.
pub(super) async fn hand_over(
    connection: &mut Connection,
    replaced: SessionId,
    session: &SessionRecord,
) -> Result<(), StoreError> {
    const MOVE: &str = "UPDATE sessions SET parent = $1 \
         WHERE parent = $2 AND account = $3 AND revoked_at IS NULL";
    let params: [Param<'_>; 3] = [&session.id.0, &replaced.0, &session.account.0];
    connection.execute(MOVE, &params).await.map(drop)
}

/// Keeps all others from writing sessions until the end of the transaction: for changes of
/// sessions of many accounts, whose rows cannot be locked in order one by one.
async fn lock_all(connection: &mut Connection) -> Result<(), StoreError> {
    const LOCK: &str = "LOCK TABLE sessions IN SHARE ROW EXCLUSIVE MODE";
    connection.execute(LOCK, &[]).await.map(drop)
}

/// Ends all sessions of a client.
pub(super) async fn end_sessions_of_client(
    connection: &mut Connection,
    client: &str,
    at: Timestamp,
    reason: &str,
) -> Result<(), StoreError> {
    const END: &str = "UPDATE sessions SET revoked_at = $1, revoked_reason = $2 \
         WHERE revoked_at IS NULL AND client = $3";
    lock_all(connection).await?;
    connection.long_rows(END, &[&at.millis(), &reason, &client]).await.map(drop)
}

async fn end_all(
    connection: &mut Connection,
    at: Timestamp,
    reason: &str,
) -> Result<Vec<SessionRecord>, StoreError> {
    const END: &str = end_sessions!("");
    lock_all(connection).await?;
    forget_all_devices(connection).await?;
    sessions(&connection.long_rows(END, &[&at.millis(), &reason]).await?)
}

/// Locks the account that a session belongs to; none when there is no such session.
async fn lock_account_of(
    connection: &mut Connection,
    id: SessionId,
) -> Result<Option<AccountId>, StoreError> {
    const LOCK: &str = "SELECT a.id FROM accounts a JOIN sessions s ON s.account = a.id \
         WHERE s.id = $1 FOR NO KEY UPDATE OF a";
    let row = connection.row(LOCK, &[&id.0]).await?;
    row.map(|row| Ok(AccountId(Columns::of(&row, "accounts").take()?))).transpose()
}

#[async_trait]
impl SessionStore for PostgresStore {
    async fn session(&self, id: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        const FIND: &str = select_session!("WHERE s.id = $1");
        let row = self.database.primary().await?.row(FIND, &[&id.0]).await?;
        row.as_ref().map(read).transpose()
    }

    async fn sessions(
        &self,
        filter: SessionFilter,
        now: Timestamp,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        const OF_ALL: &str = select_session!(
            "WHERE s.id > $3 AND s.revoked_at IS NULL AND s.expires_at > $1 \
             AND (s.idle_timeout_millis <= 0 OR $1 - s.last_seen_at < s.idle_timeout_millis) \
             ORDER BY s.id LIMIT $2"
        );
        const OF_ACCOUNT: &str = select_session!(
            "WHERE s.id > $3 AND s.account = $4 AND s.revoked_at IS NULL AND s.expires_at > $1 \
             AND (s.idle_timeout_millis <= 0 OR $1 - s.last_seen_at < s.idle_timeout_millis) \
             ORDER BY s.id LIMIT $2"
        );
        let now = now.millis();
        let limit = limit(filter.limit);
        // No session has the nil id.
        let after = filter.after.map_or(Uuid::nil(), |after| after.0);
        let mut connection = self.database.listing().await?;
        let rows = match filter.account {
            Some(account) => {
                connection.rows(OF_ACCOUNT, &[&now, &limit, &after, &account.0]).await?
            }
            None => connection.rows(OF_ALL, &[&now, &limit, &after]).await?,
        };
        sessions(&rows)
    }

    async fn count_sessions(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        const COUNT: &str = "SELECT kind, count(*) FROM sessions WHERE revoked_at IS NULL \
             AND expires_at > $1 \
             AND (idle_timeout_millis <= 0 OR $1 - last_seen_at < idle_timeout_millis) \
             GROUP BY kind ORDER BY kind COLLATE \"C\"";
        let mut connection = self.database.listing().await?;
        let rows = connection.rows(COUNT, &[&now.millis()]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, "sessions");
                let kind: String = columns.take()?;
                let count: i64 = columns.take()?;
                Ok((kind, u64::try_from(count).unwrap_or(0)))
            })
            .collect()
    }

    async fn revoke_sessions(
        &self,
        revocation: Revocation,
        audit: Vec<AuditRecord>,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let Revocation { scope, at, reason } = revocation;
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        // In a statement before those that end them, so that these see what was inserted under
        // the lock before.
        let changed = match scope {
            RevocationScope::All => None,
            RevocationScope::Account(account) => {
                Self::lock_account(&mut connection, account).await?;
                Some(account)
            }
            RevocationScope::Session(id) => lock_account_of(&mut connection, id).await?,
        };
        let mut ended = match scope {
            RevocationScope::All => end_all(&mut connection, at, &reason).await?,
            RevocationScope::Account(account) => {
                end_sessions_of_account(&mut connection, account, at, &reason).await?
            }
            RevocationScope::Session(id) => end_session(&mut connection, id, at, &reason).await?,
        };
        match scope {
            RevocationScope::Session(_) => {}
            RevocationScope::Account(account) => {
                all_sessions_ended(&mut connection, Some(account), at, &reason).await?;
            }
            RevocationScope::All => all_sessions_ended(&mut connection, None, at, &reason).await?,
        }
        audit::insert(&mut connection, &audit).await?;
        // Whoever had ended them before has told it.
        if !ended.is_empty() {
            let payload = changed.map_or(ALL.to_owned(), |account| account.to_string());
            Self::notify(&mut connection, &payload).await?;
        }
        let committed = connection.commit().await;
        match changed {
            Some(account) => self.cache.account_changed(account),
            None => self.cache.everything_changed(),
        }
        committed?;
        ended.sort_by_key(|session| session.id);
        Ok(ended)
    }

    async fn touch_session(&self, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
        const TOUCH: &str = "UPDATE sessions SET last_seen_at = GREATEST(last_seen_at, $2) \
             WHERE id = $1 AND revoked_at IS NULL RETURNING account";
        let row = self.database.primary().await?.row(TOUCH, &[&id.0, &now.millis()]).await?;
        let Some(row) = row else { return Ok(false) };
        // Only here: on other nodes an older time of last use does no harm.
        self.cache.account_changed(AccountId(Columns::of(&row, "sessions").take()?));
        Ok(true)
    }

    async fn add_cookie(&self, cookie: CookieRecord) -> Result<bool, StoreError> {
        const ADD: &str = "INSERT INTO cookies (id_hash, data, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (id_hash) DO NOTHING";
        self.write_cookie(ADD, &cookie).await
    }

    async fn update_cookie(&self, cookie: CookieRecord) -> Result<bool, StoreError> {
        const UPDATE: &str = "UPDATE cookies SET data = $2, expires_at = $3 WHERE id_hash = $1";
        self.write_cookie(UPDATE, &cookie).await
    }

    async fn cookie(&self, id_hash: TokenHash) -> Result<Option<CookieRecord>, StoreError> {
        const FIND: &str = "SELECT data, expires_at FROM cookies WHERE id_hash = $1";
        let hash = id_hash.as_bytes().as_slice();
        let row = self.database.primary().await?.row(FIND, &[&hash]).await?;
        row.map(|row| {
            let columns = &mut Columns::of(&row, "cookies");
            Ok(CookieRecord { id_hash, data: columns.take()?, expires_at: columns.time()? })
        })
        .transpose()
    }

    async fn remove_cookie(&self, id_hash: TokenHash) -> Result<(), StoreError> {
        const REMOVE: &str = "DELETE FROM cookies WHERE id_hash = $1";
        let hash = id_hash.as_bytes().as_slice();
        self.database.primary().await?.execute(REMOVE, &[&hash]).await.map(drop)
    }
}

impl PostgresStore {
    async fn write_cookie(
        &self,
        sql: &'static str,
        cookie: &CookieRecord,
    ) -> Result<bool, StoreError> {
        let hash = cookie.id_hash.as_bytes().as_slice();
        let expires_at = cookie.expires_at.millis();
        let mut connection = self.database.primary().await?;
        Ok(connection.execute(sql, &[&hash, &cookie.data, &expires_at]).await? == 1)
    }
}

fn read(row: &Row) -> Result<SessionRecord, StoreError> {
    session(&mut Columns::of(row, "sessions"))
}
