//! Second factors and recovery codes in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{
    AccountId, FactorId, FactorKind, FactorRecord, FactorStore, RecoveryCodeRecord, StoreError,
};
use rusqlite::{Connection, params};

use super::row::{all, change, one};
use super::{SqliteStore, audit};

fn factors_of(c: &Connection, account: AccountId) -> Result<Vec<FactorRecord>, StoreError> {
    let sql = "SELECT id, kind, name, sealed, created_at, last_used_at, last_step FROM factor \
               WHERE account = ?1 ORDER BY created_at, id";
    all(c, sql, params![account.0.as_bytes()], |columns| {
        columns.of("factor");
        Ok(FactorRecord {
            id: FactorId(columns.uuid()?),
            account,
            kind: columns.word(FactorKind::parse)?,
            name: columns.take()?,
            sealed: columns.take()?,
            created_at: columns.time()?,
            last_used_at: columns.optional_time()?,
            last_step: columns.take()?,
        })
    })
}

pub(super) fn insert(c: &Connection, factor: &FactorRecord) -> Result<(), StoreError> {
    change(
        c,
        "INSERT INTO factor (id, account, kind, name, sealed, created_at, last_used_at, \
         last_step) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            factor.id.0.as_bytes(),
            factor.account.0.as_bytes(),
            factor.kind.as_str(),
            factor.name,
            factor.sealed,
            factor.created_at.millis(),
            factor.last_used_at.map(|at| at.millis()),
            factor.last_step,
        ],
    )
    .map(drop)
}

fn remove_codes(c: &Connection, account: AccountId) -> Result<(), StoreError> {
    let sql = "DELETE FROM recovery_code WHERE account = ?1";
    change(c, sql, params![account.0.as_bytes()]).map(drop)
}

pub(super) fn replace_codes(
    c: &Connection,
    account: AccountId,
    codes: &[RecoveryCodeRecord],
) -> Result<(), StoreError> {
    remove_codes(c, account)?;
    for code in codes {
        let sql = "INSERT INTO recovery_code (account, hash) VALUES (?1, ?2)";
        change(c, sql, params![code.account.0.as_bytes(), code.hash])?;
    }
    Ok(())
}

fn remove(c: &Connection, account: AccountId, id: Option<FactorId>) -> Result<u64, StoreError> {
    let account_id = account.0.as_bytes();
    let removed = match id {
        Some(id) => {
            let sql = "DELETE FROM factor WHERE account = ?1 AND id = ?2";
            change(c, sql, params![account_id, id.0.as_bytes()])?
        }
        None => {
            remove_codes(c, account)?;
            change(c, "DELETE FROM factor WHERE account = ?1", params![account_id])?
        }
    };
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}

#[async_trait]
impl FactorStore for SqliteStore {
    async fn factors(&self, accounts: &[AccountId]) -> Result<Vec<FactorRecord>, StoreError> {
        let mut accounts = accounts.to_vec();
        accounts.sort_unstable();
        accounts.dedup();
        // Every login asks for one account's: not worth a blocking thread.
        let few = accounts.len() <= 4;
        let read = move |c: &Connection| {
            let mut found = Vec::new();
            for &account in &accounts {
                found.append(&mut factors_of(c, account)?);
            }
            Ok(found)
        };
        if few { self.look_up(read) } else { self.list(read).await }
    }

    async fn add_factor(
        &self,
        factor: FactorRecord,
        recovery: Option<Vec<RecoveryCodeRecord>>,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        self.write(move |c| {
            insert(c, &factor)?;
            if let Some(codes) = &recovery {
                replace_codes(c, factor.account, codes)?;
            }
            audit::append(c, &audit)
        })
        .await
    }

    async fn replace_recovery_codes(
        &self,
        account: AccountId,
        codes: Vec<RecoveryCodeRecord>,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        self.write(move |c| {
            replace_codes(c, account, &codes)?;
            audit::append(c, &audit)
        })
        .await
    }

    async fn remove_factors(
        &self,
        account: AccountId,
        id: Option<FactorId>,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError> {
        self.write(move |c| {
            let removed = remove(c, account, id)?;
            audit::append(c, &audit)?;
            Ok(removed)
        })
        .await
    }

    async fn consume_totp_step(
        &self,
        id: FactorId,
        step: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE factor SET last_step = ?2, last_used_at = ?3 \
                   WHERE id = ?1 AND (last_step IS NULL OR last_step < ?2)";
        self.write(move |c| Ok(change(c, sql, params![id.0.as_bytes(), step, now.millis()])? == 1))
            .await
    }

    async fn consume_recovery_code(
        &self,
        account: AccountId,
        hash: [u8; 32],
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM recovery_code WHERE account = ?1 AND hash = ?2";
        self.write(move |c| Ok(change(c, sql, params![account.0.as_bytes(), hash])? == 1)).await
    }

    async fn recovery_codes_left(&self, account: AccountId) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM recovery_code WHERE account = ?1";
        let count = self.look_up(|c| {
            one(c, sql, params![account.0.as_bytes()], |columns| columns.take::<i64>())
        })?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }
}
