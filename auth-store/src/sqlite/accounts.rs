//! Accounts, identities and passwords in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::store::{
    AccountId, AccountPage, AccountRecord, AccountStore, IdentityRecord, NewAccount,
    PasswordRecord, StoreError,
};
use rusqlite::{Connection, ToSql, params};

use super::identities::{identities_of, link, put_password};
use super::row::{Columns, all, change, limit, one, to_json};
use super::{SqliteStore, audit, outbox, sessions};

/// The columns that [`read_account`] takes, in its order.
macro_rules! account_columns {
    () => {
        "account.id, account.numeric_id, account.username, account.username_key, account.email, \
         account.email_key, account.email_verified, account.first_name, account.last_name, \
         account.nickname, account.position, account.locale, account.active, \
         account.inactive_reason, account.roles, account.groups, account.created_at, \
         account.updated_at, account.last_login_at, account.checked_at, account.version"
    };
}
pub(super) use account_columns;

/// Takes the columns of `account_columns!`.
pub(super) fn read_account(columns: &mut Columns<'_, '_>) -> Result<AccountRecord, StoreError> {
    columns.of("account");
    Ok(AccountRecord {
        id: AccountId(columns.uuid()?),
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
        roles: columns.json()?,
        groups: columns.json()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
        last_login_at: columns.optional_time()?,
        checked_at: columns.optional_time()?,
        version: columns.take()?,
    })
}

/// Writes `account` if the stored version is `account.version`. A change of `active` to false
/// ends its sessions.
pub(super) fn update(c: &Connection, account: &AccountRecord) -> Result<bool, StoreError> {
    let (roles, groups) = (to_json(&account.roles)?, to_json(&account.groups)?);
    let values = params![
        account.id.0.as_bytes(),
        account.version,
        account.username,
        account.username_key,
        account.email,
        account.email_key,
        account.email_verified,
        account.first_name,
        account.last_name,
        account.nickname,
        account.position,
        account.locale,
        account.active,
        account.inactive_reason,
        roles,
        groups,
        account.updated_at.millis(),
        account.last_login_at.map(|at| at.millis()),
        account.checked_at.map(|at| at.millis()),
    ];
    if change(c, UPDATE_BUT_NAMES, values)? == 0 && change(c, UPDATE, values)? == 0 {
        return Ok(false);
    }
    if !account.active {
        // Those of an account that was inactive before have ended already.
        sessions::end_of_account(c, account.id, account.updated_at, "account_inactive")?;
    }
    Ok(true)
}

/// What every update sets, up to the condition that both statements share.
macro_rules! set_but_names {
    () => {
        "email = ?5, email_verified = ?7, first_name = ?8, last_name = ?9, nickname = ?10, \
         position = ?11, locale = ?12, active = ?13, inactive_reason = ?14, roles = ?15, \
         groups = ?16, updated_at = ?17, last_login_at = ?18, checked_at = ?19, \
         version = version + 1 WHERE id = ?1 AND version = ?2"
    };
}

const UPDATE: &str = concat!(
    "UPDATE account SET username = ?3, username_key = ?4, email_key = ?6, ",
    set_but_names!()
);

/// Of an account that keeps its names. SQLite writes the index of every column that a statement
/// sets, whether or not its value changes. (`+`: only the id is to be looked up.)
const UPDATE_BUT_NAMES: &str = concat!(
    "UPDATE account SET ",
    set_but_names!(),
    " AND +username = ?3 AND +username_key = ?4 AND +email_key IS ?6"
);

/// Adds an account with version 1; `numeric_id` none takes the next number. Returns the number.
pub(super) fn insert(
    c: &Connection,
    account: &AccountRecord,
    numeric_id: Option<i64>,
) -> Result<i64, StoreError> {
    change(
        c,
        "INSERT INTO account (id, username, username_key, email, email_key, email_verified, \
         first_name, last_name, nickname, position, locale, active, inactive_reason, roles, \
         groups, created_at, updated_at, last_login_at, checked_at, version, numeric_id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
         ?18, ?19, 1, ?20)",
        params![
            account.id.0.as_bytes(),
            account.username,
            account.username_key,
            account.email,
            account.email_key,
            account.email_verified,
            account.first_name,
            account.last_name,
            account.nickname,
            account.position,
            account.locale,
            account.active,
            account.inactive_reason,
            to_json(&account.roles)?,
            to_json(&account.groups)?,
            account.created_at.millis(),
            account.updated_at.millis(),
            account.last_login_at.map(|at| at.millis()),
            account.checked_at.map(|at| at.millis()),
            numeric_id,
        ],
    )?;
    Ok(c.last_insert_rowid())
}

fn make(
    c: &Connection,
    new: NewAccount,
    numeric_id: Option<i64>,
    audit: &[AuditRecord],
) -> Result<AccountRecord, StoreError> {
    let numeric_id = insert(c, &new.account, numeric_id)?;
    if let Some(identity) = &new.identity {
        link(c, identity)?;
    }
    if let Some(password) = &new.password {
        put_password(c, password)?;
    }
    audit::append(c, audit)?;
    Ok(AccountRecord { numeric_id, version: 1, ..new.account })
}

impl SqliteStore {
    fn account_where(
        &self,
        sql: &'static str,
        params: &[&dyn ToSql],
    ) -> Result<Option<AccountRecord>, StoreError> {
        self.look_up(|c| one(c, sql, params, read_account))
    }
}

#[async_trait]
impl AccountStore for SqliteStore {
    async fn account(&self, id: AccountId) -> Result<Option<AccountRecord>, StoreError> {
        self.account_where(
            concat!("SELECT ", account_columns!(), " FROM account WHERE id = ?1"),
            params![id.0.as_bytes()],
        )
    }

    async fn account_by_username(&self, key: &str) -> Result<Option<AccountRecord>, StoreError> {
        self.account_where(
            concat!("SELECT ", account_columns!(), " FROM account WHERE username_key = ?1"),
            params![key],
        )
    }

    async fn account_by_email(&self, key: &str) -> Result<Option<AccountRecord>, StoreError> {
        self.account_where(
            concat!("SELECT ", account_columns!(), " FROM account WHERE email_key = ?1"),
            params![key],
        )
    }

    async fn account_by_identity(
        &self,
        connector: &str,
        subject: &str,
    ) -> Result<Option<AccountRecord>, StoreError> {
        self.account_where(
            concat!(
                "SELECT ",
                account_columns!(),
                " FROM identity JOIN account ON account.id = identity.account \
                 WHERE identity.connector = ?1 AND identity.subject = ?2"
            ),
            params![connector, subject],
        )
    }

    async fn accounts(&self, page: AccountPage) -> Result<Vec<AccountRecord>, StoreError> {
        let sql = concat!(
            "SELECT ",
            account_columns!(),
            " FROM account WHERE username_key > ?1 ORDER BY username_key LIMIT ?2"
        );
        self.list(move |c| {
            // No key is empty, so all are greater than the empty one.
            let after = page.after.unwrap_or_default();
            all(c, sql, params![after, limit(page.limit)], read_account)
        })
        .await
    }

    async fn create_account(
        &self,
        new: NewAccount,
        audit: Vec<AuditRecord>,
    ) -> Result<AccountRecord, StoreError> {
        self.write(move |c| make(c, new, None, &audit)).await
    }

    async fn create_numbered_account(
        &self,
        new: NewAccount,
        numeric_id: i64,
        audit: Vec<AuditRecord>,
    ) -> Result<AccountRecord, StoreError> {
        self.write(move |c| make(c, new, Some(numeric_id), &audit)).await
    }

    async fn update_account(
        &self,
        account: AccountRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        self.write(move |c| {
            let written = update(c, &account)?;
            audit::append_if(written, c, &audit)
        })
        .await
    }

    async fn identities(&self, accounts: &[AccountId]) -> Result<Vec<IdentityRecord>, StoreError> {
        let mut accounts = accounts.to_vec();
        accounts.sort_unstable();
        accounts.dedup();
        self.list(move |c| {
            let mut found = Vec::new();
            for account in accounts {
                found.append(&mut identities_of(c, account)?);
            }
            Ok(found)
        })
        .await
    }

    async fn link_identity(
        &self,
        identity: IdentityRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        self.write(move |c| {
            link(c, &identity)?;
            audit::append(c, &audit)
        })
        .await
    }

    async fn unlink_identity(
        &self,
        connector: &str,
        subject: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let (connector, subject) = (connector.to_owned(), subject.to_owned());
        self.write(move |c| {
            let sql = "DELETE FROM identity WHERE connector = ?1 AND subject = ?2";
            let removed = change(c, sql, params![connector, subject])? == 1;
            audit::append_if(removed, c, &audit)
        })
        .await
    }

    async fn password(&self, account: AccountId) -> Result<Option<PasswordRecord>, StoreError> {
        let sql = "SELECT hash, changed_at FROM password WHERE account = ?1";
        self.look_up(|c| {
            one(c, sql, params![account.0.as_bytes()], |columns| {
                columns.of("password");
                Ok(PasswordRecord { account, hash: columns.take()?, changed_at: columns.time()? })
            })
        })
    }

    async fn set_password(
        &self,
        password: PasswordRecord,
        revoke_sessions: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        self.write(move |c| {
            put_password(c, &password)?;
            if revoke_sessions {
                let at = password.changed_at;
                sessions::end_of_account(c, password.account, at, "password_changed")?;
                outbox::all_sessions_ended(c, Some(password.account), at, "password_changed")?;
            }
            audit::append(c, &audit)
        })
        .await
    }

    async fn rehash_password(
        &self,
        account: AccountId,
        old_hash: &str,
        new_hash: &str,
    ) -> Result<bool, StoreError> {
        let (old, new) = (old_hash.to_owned(), new_hash.to_owned());
        self.write(move |c| {
            let sql = "UPDATE password SET hash = ?3 WHERE account = ?1 AND hash = ?2";
            Ok(change(c, sql, params![account.0.as_bytes(), old, new])? == 1)
        })
        .await
    }
}
