//! Identities of a connector in SQLite, and what it says beside the account.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::store::{
    AccountId, ClaimMap, IdentityMove, IdentityRecord, IdentityStore, PasswordChange, StoreError,
};
use rusqlite::{Connection, params};

use super::row::{all, change, limit, one, to_json};
use super::{SqliteStore, audit, sessions};

/// Stands before a new subject until all old ones are gone; no subject begins with it.
const COMING: &str = "\u{1}";

#[async_trait]
impl IdentityStore for SqliteStore {
    async fn identities_of_connector(
        &self,
        connector: &str,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<IdentityRecord>, StoreError> {
        let sql = "SELECT connector, subject, account, linked_at FROM identity \
                   WHERE connector = ?1 AND subject > ?2 ORDER BY subject LIMIT ?3";
        // No subject is empty, so all are greater than the empty one.
        let (connector, after) = (connector.to_owned(), after.unwrap_or_default().to_owned());
        self.list(move |c| {
            all(c, sql, params![connector, after, limit(count)], |columns| {
                columns.of("identity");
                Ok(IdentityRecord {
                    connector: columns.take()?,
                    subject: columns.take()?,
                    account: AccountId(columns.uuid()?),
                    linked_at: columns.time()?,
                })
            })
        })
        .await
    }

    async fn move_identities(
        &self,
        connector: &str,
        moves: Vec<IdentityMove>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let connector = connector.to_owned();
        self.write(move |c| {
            let all_there = are_all_there(c, &connector, &moves)?;
            if all_there {
                let away = "UPDATE identity SET subject = ?3 WHERE connector = ?1 AND subject = ?2";
                for one in &moves {
                    let coming = format!("{COMING}{}", one.to);
                    change(c, away, params![connector, one.from, coming])?;
                }
                let arrived = "UPDATE identity SET subject = substr(subject, 2) \
                               WHERE connector = ?1 AND substr(subject, 1, 1) = ?2";
                change(c, arrived, params![connector, COMING])?;
            }
            audit::append_if(all_there, c, &audit)
        })
        .await
    }

    async fn password_change(
        &self,
        connector: &str,
        subject: &str,
    ) -> Result<Option<String>, StoreError> {
        self.look_up(|c| {
            noted(c, connector, subject).map(|found| found.and_then(|(_, noted)| noted))
        })
    }

    async fn note_password_change(
        &self,
        note: PasswordChange,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        self.write(move |c| {
            let found = noted(c, &note.connector, &note.subject)?;
            let Some((account, _)) = found.filter(|(_, noted)| *noted == note.before) else {
                return Ok(false);
            };
            let sql = "UPDATE identity SET sync_password_changed_at = ?3 \
                       WHERE connector = ?1 AND subject = ?2";
            change(c, sql, params![note.connector, note.subject, note.after])?;
            if let Some(at) = note.end_sessions_at {
                sessions::end_of_account(c, account, at, "password_changed")?;
            }
            audit::append_if(true, c, &audit)
        })
        .await
    }

    async fn claims(&self, account: AccountId) -> Result<ClaimMap, StoreError> {
        let sql = "SELECT claims FROM account_claims WHERE account = ?1";
        let found = self.look_up(|c| {
            one(c, sql, params![account.0.as_bytes()], |columns| {
                columns.of("account_claims").json()
            })
        })?;
        Ok(found.unwrap_or_default())
    }

    async fn set_claims(&self, account: AccountId, claims: ClaimMap) -> Result<(), StoreError> {
        self.write(move |c| put_claims(c, account, &claims)).await
    }
}

/// Replaces the further claims of an account.
pub(super) fn put_claims(
    c: &Connection,
    account: AccountId,
    claims: &ClaimMap,
) -> Result<(), StoreError> {
    if claims.is_empty() {
        let sql = "DELETE FROM account_claims WHERE account = ?1";
        return change(c, sql, params![account.0.as_bytes()]).map(drop);
    }
    let sql = "INSERT INTO account_claims (account, claims) VALUES (?1, ?2) \
               ON CONFLICT (account) DO UPDATE SET claims = excluded.claims";
    change(c, sql, params![account.0.as_bytes(), to_json(claims)?]).map(drop)
}

fn are_all_there(
    c: &Connection,
    connector: &str,
    moves: &[IdentityMove],
) -> Result<bool, StoreError> {
    let mut seen = std::collections::HashSet::new();
    for one_move in moves {
        let is_new = seen.insert(one_move.from.as_str());
        if !is_new || noted(c, connector, &one_move.from)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An identity's account, and what was last noted of its password.
fn noted(
    c: &Connection,
    connector: &str,
    subject: &str,
) -> Result<Option<(AccountId, Option<String>)>, StoreError> {
    let sql = "SELECT account, sync_password_changed_at FROM identity \
               WHERE connector = ?1 AND subject = ?2";
    one(c, sql, params![connector, subject], |columns| {
        columns.of("identity");
        Ok((AccountId(columns.uuid()?), columns.take()?))
    })
}
