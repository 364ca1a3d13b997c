//! What PostgreSQL's errors mean to the callers of a store.
//!
//! A lost connection, a timeout, a shutdown, a full disk or a deadlock is `Unavailable`: the same
//! call may succeed later. A unique violation is a `Conflict` of the field that the constraint's
//! name stands for. Values never get into a message, only the server's own words about the kind
//! of error.

use std::error::Error as _;

use auth_core::store::StoreError;
use deadpool_postgres::PoolError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// The store error of a failed statement.
pub(super) fn statement(error: &Error) -> StoreError {
    match error.as_db_error() {
        Some(database) => of_database(database),
        None => StoreError::Unavailable { message: chain(error) },
    }
}

/// The store error of a pool that gave no connection.
pub(super) fn pool(error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => statement(&error),
        PoolError::Closed => closed(),
        other => StoreError::Unavailable { message: other.to_string().trim_end().to_owned() },
    }
}

/// The store error of calls after `close`.
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable { message: "the store was closed".to_owned() }
}

/// The store error of something that took too long.
pub(super) fn timed_out(what: &str) -> StoreError {
    StoreError::Unavailable { message: format!("PostgreSQL: {what} took too long") }
}

/// Whether the connection must not be used again: the server is going down, or has become a
/// read-only standby (after a failover another host takes the writes).
pub(super) fn is_connection_lost(error: &Error) -> bool {
    error.is_closed()
        || error.code().is_some_and(|code| {
            code.code().starts_with("57P") || *code == SqlState::READ_ONLY_SQL_TRANSACTION
        })
}

/// An error with its causes on one line.
pub(super) fn chain(error: &Error) -> String {
    if let Some(database) = error.as_db_error() {
        return format!("{} ({})", database.message(), database.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn of_database(error: &DbError) -> StoreError {
    let code = error.code();
    if *code == SqlState::UNIQUE_VIOLATION
        && let Some(field) = error.constraint().and_then(taken_field)
    {
        return StoreError::Conflict { field };
    }
    let message = format!("{} ({})", error.message(), code.code());
    match code.code() {
        // A text or JSON with U+0000, which PostgreSQL cannot keep.
        "22021" | "22P05" => StoreError::Corrupt {
            message: format!("a key holds a character that PostgreSQL cannot keep: {message}"),
        },
        // A row that is referred to is not there.
        "23503" => StoreError::Corrupt { message },
        // A table or column is not there, or not as this program made it.
        "42P01" | "42703" | "42804" => StoreError::Schema { message },
        _ => StoreError::Unavailable { message: format!("PostgreSQL: {message}") },
    }
}

/// Which field a unique constraint of the schema guards.
fn taken_field(constraint: &str) -> Option<&'static str> {
    Some(match constraint {
        "accounts_id" => "id",
        "accounts_numeric_id" => "numeric_id",
        "accounts_username" => "username",
        "accounts_email" => "email",
        "identities_subject" => "identity",
        "factors_id" | "factors_credential" => "factor",
        "enrolments_handle" => "enrolment",
        "postponements_session" => "session",
        "devices_token" | "devices_id" => "device",
        "recovery_codes_hash" => "recovery_code",
        "logins_handle" => "login",
        "sessions_id" => "session",
        "codes_hash" => "code",
        "access_tokens_hash" | "refresh_tokens_hash" => "token",
        "signing_keys_kid" => "kid",
        "clients_id" => "client",
        "sync_jobs_id" => "sync_job",
        "pushed_requests_hash" => "pushed_request",
        "device_grants_hash" | "device_grants_user_code" => "device_grant",
        "client_accounts_username" => "username",
        "client_accounts_remote" => "remote_id",
        "saml_keys_id" => "saml_key",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unique_constraint_of_the_schema_has_a_field() {
        let schema: String =
            super::super::schema::KNOWN.iter().map(|migration| migration.sql).collect();
        // These are written by upserts or in positions of their own, so that they never collide.
        let upserted = [
            "passwords_account",
            "cookies_id",
            "named_values_name",
            "throttle_key",
            "replay_key",
            "audit_sequence",
            "sync_directories_directory",
            "upstream_sessions_session",
            "outbox_events_sequence",
            "outbox_events_position",
            "outbox_deliveries_id",
            "outbox_lease_id",
            "client_accounts_key",
            "saml_metadata_connection",
            "account_claims_account",
        ];
        let words: Vec<&str> = schema.split_whitespace().collect();
        let mut seen = 0;
        for at in words.windows(3) {
            if at[0] == "CONSTRAINT"
                && (at[2].starts_with("PRIMARY") || at[2].starts_with("UNIQUE"))
            {
                seen += 1;
                let known = taken_field(at[1]).is_some() || upserted.contains(&at[1]);
                assert!(known, "constraint {} is not mapped", at[1]);
            }
        }
        assert!(seen > 15, "only {seen} constraints were found");
    }
}
