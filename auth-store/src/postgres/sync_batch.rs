//! A batch of a synchronisation: one transaction of a few statements, each over all its rows.
//!
//! The lease's row is locked first, then the accounts in the order of their ids, as everywhere;
//! what was not found under that lock as it was read is left out. Then names that change are let
//! go of, so that they can be taken in any order, a circle included.

use auth_core::clock::Timestamp;
use auth_core::store::{
    AccountId, AccountRecord, ClaimMap, StoreError, SyncBatch, SyncBatchOutcome, SyncMark,
    SyncWrite,
};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

use super::columns::{Columns, Param, optional, text, texts};
use super::connection::Connection;
use super::devices::forget_devices_of;
use super::sync::{hold, noted};
use super::{PostgresStore, audit, listener};

/// The accounts in the JSON text `$1`, made by [`account_row`].
macro_rules! account_rows {
    () => {
        "json_to_recordset(CAST($1::text AS json)) AS r(id uuid, version bigint, username text, \
         username_key text, email text, email_key text, email_verified boolean, first_name text, \
         last_name text, nickname text, position text, locale text, active boolean, \
         inactive_reason text, roles json, groups json, created_at bigint, updated_at bigint, \
         last_login_at bigint, checked_at bigint, connector text, subject text, \
         linked_at bigint, digest text, shut_out boolean, password text, dn text)"
    };
}

const UPDATE: &str = concat!(
    "UPDATE accounts AS a SET username = r.username, username_key = r.username_key, \
     email = r.email, email_key = r.email_key, email_verified = r.email_verified, \
     first_name = r.first_name, last_name = r.last_name, nickname = r.nickname, \
     position = r.position, locale = r.locale, active = r.active, \
     inactive_reason = r.inactive_reason, \
     roles = ARRAY(SELECT json_array_elements_text(r.roles)), \
     groups = ARRAY(SELECT json_array_elements_text(r.groups)), updated_at = r.updated_at, \
     last_login_at = r.last_login_at, checked_at = r.checked_at, version = a.version + 1 FROM ",
    account_rows!(),
    " WHERE a.id = r.id"
);

const INSERT: &str = concat!(
    "WITH r AS MATERIALIZED (SELECT * FROM ",
    account_rows!(),
    "), made AS (INSERT INTO accounts (id, username, username_key, email, email_key, \
     email_verified, first_name, last_name, nickname, position, locale, active, \
     inactive_reason, roles, groups, created_at, updated_at, last_login_at, checked_at, version) \
     SELECT id, username, username_key, email, email_key, email_verified, first_name, last_name, \
     nickname, position, locale, active, inactive_reason, \
     ARRAY(SELECT json_array_elements_text(roles)), \
     ARRAY(SELECT json_array_elements_text(groups)), created_at, updated_at, last_login_at, \
     checked_at, 1 FROM r RETURNING id) \
     INSERT INTO identities (connector, subject, account, linked_at, sync_digest, sync_shut_out, \
     sync_password_changed_at, sync_dn) SELECT r.connector, r.subject, r.id, r.linked_at, \
     decode(r.digest, 'hex'), r.shut_out, r.password, r.dn FROM r JOIN made ON made.id = r.id"
);

/// What a batch comes to, once it is known which of its steps still fit.
#[derive(Default)]
struct Writes {
    changed: Vec<Value>,
    made: Vec<Value>,
    notes: Vec<Value>,
    /// Further claims by account; empty ones are to be removed.
    claims: Vec<Value>,
    ids: Vec<Uuid>,
    inactive: Vec<Uuid>,
    ended: HashMap<&'static str, Vec<Uuid>>,
    audit: Vec<auth_core::audit::AuditRecord>,
    applied: i64,
    deactivated: i64,
}

impl PostgresStore {
    /// Carries out a batch.
    pub(super) async fn carry_out(&self, batch: SyncBatch) -> Result<SyncBatchOutcome, StoreError> {
        let mut connection = self.database.primary().await?;
        connection.begin().await?;
        if !hold(&mut connection, &batch.lease).await? {
            connection.rollback().await?;
            return Ok(SyncBatchOutcome::LeaseLost);
        }
        let stale = lock(&mut connection, &batch).await?;
        let writes = Writes::of(&batch, &stale);
        let written = writes.write(&mut connection, &batch).await;
        let committed = match written {
            Ok(()) => connection.commit().await,
            Err(error) => Err(error),
        };
        for id in &writes.ids {
            self.cache.account_changed(AccountId(*id));
        }
        committed?;
        Ok(SyncBatchOutcome::Done { stale })
    }
}

/// Locks the accounts that are to be changed; gives the numbers of the steps whose account is no
/// longer as it was read, or no longer this person's.
async fn lock(connection: &mut Connection, batch: &SyncBatch) -> Result<Vec<usize>, StoreError> {
    const LOCK: &str = "SELECT w.n, a.version FROM \
         unnest($1::bigint[], $2::uuid[], $3::text[]) AS w(n, id, subject) \
         JOIN identities i ON i.connector = $4 AND i.subject = w.subject AND i.account = w.id \
         JOIN accounts a ON a.id = w.id ORDER BY a.id FOR UPDATE OF a";
    let (mut numbers, mut ids, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
    let mut expected = HashMap::new();
    let mut stale = Vec::new();
    let mut seen = HashSet::new();
    for (number, step) in batch.steps.iter().enumerate() {
        let SyncWrite::Update { account, subject, .. } = &step.write else { continue };
        if subject.contains('\0') || !seen.insert(account.id) {
            stale.push(number);
            continue;
        }
        let n = i64::try_from(number).unwrap_or(i64::MAX);
        numbers.push(n);
        ids.push(account.id.0);
        subjects.push(subject);
        expected.insert(n, (number, account.version));
    }
    if !numbers.is_empty() {
        let params: [Param<'_>; 4] = [&numbers, &ids, &subjects, &batch.lease.directory];
        for row in connection.rows(LOCK, &params).await? {
            let columns = &mut Columns::of(&row, "accounts");
            let (n, version): (i64, i64) = (columns.take()?, columns.take()?);
            if expected.get(&n).is_some_and(|(_, wanted)| *wanted == version) {
                expected.remove(&n);
            }
        }
    }
    stale.extend(expected.into_values().map(|(number, _)| number));
    stale.sort_unstable();
    Ok(stale)
}

impl Writes {
    fn of(batch: &SyncBatch, stale: &[usize]) -> Self {
        let mut writes = Self::default();
        for (number, step) in batch.steps.iter().enumerate() {
            if stale.binary_search(&number).is_ok() {
                continue;
            }
            match &step.write {
                SyncWrite::Create { new, claims, mark } => {
                    writes.add_claims(new.account.id, claims);
                    let mut row = account_row(&new.account);
                    if let Some(identity) = &new.identity {
                        add(&mut row, "connector", json!(identity.connector));
                        add(&mut row, "subject", json!(identity.subject));
                        add(&mut row, "linked_at", json!(identity.linked_at.millis()));
                    }
                    merge(&mut row, noted(mark));
                    writes.made.push(row);
                }
                SyncWrite::Update { account, subject, claims, mark, end_sessions } => {
                    if let Some(claims) = claims {
                        writes.add_claims(account.id, claims);
                    }
                    writes.changed.push(account_row(account));
                    writes.ids.push(account.id.0);
                    if !account.active {
                        writes.inactive.push(account.id.0);
                    } else if let Some(reason) = end_sessions {
                        writes.ended.entry(reason).or_default().push(account.id.0);
                    }
                    writes.notes.extend(mark.as_ref().map(|mark| note(subject, mark)));
                }
                SyncWrite::Note { subject, mark } => writes.notes.push(note(subject, mark)),
            }
            writes.applied += i64::from(!matches!(step.write, SyncWrite::Note { .. }));
            writes.deactivated += i64::from(step.deactivates);
            writes.audit.extend(step.audit.iter().cloned());
        }
        writes
    }

    fn add_claims(&mut self, account: AccountId, claims: &ClaimMap) {
        let text = (!claims.is_empty()).then(|| json!(claims).to_string());
        self.claims.push(json!({ "id": account, "claims": text }));
    }

    async fn write_claims(&self, connection: &mut Connection) -> Result<(), StoreError> {
        const REMOVE: &str = "DELETE FROM account_claims USING \
             json_to_recordset(CAST($1::text AS json)) AS r(id uuid, claims text) \
             WHERE account = r.id AND r.claims IS NULL";
        const PUT: &str = "INSERT INTO account_claims (account, claims) SELECT r.id, r.claims FROM \
             json_to_recordset(CAST($1::text AS json)) AS r(id uuid, claims text) \
             WHERE r.claims IS NOT NULL \
             ON CONFLICT (account) DO UPDATE SET claims = excluded.claims";
        if self.claims.is_empty() {
            return Ok(());
        }
        let rows = Value::Array(self.claims.clone()).to_string();
        connection.execute(REMOVE, &[&rows]).await?;
        connection.execute(PUT, &[&rows]).await.map(drop)
    }

    async fn write(
        &self,
        connection: &mut Connection,
        batch: &SyncBatch,
    ) -> Result<(), StoreError> {
        const RELEASE: &str = concat!(
            "UPDATE accounts AS a SET \
             username_key = CASE WHEN a.username_key = r.username_key THEN a.username_key \
             ELSE E'\\x01' || a.id END, \
             email_key = CASE WHEN a.email_key = r.email_key THEN a.email_key END FROM ",
            account_rows!(),
            " WHERE a.id = r.id AND (a.username_key <> r.username_key \
             OR a.email_key IS DISTINCT FROM r.email_key)"
        );
        const NOTE: &str = "UPDATE identities AS i SET sync_digest = decode(r.digest, 'hex'), \
             sync_shut_out = r.shut_out, sync_password_changed_at = r.password, sync_dn = r.dn \
             FROM json_to_recordset(CAST($1::text AS json)) AS r(subject text, digest text, \
             shut_out boolean, password text, dn text) \
             WHERE i.connector = $2 AND i.subject = r.subject";
        const COUNT: &str = "UPDATE sync_jobs SET applied = applied + $2, \
             deactivated = deactivated + $3 WHERE id = $1";
        const NOTIFY: &str = "SELECT pg_notify($1, CAST(id AS text)) FROM unnest($2::uuid[]) AS id";
        if !self.changed.is_empty() {
            let rows = Value::Array(self.changed.clone()).to_string();
            connection.execute(RELEASE, &[&rows]).await?;
            connection.execute(UPDATE, &[&rows]).await?;
        }
        if !self.made.is_empty() {
            let rows = Value::Array(self.made.clone()).to_string();
            connection.execute(INSERT, &[&rows]).await?;
        }
        self.write_claims(connection).await?;
        if !self.notes.is_empty() {
            let rows = Value::Array(self.notes.clone()).to_string();
            connection.execute(NOTE, &[&rows, &batch.lease.directory]).await?;
        }
        end_sessions(connection, &self.inactive, batch.at, "account_inactive").await?;
        for (reason, ids) in &self.ended {
            end_sessions(connection, ids, batch.at, reason).await?;
        }
        audit::insert(connection, &self.audit).await?;
        if self.applied > 0 {
            let params: [Param<'_>; 3] = [&batch.job.0, &self.applied, &self.deactivated];
            connection.execute(COUNT, &params).await?;
        }
        if !self.ids.is_empty() {
            connection.execute(NOTIFY, &[&listener::CHANNEL, &self.ids]).await?;
        }
        Ok(())
    }
}

/// Ends the sessions of accounts and forgets their devices. In statements after the lock of the
/// accounts, so that they see the sessions that were made while the lock was waited for.
async fn end_sessions(
    connection: &mut Connection,
    accounts: &[Uuid],
    at: Timestamp,
    reason: &str,
) -> Result<(), StoreError> {
    const END: &str = "UPDATE sessions SET revoked_at = $1, revoked_reason = $2 \
         WHERE revoked_at IS NULL AND account = ANY($3)";
    if accounts.is_empty() {
        return Ok(());
    }
    forget_devices_of(connection, accounts).await?;
    connection.execute(END, &[&at.millis(), &reason, &accounts]).await.map(drop)
}

fn note(subject: &str, mark: &SyncMark) -> Value {
    let mut row = noted(mark);
    add(&mut row, "subject", json!(subject));
    row
}

fn account_row(account: &AccountRecord) -> Value {
    json!({
        "id": account.id,
        "version": account.version,
        "username": text(&account.username),
        "username_key": account.username_key,
        "email": optional(&account.email),
        "email_key": account.email_key,
        "email_verified": account.email_verified,
        "first_name": optional(&account.first_name),
        "last_name": optional(&account.last_name),
        "nickname": optional(&account.nickname),
        "position": optional(&account.position),
        "locale": optional(&account.locale),
        "active": account.active,
        "inactive_reason": optional(&account.inactive_reason),
        "roles": texts(&account.roles),
        "groups": texts(&account.groups),
        "created_at": account.created_at.millis(),
        "updated_at": account.updated_at.millis(),
        "last_login_at": account.last_login_at.map(Timestamp::millis),
        "checked_at": account.checked_at.map(Timestamp::millis),
    })
}

fn add(row: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = row {
        members.insert(name.to_owned(), value);
    }
}

fn merge(row: &mut Value, other: Value) {
    if let (Value::Object(members), Value::Object(more)) = (row, other) {
        members.extend(more);
    }
}
