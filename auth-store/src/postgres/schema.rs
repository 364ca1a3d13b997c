//! The schema: looking for it, and bringing it up to date.
//!
//! All pending migrations run in one transaction under an advisory lock, so that of several nodes
//! that start at once one migrates and the others wait for it. This has a connection of its own,
//! without the limits of the pool's.

use auth_core::store::StoreError;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use super::error;
use super::target::Target;
use crate::Found;
use crate::migration::{Applied, Migration, plan};

/// What this program carries.
pub(super) const KNOWN: &[Migration] = &[
    Migration {
        number: 1,
        name: "initial",
        sql: include_str!("../../migrations/postgres/0001_initial.sql"),
    },
    Migration {
        number: 2,
        name: "directory_sync",
        sql: include_str!("../../migrations/postgres/0002_directory_sync.sql"),
    },
    Migration {
        number: 3,
        name: "account_claims",
        sql: include_str!("../../migrations/postgres/0003_account_claims.sql"),
    },
    Migration {
        number: 4,
        name: "saml",
        sql: include_str!("../../migrations/postgres/0004_saml.sql"),
    },
    Migration {
        number: 5,
        name: "outbox",
        sql: include_str!("../../migrations/postgres/0005_outbox.sql"),
    },
    Migration {
        number: 6,
        name: "second_factors",
        sql: include_str!("../../migrations/postgres/0006_second_factors.sql"),
    },
    Migration {
        number: 7,
        name: "upstream_sessions",
        sql: include_str!("../../migrations/postgres/0007_upstream_sessions.sql"),
    },
    Migration {
        number: 8,
        name: "grants",
        sql: include_str!("../../migrations/postgres/0008_grants.sql"),
    },
    Migration {
        number: 9,
        name: "security_notices",
        sql: include_str!("../../migrations/postgres/0009_security_notices.sql"),
    },
];

/// Key of the advisory lock under which migrations run ("auth" in ASCII).
const LOCK: i64 = 0x6175_7468;

/// Whether the database holds a schema; changes nothing.
pub(super) async fn look(target: &Target) -> Result<Found, StoreError> {
    let mut client = connect(target).await?;
    let transaction = client.transaction().await.map_err(failed)?;
    let applied = applied(&transaction).await?;
    if applied.is_empty() {
        return Ok(Found::Empty);
    }
    plan(KNOWN, &applied)?;
    Ok(Found::Initialised)
}

/// Applies what is missing. `first_values` go in with the first migration only.
pub(super) async fn bring_up_to_date(
    target: &Target,
    first_values: &[(&str, Vec<u8>)],
) -> Result<(), StoreError> {
    let mut client = connect(target).await?;
    // The usual case needs no lock, and must work on a database that takes no change just now.
    let transaction = client.transaction().await.map_err(failed)?;
    let found = applied(&transaction).await?;
    transaction.rollback().await.map_err(failed)?;
    if !found.is_empty() && plan(KNOWN, &found)?.is_empty() {
        return Ok(());
    }

    let transaction = client.transaction().await.map_err(failed)?;
    transaction.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let found = applied(&transaction).await?;
    let pending = plan(KNOWN, &found)?;
    if found.is_empty() {
        transaction.batch_execute(TABLE).await.map_err(failed)?;
    }
    for migration in pending {
        apply(&transaction, migration).await?;
    }
    if found.is_empty() {
        for (name, value) in first_values {
            transaction
                .execute("INSERT INTO named_values (name, value) VALUES ($1, $2)", &[name, value])
                .await
                .map_err(failed)?;
        }
    }
    transaction.commit().await.map_err(failed)
}

const TABLE: &str = "\
    CREATE TABLE schema_migration (\
        number bigint NOT NULL PRIMARY KEY, \
        name text NOT NULL, \
        checksum text NOT NULL, \
        applied_at timestamptz NOT NULL DEFAULT now())";

async fn connect(target: &Target) -> Result<Client, StoreError> {
    let (client, connection) = target.config.connect(target.tls.clone()).await.map_err(failed)?;
    // Ends when the client is dropped; what goes wrong with it, the client's calls say.
    tokio::spawn(async move { drop(connection.await) });
    client
        .batch_execute("SET client_min_messages = warning; SET statement_timeout = 0")
        .await
        .map_err(failed)?;
    Ok(client)
}

/// What was applied; nothing for a database without our tables.
async fn applied(transaction: &Transaction<'_>) -> Result<Vec<Applied>, StoreError> {
    let tables = transaction
        .query_one(
            // The catalogue itself is asked: name lookups may be answered from what this
            // connection knew before it waited for the lock.
            "SELECT COALESCE(bool_or(relname = 'schema_migration'), false), \
             COALESCE(bool_or(relname IN ('accounts', 'sessions')), false) \
             FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = \
             (SELECT oid FROM pg_namespace WHERE nspname = current_schema())",
            &[],
        )
        .await
        .map_err(failed)?;
    let (migrated, foreign): (bool, bool) =
        (tables.try_get(0).map_err(failed)?, tables.try_get(1).map_err(failed)?);
    if !migrated && foreign {
        return Err(of_another());
    }
    if !migrated {
        return Ok(Vec::new());
    }
    let rows = transaction
        .query("SELECT number, name, checksum FROM schema_migration ORDER BY number", &[])
        .await
        .map_err(|error| match error.code() {
            Some(&SqlState::UNDEFINED_COLUMN) => of_another(),
            _ => failed(error),
        })?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Applied { number: row.try_get(0)?, name: row.try_get(1)?, checksum: row.try_get(2)? })
    };
    rows.iter().map(|row| read(row).map_err(|_: tokio_postgres::Error| of_another())).collect()
}

fn of_another() -> StoreError {
    StoreError::Schema {
        message: "the database that storage.url names holds tables of another program; give a \
                  database of its own. Nothing was changed"
            .to_owned(),
    }
}

async fn apply(transaction: &Transaction<'_>, migration: &Migration) -> Result<(), StoreError> {
    tracing::info!(number = migration.number, name = migration.name, "applying a migration");
    let named = |error: tokio_postgres::Error| match failed(error) {
        StoreError::Unavailable { message } => StoreError::Unavailable {
            message: format!("migration {} ({}): {message}", migration.number, migration.name),
        },
        other => other,
    };
    transaction.batch_execute(migration.sql).await.map_err(named)?;
    transaction
        .execute(
            "INSERT INTO schema_migration (number, name, checksum) VALUES ($1, $2, $3)",
            &[&migration.number, &migration.name, &migration.checksum()],
        )
        .await
        .map_err(named)?;
    Ok(())
}

fn failed(error: tokio_postgres::Error) -> StoreError {
    error::statement(&error)
}
