//! What hangs on an account in SQLite: its identities and its password.

use auth_core::store::{AccountId, IdentityRecord, PasswordRecord, StoreError};
use rusqlite::{Connection, params};

use super::row::{all, change};

/// Links an identity to its account.
pub(super) fn link(c: &Connection, identity: &IdentityRecord) -> Result<(), StoreError> {
    change(
        c,
        "INSERT INTO identity (connector, subject, account, linked_at) VALUES (?1, ?2, ?3, ?4)",
        params![
            identity.connector,
            identity.subject,
            identity.account.0.as_bytes(),
            identity.linked_at.millis()
        ],
    )
    .map(drop)
}

/// Sets or replaces a password.
pub(super) fn put_password(c: &Connection, password: &PasswordRecord) -> Result<(), StoreError> {
    change(
        c,
        "INSERT INTO password (account, hash, changed_at) VALUES (?1, ?2, ?3) \
         ON CONFLICT (account) DO UPDATE \
         SET hash = excluded.hash, changed_at = excluded.changed_at",
        params![password.account.0.as_bytes(), password.hash, password.changed_at.millis()],
    )
    .map(drop)
}

/// The identities of an account, by connector and subject.
pub(super) fn identities_of(
    c: &Connection,
    account: AccountId,
) -> Result<Vec<IdentityRecord>, StoreError> {
    let sql = "SELECT connector, subject, account, linked_at FROM identity \
               WHERE account = ?1 ORDER BY connector, subject";
    all(c, sql, params![account.0.as_bytes()], |columns| {
        columns.of("identity");
        Ok(IdentityRecord {
            connector: columns.take()?,
            subject: columns.take()?,
            account: AccountId(columns.uuid()?),
            linked_at: columns.time()?,
        })
    })
}
