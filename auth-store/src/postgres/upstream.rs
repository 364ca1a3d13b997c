//! Sessions of identity providers.

use async_trait::async_trait;
use auth_core::store::{SessionId, StoreError, UpstreamSessionRecord, UpstreamSessionStore};
use tokio_postgres::Row;

use super::PostgresStore;
use super::columns::{Columns, Param};

macro_rules! columns {
    () => {
        "session, connector, subject, session_index, sealed_hint, expires_at"
    };
}

#[async_trait]
impl UpstreamSessionStore for PostgresStore {
    async fn add_upstream_session(&self, record: UpstreamSessionRecord) -> Result<(), StoreError> {
        const ADD: &str = concat!(
            "INSERT INTO upstream_sessions (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (session) DO UPDATE \
             SET connector = excluded.connector, subject = excluded.subject, \
             session_index = excluded.session_index, sealed_hint = excluded.sealed_hint, \
             expires_at = excluded.expires_at"
        );
        let params: [Param<'_>; 6] = [
            &record.session.0,
            &record.connector,
            &record.subject,
            &record.index,
            &record.sealed_hint,
            &record.expires_at.millis(),
        ];
        self.database.primary().await?.execute(ADD, &params).await.map(drop)
    }

    async fn upstream_session(
        &self,
        session: SessionId,
    ) -> Result<Option<UpstreamSessionRecord>, StoreError> {
        const FIND: &str =
            concat!("SELECT ", columns!(), " FROM upstream_sessions WHERE session = $1");
        let row = self.database.primary().await?.row(FIND, &[&session.0]).await?;
        row.as_ref().map(read).transpose()
    }

    async fn take_upstream_sessions(
        &self,
        connector: &str,
        subject: Option<&str>,
        index: Option<&str>,
    ) -> Result<Vec<UpstreamSessionRecord>, StoreError> {
        const BY_SUBJECT: &str = concat!(
            "DELETE FROM upstream_sessions WHERE connector = $1 AND subject = $2 \
             AND ($3::text IS NULL OR session_index = $3) RETURNING ",
            columns!()
        );
        const BY_INDEX: &str = concat!(
            "DELETE FROM upstream_sessions WHERE connector = $1 AND session_index = $2 RETURNING ",
            columns!()
        );
        let has_nul = |text: Option<&str>| text.is_some_and(|text| text.contains('\0'));
        if has_nul(Some(connector)) || has_nul(subject) || has_nul(index) {
            return Ok(Vec::new());
        }
        let mut connection = self.database.primary().await?;
        let rows = match (subject, index) {
            (Some(subject), _) => {
                connection.rows(BY_SUBJECT, &[&connector, &subject, &index]).await?
            }
            (None, Some(index)) => connection.rows(BY_INDEX, &[&connector, &index]).await?,
            (None, None) => return Ok(Vec::new()),
        };
        let mut taken = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        taken.sort_unstable_by_key(|record| record.session);
        Ok(taken)
    }
}

fn read(row: &Row) -> Result<UpstreamSessionRecord, StoreError> {
    let columns = &mut Columns::of(row, "upstream_sessions");
    Ok(UpstreamSessionRecord {
        session: SessionId(columns.take()?),
        connector: columns.take()?,
        subject: columns.take()?,
        index: columns.take()?,
        sealed_hint: columns.take()?,
        expires_at: columns.time()?,
    })
}
