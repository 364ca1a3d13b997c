//! Where the database is, and connections to it.
//!
//! A file is made with mode 0600; SQLite gives its companions `-wal` and `-shm` the same mode.
//! Every connection has foreign keys on, durable commits and a busy timeout, so that the daemon
//! and the command line can use one file at the same time.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use auth_core::store::StoreError;
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::failure;
use super::row::one;
use crate::StoreOptions;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this process, gone when the store is closed.
    Memory,
    /// In a file.
    File(PathBuf),
}

impl Place {
    /// Reads `storage.url`, and refuses what only PostgreSQL has.
    pub(super) fn of(options: &StoreOptions) -> Result<Self, StoreError> {
        let refuse = |setting, message: &str| {
            Err(StoreError::Misconfigured { setting, message: message.to_owned() })
        };
        if options.read_url.is_some() {
            return refuse(
                "storage.read_url",
                "is for PostgreSQL replicas; remove it, or give a postgres:// storage.url",
            );
        }
        if options.ca_file.is_some() {
            return refuse(
                "storage.ca_file",
                "is for PostgreSQL; remove it, or give a postgres:// storage.url",
            );
        }
        if options.url == "sqlite::memory:" {
            return Ok(Self::Memory);
        }
        match options.url.strip_prefix("sqlite://") {
            // SQLite takes a name that begins with a colon for something other than a file.
            Some(file) if !file.is_empty() && !file.starts_with(':') => {
                Ok(Self::File(PathBuf::from(file)))
            }
            _ => refuse(
                "storage.url",
                "names no SQLite file; give sqlite://auth.db, sqlite:///absolute/path/auth.db or \
                 sqlite::memory:",
            ),
        }
    }
}

/// Makes the file if it is missing, readable by its owner only.
pub(super) fn create_file(path: &Path) -> Result<(), StoreError> {
    // Closing a file drops the locks that SQLite holds on it elsewhere in this process (POSIX),
    // so nobody may open the new file before it is closed here.
    static CREATION: Mutex<()> = Mutex::new(());
    let _held = CREATION.lock();
    let mut how = OpenOptions::new();
    how.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
    match how.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unavailable {
            message: format!(
                "{} cannot be made: {error}; make its folder, or change storage.url",
                path.display()
            ),
        }),
    }
}

/// Opens an existing file, or a database in memory, for reading and writing.
pub(super) fn connect(place: &Place) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match place {
        Place::Memory => Connection::open_in_memory(),
        Place::File(path) => Connection::open_with_flags(path, flags),
    }
    .map_err(failure)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failure)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // A plan must not depend on bound values: SQLite would compile such a statement anew whenever
    // it comes back from the cache, which takes many times as long as a look-up.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failure)?;
    connection
        .execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;")
        .map_err(failure)?;
    Ok(connection)
}

/// Keeps in memory what a statement or a savepoint may have to put back: SQLite would write it into
/// temporary files. To be called after the migrations: what those sort may be large.
pub(super) fn use_memory_for_undoing(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("PRAGMA temp_store = MEMORY;").map_err(failure)
}

/// Lets a transaction keep so many changed pages (of 4 KiB) in memory, if that is more than the
/// cache holds. SQLite writes the others into the log before the commit, some again and again.
pub(super) fn set_spill(connection: &Connection, pages: u32) -> Result<(), StoreError> {
    connection.execute_batch(&format!("PRAGMA cache_spill = {pages};")).map_err(failure)
}

/// A further connection to a file that is open already, for reading.
pub(super) fn connect_reader(place: &Place) -> Result<Connection, StoreError> {
    let connection = connect(place)?;
    connection.execute_batch("PRAGMA query_only = ON;").map_err(failure)?;
    Ok(connection)
}

/// A connection that leaves the file as it is, even when it is the last one to be closed.
pub(super) fn connect_to_inspect(place: &Place) -> Result<Connection, StoreError> {
    let connection = connect_reader(place)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failure)?;
    Ok(connection)
}

/// Puts a file into write-ahead-log mode, for good.
pub(super) fn use_write_ahead_log(connection: &Connection) -> Result<(), StoreError> {
    let mut attempts = 0;
    let mode = loop {
        attempts += 1;
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
            Err(error) if is_busy(&error) && attempts < WAL_ATTEMPTS => {
                // Two nodes that switch at once refuse each other at once, without the busy
                // timeout. Waiting for a lock that does use it lets one of them finish first.
                connection.execute_batch("BEGIN EXCLUSIVE; COMMIT;").map_err(failure)?;
            }
            result => break result.map_err(failure)?,
        }
    };
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(StoreError::Unavailable {
        message: format!(
            "the file system does not support SQLite's write-ahead log (journal mode stays \
             {mode}); put the file of storage.url on a local disk"
        ),
    })
}

/// Whether a database has a table of this name.
pub(super) fn has_table(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    Ok(one(connection, sql, &[&name], |_| Ok(()))?.is_some())
}

/// Whether a database has any table, index or view, and not the table `marker`. One statement, so
/// that another process cannot make both between two looks.
pub(super) fn has_anything_but(connection: &Connection, marker: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE NOT EXISTS \
               (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    Ok(one(connection, sql, &[&marker], |_| Ok(()))?.is_some())
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// How long one process waits for another that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const CACHED_STATEMENTS: usize = 128;

const WAL_ATTEMPTS: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, StoreError> {
        Place::of(&StoreOptions { url: url.to_owned(), ..StoreOptions::default() })
    }

    #[test]
    fn the_url_names_a_file_or_memory() {
        assert_eq!(place("sqlite::memory:").unwrap(), Place::Memory);
        assert_eq!(place("sqlite://auth.db").unwrap(), Place::File("auth.db".into()));
        assert_eq!(place("sqlite:///var/auth.db").unwrap(), Place::File("/var/auth.db".into()));
    }

    #[test]
    fn a_url_without_a_file_is_refused() {
        for url in ["sqlite://", "sqlite:auth.db", "sqlite://:memory:", "sqlite:"] {
            assert!(place(url).unwrap_err().to_string().starts_with("storage.url: "), "{url}");
        }
    }

    #[test]
    fn many_may_switch_to_the_write_ahead_log_at_once() {
        const NODES: usize = 8;
        let folder = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let path = folder.path().join(format!("{round}.db"));
            create_file(&path).unwrap();
            let barrier = std::sync::Barrier::new(NODES);
            std::thread::scope(|scope| {
                for _ in 0..NODES {
                    scope.spawn(|| {
                        let connection = connect(&Place::File(path.clone())).unwrap();
                        barrier.wait();
                        use_write_ahead_log(&connection).unwrap();
                    });
                }
            });
        }
    }

    #[test]
    fn settings_of_the_other_backend_are_refused() {
        let url = "sqlite://auth.db".to_owned();
        let replica =
            StoreOptions { read_url: Some("postgres://r".into()), url, ..Default::default() };
        assert!(Place::of(&replica).unwrap_err().to_string().starts_with("storage.read_url: "));
        let ca = StoreOptions { read_url: None, ca_file: Some("ca.pem".into()), ..replica };
        assert!(Place::of(&ca).unwrap_err().to_string().starts_with("storage.ca_file: "));
    }
}
