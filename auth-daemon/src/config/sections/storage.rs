//! `[storage]`: the SQLite file or PostgreSQL database.

use std::path::PathBuf;

use auth_core::secret::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::SecretText;

/// The SQLite file or PostgreSQL database that holds accounts, sessions, tokens and the audit
/// trail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawStorage {
    /// `sqlite://FILE`, `sqlite::memory:` (all is lost at exit), or a PostgreSQL URL
    /// `postgres://user:password@host/database`, several hosts included. Default:
    /// `sqlite://auth.db`.
    url: Option<SecretText>,
    /// A file that holds `url`.
    url_file: Option<PathBuf>,
    /// PostgreSQL only: URL of a replica for listings and the audit trail. Sessions and tokens
    /// are never read from it.
    read_url: Option<SecretText>,
    /// A file that holds `read_url`.
    read_url_file: Option<PathBuf>,
    /// PostgreSQL only: PEM file with the certificate authorities to trust instead of the
    /// system's.
    ca_file: Option<PathBuf>,
    /// Connections to the database of this node, 1 to 200. SQLite reads by one for each core at
    /// most, and by 8.
    #[schemars(range(min = 1, max = 200))]
    pool_size: u32,
}

impl Default for RawStorage {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            read_url: None,
            read_url_file: None,
            ca_file: None,
            pool_size: 10,
        }
    }
}

/// Where the state is kept.
#[derive(Debug)]
pub(crate) struct Storage {
    /// Which kind of store `url` names.
    pub(crate) backend: StorageBackend,
    /// The store; may hold a password.
    pub(crate) url: Secret,
    /// A PostgreSQL replica for listings and the audit trail.
    pub(crate) read_url: Option<Secret>,
    /// Certificate authorities of the PostgreSQL server.
    pub(crate) ca_file: Option<PathBuf>,
    /// Connections of this node.
    pub(crate) pool_size: u32,
}

/// Kinds of stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StorageBackend {
    /// A PostgreSQL database.
    PostgreSql,
    /// An SQLite file.
    SqliteFile(PathBuf),
    /// SQLite in memory.
    SqliteMemory,
}

impl RawStorage {
    pub(in crate::config) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Storage {
        let at_url = at.key(if self.url_file.is_some() { "url_file" } else { "url" });
        let given = self.url.is_some() || self.url_file.is_some();
        let url = problems.secret(at, "url", self.url, self.url_file.as_deref());
        let url = match url {
            Some(url) => Some(url),
            None if given => None,
            None => Some(Secret::new("sqlite://auth.db".to_owned())),
        };
        let backend = url.as_ref().and_then(|url| backend_of(url.expose()));
        if url.is_some() && backend.is_none() {
            problems.error(
                &at_url,
                "is no store",
                "write \"sqlite://FILE\" or \"postgres://user:password@host/database\"",
            );
        }
        if backend == Some(StorageBackend::SqliteMemory) {
            problems.warning(
                &at_url,
                "keeps everything in memory: all accounts and sessions are lost at exit",
                "write \"sqlite://FILE\"",
            );
        }
        let at_read_url =
            at.key(if self.read_url_file.is_some() { "read_url_file" } else { "read_url" });
        let read_url =
            problems.secret(at, "read_url", self.read_url, self.read_url_file.as_deref());
        if let Some(read_url) = &read_url
            && backend_of(read_url.expose()) != Some(StorageBackend::PostgreSql)
        {
            problems.error(
                &at_read_url,
                "is no PostgreSQL URL",
                "write \"postgres://user:password@replica/database\"",
            );
        }
        if let Some(file) = &self.ca_file {
            problems.readable_file(&at.key("ca_file"), file);
        }
        if backend.as_ref().is_some_and(|backend| *backend != StorageBackend::PostgreSql) {
            for (key, set) in
                [(at_read_url, read_url.is_some()), (at.key("ca_file"), self.ca_file.is_some())]
            {
                if set {
                    problems.error(&key, "is for PostgreSQL, but the store is SQLite", "remove it");
                }
            }
        }
        Storage {
            backend: backend.unwrap_or(StorageBackend::SqliteMemory),
            url: url.unwrap_or_else(|| Secret::new(String::new())),
            read_url,
            ca_file: self.ca_file,
            pool_size: self.pool_size,
        }
    }
}

fn backend_of(url: &str) -> Option<StorageBackend> {
    if url == "sqlite::memory:" {
        return Some(StorageBackend::SqliteMemory);
    }
    if let Some(file) = url.strip_prefix("sqlite://") {
        return (!file.is_empty()).then(|| StorageBackend::SqliteFile(PathBuf::from(file)));
    }
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    (!rest.is_empty()).then_some(StorageBackend::PostgreSql)
}
