//! Sessions of identity providers in SQLite.

use async_trait::async_trait;
use auth_core::store::{SessionId, StoreError, UpstreamSessionRecord, UpstreamSessionStore};
use rusqlite::params;

use super::SqliteStore;
use super::row::{Columns, all, change, one};

macro_rules! columns {
    () => {
        "session, connector, subject, session_index, sealed_hint, expires_at"
    };
}

const FIND: &str = concat!("SELECT ", columns!(), " FROM upstream_session WHERE session = ?1");

const TAKE_BY_SUBJECT: &str = concat!(
    "DELETE FROM upstream_session WHERE connector = ?1 AND subject = ?2 \
     AND (?3 IS NULL OR session_index = ?3) RETURNING ",
    columns!()
);

const TAKE_BY_INDEX: &str = concat!(
    "DELETE FROM upstream_session WHERE connector = ?1 AND session_index = ?2 RETURNING ",
    columns!()
);

fn read(columns: &mut Columns<'_, '_>) -> Result<UpstreamSessionRecord, StoreError> {
    columns.of("upstream_session");
    Ok(UpstreamSessionRecord {
        session: SessionId(columns.uuid()?),
        connector: columns.take()?,
        subject: columns.take()?,
        index: columns.take()?,
        sealed_hint: columns.take()?,
        expires_at: columns.time()?,
    })
}

#[async_trait]
impl UpstreamSessionStore for SqliteStore {
    async fn add_upstream_session(&self, record: UpstreamSessionRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO upstream_session (session, connector, subject, session_index, \
                   sealed_hint, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                   ON CONFLICT (session) DO UPDATE SET connector = excluded.connector, \
                   subject = excluded.subject, session_index = excluded.session_index, \
                   sealed_hint = excluded.sealed_hint, expires_at = excluded.expires_at";
        self.write(move |c| {
            let params = params![
                record.session.0.as_bytes(),
                record.connector,
                record.subject,
                record.index,
                record.sealed_hint,
                record.expires_at.millis()
            ];
            change(c, sql, params).map(drop)
        })
        .await
    }

    async fn upstream_session(
        &self,
        session: SessionId,
    ) -> Result<Option<UpstreamSessionRecord>, StoreError> {
        self.look_up(|c| one(c, FIND, params![session.0.as_bytes()], read))
    }

    async fn take_upstream_sessions(
        &self,
        connector: &str,
        subject: Option<&str>,
        index: Option<&str>,
    ) -> Result<Vec<UpstreamSessionRecord>, StoreError> {
        let (connector, subject, index) =
            (connector.to_owned(), subject.map(str::to_owned), index.map(str::to_owned));
        self.write(move |c| {
            let mut taken = match (&subject, &index) {
                (Some(subject), _) => {
                    all(c, TAKE_BY_SUBJECT, params![connector, subject, index], read)?
                }
                (None, Some(index)) => all(c, TAKE_BY_INDEX, params![connector, index], read)?,
                (None, None) => Vec::new(),
            };
            taken.sort_unstable_by_key(|record| record.session);
            Ok(taken)
        })
        .await
    }
}
