//! Local password hashes.

use auth_core::audit::AuditRecord;
use auth_core::store::{AccountId, PasswordRecord, StoreError};

use super::PostgresStore;
use super::audit::events;
use super::columns::Columns;
use super::outbox::all_sessions_ended;
use super::sessions::end_sessions_of_account;

impl PostgresStore {
    pub(super) async fn read_password(
        &self,
        account: AccountId,
    ) -> Result<Option<PasswordRecord>, StoreError> {
        const READ: &str = "SELECT hash, changed_at FROM passwords WHERE account = $1";
        let row = self.database.primary().await?.row(READ, &[&account.0]).await?;
        row.map(|row| {
            let columns = &mut Columns::of(&row, "passwords");
            Ok(PasswordRecord { account, hash: columns.take()?, changed_at: columns.time()? })
        })
        .transpose()
    }

    pub(super) async fn write_password(
        &self,
        password: PasswordRecord,
        revoke_sessions: bool,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        const WRITE: &str = concat!(
            "WITH written AS (INSERT INTO passwords (account, hash, changed_at) \
             VALUES ($1, $2, $3) ON CONFLICT (account) \
             DO UPDATE SET hash = EXCLUDED.hash, changed_at = EXCLUDED.changed_at \
             RETURNING account) ",
            insert_audit!("$4", "written")
        );
        let account = password.account;
        let changed_at = password.changed_at.millis();
        let events = events(&audit);
        let mut connection = self.database.primary().await?;
        if !revoke_sessions {
            let params: [super::columns::Param<'_>; 4] =
                [&account.0, &password.hash, &changed_at, &events];
            return connection.execute(WRITE, &params).await.map(drop);
        }
        connection.begin().await?;
        Self::lock_account(&mut connection, account).await?;
        connection.execute(WRITE, &[&account.0, &password.hash, &changed_at, &events]).await?;
        end_sessions_of_account(&mut connection, account, password.changed_at, "password_changed")
            .await?;
        let at = password.changed_at;
        all_sessions_ended(&mut connection, Some(account), at, "password_changed").await?;
        Self::notify(&mut connection, &account.to_string()).await?;
        let committed = connection.commit().await;
        self.cache.account_changed(account);
        committed
    }

    pub(super) async fn replace_hash(
        &self,
        account: AccountId,
        old_hash: &str,
        new_hash: &str,
    ) -> Result<bool, StoreError> {
        const REPLACE: &str = "UPDATE passwords SET hash = $3 WHERE account = $1 AND hash = $2";
        let mut connection = self.database.primary().await?;
        Ok(connection.execute(REPLACE, &[&account.0, &old_hash, &new_hash]).await? == 1)
    }
}
