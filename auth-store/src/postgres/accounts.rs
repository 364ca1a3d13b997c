//! Accounts and identities. Passwords are in [`super::passwords`].

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{
    AccountId, AccountPage, AccountRecord, AccountStore, IdentityRecord, NewAccount,
    PasswordRecord, StoreError,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::PostgresStore;
use super::audit::events;
use super::columns::{AccountRow, Columns, Param, account, limit};
use super::connection::Connection;
use super::listener::CHANNEL;
use super::sessions::end_sessions_of_account;

macro_rules! select_account {
    ($condition:literal) => {
        concat!("SELECT ", account_columns!("a"), " FROM accounts a ", $condition)
    };
}

/// Writes the account in `$1` to `$18` if its version is `$19`.
const UPDATE: &str = concat!(
    "WITH written AS (UPDATE accounts SET username = $2, username_key = $3, email = $4, \
     email_key = $5, email_verified = $6, first_name = $7, last_name = $8, nickname = $9, \
     position = $10, locale = $11, active = $12, inactive_reason = $13, roles = $14, \
     groups = $15, updated_at = $16, last_login_at = $17, checked_at = $18, \
     version = version + 1 WHERE id = $1 AND version = $19 RETURNING id), \
     trail AS (",
    insert_audit!("$20", "written"),
    ") SELECT pg_notify($21, CAST(id AS text)) FROM written"
);

/// Adds an account, with what belongs to it; `$column` and `$value` may name its number.
macro_rules! insert_account {
    ($column:literal, $value:literal) => {
        concat!(
            "WITH made AS (INSERT INTO accounts AS a (id, username, username_key, email, \
             email_key, email_verified, first_name, last_name, nickname, position, locale, \
             active, inactive_reason, roles, groups, updated_at, last_login_at, checked_at, \
             created_at, version",
            $column,
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
             $17, $18, $19, 1",
            $value,
            ") RETURNING ",
            account_columns!("a"),
            "), identity AS (INSERT INTO identities (connector, subject, account, linked_at) \
             SELECT $20::text, $21::text, id, $22::bigint FROM made WHERE $20::text IS NOT NULL), \
             password AS (INSERT INTO passwords (account, hash, changed_at) \
             SELECT id, $23::text, $24::bigint FROM made WHERE $23::text IS NOT NULL), \
             trail AS (",
            insert_audit!("$25", "made"),
            ") SELECT ",
            account_columns!("made"),
            " FROM made"
        )
    };
}

const INSERT: &str = insert_account!("", "");
const INSERT_NUMBERED: &str = insert_account!(", numeric_id", ", $26");

#[async_trait]
impl AccountStore for PostgresStore {
    async fn account(&self, id: AccountId) -> Result<Option<AccountRecord>, StoreError> {
        self.one(select_account!("WHERE a.id = $1"), &[&id.0]).await
    }

    async fn account_by_username(&self, key: &str) -> Result<Option<AccountRecord>, StoreError> {
        if key.contains('\0') {
            return Ok(None);
        }
        self.one(select_account!("WHERE a.username_key = $1"), &[&key]).await
    }

    async fn account_by_email(&self, key: &str) -> Result<Option<AccountRecord>, StoreError> {
        if key.contains('\0') {
            return Ok(None);
        }
        self.one(select_account!("WHERE a.email_key = $1"), &[&key]).await
    }

    async fn account_by_identity(
        &self,
        connector: &str,
        subject: &str,
    ) -> Result<Option<AccountRecord>, StoreError> {
        const FIND: &str = select_account!(
            "JOIN identities i ON i.account = a.id WHERE i.connector = $1 AND i.subject = $2"
        );
        if connector.contains('\0') || subject.contains('\0') {
            return Ok(None);
        }
        self.one(FIND, &[&connector, &subject]).await
    }

    async fn accounts(&self, page: AccountPage) -> Result<Vec<AccountRecord>, StoreError> {
        const FIRST: &str = select_account!("ORDER BY a.username_key LIMIT $1");
        const NEXT: &str =
            select_account!("WHERE a.username_key > $2 ORDER BY a.username_key LIMIT $1");
        let limit = limit(page.limit);
        let mut connection = self.database.listing().await?;
        let rows = match &page.after {
            None => connection.rows(FIRST, &[&limit]).await?,
            Some(after) => connection.rows(NEXT, &[&limit, after]).await?,
        };
        rows.iter().map(read).collect()
    }

    async fn create_account(
        &self,
        new: NewAccount,
        audit: Vec<AuditRecord>,
    ) -> Result<AccountRecord, StoreError> {
        let mut connection = self.database.primary().await?;
        insert(&mut connection, &new, None, &audit).await
    }

    async fn create_numbered_account(
        &self,
        new: NewAccount,
        numeric_id: i64,
        audit: Vec<AuditRecord>,
    ) -> Result<AccountRecord, StoreError> {
        // Nobody may draw a number meanwhile: the sequence must never go back, and never give
        // the one that is about to be used.
        const LOCK: &str = "LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE";
        const RAISE: &str = "SELECT setval('accounts_numeric_id_seq', $1) \
             WHERE $1 > (SELECT last_value FROM accounts_numeric_id_seq)";
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        connection.execute(LOCK, &[]).await?;
        connection.execute(RAISE, &[&numeric_id]).await?;
        let made = insert(&mut connection, &new, Some(numeric_id), &audit).await?;
        connection.commit().await?;
        Ok(made)
    }

    async fn update_account(
        &self,
        account: AccountRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut connection = self.database.primary().await?;
        let written = if account.active {
            update(&mut connection, &account, &audit).await
        } else {
            deactivate(&mut connection, &account, &audit).await
        };
        self.cache.account_changed(account.id);
        written
    }

    async fn identities(&self, accounts: &[AccountId]) -> Result<Vec<IdentityRecord>, StoreError> {
        const OF_ACCOUNTS: &str = "SELECT connector, subject, account, linked_at FROM identities \
             WHERE account = ANY($1) ORDER BY account, connector, subject";
        let accounts: Vec<Uuid> = accounts.iter().map(|account| account.0).collect();
        let mut connection = self.database.primary().await?;
        let rows = connection.rows(OF_ACCOUNTS, &[&accounts]).await?;
        rows.iter()
            .map(|row| {
                let columns = &mut Columns::of(row, "identities");
                Ok(IdentityRecord {
                    connector: columns.take()?,
                    subject: columns.take()?,
                    account: AccountId(columns.take()?),
                    linked_at: columns.time()?,
                })
            })
            .collect()
    }

    async fn link_identity(
        &self,
        identity: IdentityRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        const LINK: &str = concat!(
            "WITH linked AS (INSERT INTO identities (connector, subject, account, linked_at) \
             VALUES ($1, $2, $3, $4) RETURNING account) ",
            insert_audit!("$5", "linked")
        );
        let linked_at = identity.linked_at.millis();
        let params: [Param<'_>; 5] = [
            &identity.connector,
            &identity.subject,
            &identity.account.0,
            &linked_at,
            &events(&audit),
        ];
        self.database.primary().await?.execute(LINK, &params).await.map(drop)
    }

    async fn unlink_identity(
        &self,
        connector: &str,
        subject: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const UNLINK: &str = concat!(
            "WITH unlinked AS (DELETE FROM identities WHERE connector = $1 AND subject = $2 \
             RETURNING account), trail AS (",
            insert_audit!("$3", "unlinked"),
            ") SELECT FROM unlinked"
        );
        if connector.contains('\0') || subject.contains('\0') {
            return Ok(false);
        }
        let mut connection = self.database.primary().await?;
        let row = connection.row(UNLINK, &[&connector, &subject, &events(&audit)]).await?;
        Ok(row.is_some())
    }

    async fn password(&self, account: AccountId) -> Result<Option<PasswordRecord>, StoreError> {
        self.read_password(account).await
    }

    async fn set_password(
        &self,
        password: PasswordRecord,
        revoke_sessions: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        self.write_password(password, revoke_sessions, audit).await
    }

    async fn rehash_password(
        &self,
        account: AccountId,
        old_hash: &str,
        new_hash: &str,
    ) -> Result<bool, StoreError> {
        self.replace_hash(account, old_hash, new_hash).await
    }
}

impl PostgresStore {
    async fn one(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Option<AccountRecord>, StoreError> {
        let row = self.database.primary().await?.row(sql, params).await?;
        row.as_ref().map(read).transpose()
    }
}

fn read(row: &Row) -> Result<AccountRecord, StoreError> {
    account(&mut Columns::of(row, "accounts"))
}

pub(super) async fn update(
    connection: &mut Connection,
    account: &AccountRecord,
    audit: &[AuditRecord],
) -> Result<bool, StoreError> {
    let row = AccountRow::of(account);
    let events = events(audit);
    let own: [Param<'_>; 3] = [&account.version, &events, &CHANNEL];
    let params: Vec<Param<'_>> = row.params().into_iter().chain(own).collect();
    Ok(connection.row(UPDATE, &params).await?.is_some())
}

/// The sessions are ended in a statement of their own, so that it sees those that were inserted
/// while the first one waited for the account.
async fn deactivate(
    connection: &mut Connection,
    account: &AccountRecord,
    audit: &[AuditRecord],
) -> Result<bool, StoreError> {
    let at: Timestamp = account.updated_at;
    connection.begin().await?;
    if !update(connection, account, audit).await? {
        connection.rollback().await?;
        return Ok(false);
    }
    end_sessions_of_account(connection, account.id, at, "account_inactive").await?;
    connection.commit().await?;
    Ok(true)
}

/// Adds an account; `numeric_id` none takes the next number.
async fn insert(
    connection: &mut Connection,
    new: &NewAccount,
    numeric_id: Option<i64>,
    audit: &[AuditRecord],
) -> Result<AccountRecord, StoreError> {
    let row = AccountRow::of(&new.account);
    let created_at = new.account.created_at.millis();
    let connector = new.identity.as_ref().map(|identity| &identity.connector);
    let subject = new.identity.as_ref().map(|identity| &identity.subject);
    let linked_at = new.identity.as_ref().map(|identity| identity.linked_at.millis());
    let hash = new.password.as_ref().map(|password| &password.hash);
    let changed_at = new.password.as_ref().map(|password| password.changed_at.millis());
    let events = events(audit);
    let own: [Param<'_>; 7] =
        [&created_at, &connector, &subject, &linked_at, &hash, &changed_at, &events];
    let mut params: Vec<Param<'_>> = row.params().into_iter().chain(own).collect();
    let made = match &numeric_id {
        None => connection.row(INSERT, &params).await?,
        Some(numeric_id) => {
            params.push(numeric_id);
            connection.row(INSERT_NUMBERED, &params).await?
        }
    };
    made.as_ref().map(read).transpose()?.ok_or_else(|| StoreError::Unavailable {
        message: "an inserted account was not returned".to_owned(),
    })
}
