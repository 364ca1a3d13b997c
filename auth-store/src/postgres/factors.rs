//! Second factors and recovery codes. What exchanges an account's whole set stands behind the
//! account's row lock, so that two exchanges at once do not leave both sets.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{
    AccountId, FactorId, FactorKind, FactorRecord, FactorRemoval, FactorStore, PasskeyOutcome,
    PasskeyUse, RecoveryCodeRecord, StoreError, WEBAUTHN_SCOPE,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{Columns, Param, optional, text};
use super::connection::Connection;
use super::devices::forget_devices;
use super::{PostgresStore, audit};

macro_rules! select_factor {
    ($condition:literal) => {
        concat!(
            "SELECT id, account, kind, name, sealed, created_at, last_used_at, last_step, \
             credential, sign_count FROM factors WHERE ",
            $condition
        )
    };
}

const REMOVE_ONE: &str = "DELETE FROM factors WHERE account = $1 AND id = $2";
const REMOVE_CODES: &str = "DELETE FROM recovery_codes WHERE account = $1";

#[async_trait]
impl FactorStore for PostgresStore {
    async fn factors(&self, accounts: &[AccountId]) -> Result<Vec<FactorRecord>, StoreError> {
        const OF_ACCOUNTS: &str =
            select_factor!("account = ANY($1) ORDER BY account, created_at, id");
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
        const ALL: &str = "DELETE FROM factors WHERE account = $1";
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, account).await?;
        let gone = match id {
            Some(id) => connection.execute(REMOVE_ONE, &[&account.0, &id.0]).await?,
            None => {
                connection.execute(REMOVE_CODES, &[&account.0]).await?;
                forget_devices(&mut connection, account).await?;
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

    async fn factor_by_credential(
        &self,
        credential: TokenHash,
    ) -> Result<Option<FactorRecord>, StoreError> {
        const FIND: &str = select_factor!("credential = $1");
        let credential = credential.as_bytes().as_slice();
        let row = self.database.primary().await?.row(FIND, &[&credential]).await?;
        row.as_ref().map(read).transpose()
    }

    async fn use_passkey(&self, used: PasskeyUse) -> Result<PasskeyOutcome, StoreError> {
        // The row is judged again after a wait for it, so of two uses with one counter one wins.
        const USE: &str = "WITH mark AS (INSERT INTO replay (scope, key, expires_at) \
             VALUES ($1, $2, $3) ON CONFLICT (scope, key) DO NOTHING RETURNING key), \
             used AS (UPDATE factors SET sign_count = $5, sealed = $6, last_used_at = $7 \
             FROM mark WHERE factors.id = $4 AND factors.kind = 'passkey' \
             AND (coalesce(factors.sign_count, 0) < $5 \
             OR (coalesce(factors.sign_count, 0) = 0 AND $5 = 0)) RETURNING factors.id) \
             SELECT EXISTS (SELECT FROM mark), EXISTS (SELECT FROM used), \
             EXISTS (SELECT FROM factors WHERE id = $4 AND kind = 'passkey')";
        let params: [Param<'_>; 7] = [
            &WEBAUTHN_SCOPE,
            &used.challenge.as_bytes().as_slice(),
            &used.challenge_expires_at.millis(),
            &used.id.0,
            &used.sign_count,
            &used.sealed,
            &used.now.millis(),
        ];
        let row = self.database.primary().await?.row(USE, &params).await?;
        let row = row.ok_or_else(|| StoreError::Unavailable {
            message: "the use of a passkey was not answered".to_owned(),
        })?;
        let columns = &mut Columns::of(&row, "factors");
        let (marked, written, there): (bool, bool, bool) =
            (columns.take()?, columns.take()?, columns.take()?);
        Ok(match (marked, written, there) {
            (false, ..) => PasskeyOutcome::ChallengeUsed,
            (true, true, _) => PasskeyOutcome::Used,
            (true, false, true) => PasskeyOutcome::CounterBehind,
            (true, false, false) => PasskeyOutcome::Unknown,
        })
    }

    async fn rename_factor(
        &self,
        account: AccountId,
        id: FactorId,
        name: String,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const RENAME: &str = concat!(
            "WITH renamed AS (UPDATE factors SET name = $3 WHERE account = $1 AND id = $2 \
             RETURNING id), trail AS (",
            insert_audit!("$4", "renamed"),
            ") SELECT FROM renamed"
        );
        let params: [Param<'_>; 4] = [&account.0, &id.0, &text(&name), &audit::events(&audit)];
        Ok(self.database.primary().await?.row(RENAME, &params).await?.is_some())
    }

    async fn remove_factor(
        &self,
        account: AccountId,
        id: FactorId,
        keep_last: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<FactorRemoval, StoreError> {
        const COUNT: &str = "SELECT count(*), count(*) FILTER (WHERE id = $2) \
             FROM factors WHERE account = $1";
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, account).await?;
        let row = connection.row(COUNT, &[&account.0, &id.0]).await?;
        let (all, this): (i64, i64) = match &row {
            None => (0, 0),
            Some(row) => {
                let columns = &mut Columns::of(row, "factors");
                (columns.take()?, columns.take()?)
            }
        };
        if this == 0 || (all == 1 && keep_last) {
            connection.rollback().await?;
            return Ok(if this == 0 { FactorRemoval::Unknown } else { FactorRemoval::Last });
        }
        connection.execute(REMOVE_ONE, &[&account.0, &id.0]).await?;
        if all == 1 {
            connection.execute(REMOVE_CODES, &[&account.0]).await?;
            forget_devices(&mut connection, account).await?;
        }
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(FactorRemoval::Removed)
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
         last_used_at, last_step, credential, sign_count) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let credential = factor.credential.as_ref().map(|hash| hash.as_bytes().as_slice());
    let params: [Param<'_>; 10] = [
        &factor.id.0,
        &factor.account.0,
        &factor.kind.as_str(),
        &optional(&factor.name),
        &factor.sealed,
        &factor.created_at.millis(),
        &factor.last_used_at.map(Timestamp::millis),
        &factor.last_step,
        &credential,
        &factor.sign_count,
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
        credential: columns.optional_hash()?,
        sign_count: columns.take()?,
    })
}
