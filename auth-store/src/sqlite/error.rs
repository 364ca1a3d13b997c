//! From SQLite's errors to those of the store.
//!
//! What a retry may mend (disk full, locked, read-only, I/O) is `Unavailable` with SQLite's own
//! text, a taken unique value is `Conflict` with the documented field, a damaged file `Corrupt`.

use auth_core::store::StoreError;
use rusqlite::ErrorCode;
use rusqlite::ffi::{
    SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE,
};

/// Translates an error of a statement.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn failure(error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    match error.sqlite_error() {
        Some(cause) if is_unique_violation(cause.extended_code) => {
            StoreError::Conflict { field: taken_field(&text) }
        }
        Some(cause) if cause.extended_code == SQLITE_CONSTRAINT_FOREIGNKEY => StoreError::Corrupt {
            message: "a record refers to another that does not exist".to_owned(),
        },
        Some(cause)
            if matches!(cause.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) =>
        {
            StoreError::Corrupt { message: text }
        }
        _ => StoreError::Unavailable { message: text },
    }
}

/// What every call says once the store was closed.
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable { message: "the store is closed".to_owned() }
}

const fn is_unique_violation(extended_code: i32) -> bool {
    matches!(extended_code, SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY)
}

/// SQLite names the columns: `UNIQUE constraint failed: account.username_key`.
fn taken_field(text: &str) -> &'static str {
    let columns = text.rsplit_once(": ").map_or(text, |(_, columns)| columns);
    FIELDS
        .iter()
        .find(|(column, _)| columns.starts_with(column))
        .map_or("a unique value", |(_, field)| field)
}

const FIELDS: &[(&str, &str)] = &[
    ("account.username_key", "username"),
    ("account.email_key", "email"),
    ("account.id", "id"),
    ("account.numeric_id", "numeric_id"),
    ("client_account.client, client_account.remote_id", "remote_id"),
    ("client_account.client, client_account.username", "username"),
    ("identity.", "identity"),
    ("client.", "client"),
    ("session.", "session"),
    ("login.", "login"),
    ("code.", "code"),
    ("pushed_request.", "pushed_request"),
    ("device_grant.", "device_grant"),
    ("access_token.", "token"),
    ("refresh_token.", "token"),
    ("factor.", "factor"),
    ("enrolment.", "enrolment"),
    ("postponement.", "session"),
    ("device.", "device"),
    ("recovery_code.", "recovery_code"),
    ("signing_key.", "kid"),
    ("sync_job.", "sync_job"),
    ("saml_key.", "saml_key"),
];

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_taken_value_is_named_as_the_traits_document_it() {
        for (text, field) in [
            ("UNIQUE constraint failed: account.username_key", "username"),
            ("UNIQUE constraint failed: account.email_key", "email"),
            ("UNIQUE constraint failed: identity.connector, identity.subject", "identity"),
            ("UNIQUE constraint failed: client.id", "client"),
        ] {
            assert_eq!(taken_field(text), field);
        }
    }

    #[test]
    fn a_full_database_is_unavailable_and_says_so() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x); PRAGMA max_page_count = 2;").unwrap();
        let error = connection.execute("INSERT INTO t VALUES (zeroblob(100000))", []).unwrap_err();
        let StoreError::Unavailable { message } = failure(error) else { panic!("not unavailable") };
        assert!(message.contains("full"), "{message}");
    }
}
