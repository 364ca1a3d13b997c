//! Authorization codes, access tokens and refresh tokens.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::secret::TokenHash;
use auth_core::store::{
    AccessTokenRecord, AccessTokenStatus, AccountId, CodeRecord, CodeRedemption, RefreshRotation,
    RefreshTokenRecord, RefreshTokenStatus, SessionId, SessionRecord, StoreError, TokenIssue,
    TokenStore,
};

use super::PostgresStore;
use super::audit::events;
use super::columns::{Columns, Param, SessionRow, account, session};
use super::connection::Connection;
use super::listener::CHANNEL;

const ACCESS: &str = concat!(
    "SELECT t.hash, t.session, t.scope, t.created_at, t.expires_at, ",
    session_columns!("s"),
    ", ",
    account_columns!("a"),
    " FROM access_tokens t JOIN sessions s ON s.id = t.session \
     JOIN accounts a ON a.id = s.account WHERE t.hash = $1"
);

const REFRESH: &str = concat!(
    "SELECT t.hash, t.session, t.predecessor, t.created_at, t.expires_at, t.used_at, \
     EXISTS (SELECT FROM refresh_tokens n WHERE n.predecessor = t.hash \
     AND n.used_at IS NOT NULL), ",
    session_columns!("s"),
    ", ",
    account_columns!("a"),
    " FROM refresh_tokens t JOIN sessions s ON s.id = t.session \
     JOIN accounts a ON a.id = s.account WHERE t.hash = $1"
);

/// Inserts the tokens of [`IssueRow::params`] for each row of `$from`.
macro_rules! insert_tokens {
    ($from:literal; $hash:literal, $session:literal, $scope:literal, $created:literal,
     $expires:literal, $r_hash:literal, $r_predecessor:literal, $r_created:literal,
     $r_expires:literal) => {
        concat!(
            "access AS (INSERT INTO access_tokens (hash, session, scope, created_at, expires_at) \
             SELECT ",
            $hash,
            "::bytea, ",
            $session,
            "::uuid, ",
            $scope,
            "::text, ",
            $created,
            "::bigint, ",
            $expires,
            "::bigint FROM ",
            $from,
            "), \
             refresh AS (INSERT INTO refresh_tokens (hash, session, predecessor, created_at, \
             expires_at) SELECT ",
            $r_hash,
            "::bytea, ",
            $session,
            "::uuid, ",
            $r_predecessor,
            "::bytea, ",
            $r_created,
            "::bigint, ",
            $r_expires,
            "::bigint FROM ",
            $from,
            " \
             WHERE ",
            $r_hash,
            "::bytea IS NOT NULL)"
        )
    };
}

/// `$1` to `$18`: the client session. `$19`: the code. `$20` to `$28`: the tokens. `$29`: events.
///
/// The share locks on account and browser session make whatever ends these wait, and then see
/// what was inserted here.
const REDEEM: &str = concat!(
    "WITH account AS MATERIALIZED (SELECT a.id FROM accounts a \
     WHERE a.id = $2 AND a.id = (SELECT c.account FROM codes c WHERE c.hash = $19) AND a.active \
     FOR SHARE), \
     browser AS MATERIALIZED (SELECT s.id FROM sessions s \
     WHERE s.id = (SELECT c.session FROM codes c WHERE c.hash = $19) AND s.revoked_at IS NULL \
     AND EXISTS (SELECT FROM account) FOR SHARE), \
     redeemed AS (UPDATE codes SET redeemed_for = $1 \
     WHERE hash = $19 AND redeemed_for IS NULL AND EXISTS (SELECT FROM browser) \
     RETURNING hash), \
     made AS (",
    insert_session!("redeemed"),
    "), ",
    insert_tokens!("redeemed"; "$20", "$21", "$22", "$23", "$24", "$25", "$26", "$27", "$28"),
    ", trail AS (",
    insert_audit!("$29", "redeemed"),
    ") SELECT FROM redeemed"
);

/// Rotates: `$1` the presented token, `$2` when, `$3` to `$11` the tokens, `$12` events.
///
/// The family's session row is locked first: all rotations of a family come one after the other,
/// and a revocation, which writes that row, is either seen here or comes after. Deactivation of
/// the account and the end of the browser session write that row too.
///
/// Each row is found by its primary key and nothing else, so that the plan does not depend on how
/// many tokens a family has or how many sessions are revoked.
macro_rules! rotate {
    ($presented:literal) => {
        concat!(
            "WITH family AS MATERIALIZED (SELECT s.id, s.account FROM sessions s \
             WHERE s.id = (SELECT t.session FROM refresh_tokens t WHERE t.hash = $1) \
             AND s.id = $4 AND s.revoked_at IS NULL \
             AND (SELECT a.active FROM accounts a WHERE a.id = s.account) \
             AND COALESCE((SELECT p.revoked_at IS NULL FROM sessions p WHERE p.id = s.parent), \
             TRUE) FOR NO KEY UPDATE OF s), ",
            $presented,
            ", seen AS (UPDATE sessions SET last_seen_at = GREATEST(last_seen_at, $2) \
             FROM presented WHERE sessions.id = presented.session), ",
            insert_tokens!("presented"; "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11"),
            ", trail AS (",
            insert_audit!("$12", "presented"),
            ") SELECT family.account FROM family, presented"
        )
    };
}

const FIRST_USE: &str = rotate!(
    "presented AS (UPDATE refresh_tokens SET used_at = $2 \
     WHERE hash = $1 AND used_at IS NULL AND EXISTS (SELECT FROM family) RETURNING session)"
);

/// After [`LOCK_FAMILY`], in a statement of its own: what a rotation did that held the lock before
/// is seen here.
const SIBLING: &str = rotate!(
    "presented AS MATERIALIZED (SELECT t.session FROM refresh_tokens t \
     WHERE t.hash = $1 AND t.used_at IS NOT NULL AND EXISTS (SELECT FROM family) \
     AND NOT EXISTS (SELECT FROM refresh_tokens n \
     WHERE n.predecessor = $1 AND n.used_at IS NOT NULL))"
);

/// A write, not a lock, so that the table's lock is taken as well before the row's.
const LOCK_FAMILY: &str = "UPDATE sessions SET last_seen_at = last_seen_at WHERE id = $1";

/// What the tokens of an answer are written from.
struct IssueRow<'a> {
    issue: &'a TokenIssue,
    access: &'a [u8],
    access_created: i64,
    access_expires: i64,
    refresh: Option<&'a [u8]>,
    predecessor: Option<&'a [u8]>,
    refresh_created: Option<i64>,
    refresh_expires: Option<i64>,
}

impl<'a> IssueRow<'a> {
    /// `None` when the tokens are not all of one session.
    fn of(issue: &'a TokenIssue, owner: SessionId) -> Option<Self> {
        let refresh = issue.refresh.as_ref();
        if issue.access.session != owner || refresh.is_some_and(|token| token.session != owner) {
            return None;
        }
        Some(Self {
            issue,
            access: issue.access.hash.as_bytes(),
            access_created: issue.access.created_at.millis(),
            access_expires: issue.access.expires_at.millis(),
            refresh: refresh.map(|token| token.hash.as_bytes().as_slice()),
            predecessor: refresh
                .and_then(|token| token.predecessor.as_ref())
                .map(|hash| hash.as_bytes().as_slice()),
            refresh_created: refresh.map(|token| token.created_at.millis()),
            refresh_expires: refresh.map(|token| token.expires_at.millis()),
        })
    }

    fn params(&self) -> [Param<'_>; 9] {
        [
            &self.access,
            &self.issue.access.session.0,
            &self.issue.access.scope,
            &self.access_created,
            &self.access_expires,
            &self.refresh,
            &self.predecessor,
            &self.refresh_created,
            &self.refresh_expires,
        ]
    }
}

#[async_trait]
impl TokenStore for PostgresStore {
    async fn add_code(&self, code: CodeRecord) -> Result<(), StoreError> {
        const ADD: &str = "INSERT INTO codes (hash, client, account, session, redirect_uri, \
             code_challenge, nonce, scope, created_at, expires_at, redeemed_for) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let params: [Param<'_>; 11] = [
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
            &code.redeemed_for.map(|session| session.0),
        ];
        self.database.primary().await?.execute(ADD, &params).await.map(drop)
    }

    async fn code(&self, hash: TokenHash) -> Result<Option<CodeRecord>, StoreError> {
        find_code(&mut self.database.primary().await?, hash).await
    }

    async fn redeem_code(
        &self,
        hash: TokenHash,
        session: SessionRecord,
        issue: TokenIssue,
        audit: Vec<AuditRecord>,
    ) -> Result<CodeRedemption, StoreError> {
        let Some(tokens) = IssueRow::of(&issue, session.id) else {
            return Ok(CodeRedemption::Refused);
        };
        let row = SessionRow::of(&session);
        let code = hash.as_bytes().as_slice();
        let events = events(&audit);
        let params: Vec<Param<'_>> = row
            .params()
            .into_iter()
            .chain([&code as Param<'_>])
            .chain(tokens.params())
            .chain([&events as Param<'_>])
            .collect();
        let mut connection = self.database.primary().await?;
        if connection.row(REDEEM, &params).await?.is_some() {
            return Ok(CodeRedemption::Redeemed);
        }
        // A statement of its own sees who came first.
        let found = find_code(&mut connection, hash).await?;
        Ok(found
            .and_then(|code| code.redeemed_for)
            .map_or(CodeRedemption::Refused, CodeRedemption::AlreadyRedeemed))
    }

    async fn access_token(&self, hash: TokenHash) -> Result<Option<AccessTokenStatus>, StoreError> {
        if let Some(status) = self.cache.get(&hash) {
            return Ok(Some(status));
        }
        let read_at = self.cache.sequence();
        let mut connection = self.database.primary().await?;
        let row = connection.row(ACCESS, &[&hash.as_bytes().as_slice()]).await?;
        let Some(row) = row else { return Ok(None) };
        let columns = &mut Columns::of(&row, "access_tokens");
        let status = AccessTokenStatus {
            token: AccessTokenRecord {
                hash: columns.hash()?,
                session: SessionId(columns.take()?),
                scope: columns.take()?,
                created_at: columns.time()?,
                expires_at: columns.time()?,
            },
            session: session(columns)?,
            account: account(columns)?,
        };
        self.cache.keep(hash, read_at, &status);
        Ok(Some(status))
    }

    async fn refresh_token(
        &self,
        hash: TokenHash,
    ) -> Result<Option<RefreshTokenStatus>, StoreError> {
        let mut connection = self.database.primary().await?;
        let row = connection.row(REFRESH, &[&hash.as_bytes().as_slice()]).await?;
        let Some(row) = row else { return Ok(None) };
        let columns = &mut Columns::of(&row, "refresh_tokens");
        let token = RefreshTokenRecord {
            hash: columns.hash()?,
            session: SessionId(columns.take()?),
            predecessor: columns.optional_hash()?,
            created_at: columns.time()?,
            expires_at: columns.time()?,
            used_at: columns.optional_time()?,
        };
        let successor_used = columns.take()?;
        Ok(Some(RefreshTokenStatus {
            token,
            session: session(columns)?,
            account: account(columns)?,
            successor_used,
        }))
    }

    async fn rotate_refresh_token(&self, rotation: RefreshRotation) -> Result<bool, StoreError> {
        let family = rotation.issue.access.session;
        let Some(tokens) = IssueRow::of(&rotation.issue, family) else { return Ok(false) };
        let presented = rotation.presented.as_bytes().as_slice();
        let now = rotation.now.millis();
        let events = events(&rotation.audit);
        let params: Vec<Param<'_>> = [&presented as Param<'_>, &now]
            .into_iter()
            .chain(tokens.params())
            .chain([&events as Param<'_>])
            .collect();
        let mut connection = self.database.primary().await?;
        let row = if rotation.first_use {
            connection.row(FIRST_USE, &params).await?
        } else {
            connection.begin().await?;
            connection.execute(LOCK_FAMILY, &[&family.0]).await?;
            let row = connection.row(SIBLING, &params).await?;
            if row.is_some() {
                connection.commit().await?;
            } else {
                connection.rollback().await?;
            }
            row
        };
        let Some(row) = row else { return Ok(false) };
        // The session's time of last use; that needs to be known on this node only.
        self.cache.account_changed(AccountId(Columns::of(&row, "sessions").take()?));
        Ok(true)
    }

    async fn remove_access_token(
        &self,
        hash: TokenHash,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        const REMOVE: &str = concat!(
            "WITH removed AS (DELETE FROM access_tokens WHERE hash = $1 RETURNING session), \
             trail AS (",
            insert_audit!("$2", "(VALUES (1)) AS one"),
            ") SELECT s.account, pg_notify($3, CAST(s.account AS text)) \
             FROM removed JOIN sessions s ON s.id = removed.session"
        );
        let mut connection = self.database.primary().await?;
        let params: [Param<'_>; 3] = [&hash.as_bytes().as_slice(), &events(&audit), &CHANNEL];
        if let Some(row) = connection.row(REMOVE, &params).await? {
            self.cache.account_changed(AccountId(Columns::of(&row, "sessions").take()?));
        }
        Ok(())
    }
}

async fn find_code(
    connection: &mut Connection,
    hash: TokenHash,
) -> Result<Option<CodeRecord>, StoreError> {
    const FIND: &str = "SELECT hash, client, account, session, redirect_uri, code_challenge, \
         nonce, scope, created_at, expires_at, redeemed_for FROM codes WHERE hash = $1";
    let row = connection.row(FIND, &[&hash.as_bytes().as_slice()]).await?;
    let Some(row) = row else { return Ok(None) };
    let columns = &mut Columns::of(&row, "codes");
    Ok(Some(CodeRecord {
        hash: columns.hash()?,
        client: columns.take()?,
        account: AccountId(columns.take()?),
        session: SessionId(columns.take()?),
        redirect_uri: columns.take()?,
        code_challenge: columns.take()?,
        nonce: columns.take()?,
        scope: columns.take()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
        redeemed_for: columns.take::<Option<_>>()?.map(SessionId),
    }))
}
