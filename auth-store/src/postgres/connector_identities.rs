//! Identities of a connector, and what it says beside the account.

use std::collections::HashSet;

use async_trait::async_trait;
use auth_core::audit::AuditRecord;
use auth_core::store::{
    AccountId, ClaimMap, IdentityMove, IdentityRecord, IdentityStore, PasswordChange, StoreError,
};
use uuid::Uuid;

use super::columns::{Columns, Param, limit, text};
use super::sessions::end_sessions_of_account;
use super::{PostgresStore, audit};

#[async_trait]
impl IdentityStore for PostgresStore {
    async fn identities_of_connector(
        &self,
        connector: &str,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<IdentityRecord>, StoreError> {
        const PAGE: &str = "SELECT connector, subject, account, linked_at FROM identities \
             WHERE connector = $1 AND subject > $2 ORDER BY subject LIMIT $3";
        // No subject is empty, so all are greater than the empty one.
        let after = after.unwrap_or_default();
        let mut connection = self.database.primary().await?;
        let rows = connection.rows(PAGE, &[&connector, &after, &limit(count)]).await?;
        rows.iter()
            .map(|row| {
                let columns = &mut Columns::of(row, "identities");
                Ok(IdentityRecord {
                    connector: columns.take()?,
                    subject: columns.take()?,
                    account: AccountId(columns.take()?),
                    linked_at: columns.time()?,
                })
            })
            .collect()
    }

    async fn move_identities(
        &self,
        connector: &str,
        moves: Vec<IdentityMove>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        // No subject begins with this character: it stands there until all old ones are gone.
        const AWAY: &str = "UPDATE identities AS i SET subject = E'\\x01' || m.target \
             FROM unnest($2::text[], $3::text[]) AS m(source, target) \
             WHERE i.connector = $1 AND i.subject = m.source";
        const ARRIVED: &str = "UPDATE identities SET subject = substr(subject, 2) \
             WHERE connector = $1 AND left(subject, 1) = E'\\x01'";
        let from: Vec<&str> = moves.iter().map(|one| one.from.as_str()).collect();
        let to: Vec<&str> = moves.iter().map(|one| one.to.as_str()).collect();
        let distinct: HashSet<&str> = from.iter().copied().collect();
        if distinct.len() != from.len() || from.iter().any(|subject| subject.contains('\0')) {
            return Ok(false);
        }
        let wanted = u64::try_from(from.len()).unwrap_or(u64::MAX);
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        if connection.execute(AWAY, &[&connector, &from, &to]).await? != wanted {
            connection.rollback().await?;
            return Ok(false);
        }
        connection.execute(ARRIVED, &[&connector]).await?;
        audit::insert(&mut connection, &audit).await?;
        connection.commit().await?;
        Ok(true)
    }

    async fn password_change(
        &self,
        connector: &str,
        subject: &str,
    ) -> Result<Option<String>, StoreError> {
        const READ: &str = "SELECT sync_password_changed_at FROM identities \
             WHERE connector = $1 AND subject = $2";
        if subject.contains('\0') {
            return Ok(None);
        }
        let row = self.database.primary().await?.row(READ, &[&connector, &subject]).await?;
        row.map_or(Ok(None), |row| Columns::of(&row, "identities").take())
    }

    async fn note_password_change(
        &self,
        change: PasswordChange,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        const FIND: &str = "SELECT account FROM identities WHERE connector = $1 AND subject = $2";
        const NOTE: &str = "UPDATE identities SET sync_password_changed_at = $4 \
             WHERE connector = $1 AND subject = $2 AND account = $5 \
             AND sync_password_changed_at IS NOT DISTINCT FROM $3::text";
        let PasswordChange { connector, subject, before, after, end_sessions_at } = change;
        if subject.contains('\0') {
            return Ok(false);
        }
        let after = text(&after);
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        let found = connection.row(FIND, &[&connector, &subject]).await?;
        let Some(found) = found else {
            connection.rollback().await?;
            return Ok(false);
        };
        let account: Uuid = Columns::of(&found, "identities").take()?;
        let account = AccountId(account);
        // Accounts are locked before everything else.
        Self::lock_account(&mut connection, account).await?;
        let params: [Param<'_>; 5] = [&connector, &subject, &before, &after, &account.0];
        if connection.execute(NOTE, &params).await? != 1 {
            connection.rollback().await?;
            return Ok(false);
        }
        if let Some(at) = end_sessions_at {
            end_sessions_of_account(&mut connection, account, at, "password_changed").await?;
            Self::notify(&mut connection, &account.to_string()).await?;
        }
        audit::insert(&mut connection, &audit).await?;
        let committed = connection.commit().await;
        self.cache.account_changed(account);
        committed?;
        Ok(true)
    }

    async fn claims(&self, account: AccountId) -> Result<ClaimMap, StoreError> {
        const READ: &str = "SELECT claims FROM account_claims WHERE account = $1";
        let row = self.database.primary().await?.row(READ, &[&account.0]).await?;
        let Some(row) = row else { return Ok(ClaimMap::new()) };
        let columns = &mut Columns::of(&row, "account_claims");
        let stored: &str = columns.take()?;
        serde_json::from_str(stored).map_err(|error| columns.corrupt(&error.to_string()))
    }

    async fn set_claims(&self, account: AccountId, claims: ClaimMap) -> Result<(), StoreError> {
        const REMOVE: &str = "DELETE FROM account_claims WHERE account = $1";
        const WRITE: &str = "INSERT INTO account_claims (account, claims) VALUES ($1, $2) \
             ON CONFLICT (account) DO UPDATE SET claims = EXCLUDED.claims";
        let mut connection = self.database.primary().await?;
        if claims.is_empty() {
            return connection.execute(REMOVE, &[&account.0]).await.map(drop);
        }
        let written = serde_json::to_string(&claims)
            .map_err(|error| StoreError::Corrupt { message: error.to_string() })?;
        connection.execute(WRITE, &[&account.0, &written]).await.map(drop)
    }
}
