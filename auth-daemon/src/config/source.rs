//! Where the configuration file is, and its text.
//!
//! `--config`, else `AUTH_DAEMON_CONFIG`, else `./auth-daemon.toml`, else
//! `/etc/auth-daemon/auth-daemon.toml`.

use std::path::{Path, PathBuf};

use toml::Table;

use super::environment;
use super::finding::{KeyPath, Problems};

/// Files that are looked for when none is named.
pub(crate) const DEFAULT_FILES: [&str; 2] =
    ["auth-daemon.toml", "/etc/auth-daemon/auth-daemon.toml"];

/// The file to read: `named` by the command line, else by the environment, else a default one.
pub(super) fn locate(named: Option<&Path>) -> Option<PathBuf> {
    named
        .map(Path::to_path_buf)
        .or_else(environment::named_file)
        .or_else(|| DEFAULT_FILES.iter().map(PathBuf::from).find(|file| file.exists()))
}

/// The text of `file`.
pub(super) fn read(file: &Path, problems: &mut Problems) -> Option<String> {
    match std::fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) => {
            let repair = if error.kind() == std::io::ErrorKind::NotFound {
                format!("`auth-daemon config init {}` writes a starter file", file.display())
            } else {
                "the daemon's user needs to read it".to_owned()
            };
            problems.error(
                &KeyPath::root(),
                format!("{} cannot be read: {error}", file.display()),
                repair,
            );
            None
        }
    }
}

/// Reads TOML. The parser's own message would show the line, which may hold a secret; only its
/// place is told.
pub(super) fn parse(text: &str, problems: &mut Problems) -> Option<Table> {
    match toml::from_str(text) {
        Ok(table) => Some(table),
        Err(error) => {
            let place = error.span().map_or_else(String::new, |span| {
                let before = text.get(..span.start).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
                format!(" at line {line}, column {column}")
            });
            problems.error(
                &KeyPath::root(),
                format!("not TOML{place}: {}", error.message()),
                "mend the syntax; nothing else of the file was checked",
            );
            None
        }
    }
}
