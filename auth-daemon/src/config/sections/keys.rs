//! `[keys]`: the ring of sealing keys.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};

/// The ring of sealing keys. Keep a copy of it away from the database: neither is of use without
/// the other.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawKeys {
    /// File of the keys that seal signing keys, client secrets and second factors in the store.
    /// Made with mode 0600 at the very first start; another or missing ring is refused later.
    ring_file: PathBuf,
}

impl Default for RawKeys {
    fn default() -> Self {
        Self { ring_file: PathBuf::from("auth-daemon.keys") }
    }
}

/// The ring of sealing keys.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Its file.
    pub(crate) ring_file: PathBuf,
}

impl RawKeys {
    pub(in crate::config) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Keys {
        let at = at.key("ring_file");
        if self.ring_file.as_os_str().is_empty() || self.ring_file.is_dir() {
            problems.error(&at, "is no file name", "give a file, e.g. \"auth-daemon.keys\"");
        } else if self.ring_file.exists() {
            problems.private_file(&at, &self.ring_file);
        }
        Keys { ring_file: self.ring_file }
    }
}
