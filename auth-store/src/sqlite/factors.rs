//! Second factors and recovery codes in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{
    AccountId, FactorId, FactorKind, FactorRecord, FactorRemoval, FactorStore, PasskeyOutcome,
    PasskeyUse, RecoveryCodeRecord, StoreError, WEBAUTHN_SCOPE,
};
use rusqlite::{Connection, params};

use super::row::{Columns, all, change, one};
use super::{SqliteStore, audit, devices, replay};

macro_rules! select_factor {
    ($condition:literal) => {
        concat!(
            "SELECT id, account, kind, name, sealed, created_at, last_used_at, last_step, \
             credential, sign_count FROM factor WHERE ",
            $condition
        )
    };
}

fn read_factor(columns: &mut Columns<'_, '_>) -> Result<FactorRecord, StoreError> {
    columns.of("factor");
    Ok(FactorRecord {
        id: FactorId(columns.uuid()?),
        account: AccountId(columns.uuid()?),
        kind: columns.word(FactorKind::parse)?,
        name: columns.take()?,
        sealed: columns.take()?,
        created_at: columns.time()?,
        last_used_at: columns.optional_time()?,
        last_step: columns.take()?,
        credential: columns.optional_hash()?,
        sign_count: columns.take()?,
    })
}

fn factors_of(c: &Connection, account: AccountId) -> Result<Vec<FactorRecord>, StoreError> {
    let sql = select_factor!("account = ?1 ORDER BY created_at, id");
    all(c, sql, params![account.0.as_bytes()], read_factor)
}

pub(super) fn insert(c: &Connection, factor: &FactorRecord) -> Result<(), StoreError> {
    change(
        c,
        "INSERT INTO factor (id, account, kind, name, sealed, created_at, last_used_at, \
         last_step, credential, sign_count) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            factor.id.0.as_bytes(),
            factor.account.0.as_bytes(),
            factor.kind.as_str(),
            factor.name,
            factor.sealed,
            factor.created_at.millis(),
            factor.last_used_at.map(|at| at.millis()),
            factor.last_step,
            factor.credential.map(|credential| *credential.as_bytes()),
            factor.sign_count,
        ],
    )
    .map(drop)
}

/// Consumes the challenge, then notes the use. Within the transaction.
fn use_passkey(c: &Connection, used: &PasskeyUse) -> Result<PasskeyOutcome, StoreError> {
    if !replay::mark(c, WEBAUTHN_SCOPE, used.challenge, used.challenge_expires_at)? {
        return Ok(PasskeyOutcome::ChallengeUsed);
    }
    let sql = "UPDATE factor SET sign_count = ?2, sealed = ?3, last_used_at = ?4 \
               WHERE id = ?1 AND kind = 'passkey' \
               AND (coalesce(sign_count, 0) < ?2 OR (coalesce(sign_count, 0) = 0 AND ?2 = 0))";
    let id = used.id.0.as_bytes();
    if change(c, sql, params![id, used.sign_count, used.sealed, used.now.millis()])? == 1 {
        return Ok(PasskeyOutcome::Used);
    }
    let sql = "SELECT 1 FROM factor WHERE id = ?1 AND kind = 'passkey'";
    Ok(match one(c, sql, params![id], |_| Ok(()))? {
        Some(()) => PasskeyOutcome::CounterBehind,
        None => PasskeyOutcome::Unknown,
    })
}

fn remove_one(
    c: &Connection,
    account: AccountId,
    id: FactorId,
    keep_last: bool,
) -> Result<FactorRemoval, StoreError> {
    let sql = "SELECT count(*), coalesce(sum(id = ?2), 0) FROM factor WHERE account = ?1";
    let params = params![account.0.as_bytes(), id.0.as_bytes()];
    let counts =
        one(c, sql, params, |columns| Ok((columns.take::<i64>()?, columns.take::<i64>()?)))?;
    match counts {
        None | Some((_, 0)) => Ok(FactorRemoval::Unknown),
        Some((1, _)) if keep_last => Ok(FactorRemoval::Last),
        Some((all, _)) => {
            remove(c, account, Some(id))?;
            if all == 1 {
                remove_codes(c, account)?;
                devices::forget(c, account)?;
            }
            Ok(FactorRemoval::Removed)
        }
    }
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
            devices::forget(c, account)?;
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

    async fn factor_by_credential(
        &self,
        credential: TokenHash,
    ) -> Result<Option<FactorRecord>, StoreError> {
        let sql = select_factor!("credential = ?1");
        self.look_up(|c| one(c, sql, params![credential.as_bytes()], read_factor))
    }

    async fn use_passkey(&self, used: PasskeyUse) -> Result<PasskeyOutcome, StoreError> {
        self.write(move |c| use_passkey(c, &used)).await
    }

    async fn rename_factor(
        &self,
        account: AccountId,
        id: FactorId,
        name: String,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE factor SET name = ?3 WHERE account = ?1 AND id = ?2";
        self.write(move |c| {
            let params = params![account.0.as_bytes(), id.0.as_bytes(), name];
            let renamed = change(c, sql, params)? == 1;
            audit::append_if(renamed, c, &audit)
        })
        .await
    }

    async fn remove_factor(
        &self,
        account: AccountId,
        id: FactorId,
        keep_last: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<FactorRemoval, StoreError> {
        self.write(move |c| {
            let removal = remove_one(c, account, id, keep_last)?;
            audit::append_if(removal == FactorRemoval::Removed, c, &audit)?;
            Ok(removal)
        })
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
