//! SQLite and PostgreSQL implementations of [`auth_core::store::Store`].
//!
//! [`look`] says whether a database holds a schema already and touches nothing; [`open`] brings
//! it up to date and gives the store. The SQL of the two backends is written twice on purpose,
//! each in its own best form; the conformance suite of auth-core keeps them equal.

mod migration;
mod postgres;
mod sqlite;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use auth_core::store::{Store, StoreError};

/// Where the store is and how to reach it: `[storage]` of the configuration.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// `sqlite://FILE`, `sqlite::memory:`, or a PostgreSQL URL of libpq's form.
    pub url: String,
    /// A PostgreSQL replica for listings and the audit trail; never asked for a session.
    pub read_url: Option<String>,
    /// Certificates to trust for PostgreSQL, PEM; the system's if none.
    pub ca_file: Option<PathBuf>,
    /// Connections: to PostgreSQL, or for reading an SQLite file.
    pub pool_size: Option<usize>,
}

impl fmt::Debug for StoreOptions {
    /// Leaves the URLs out: they may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("ca_file", &self.ca_file)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}

/// Whether a database holds a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet: [`open`] will write the schema and the first values.
    Empty,
    /// A schema, of whatever number.
    Initialised,
}

/// Looks whether a schema is there. Changes nothing: a missing SQLite file is [`Found::Empty`]
/// and is not made.
///
/// # Errors
/// [`StoreError::Misconfigured`] for a URL that names no known backend, [`StoreError::Schema`]
/// when the database belongs to something else, [`StoreError::Unavailable`] when it cannot be
/// reached.
pub async fn look(options: &StoreOptions) -> Result<Found, StoreError> {
    match Backend::of(&options.url)? {
        Backend::Sqlite => sqlite::look(options).await,
        Backend::Postgres => postgres::look(options).await,
    }
}

/// Opens the store and brings its schema up to date. Two nodes may do so at once.
///
/// `first_values` are written as named values in the transaction of the first migration, and
/// only when the schema was empty.
///
/// # Errors
/// As [`look`]; [`StoreError::Schema`] also for a schema that is newer than this program or was
/// altered, in which case nothing is changed.
pub async fn open(
    options: &StoreOptions,
    first_values: &[(&str, Vec<u8>)],
) -> Result<Arc<dyn Store>, StoreError> {
    match Backend::of(&options.url)? {
        Backend::Sqlite => sqlite::open(options, first_values).await,
        Backend::Postgres => postgres::open(options, first_values).await,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    fn of(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            return Ok(Self::Sqlite);
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres);
        }
        // Only the scheme is repeated: the rest may hold a password.
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        Err(StoreError::Misconfigured {
            setting: "storage.url",
            message: format!(
                "names no known kind of store (it begins with \"{scheme}:\"); give \
                 sqlite://FILE, sqlite::memory: or postgres://USER@HOST/DATABASE"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_chooses_the_backend() {
        assert_eq!(Backend::of("sqlite://auth.db").unwrap(), Backend::Sqlite);
        assert_eq!(Backend::of("sqlite::memory:").unwrap(), Backend::Sqlite);
        assert_eq!(Backend::of("postgres://db/auth").unwrap(), Backend::Postgres);
        assert_eq!(Backend::of("postgresql:///auth").unwrap(), Backend::Postgres);
    }

    #[test]
    fn another_url_is_refused_by_the_name_of_its_setting_and_without_its_password() {
        for url in ["mysql://root:hunter2@db/auth", "auth.db", "", "postgres:x"] {
            let error = Backend::of(url).unwrap_err().to_string();
            assert!(error.contains("storage.url"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_url() {
        let options = StoreOptions { url: "postgres://u:hunter2@db".into(), ..Default::default() };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
