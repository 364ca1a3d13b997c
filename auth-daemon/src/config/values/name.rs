//! Ids of directories, connections and clients: `[a-z0-9-]{1,32}`.

use crate::config::finding::{KeyPath, Problems};

/// Words of the paths below `/login/`, and the connector of local passwords.
const RESERVED: [&str; 5] = ["local", "continue", "factor", "enrol", "passkey"];

impl Problems {
    /// Checks the id of a directory, connection or client. `None` when it cannot be used.
    pub(in crate::config) fn id(&mut self, table: &KeyPath, id: Option<String>) -> Option<String> {
        let at = table.key("id");
        let Some(id) = id else {
            self.missing(&at, "every one of these tables has an id of its own");
            return None;
        };
        let well_formed = (1..=32).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !well_formed {
            self.error(
                &at,
                "is no id",
                "use 1 to 32 characters out of a to z, 0 to 9 and the hyphen",
            );
            return None;
        }
        if RESERVED.contains(&id.as_str()) {
            self.error(
                &at,
                format!("`{id}` is reserved"),
                format!("choose another id than {}", RESERVED.join(", ")),
            );
            return None;
        }
        Some(id)
    }

    /// Checks a name for people, such as a label: not empty, one line, at most 100 characters.
    pub(in crate::config) fn label(&mut self, at: &KeyPath, label: &str) {
        let sound = !label.trim().is_empty()
            && label.chars().count() <= 100
            && !label.chars().any(char::is_control);
        if !sound {
            self.error(at, "is no label", "give 1 to 100 characters on one line");
        }
    }
}
