//! Second factors and recovery codes. What exchanges an account's whole set stands behind the
//! account's row lock, so that two exchanges at once do not leave both sets.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::store::{
    AccountId, FactorId, FactorKind, FactorRecord, FactorStore, RecoveryCodeRecord, StoreError,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{Columns, Param, optional};
use super::connection::Connection;
use super::{PostgresStore, audit};

const REMOVE_CODES: &str = "DELETE FROM recovery_codes WHERE account = $1";

#[async_trait]
impl FactorStore for PostgresStore {
    async fn factors(&self, accounts: &[AccountId]) -> Result<Vec<FactorRecord>, StoreError> {
        const OF_ACCOUNTS: &str = "SELECT id, account, kind, name, sealed, created_at, \
             last_used_at, last_step FROM factors WHERE account = ANY($1) \
             ORDER BY account, created_at, id";
        let accounts: Vec<Uuid> = accounts.iter().map(|account| account.0).collect();
        let rows = self.database.primary().await?.rows(OF_ACCOUNTS, &[&accounts]).await?;
        rows.iter().map(read).collect()
    }

    async fn add_factor(
        &self,
        factor: FactorRecord,
        recovery: Option<Vec<RecoveryCodeRecord>>,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, factor.account).await?;
        add(&mut connection, &factor, recovery.as_deref()).await?;
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await
    }

    async fn replace_recovery_codes(
        &self,
        account: AccountId,
        codes: Vec<RecoveryCodeRecord>,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, account).await?;
        replace_codes(&mut connection, account, &codes).await?;
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await
    }

    async fn remove_factors(
        &self,
        account: AccountId,
        id: Option<FactorId>,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError> {
        const ONE: &str = "DELETE FROM factors WHERE account = $1 AND id = $2";
        const ALL: &str = "DELETE FROM factors WHERE account = $1";
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, account).await?;
        let gone = match id {
            Some(id) => connection.execute(ONE, &[&account.0, &id.0]).await?,
            None => {
                connection.execute(REMOVE_CODES, &[&account.0]).await?;
                connection.execute(ALL, &[&account.0]).await?
            }
        };
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(gone)
    }

    async fn consume_totp_step(
        &self,
        id: FactorId,
        step: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const CONSUME: &str = "UPDATE factors SET last_step = $2, last_used_at = $3 \
             WHERE id = $1 AND (last_step IS NULL OR last_step < $2)";
        let mut connection = self.database.primary().await?;
        Ok(connection.execute(CONSUME, &[&id.0, &step, &now.millis()]).await? == 1)
    }

    async fn consume_recovery_code(
        &self,
        account: AccountId,
        hash: [u8; 32],
    ) -> Result<bool, StoreError> {
        const CONSUME: &str = "DELETE FROM recovery_codes WHERE account = $1 AND hash = $2";
        let mut connection = self.database.primary().await?;
        Ok(connection.execute(CONSUME, &[&account.0, &hash.as_slice()]).await? == 1)
    }

    async fn recovery_codes_left(&self, account: AccountId) -> Result<u64, StoreError> {
        const COUNT: &str = "SELECT count(*) FROM recovery_codes WHERE account = $1";
        let row = self.database.primary().await?.row(COUNT, &[&account.0]).await?;
        let Some(row) = row else { return Ok(0) };
        let columns = &mut Columns::of(&row, "recovery_codes");
        let left: i64 = columns.take()?;
        u64::try_from(left).map_err(|_| columns.corrupt("a negative count"))
    }
}

/// Adds a factor, and replaces the recovery codes if some are given. The row lock of the account
/// is held.
pub(super) async fn add(
    connection: &mut Connection,
    factor: &FactorRecord,
    recovery: Option<&[RecoveryCodeRecord]>,
) -> Result<(), StoreError> {
    const ADD: &str = "INSERT INTO factors (id, account, kind, name, sealed, created_at, \
         last_used_at, last_step) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let params: [Param<'_>; 8] = [
        &factor.id.0,
        &factor.account.0,
        &factor.kind.as_str(),
        &optional(&factor.name),
        &factor.sealed,
        &factor.created_at.millis(),
        &factor.last_used_at.map(Timestamp::millis),
        &factor.last_step,
    ];
    connection.execute(ADD, &params).await?;
    match recovery {
        Some(codes) => replace_codes(connection, factor.account, codes).await,
        None => Ok(()),
    }
}

async fn replace_codes(
    connection: &mut Connection,
    account: AccountId,
    codes: &[RecoveryCodeRecord],
) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO recovery_codes (account, hash) \
         SELECT $1, hash FROM unnest($2::bytea[]) AS hash \
         ON CONFLICT ON CONSTRAINT recovery_codes_hash DO NOTHING";
    let hashes: Vec<&[u8]> = codes.iter().map(|code| code.hash.as_slice()).collect();
    connection.execute(REMOVE_CODES, &[&account.0]).await?;
    connection.execute(INSERT, &[&account.0, &hashes]).await.map(drop)
}

fn read(row: &Row) -> Result<FactorRecord, StoreError> {
    let columns = &mut Columns::of(row, "factors");
    Ok(FactorRecord {
        id: FactorId(columns.take()?),
        account: AccountId(columns.take()?),
        kind: FactorKind::parse(columns.take()?)
            .ok_or_else(|| columns.corrupt("an unknown kind"))?,
        name: columns.take()?,
        sealed: columns.take()?,
        created_at: columns.time()?,
        last_used_at: columns.optional_time()?,
        last_step: columns.take()?,
    })
}
