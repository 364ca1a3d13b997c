//! Enrolments under way and put off, in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::secret::TokenHash;
use auth_core::store::{
    AccountId, EnrolmentRecord, EnrolmentStore, FactorKind, FactorRecord, GraceRule,
    PostponementRecord, RecoveryCodeRecord, SessionId, StoreError,
};
use rusqlite::{Connection, params};

use super::row::{all, change, one};
use super::{SqliteStore, audit, factors};

fn remove(c: &Connection, handle: TokenHash) -> Result<bool, StoreError> {
    let sql = "DELETE FROM enrolment WHERE handle = ?1";
    Ok(change(c, sql, params![handle.as_bytes()])? == 1)
}

fn noted(c: &Connection, account: AccountId) -> Result<Vec<PostponementRecord>, StoreError> {
    let sql = "SELECT session, at FROM postponement WHERE account = ?1 ORDER BY at, session";
    all(c, sql, params![account.0.as_bytes()], |columns| {
        columns.of("postponement");
        let (session, at) = (SessionId(columns.uuid()?), columns.time()?);
        Ok(PostponementRecord { account, session, at })
    })
}

#[async_trait]
impl EnrolmentStore for SqliteStore {
    async fn add_enrolment(&self, enrolment: EnrolmentRecord) -> Result<(), StoreError> {
        let replaced = "DELETE FROM enrolment WHERE session = ?1 AND kind = ?2";
        let sql = "INSERT INTO enrolment (handle, account, session, kind, sealed, expires_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.write(move |c| {
            let (session, kind) = (enrolment.session.0.as_bytes(), enrolment.kind.as_str());
            change(c, replaced, params![session, kind])?;
            let params = params![
                enrolment.handle.as_bytes(),
                enrolment.account.0.as_bytes(),
                session,
                kind,
                enrolment.sealed,
                enrolment.expires_at.millis(),
            ];
            change(c, sql, params).map(drop)
        })
        .await
    }

    async fn enrolment(&self, handle: TokenHash) -> Result<Option<EnrolmentRecord>, StoreError> {
        let sql = "SELECT account, session, kind, sealed, expires_at FROM enrolment \
                   WHERE handle = ?1";
        self.look_up(|c| {
            one(c, sql, params![handle.as_bytes()], |columns| {
                columns.of("enrolment");
                Ok(EnrolmentRecord {
                    handle,
                    account: AccountId(columns.uuid()?),
                    session: SessionId(columns.uuid()?),
                    kind: columns.word(FactorKind::parse)?,
                    sealed: columns.take()?,
                    expires_at: columns.time()?,
                })
            })
        })
    }

    async fn remove_enrolment(&self, handle: TokenHash) -> Result<bool, StoreError> {
        self.write(move |c| remove(c, handle)).await
    }

    async fn confirm_enrolment(
        &self,
        handle: TokenHash,
        factor: FactorRecord,
        recovery: Option<Vec<RecoveryCodeRecord>>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        self.write(move |c| {
            if !remove(c, handle)? {
                return Ok(false);
            }
            factors::insert(c, &factor)?;
            if let Some(codes) = &recovery {
                factors::replace_codes(c, factor.account, codes)?;
            }
            audit::append(c, &audit)?;
            Ok(true)
        })
        .await
    }

    async fn postpone_enrolment(
        &self,
        postponement: PostponementRecord,
        rule: GraceRule,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO postponement (session, account, at) VALUES (?1, ?2, ?3)";
        self.write(move |c| {
            let PostponementRecord { account, session, at } = postponement;
            if !rule.allows(&noted(c, account)?, at) {
                return Ok(false);
            }
            change(c, sql, params![session.0.as_bytes(), account.0.as_bytes(), at.millis()])?;
            Ok(true)
        })
        .await
    }

    async fn postponements(
        &self,
        account: AccountId,
    ) -> Result<Vec<PostponementRecord>, StoreError> {
        self.look_up(|c| noted(c, account))
    }
}
