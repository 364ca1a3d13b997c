//! Changes of several identities at once.

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::store::{
    AccountId, AccountRecord, IdentityRecord, LinkingStore, StoreError, Unlinking,
};

use super::PostgresStore;
use super::accounts::update;
use super::audit::events;
use super::columns::{Columns, Param};
use super::connection::Connection;
use super::sessions::end_sessions_of_account;

#[async_trait]
impl LinkingStore for PostgresStore {
    async fn replace_identity(
        &self,
        old: IdentityRecord,
        new: IdentityRecord,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const REPLACE: &str = concat!(
            "WITH replaced AS (UPDATE identities SET connector = $4, subject = $5, \
             linked_at = $6 WHERE connector = $1 AND subject = $2 AND account = $3 \
             RETURNING account), trail AS (",
            insert_audit!("$7", "replaced"),
            ") SELECT FROM replaced"
        );
        let linked_at = new.linked_at.millis();
        let events = events(&audit);
        let params: [Param<'_>; 7] = [
            &old.connector,
            &old.subject,
            &new.account.0,
            &new.connector,
            &new.subject,
            &linked_at,
            &events,
        ];
        Ok(self.database.primary().await?.row(REPLACE, &params).await?.is_some())
    }

    async fn unlink_spare_identity(
        &self,
        connector: &str,
        subject: &str,
        local: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<Unlinking, StoreError> {
        // The account is locked first, so that of two at once the second one sees the first.
        const LOCK: &str = "SELECT a.id FROM accounts a JOIN identities i ON i.account = a.id \
             WHERE i.connector = $1 AND i.subject = $2 FOR NO KEY UPDATE OF a";
        const COUNT: &str = "SELECT (SELECT count(*) FROM identities o \
             WHERE o.account = i.account) FROM identities i \
             WHERE i.connector = $1 AND i.subject = $2";
        const PASSWORD: &str = "DELETE FROM passwords WHERE account = \
             (SELECT i.account FROM identities i WHERE i.connector = $1 AND i.subject = $2)";
        const DELETE: &str = concat!(
            "WITH gone AS (DELETE FROM identities WHERE connector = $1 AND subject = $2 \
             RETURNING account) ",
            insert_audit!("$3", "gone")
        );
        if connector.contains('\0') || subject.contains('\0') {
            return Ok(Unlinking::Missing);
        }
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        let identity: [Param<'_>; 2] = [&connector, &subject];
        connection.row(LOCK, &identity).await?;
        let count = match connection.row(COUNT, &identity).await? {
            Some(row) => Columns::of(&row, "identities").take::<i64>()?,
            None => 0,
        };
        let refused = match count {
            0 => Some(Unlinking::Missing),
            1 => Some(Unlinking::Last),
            _ => None,
        };
        if let Some(refused) = refused {
            connection.rollback().await?;
            return Ok(refused);
        }
        if connector == local {
            connection.execute(PASSWORD, &identity).await?;
        }
        connection.execute(DELETE, &[&connector, &subject, &events(&audit)]).await?;
        connection.commit().await?;
        Ok(Unlinking::Done)
    }

    async fn merge_accounts(
        &self,
        from: AccountRecord,
        into: AccountId,
        local: &str,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        let merged = merge(&mut connection, &from, into, local, &audit).await?;
        if merged {
            connection.commit().await?;
        } else {
            connection.rollback().await?;
        }
        self.cache.account_changed(from.id);
        Ok(merged)
    }
}

async fn merge(
    connection: &mut Connection,
    from: &AccountRecord,
    into: AccountId,
    local: &str,
    audit: &[AuditRecord],
) -> Result<bool, StoreError> {
    // Both rows in the order of ids, as everywhere.
    const LOCK: &str = "SELECT a.id, a.active FROM accounts a WHERE a.id = $1 OR a.id = $2 \
         ORDER BY a.id FOR NO KEY UPDATE";
    let mut is_there = false;
    for row in connection.rows(LOCK, &[&from.id.0, &into.0]).await? {
        let columns = &mut Columns::of(&row, "accounts");
        let (id, active): (uuid::Uuid, bool) = (columns.take()?, columns.take()?);
        is_there |= id == into.0 && active;
    }
    if from.id == into || !is_there || !update(connection, from, audit).await? {
        return Ok(false);
    }
    end_sessions_of_account(connection, from.id, from.updated_at, "account_inactive").await?;
    connection.execute("DELETE FROM passwords WHERE account = $1", &[&from.id.0]).await?;
    connection
        .execute(
            "DELETE FROM identities WHERE account = $1 AND connector = $2",
            &[&from.id.0, &local],
        )
        .await?;
    connection
        .execute("UPDATE identities SET account = $2 WHERE account = $1", &[&from.id.0, &into.0])
        .await?;
    Ok(true)
}
