//! Files that the configuration names.

use std::path::Path;

use crate::config::finding::{KeyPath, Problems};

impl Problems {
    /// Checks that a file is there and can be opened.
    pub(in crate::config) fn readable_file(&mut self, at: &KeyPath, file: &Path) {
        let error = match std::fs::File::open(file).and_then(|opened| opened.metadata()) {
            Ok(attributes) if attributes.is_dir() => "it is a folder".to_owned(),
            Ok(_) => return,
            Err(error) => error.to_string(),
        };
        self.error(
            at,
            format!("{} cannot be read: {error}", file.display()),
            "give the path of a file that the daemon's user can read",
        );
    }

    /// Checks a file that holds a private key.
    pub(in crate::config) fn private_file(&mut self, at: &KeyPath, file: &Path) {
        self.readable_file(at, file);
        self.warn_if_readable_by_others(at, file);
    }

    /// Two settings that only make sense together. `true` when both or none are there.
    pub(in crate::config) fn both_or_none(
        &mut self,
        at: &KeyPath,
        (first, first_is_set): (&str, bool),
        (second, second_is_set): (&str, bool),
    ) {
        let (missing, present) = match (first_is_set, second_is_set) {
            (true, false) => (second, first),
            (false, true) => (first, second),
            _ => return,
        };
        self.missing(&at.key(missing), format!("`{present}` needs it"));
    }

    #[cfg(unix)]
    pub(super) fn warn_if_readable_by_others(&mut self, at: &KeyPath, file: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        let open = std::fs::metadata(file)
            .is_ok_and(|attributes| attributes.permissions().mode() & 0o007 != 0);
        if open {
            self.warning(
                at,
                format!("{} is open to every user of this machine", file.display()),
                "chmod 600 it",
            );
        }
    }

    #[cfg(not(unix))]
    pub(super) fn warn_if_readable_by_others(&mut self, _: &KeyPath, _: &Path) {}
}
