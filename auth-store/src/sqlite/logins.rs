//! Pending logins in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::secret::TokenHash;
use auth_core::store::{
    LoginCompletion, LoginRecord, LoginStore, Revocation, RevocationScope, StoreError,
};
use rusqlite::{Connection, params};

use super::row::{change, one};
use super::{SqliteStore, accounts, audit, factors, sessions, throttle};

/// Writes `login` if the stored version is `login.version`.
fn advance(c: &Connection, login: &LoginRecord) -> Result<bool, StoreError> {
    let changed = change(
        c,
        "UPDATE login SET browser = ?3, state = ?4, expires_at = ?5, version = version + 1 \
         WHERE handle = ?1 AND version = ?2",
        params![
            login.handle.as_bytes(),
            login.version,
            login.browser.as_bytes(),
            login.state,
            login.expires_at.millis()
        ],
    )?;
    Ok(changed == 1)
}

/// Whether all that `completion` expects is so. Within the transaction that then writes it.
fn may_complete(c: &Connection, completion: &LoginCompletion) -> Result<bool, StoreError> {
    let login = &completion.login;
    let sql = "SELECT 1 FROM login WHERE handle = ?1 AND version = ?2";
    if one(c, sql, params![login.handle.as_bytes(), login.version], |_| Ok(()))?.is_none() {
        return Ok(false);
    }
    let id = completion.session.account;
    if completion.factor.is_some() {
        let sql = "SELECT 1 FROM factor WHERE account = ?1 LIMIT 1";
        if one(c, sql, params![id.0.as_bytes()], |_| Ok(()))?.is_some() {
            return Ok(false);
        }
    }
    let sql = "SELECT version FROM account WHERE id = ?1 AND active = 1";
    let stored = one(c, sql, params![id.0.as_bytes()], |columns| columns.take::<i64>())?;
    Ok(match (stored, &completion.account) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(version), Some(account)) => {
            account.id == id && account.active && account.version == version
        }
    })
}

#[async_trait]
impl LoginStore for SqliteStore {
    async fn add_login(&self, login: LoginRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO login (handle, browser, version, state, created_at, expires_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.write(move |c| {
            let params = params![
                login.handle.as_bytes(),
                login.browser.as_bytes(),
                login.version,
                login.state,
                login.created_at.millis(),
                login.expires_at.millis()
            ];
            change(c, sql, params).map(drop)
        })
        .await
    }

    async fn login(&self, handle: TokenHash) -> Result<Option<LoginRecord>, StoreError> {
        let sql = "SELECT browser, version, state, created_at, expires_at FROM login \
                   WHERE handle = ?1";
        self.look_up(|c| {
            one(c, sql, params![handle.as_bytes()], |columns| {
                columns.of("login");
                Ok(LoginRecord {
                    handle,
                    browser: columns.hash()?,
                    version: columns.take()?,
                    state: columns.take()?,
                    created_at: columns.time()?,
                    expires_at: columns.time()?,
                })
            })
        })
    }

    async fn advance_login(
        &self,
        login: LoginRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        self.write(move |c| {
            let written = advance(c, &login)?;
            audit::append_if(written, c, &audit)
        })
        .await
    }

    async fn complete_login(&self, completion: LoginCompletion) -> Result<bool, StoreError> {
        self.write(move |c| {
            if !may_complete(c, &completion)? {
                return Ok(false);
            }
            advance(c, &completion.login)?;
            if let Some(account) = &completion.account {
                accounts::update(c, account)?;
            }
            if let Some((factor, codes)) = &completion.factor {
                factors::insert(c, factor)?;
                factors::replace_codes(c, factor.account, codes)?;
            }
            if let Some(replaced) = completion.replaces {
                sessions::hand_over(c, replaced, &completion.session)?;
                let scope = RevocationScope::Session(replaced);
                let at = completion.session.created_at;
                sessions::end(c, &Revocation { scope, at, reason: "replaced".to_owned() })?;
            }
            sessions::insert(c, &completion.session)?;
            throttle::clear(c, &completion.clear_throttle)?;
            audit::append(c, &completion.audit)?;
            Ok(true)
        })
        .await
    }
}
