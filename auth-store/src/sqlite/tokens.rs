//! Codes, access tokens and refresh tokens in SQLite, and the cache of access tokens.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{
    AccessTokenRecord, AccessTokenStatus, AccountId, CodeRecord, CodeRedemption, RefreshRotation,
    RefreshTokenRecord, RefreshTokenStatus, SessionId, SessionRecord, StoreError, TokenIssue,
    TokenStore,
};
use moka::sync::Cache;
use rusqlite::{Connection, params};

use super::accounts::{account_columns, read_account};
use super::reader::Lookup;
use super::row::{Columns, change, one};
use super::sessions::{read_session, session_columns};
use super::{SqliteStore, audit, sessions};

/// Access tokens that were looked up, each good only under the epoch that was read before its
/// row: any commit, of this process or another, makes all of them stale.
pub(super) struct TokenCache(Cache<TokenHash, Arc<(u64, AccessTokenStatus)>>);

impl TokenCache {
    pub(super) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CACHED_TOKENS)
                .time_to_live(Duration::from_secs(60))
                .build(),
        )
    }

    /// The epoch under which a token is kept.
    #[cfg(test)]
    pub(super) fn kept_under(&self, hash: TokenHash) -> Option<u64> {
        self.0.get(&hash).map(|kept| kept.0)
    }

    fn look_up(
        &self,
        lookup: &Lookup<'_>,
        hash: TokenHash,
    ) -> Result<Option<AccessTokenStatus>, StoreError> {
        // Before the row: a commit in between makes this number stale, not the row too new.
        let epoch = lookup.epoch()?;
        if let Some(kept) = self.0.get(&hash)
            && kept.0 == epoch
        {
            return Ok(Some(kept.1.clone()));
        }
        let status = read_access_token(lookup.connection(), hash)?;
        if let Some(status) = &status {
            self.0.insert(hash, Arc::new((epoch, status.clone())));
        }
        Ok(status)
    }
}

const CACHED_TOKENS: u64 = 10_000;

pub(super) const ACCESS_TOKEN: &str = concat!(
    "SELECT access_token.session, access_token.scope, access_token.created_at, \
     access_token.expires_at, ",
    session_columns!(),
    ", ",
    account_columns!(),
    " FROM access_token JOIN session ON session.id = access_token.session \
     JOIN account ON account.id = session.account WHERE access_token.hash = ?1"
);

fn read_access_token(
    c: &Connection,
    hash: TokenHash,
) -> Result<Option<AccessTokenStatus>, StoreError> {
    one(c, ACCESS_TOKEN, params![hash.as_bytes()], |columns| {
        columns.of("access_token");
        let token = AccessTokenRecord {
            hash,
            session: SessionId(columns.uuid()?),
            scope: columns.take()?,
            created_at: columns.time()?,
            expires_at: columns.time()?,
        };
        let session = read_session(columns)?;
        Ok(AccessTokenStatus { token, session, account: read_account(columns)? })
    })
}

fn read_refresh_token(
    c: &Connection,
    hash: TokenHash,
) -> Result<Option<RefreshTokenStatus>, StoreError> {
    let sql = concat!(
        "SELECT refresh_token.session, refresh_token.predecessor, refresh_token.created_at, \
         refresh_token.expires_at, refresh_token.used_at, \
         EXISTS (SELECT 1 FROM refresh_token AS successor \
         WHERE successor.predecessor = refresh_token.hash AND successor.used_at IS NOT NULL), ",
        session_columns!(),
        ", ",
        account_columns!(),
        " FROM refresh_token JOIN session ON session.id = refresh_token.session \
         JOIN account ON account.id = session.account WHERE refresh_token.hash = ?1"
    );
    one(c, sql, params![hash.as_bytes()], |columns| {
        columns.of("refresh_token");
        let token = RefreshTokenRecord {
            hash,
            session: SessionId(columns.uuid()?),
            predecessor: columns.optional_hash()?,
            created_at: columns.time()?,
            expires_at: columns.time()?,
            used_at: columns.optional_time()?,
        };
        let successor_used = columns.take()?;
        let session = read_session(columns)?;
        Ok(RefreshTokenStatus { token, session, account: read_account(columns)?, successor_used })
    })
}

pub(super) fn insert_code(c: &Connection, code: &CodeRecord) -> Result<(), StoreError> {
    change(
        c,
        "INSERT INTO code (hash, client, account, session, redirect_uri, code_challenge, nonce, \
         scope, created_at, expires_at, redeemed_for) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            code.hash.as_bytes(),
            code.client,
            code.account.0.as_bytes(),
            code.session.0.as_bytes(),
            code.redirect_uri,
            code.code_challenge,
            code.nonce,
            code.scope,
            code.created_at.millis(),
            code.expires_at.millis(),
            code.redeemed_for.map(|session| session.0.into_bytes()),
        ],
    )
    .map(drop)
}

fn read_code(columns: &mut Columns<'_, '_>) -> Result<CodeRecord, StoreError> {
    columns.of("code");
    Ok(CodeRecord {
        hash: columns.hash()?,
        client: columns.take()?,
        account: AccountId(columns.uuid()?),
        session: SessionId(columns.uuid()?),
        redirect_uri: columns.take()?,
        code_challenge: columns.take()?,
        nonce: columns.take()?,
        scope: columns.take()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
        redeemed_for: columns.optional_uuid()?.map(SessionId),
    })
}

fn insert_issue(c: &Connection, issue: &TokenIssue) -> Result<(), StoreError> {
    let access = &issue.access;
    change(
        c,
        "INSERT INTO access_token (hash, session, scope, created_at, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            access.hash.as_bytes(),
            access.session.0.as_bytes(),
            access.scope,
            access.created_at.millis(),
            access.expires_at.millis(),
        ],
    )?;
    let Some(refresh) = &issue.refresh else { return Ok(()) };
    change(
        c,
        "INSERT INTO refresh_token (hash, session, predecessor, created_at, expires_at, used_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            refresh.hash.as_bytes(),
            refresh.session.0.as_bytes(),
            refresh.predecessor.map(|hash| *hash.as_bytes()),
            refresh.created_at.millis(),
            refresh.expires_at.millis(),
            refresh.used_at.map(|at| at.millis()),
        ],
    )
    .map(drop)
}

/// Judges whether a code may be redeemed. Within the transaction that then redeems it.
fn judge_code(c: &Connection, hash: TokenHash) -> Result<CodeRedemption, StoreError> {
    let sql = "SELECT code.redeemed_for, account.active = 1 AND EXISTS (SELECT 1 FROM session \
               WHERE session.id = code.session AND session.revoked_at IS NULL) \
               FROM code JOIN account ON account.id = code.account WHERE code.hash = ?1";
    let found = one(c, sql, params![hash.as_bytes()], |columns| {
        columns.of("code");
        Ok((columns.optional_uuid()?, columns.take::<bool>()?))
    })?;
    Ok(match found {
        Some((Some(session), _)) => CodeRedemption::AlreadyRedeemed(SessionId(session)),
        Some((None, true)) => CodeRedemption::Redeemed,
        Some((None, false)) | None => CodeRedemption::Refused,
    })
}

/// Whether what a rotation expects still holds; then the session that it is for. Within the
/// transaction that then rotates.
fn judge_rotation(
    c: &Connection,
    rotation: &RefreshRotation,
) -> Result<Option<SessionId>, StoreError> {
    let sql = "SELECT session.id FROM refresh_token AS presented \
         JOIN session ON session.id = presented.session AND session.revoked_at IS NULL \
         JOIN account ON account.id = session.account AND account.active = 1 \
         LEFT JOIN session AS parent ON parent.id = session.parent \
         WHERE presented.hash = ?1 AND parent.revoked_at IS NULL \
         AND CASE WHEN ?2 THEN presented.used_at IS NULL \
         ELSE presented.used_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM refresh_token AS next \
         WHERE next.predecessor = presented.hash AND next.used_at IS NOT NULL) END";
    let params = params![rotation.presented.as_bytes(), rotation.first_use];
    one(c, sql, params, |columns| columns.of("refresh_token").uuid().map(SessionId))
}

fn mark_used(c: &Connection, hash: TokenHash, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE refresh_token SET used_at = ?2 WHERE hash = ?1";
    change(c, sql, params![hash.as_bytes(), at.millis()]).map(drop)
}

#[async_trait]
impl TokenStore for SqliteStore {
    async fn add_code(&self, code: CodeRecord) -> Result<(), StoreError> {
        self.write(move |c| insert_code(c, &code)).await
    }

    async fn code(&self, hash: TokenHash) -> Result<Option<CodeRecord>, StoreError> {
        let sql = "SELECT hash, client, account, session, redirect_uri, code_challenge, nonce, \
                   scope, created_at, expires_at, redeemed_for FROM code WHERE hash = ?1";
        self.look_up(|c| one(c, sql, params![hash.as_bytes()], read_code))
    }

    async fn redeem_code(
        &self,
        hash: TokenHash,
        session: SessionRecord,
        issue: TokenIssue,
        audit: Vec<AuditRecord>,
    ) -> Result<CodeRedemption, StoreError> {
        self.write(move |c| {
            let verdict = judge_code(c, hash)?;
            if verdict == CodeRedemption::Redeemed {
                let sql = "UPDATE code SET redeemed_for = ?2 WHERE hash = ?1";
                change(c, sql, params![hash.as_bytes(), session.id.0.as_bytes()])?;
                sessions::insert(c, &session)?;
                insert_issue(c, &issue)?;
                audit::append(c, &audit)?;
            }
            Ok(verdict)
        })
        .await
    }

    async fn access_token(&self, hash: TokenHash) -> Result<Option<AccessTokenStatus>, StoreError> {
        self.readers.look_up(|lookup| self.tokens.look_up(lookup, hash))
    }

    async fn refresh_token(
        &self,
        hash: TokenHash,
    ) -> Result<Option<RefreshTokenStatus>, StoreError> {
        self.look_up(|c| read_refresh_token(c, hash))
    }

    async fn rotate_refresh_token(&self, rotation: RefreshRotation) -> Result<bool, StoreError> {
        self.write(move |c| {
            let Some(session) = judge_rotation(c, &rotation)? else { return Ok(false) };
            if rotation.first_use {
                mark_used(c, rotation.presented, rotation.now)?;
            }
            sessions::touch(c, session, rotation.now)?;
            insert_issue(c, &rotation.issue)?;
            audit::append(c, &rotation.audit)?;
            Ok(true)
        })
        .await
    }

    async fn remove_access_token(
        &self,
        hash: TokenHash,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        self.write(move |c| {
            let sql = "DELETE FROM access_token WHERE hash = ?1";
            change(c, sql, params![hash.as_bytes()])?;
            audit::append(c, &audit)
        })
        .await
    }
}
