//! Column lists, and records to and from rows.
//!
//! A list is a macro, so that statements are put together at compile time. Reading goes by
//! position, in the order of the list. PostgreSQL's text cannot hold U+0000: free text is written
//! with U+FFFD in its place ([`text`]); a key that holds one matches nothing, and is refused by
//! the database when written.

use std::borrow::Cow;

use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{AccountId, AccountRecord, SessionId, SessionRecord, StoreError};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};
use uuid::Uuid;

/// Columns of an account, as read by [`account`].
macro_rules! account_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".id, ",
            $table,
            ".numeric_id, ",
            $table,
            ".username, ",
            $table,
            ".username_key, ",
            $table,
            ".email, ",
            $table,
            ".email_key, ",
            $table,
            ".email_verified, ",
            $table,
            ".first_name, ",
            $table,
            ".last_name, ",
            $table,
            ".nickname, ",
            $table,
            ".position, ",
            $table,
            ".locale, ",
            $table,
            ".active, ",
            $table,
            ".inactive_reason, ",
            $table,
            ".roles, ",
            $table,
            ".groups, ",
            $table,
            ".created_at, ",
            $table,
            ".updated_at, ",
            $table,
            ".last_login_at, ",
            $table,
            ".checked_at, ",
            $table,
            ".version"
        )
    };
}

/// Columns of a session, as read by [`session`].
macro_rules! session_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".id, ",
            $table,
            ".account, ",
            $table,
            ".client, ",
            $table,
            ".parent, ",
            $table,
            ".kind, ",
            $table,
            ".connector, ",
            $table,
            ".amr, ",
            $table,
            ".acr, ",
            $table,
            ".scope, ",
            $table,
            ".authenticated_at, ",
            $table,
            ".created_at, ",
            $table,
            ".last_seen_at, ",
            $table,
            ".idle_timeout_millis, ",
            $table,
            ".expires_at, ",
            $table,
            ".ip, ",
            $table,
            ".user_agent, ",
            $table,
            ".revoked_at, ",
            $table,
            ".revoked_reason"
        )
    };
}

/// `INSERT` of the session in `$1` to `$18` ([`SessionRow::params`]), for each row of `$from`.
macro_rules! insert_session {
    ($from:literal) => {
        concat!(
            "INSERT INTO sessions (id, account, client, parent, kind, connector, amr, acr, scope, \
             authenticated_at, created_at, last_seen_at, idle_timeout_millis, expires_at, ip, \
             user_agent, revoked_at, revoked_reason) \
             SELECT $1::uuid, $2::uuid, $3::text, $4::uuid, $5::text, $6::text, $7::text[], \
             $8::text, $9::text, $10::bigint, $11::bigint, $12::bigint, $13::bigint, $14::bigint, \
             $15::text, $16::text, $17::bigint, $18::text FROM ",
            $from
        )
    };
}

/// `INSERT` of the events in the parameter `$events` ([`super::audit::events`]), if `$from` (a
/// table expression of at most one row) has a row.
macro_rules! insert_audit {
    ($events:literal, $from:literal) => {
        concat!(
            "INSERT INTO audit (at, event, outcome, reason, account, connector, client, ip, \
             request_id, detail) \
             SELECT e.at, e.event, e.outcome, e.reason, e.account, e.connector, e.client, e.ip, \
             e.request_id, CAST(e.detail AS json) FROM ",
            $from,
            ", json_to_recordset(CAST(",
            $events,
            "::text AS json)) AS e(n bigint, at bigint, event text, outcome text, reason text, \
             account text, connector text, client text, ip text, request_id text, detail text) \
             ORDER BY e.n"
        )
    };
}

/// Free text as a parameter.
pub(super) type Text<'a> = Cow<'a, str>;

/// Free text as a parameter, without U+0000.
pub(super) fn text(value: &str) -> Text<'_> {
    if value.contains('\0') {
        Cow::Owned(value.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(value)
    }
}

/// Optional free text as a parameter.
pub(super) fn optional(value: &Option<String>) -> Option<Text<'_>> {
    value.as_deref().map(text)
}

/// Free texts as an array parameter.
pub(super) fn texts(values: &[String]) -> Vec<Text<'_>> {
    values.iter().map(|value| text(value)).collect()
}

/// A limit as PostgreSQL takes it.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Reads a row's columns one after the other.
pub(super) struct Columns<'r> {
    row: &'r Row,
    table: &'static str,
    next: usize,
}

impl<'r> Columns<'r> {
    /// From the first column; `table` is named when a value cannot be read.
    pub(super) fn of(row: &'r Row, table: &'static str) -> Self {
        Self { row, table, next: 0 }
    }

    /// The next column.
    pub(super) fn take<T: FromSql<'r>>(&mut self) -> Result<T, StoreError> {
        let value = self.row.try_get(self.next).map_err(|error| {
            self.corrupt(&format!("column {}: {}", self.next, super::error::chain(&error)))
        })?;
        self.next += 1;
        Ok(value)
    }

    /// The next column as a time.
    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.take()?))
    }

    /// The next column as a time, if it has one.
    pub(super) fn optional_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.take::<Option<i64>>()?.map(Timestamp::from_millis))
    }

    /// The next column as a hash.
    pub(super) fn hash(&mut self) -> Result<TokenHash, StoreError> {
        let bytes: &[u8] = self.take()?;
        let bytes = bytes.try_into().map_err(|_| self.corrupt("a hash of wrong length"))?;
        Ok(TokenHash::from_bytes(bytes))
    }

    /// The next column as a hash, if it has one.
    pub(super) fn optional_hash(&mut self) -> Result<Option<TokenHash>, StoreError> {
        let Some(bytes) = self.take::<Option<&[u8]>>()? else { return Ok(None) };
        let bytes = bytes.try_into().map_err(|_| self.corrupt("a hash of wrong length"))?;
        Ok(Some(TokenHash::from_bytes(bytes)))
    }

    /// The error of a row of this table that cannot be read.
    pub(super) fn corrupt(&self, what: &str) -> StoreError {
        StoreError::Corrupt { message: format!("table {}: {what}", self.table) }
    }
}

/// Reads an account.
pub(super) fn account(columns: &mut Columns<'_>) -> Result<AccountRecord, StoreError> {
    Ok(AccountRecord {
        id: AccountId(columns.take()?),
        numeric_id: columns.take()?,
        username: columns.take()?,
        username_key: columns.take()?,
        email: columns.take()?,
        email_key: columns.take()?,
        email_verified: columns.take()?,
        first_name: columns.take()?,
        last_name: columns.take()?,
        nickname: columns.take()?,
        position: columns.take()?,
        locale: columns.take()?,
        active: columns.take()?,
        inactive_reason: columns.take()?,
        roles: columns.take()?,
        groups: columns.take()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
        last_login_at: columns.optional_time()?,
        checked_at: columns.optional_time()?,
        version: columns.take()?,
    })
}

/// Reads a session.
pub(super) fn session(columns: &mut Columns<'_>) -> Result<SessionRecord, StoreError> {
    Ok(SessionRecord {
        id: SessionId(columns.take()?),
        account: AccountId(columns.take()?),
        client: columns.take()?,
        parent: columns.take::<Option<_>>()?.map(SessionId),
        kind: columns.take()?,
        connector: columns.take()?,
        amr: columns.take()?,
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

/// Reads sessions.
pub(super) fn sessions(rows: &[Row]) -> Result<Vec<SessionRecord>, StoreError> {
    rows.iter().map(|row| session(&mut Columns::of(row, "sessions"))).collect()
}

/// A parameter of a statement.
pub(super) type Param<'p> = &'p (dyn ToSql + Sync);

/// What an account's own columns are written from.
pub(super) struct AccountRow<'a> {
    record: &'a AccountRecord,
    username: Text<'a>,
    email: Option<Text<'a>>,
    first_name: Option<Text<'a>>,
    last_name: Option<Text<'a>>,
    nickname: Option<Text<'a>>,
    position: Option<Text<'a>>,
    locale: Option<Text<'a>>,
    inactive_reason: Option<Text<'a>>,
    roles: Vec<Text<'a>>,
    groups: Vec<Text<'a>>,
    updated_at: i64,
    last_login_at: Option<i64>,
    checked_at: Option<i64>,
}

impl<'a> AccountRow<'a> {
    /// Borrows the record.
    pub(super) fn of(record: &'a AccountRecord) -> Self {
        Self {
            record,
            username: text(&record.username),
            email: optional(&record.email),
            first_name: optional(&record.first_name),
            last_name: optional(&record.last_name),
            nickname: optional(&record.nickname),
            position: optional(&record.position),
            locale: optional(&record.locale),
            inactive_reason: optional(&record.inactive_reason),
            roles: texts(&record.roles),
            groups: texts(&record.groups),
            updated_at: record.updated_at.millis(),
            last_login_at: record.last_login_at.map(Timestamp::millis),
            checked_at: record.checked_at.map(Timestamp::millis),
        }
    }

    /// The 18 changeable columns, in the order of the statements that write an account.
    pub(super) fn params(&self) -> [Param<'_>; 18] {
        [
            &self.record.id.0,
            &self.username,
            &self.record.username_key,
            &self.email,
            &self.record.email_key,
            &self.record.email_verified,
            &self.first_name,
            &self.last_name,
            &self.nickname,
            &self.position,
            &self.locale,
            &self.record.active,
            &self.inactive_reason,
            &self.roles,
            &self.groups,
            &self.updated_at,
            &self.last_login_at,
            &self.checked_at,
        ]
    }
}

/// What a session is written from.
pub(super) struct SessionRow<'a> {
    record: &'a SessionRecord,
    parent: Option<Uuid>,
    amr: Vec<Text<'a>>,
    ip: Option<Text<'a>>,
    user_agent: Option<Text<'a>>,
    authenticated_at: i64,
    created_at: i64,
    last_seen_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
}

impl<'a> SessionRow<'a> {
    /// Borrows the record.
    pub(super) fn of(record: &'a SessionRecord) -> Self {
        Self {
            record,
            parent: record.parent.map(|parent| parent.0),
            amr: texts(&record.amr),
            ip: optional(&record.ip),
            user_agent: optional(&record.user_agent),
            authenticated_at: record.authenticated_at.millis(),
            created_at: record.created_at.millis(),
            last_seen_at: record.last_seen_at.millis(),
            expires_at: record.expires_at.millis(),
            revoked_at: record.revoked_at.map(Timestamp::millis),
        }
    }

    /// `$1` to `$18` of [`insert_session!`](insert_session).
    pub(super) fn params(&self) -> [Param<'_>; 18] {
        [
            &self.record.id.0,
            &self.record.account.0,
            &self.record.client,
            &self.parent,
            &self.record.kind,
            &self.record.connector,
            &self.amr,
            &self.record.acr,
            &self.record.scope,
            &self.authenticated_at,
            &self.created_at,
            &self.last_seen_at,
            &self.record.idle_timeout_millis,
            &self.expires_at,
            &self.ip,
            &self.user_agent,
            &self.revoked_at,
            &self.record.revoked_reason,
        ]
    }
}
