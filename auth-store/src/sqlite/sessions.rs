//! Sessions and cookies in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{
    AccountId, CookieRecord, Revocation, RevocationScope, SessionFilter, SessionId, SessionRecord,
    SessionStore, StoreError,
};
use rusqlite::{Connection, ToSql, params};

use super::row::{Columns, all, change, limit, one, to_json};
use super::{SqliteStore, audit, devices, outbox};

/// The columns that [`read_session`] takes, in its order.
macro_rules! session_columns {
    () => {
        "session.id, session.account, session.client, session.parent, session.kind, \
         session.connector, session.amr, session.acr, session.scope, session.authenticated_at, \
         session.created_at, session.last_seen_at, session.idle_timeout_millis, \
         session.expires_at, session.ip, session.user_agent, session.revoked_at, \
         session.revoked_reason"
    };
}
pub(super) use session_columns;

/// Takes the columns of `session_columns!`.
pub(super) fn read_session(columns: &mut Columns<'_, '_>) -> Result<SessionRecord, StoreError> {
    columns.of("session");
    Ok(SessionRecord {
        id: SessionId(columns.uuid()?),
        account: AccountId(columns.uuid()?),
        client: columns.take()?,
        parent: columns.optional_uuid()?.map(SessionId),
        kind: columns.take()?,
        connector: columns.take()?,
        amr: columns.json()?,
        acr: columns.take()?,
        scope: columns.take()?,
        authenticated_at: columns.time()?,
        created_at: columns.time()?,
        last_seen_at: columns.time()?,
        idle_timeout_millis: columns.take()?,
        expires_at: columns.time()?,
        ip: columns.take()?,
        user_agent: columns.take()?,
        revoked_at: columns.optional_time()?,
        revoked_reason: columns.take()?,
    })
}

/// Adds a session.
/// Live sessions of the same account that came from `replaced` come from `session` from now on.
pub(super) fn hand_over(
    c: &Connection,
    replaced: SessionId,
    session: &SessionRecord,
) -> Result<(), StoreError> {
    change(
        c,
        "UPDATE session SET parent = ?1 WHERE parent = ?2 AND account = ?3 AND revoked_at IS NULL",
        params![session.id.0.as_bytes(), replaced.0.as_bytes(), session.account.0.as_bytes()],
    )?;
    Ok(())
}

pub(super) fn insert(c: &Connection, session: &SessionRecord) -> Result<(), StoreError> {
    change(
        c,
        "INSERT INTO session (id, account, client, parent, kind, connector, amr, acr, scope, \
         authenticated_at, created_at, last_seen_at, idle_timeout_millis, expires_at, ip, \
         user_agent, revoked_at, revoked_reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, \
         ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        params![
            session.id.0.as_bytes(),
            session.account.0.as_bytes(),
            session.client,
            session.parent.map(|parent| parent.0.into_bytes()),
            session.kind,
            session.connector,
            to_json(&session.amr)?,
            session.acr,
            session.scope,
            session.authenticated_at.millis(),
            session.created_at.millis(),
            session.last_seen_at.millis(),
            session.idle_timeout_millis,
            session.expires_at.millis(),
            session.ip,
            session.user_agent,
            session.revoked_at.map(|at| at.millis()),
            session.revoked_reason,
        ],
    )
    .map(drop)
}

/// Ends all sessions of an account and forgets its devices.
pub(super) fn end_of_account(
    c: &Connection,
    account: AccountId,
    at: Timestamp,
    reason: &str,
) -> Result<(), StoreError> {
    devices::forget(c, account)?;
    change(
        c,
        "UPDATE session SET revoked_at = ?2, revoked_reason = ?3 \
         WHERE account = ?1 AND revoked_at IS NULL",
        params![account.0.as_bytes(), at.millis(), reason],
    )
    .map(drop)
}

/// Ends all sessions of a client.
pub(super) fn end_of_client(
    c: &Connection,
    client: &str,
    at: Timestamp,
    reason: &str,
) -> Result<(), StoreError> {
    change(
        c,
        "UPDATE session SET revoked_at = ?2, revoked_reason = ?3 \
         WHERE client = ?1 AND revoked_at IS NULL",
        params![client, at.millis(), reason],
    )
    .map(drop)
}

/// Ends sessions and returns those that had not ended before, by id.
pub(super) fn end(
    c: &Connection,
    revocation: &Revocation,
) -> Result<Vec<SessionRecord>, StoreError> {
    let (sql, id): (_, Option<[u8; 16]>) = match revocation.scope {
        RevocationScope::Session(id) => (END_TREE, Some(id.0.into_bytes())),
        RevocationScope::Account(id) => (END_ACCOUNT, Some(id.0.into_bytes())),
        RevocationScope::All => (END_ALL, None),
    };
    match revocation.scope {
        RevocationScope::Session(_) => {}
        RevocationScope::Account(account) => devices::forget(c, account).map(drop)?,
        RevocationScope::All => devices::forget_all(c)?,
    }
    let (at, reason) = (revocation.at.millis(), &revocation.reason);
    let with_id: &[&dyn ToSql] = params![at, reason, id];
    let params = if id.is_some() { with_id } else { params![at, reason] };
    let mut ended = all(c, sql, params, read_session)?;
    ended.sort_unstable_by_key(|session| session.id);
    Ok(ended)
}

const END_TREE: &str = concat!(
    "WITH RECURSIVE tree (id) AS (VALUES (?3) UNION \
     SELECT child.id FROM tree JOIN session AS child ON child.parent = tree.id) \
     UPDATE session SET revoked_at = ?1, revoked_reason = ?2 \
     WHERE id IN (SELECT id FROM tree) AND revoked_at IS NULL RETURNING ",
    session_columns!()
);

const END_ACCOUNT: &str = concat!(
    "UPDATE session SET revoked_at = ?1, revoked_reason = ?2 \
     WHERE account = ?3 AND revoked_at IS NULL RETURNING ",
    session_columns!()
);

const END_ALL: &str = concat!(
    "UPDATE session SET revoked_at = ?1, revoked_reason = ?2 WHERE revoked_at IS NULL RETURNING ",
    session_columns!()
);

/// Statements that must not walk the whole table.
#[cfg(test)]
pub(super) const INDEXED: [&str; 3] = [END_TREE, END_ACCOUNT, LIVE_OF_ACCOUNT];

const LIVE: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM session WHERE id > ?1 AND revoked_at IS NULL AND expires_at > ?2 \
     AND (idle_timeout_millis <= 0 OR ?2 - last_seen_at < idle_timeout_millis) \
     ORDER BY id LIMIT ?3"
);

const COUNT_LIVE: &str = "SELECT kind, count(*) FROM session WHERE revoked_at IS NULL \
     AND expires_at > ?1 AND (idle_timeout_millis <= 0 OR ?1 - last_seen_at < idle_timeout_millis) \
     GROUP BY kind ORDER BY kind";

const LIVE_OF_ACCOUNT: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM session INDEXED BY session_account \
     WHERE id > ?1 AND revoked_at IS NULL AND expires_at > ?2 \
     AND (idle_timeout_millis <= 0 OR ?2 - last_seen_at < idle_timeout_millis) \
     AND account = ?4 ORDER BY id LIMIT ?3"
);

#[async_trait]
impl SessionStore for SqliteStore {
    async fn session(&self, id: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let sql = concat!("SELECT ", session_columns!(), " FROM session WHERE id = ?1");
        self.look_up(|c| one(c, sql, params![id.0.as_bytes()], read_session))
    }

    async fn sessions(
        &self,
        filter: SessionFilter,
        now: Timestamp,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.list(move |c| {
            // The empty blob comes before every id.
            let after = filter.after.map_or_else(Vec::new, |id| id.0.as_bytes().to_vec());
            let (now, limit) = (now.millis(), limit(filter.limit));
            match filter.account {
                None => all(c, LIVE, params![after, now, limit], read_session),
                Some(account) => {
                    let params = params![after, now, limit, account.0.as_bytes()];
                    all(c, LIVE_OF_ACCOUNT, params, read_session)
                }
            }
        })
        .await
    }

    async fn count_sessions(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.list(move |c| {
            all(c, COUNT_LIVE, params![now.millis()], |columns| {
                let (kind, count): (String, i64) = (columns.take()?, columns.take()?);
                Ok((kind, u64::try_from(count).unwrap_or(0)))
            })
        })
        .await
    }

    async fn revoke_sessions(
        &self,
        revocation: Revocation,
        audit: Vec<AuditRecord>,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.write(move |c| {
            let ended = end(c, &revocation)?;
            let Revocation { scope, at, reason } = &revocation;
            match scope {
                RevocationScope::Session(_) => {}
                RevocationScope::Account(account) => {
                    outbox::all_sessions_ended(c, Some(*account), *at, reason)?;
                }
                RevocationScope::All => outbox::all_sessions_ended(c, None, *at, reason)?,
            }
            audit::append(c, &audit)?;
            Ok(ended)
        })
        .await
    }

    async fn touch_session(&self, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
        self.write(move |c| touch(c, id, now)).await
    }

    async fn add_cookie(&self, cookie: CookieRecord) -> Result<bool, StoreError> {
        let sql = "INSERT INTO cookie (id_hash, data, expires_at) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (id_hash) DO NOTHING";
        self.write(move |c| write_cookie(c, sql, &cookie)).await
    }

    async fn update_cookie(&self, cookie: CookieRecord) -> Result<bool, StoreError> {
        let sql = "UPDATE cookie SET data = ?2, expires_at = ?3 WHERE id_hash = ?1";
        self.write(move |c| write_cookie(c, sql, &cookie)).await
    }

    async fn cookie(&self, id_hash: TokenHash) -> Result<Option<CookieRecord>, StoreError> {
        let sql = "SELECT data, expires_at FROM cookie WHERE id_hash = ?1";
        self.look_up(|c| {
            one(c, sql, params![id_hash.as_bytes()], |columns| {
                columns.of("cookie");
                Ok(CookieRecord { id_hash, data: columns.take()?, expires_at: columns.time()? })
            })
        })
    }

    async fn remove_cookie(&self, id_hash: TokenHash) -> Result<(), StoreError> {
        let sql = "DELETE FROM cookie WHERE id_hash = ?1";
        self.write(move |c| change(c, sql, params![id_hash.as_bytes()]).map(drop)).await
    }
}

/// Notes use of a session that is not revoked. An older `now` does not turn the note back.
pub(super) fn touch(c: &Connection, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE session SET last_seen_at = max(last_seen_at, ?2) \
               WHERE id = ?1 AND revoked_at IS NULL";
    Ok(change(c, sql, params![id.0.as_bytes(), now.millis()])? == 1)
}

fn write_cookie(c: &Connection, sql: &str, cookie: &CookieRecord) -> Result<bool, StoreError> {
    let params = params![cookie.id_hash.as_bytes(), cookie.data, cookie.expires_at.millis()];
    Ok(change(c, sql, params)? == 1)
}
