//! The schema of the SQLite backend: looking at what is there and bringing it up to date.
//!
//! A file is judged before anything is written to it, and again under `BEGIN IMMEDIATE`, which
//! is the lock between two nodes that start at once. All pending migrations, the notes that they
//! were applied and the first values are one transaction.

use auth_core::clock::{Clock as _, SystemClock};
use auth_core::store::StoreError;
use rusqlite::{Connection, params};

use super::error::failure;
use super::file::{
    Place, connect, connect_to_inspect, create_file, has_anything_but, has_table,
    use_write_ahead_log,
};
use super::keys::set_named_value;
use super::row::{all, change};
use crate::Found;
use crate::migration::{Applied, Migration, plan};

/// What this program carries.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "initial",
        sql: include_str!("../../migrations/sqlite/0001_initial.sql"),
    },
    Migration {
        number: 2,
        name: "directory_sync",
        sql: include_str!("../../migrations/sqlite/0002_directory_sync.sql"),
    },
    Migration {
        number: 3,
        name: "account_claims",
        sql: include_str!("../../migrations/sqlite/0003_account_claims.sql"),
    },
    Migration {
        number: 4,
        name: "saml",
        sql: include_str!("../../migrations/sqlite/0004_saml.sql"),
    },
    Migration {
        number: 5,
        name: "outbox",
        sql: include_str!("../../migrations/sqlite/0005_outbox.sql"),
    },
    Migration {
        number: 6,
        name: "second_factors",
        sql: include_str!("../../migrations/sqlite/0006_second_factors.sql"),
    },
    Migration {
        number: 7,
        name: "upstream_sessions",
        sql: include_str!("../../migrations/sqlite/0007_upstream_sessions.sql"),
    },
    Migration {
        number: 8,
        name: "grants",
        sql: include_str!("../../migrations/sqlite/0008_grants.sql"),
    },
    Migration {
        number: 9,
        name: "security_notices",
        sql: include_str!("../../migrations/sqlite/0009_security_notices.sql"),
    },
    Migration {
        number: 10,
        name: "security_trigger",
        sql: include_str!("../../migrations/sqlite/0010_security_trigger.sql"),
    },
];

/// Named values for a schema that is about to be made.
pub(super) type FirstValues = [(String, Vec<u8>)];

/// Whether the place holds a schema. Makes no file and changes none.
pub(super) fn look(place: &Place) -> Result<Found, StoreError> {
    let Place::File(path) = place else { return Ok(Found::Empty) };
    let exists = path.try_exists().map_err(|error| StoreError::Unavailable {
        message: format!("{} cannot be looked at: {error}", path.display()),
    })?;
    if !exists {
        return Ok(Found::Empty);
    }
    let connection = connect_to_inspect(place)?;
    if has_table(&connection, "schema_migration")? {
        return Ok(Found::Initialised);
    }
    refuse_foreign_tables(&connection)?;
    Ok(Found::Empty)
}

/// Opens the place for writing, with its schema up to date.
pub(super) fn open(
    place: &Place,
    known: &[Migration],
    first_values: &FirstValues,
) -> Result<Connection, StoreError> {
    if let Place::File(path) = place {
        create_file(path)?;
        // A schema that is refused is refused before the file is touched.
        plan(known, &applied(&connect_to_inspect(place)?)?)?;
    }
    let connection = connect(place)?;
    if matches!(place, Place::File(_)) {
        use_write_ahead_log(&connection)?;
    }
    if !plan(known, &applied(&connection)?)?.is_empty() {
        migrate(&connection, known, first_values)?;
    }
    Ok(connection)
}

fn migrate(
    connection: &Connection,
    known: &[Migration],
    first_values: &FirstValues,
) -> Result<(), StoreError> {
    // Undone when it is dropped before the commit.
    let transaction =
        rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)
            .map_err(failure)?;
    let found = applied(&transaction)?;
    let pending = plan(known, &found)?;
    transaction.execute_batch(SCHEMA_MIGRATION).map_err(failure)?;
    for migration in &pending {
        transaction.execute_batch(migration.sql).map_err(|error| StoreError::Schema {
            message: format!(
                "migration {} ({}) failed: {error}. Nothing was changed",
                migration.number, migration.name
            ),
        })?;
        change(
            &transaction,
            "INSERT INTO schema_migration (number, name, checksum, applied_at) \
             VALUES (?1, ?2, ?3, ?4)",
            params![
                migration.number,
                migration.name,
                migration.checksum(),
                SystemClock.now().millis()
            ],
        )?;
        tracing::info!(
            number = migration.number,
            name = migration.name,
            "schema migration applied"
        );
    }
    if found.is_empty() {
        for (name, value) in first_values {
            set_named_value(&transaction, name, value)?;
        }
    }
    transaction.commit().map_err(failure)
}

fn applied(connection: &Connection) -> Result<Vec<Applied>, StoreError> {
    if !has_table(connection, "schema_migration")? {
        refuse_foreign_tables(connection)?;
        return Ok(Vec::new());
    }
    let sql = "SELECT number, name, checksum FROM schema_migration ORDER BY number";
    all(connection, sql, &[], |columns| {
        columns.of("schema_migration");
        Ok(Applied { number: columns.take()?, name: columns.take()?, checksum: columns.take()? })
    })
}

/// A database with tables but without ours belongs to something else.
fn refuse_foreign_tables(connection: &Connection) -> Result<(), StoreError> {
    if !has_anything_but(connection, "schema_migration")? {
        return Ok(());
    }
    Err(StoreError::Schema {
        message: "the SQLite file holds the tables of another program; name another file in \
                  storage.url. Nothing was changed"
            .to_owned(),
    })
}

const SCHEMA_MIGRATION: &str = "
    CREATE TABLE IF NOT EXISTS schema_migration (
        number     INTEGER PRIMARY KEY,
        name       TEXT    NOT NULL,
        checksum   TEXT    NOT NULL,
        applied_at INTEGER NOT NULL
    ) STRICT;";
