//! Changes of several identities at once, in SQLite.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::store::{
    AccountId, AccountRecord, IdentityRecord, LinkingStore, StoreError, Unlinking,
};
use rusqlite::params;

use super::identities::link;
use super::row::{change, one};
use super::{SqliteStore, accounts, audit};

#[async_trait]
impl LinkingStore for SqliteStore {
    async fn replace_identity(
        &self,
        old: IdentityRecord,
        new: IdentityRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM identity WHERE connector = ?1 AND subject = ?2 AND account = ?3";
        self.write(move |c| {
            let params = params![old.connector, old.subject, new.account.0.as_bytes()];
            if change(c, sql, params)? == 0 {
                return Ok(false);
            }
            link(c, &new)?;
            audit::append(c, &audit)?;
            Ok(true)
        })
        .await
    }

    async fn unlink_spare_identity(
        &self,
        connector: &str,
        subject: &str,
        local: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<Unlinking, StoreError> {
        let count = "SELECT (SELECT count(*) FROM identity AS other \
                     WHERE other.account = identity.account) \
                     FROM identity WHERE connector = ?1 AND subject = ?2";
        let delete = "DELETE FROM identity WHERE connector = ?1 AND subject = ?2";
        let password = "DELETE FROM password WHERE account = (SELECT account FROM identity \
                        WHERE connector = ?1 AND subject = ?2)";
        let is_local = connector == local;
        let (connector, subject) = (connector.to_owned(), subject.to_owned());
        self.write(move |c| {
            let params = params![connector, subject];
            match one(c, count, params, |columns| columns.take::<i64>())? {
                None => return Ok(Unlinking::Missing),
                Some(1) => return Ok(Unlinking::Last),
                Some(_) => {}
            }
            if is_local {
                change(c, password, params)?;
            }
            change(c, delete, params)?;
            audit::append(c, &audit)?;
            Ok(Unlinking::Done)
        })
        .await
    }

    async fn merge_accounts(
        &self,
        from: AccountRecord,
        into: AccountId,
        local: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let active = "SELECT 1 FROM account WHERE id = ?1 AND active = 1";
        let local = local.to_owned();
        self.write(move |c| {
            let is_there = one(c, active, params![into.0.as_bytes()], |_| Ok(()))?.is_some();
            if from.id == into || !is_there || !accounts::update(c, &from)? {
                return Ok(false);
            }
            let id = from.id.0.as_bytes();
            change(c, "DELETE FROM password WHERE account = ?1", params![id])?;
            let sql = "DELETE FROM identity WHERE account = ?1 AND connector = ?2";
            change(c, sql, params![id, local])?;
            let sql = "UPDATE identity SET account = ?2 WHERE account = ?1";
            change(c, sql, params![id, into.0.as_bytes()])?;
            audit::append(c, &audit)?;
            Ok(true)
        })
        .await
    }
}
