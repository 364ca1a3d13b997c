//! Enrolments under way and put off. What counts an account's rows stands behind its row lock.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::secret::TokenHash;
use auth_core::store::{
    AccountId, EnrolmentRecord, EnrolmentStore, FactorKind, FactorRecord, GraceRule,
    PostponementRecord, RecoveryCodeRecord, SessionId, StoreError,
};

use super::columns::{Columns, Param};
use super::connection::Connection;
use super::{PostgresStore, audit, factors};

const REMOVE: &str = "DELETE FROM enrolments WHERE handle = $1";

#[async_trait]
impl EnrolmentStore for PostgresStore {
    async fn add_enrolment(&self, enrolment: EnrolmentRecord) -> Result<(), StoreError> {
        const REPLACED: &str = "DELETE FROM enrolments WHERE session = $1 AND kind = $2";
        const ADD: &str = "INSERT INTO enrolments (handle, account, session, kind, sealed, \
             expires_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let kind = enrolment.kind.as_str();
        let params: [Param<'_>; 6] = [
            &enrolment.handle.as_bytes().as_slice(),
            &enrolment.account.0,
            &enrolment.session.0,
            &kind,
            &enrolment.sealed,
            &enrolment.expires_at.millis(),
        ];
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, enrolment.account).await?;
        connection.execute(REPLACED, &[&enrolment.session.0, &kind]).await?;
        connection.execute(ADD, &params).await?;
        connection.commit().await
    }

    async fn enrolment(&self, handle: TokenHash) -> Result<Option<EnrolmentRecord>, StoreError> {
        const FIND: &str = "SELECT account, session, kind, sealed, expires_at FROM enrolments \
             WHERE handle = $1";
        let key = handle.as_bytes().as_slice();
        let row = self.database.primary().await?.row(FIND, &[&key]).await?;
        row.map(|row| {
            let columns = &mut Columns::of(&row, "enrolments");
            Ok(EnrolmentRecord {
                handle,
                account: AccountId(columns.take()?),
                session: SessionId(columns.take()?),
                kind: FactorKind::parse(columns.take()?)
                    .ok_or_else(|| columns.corrupt("an unknown kind"))?,
                sealed: columns.take()?,
                expires_at: columns.time()?,
            })
        })
        .transpose()
    }

    async fn remove_enrolment(&self, handle: TokenHash) -> Result<bool, StoreError> {
        let key = handle.as_bytes().as_slice();
        Ok(self.database.primary().await?.execute(REMOVE, &[&key]).await? == 1)
    }

    async fn confirm_enrolment(
        &self,
        handle: TokenHash,
        factor: FactorRecord,
        recovery: Option<Vec<RecoveryCodeRecord>>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let key = handle.as_bytes().as_slice();
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, factor.account).await?;
        if connection.execute(REMOVE, &[&key]).await? == 0 {
            connection.rollback().await?;
            return Ok(false);
        }
        factors::add(&mut connection, &factor, recovery.as_deref()).await?;
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(true)
    }

    async fn postpone_enrolment(
        &self,
        postponement: PostponementRecord,
        rule: GraceRule,
    ) -> Result<bool, StoreError> {
        const ADD: &str = "INSERT INTO postponements (session, account, at) VALUES ($1, $2, $3)";
        let PostponementRecord { account, session, at } = postponement;
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        Self::lock_account(&mut connection, account).await?;
        if !rule.allows(&noted(&mut connection, account).await?, at) {
            connection.rollback().await?;
            return Ok(false);
        }
        connection.execute(ADD, &[&session.0, &account.0, &at.millis()]).await?;
        connection.commit().await?;
        Ok(true)
    }

    async fn postponements(
        &self,
        account: AccountId,
    ) -> Result<Vec<PostponementRecord>, StoreError> {
        noted(&mut self.database.primary().await?, account).await
    }
}

async fn noted(
    connection: &mut Connection,
    account: AccountId,
) -> Result<Vec<PostponementRecord>, StoreError> {
    const NOTED: &str = "SELECT session, at FROM postponements WHERE account = $1 \
         ORDER BY at, session";
    let rows = connection.rows(NOTED, &[&account.0]).await?;
    rows.iter()
        .map(|row| {
            let columns = &mut Columns::of(row, "postponements");
            let (session, at) = (SessionId(columns.take()?), columns.time()?);
            Ok(PostponementRecord { account, session, at })
        })
        .collect()
}
