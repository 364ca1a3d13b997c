//! A batch of a synchronisation in SQLite: one request of the writer, in a transaction of its own.

use std::collections::HashSet;

use auth_core::clock::Timestamp;
use auth_core::store::{
    AccountRecord, IdentityRecord, StoreError, SyncBatch, SyncBatchOutcome, SyncLease, SyncMark,
    SyncWrite,
};
use rusqlite::{Connection, params};

use super::connector_identities::put_claims;
use super::row::{change, one};
use super::sync::holds;
use super::{accounts, audit, sessions};

/// Carries out a batch.
pub(super) fn apply(c: &Connection, batch: SyncBatch) -> Result<SyncBatchOutcome, StoreError> {
    let lease = &batch.lease;
    if !holds(c, lease)? {
        return Ok(SyncBatchOutcome::LeaseLost);
    }
    let mut stale = Vec::new();
    let mut written = HashSet::new();
    for (number, step) in batch.steps.iter().enumerate() {
        if let SyncWrite::Update { account, subject, .. } = &step.write {
            match renamed(c, lease, account, subject)? {
                Some((username, email)) if written.insert(account.id) => {
                    release_names(c, account, username, email)?;
                }
                _ => stale.push(number),
            }
        }
    }
    let (mut applied, mut deactivated) = (0i64, 0i64);
    // Names that are given up come first: accounts to be made may take them.
    for makes in [false, true] {
        for (number, step) in batch.steps.iter().enumerate() {
            let creates = matches!(step.write, SyncWrite::Create { .. });
            if creates != makes || stale.binary_search(&number).is_ok() {
                continue;
            }
            write(c, lease, batch.at, &step.write)?;
            audit::append(c, &step.audit)?;
            applied += i64::from(!matches!(step.write, SyncWrite::Note { .. }));
            deactivated += i64::from(step.deactivates);
        }
    }
    if applied > 0 {
        change(
            c,
            "UPDATE sync_job SET applied = applied + ?2, deactivated = deactivated + ?3 \
             WHERE id = ?1",
            params![batch.job.0.as_bytes(), applied, deactivated],
        )?;
    }
    Ok(SyncBatchOutcome::Done { stale })
}

/// Whether the user name and the address change; `None` when the account is no longer as it was
/// read, or no longer this person's.
fn renamed(
    c: &Connection,
    lease: &SyncLease,
    account: &AccountRecord,
    subject: &str,
) -> Result<Option<(bool, bool)>, StoreError> {
    let sql = "SELECT account.username_key <> ?5, account.email_key IS NOT ?6 \
               FROM identity JOIN account ON account.id = identity.account \
               WHERE identity.connector = ?1 AND identity.subject = ?2 AND account.id = ?3 \
               AND account.version = ?4";
    let params = params![
        lease.directory,
        subject,
        account.id.0.as_bytes(),
        account.version,
        account.username_key,
        account.email_key,
    ];
    one(c, sql, params, |columns| Ok((columns.of("account").take()?, columns.take()?)))
}

/// Lets go of names that are about to change, so that another account may take them.
fn release_names(
    c: &Connection,
    account: &AccountRecord,
    username: bool,
    email: bool,
) -> Result<(), StoreError> {
    if username {
        // No user name has a control character in it.
        let placeholder = format!("\u{1}{}", account.id);
        let sql = "UPDATE account SET username_key = ?2 WHERE id = ?1";
        change(c, sql, params![account.id.0.as_bytes(), placeholder])?;
    }
    if email {
        let sql = "UPDATE account SET email_key = NULL WHERE id = ?1";
        change(c, sql, params![account.id.0.as_bytes()])?;
    }
    Ok(())
}

fn write(
    c: &Connection,
    lease: &SyncLease,
    at: Timestamp,
    write: &SyncWrite,
) -> Result<(), StoreError> {
    match write {
        SyncWrite::Create { new, claims, mark } => {
            accounts::insert(c, &new.account, None)?;
            // Most people have none, and a new account has nothing to be taken away.
            if !claims.is_empty() {
                put_claims(c, new.account.id, claims)?;
            }
            if let Some(identity) = &new.identity {
                link(c, identity, mark)?;
            }
        }
        SyncWrite::Update { account, subject, claims, mark, end_sessions } => {
            let reason = if account.active { *end_sessions } else { Some("account_inactive") };
            if let Some(reason) = reason {
                sessions::end_of_account(c, account.id, at, reason)?;
            }
            accounts::update(c, account)?;
            if let Some(claims) = claims {
                put_claims(c, account.id, claims)?;
            }
            if let Some(mark) = mark {
                note(c, lease, subject, mark)?;
            }
        }
        SyncWrite::Note { subject, mark } => note(c, lease, subject, mark)?,
    }
    Ok(())
}

/// Links an identity, with what was seen of it.
fn link(c: &Connection, identity: &IdentityRecord, mark: &SyncMark) -> Result<(), StoreError> {
    change(
        c,
        "INSERT INTO identity (connector, subject, account, linked_at, sync_digest, \
         sync_shut_out, sync_password_changed_at, sync_dn) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            identity.connector,
            identity.subject,
            identity.account.0.as_bytes(),
            identity.linked_at.millis(),
            mark.digest,
            mark.shut_out,
            mark.password_changed_at,
            mark.dn,
        ],
    )
    .map(drop)
}

fn note(
    c: &Connection,
    lease: &SyncLease,
    subject: &str,
    mark: &SyncMark,
) -> Result<(), StoreError> {
    change(
        c,
        "UPDATE identity SET sync_digest = ?3, sync_shut_out = ?4, \
         sync_password_changed_at = ?5, sync_dn = ?6 WHERE connector = ?1 AND subject = ?2",
        params![
            lease.directory,
            subject,
            mark.digest,
            mark.shut_out,
            mark.password_changed_at,
            mark.dn,
        ],
    )
    .map(drop)
}
