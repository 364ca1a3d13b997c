//! Secrets: `x` in the file itself, or `x_file` with the path of a file that holds it.

use std::borrow::Cow;
use std::path::Path;

use auth_core::secret::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::config::finding::{KeyPath, Problems};

/// No secret file is longer than this; a longer one is some other file.
const LONGEST: u64 = 64 * 1024;

/// A secret that stands in the configuration itself.
#[derive(Debug)]
pub(in crate::config) struct SecretText(pub(in crate::config) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "writeOnly": true})
    }
}

impl Problems {
    /// The secret `name` of the table `at`, given as `name` or as `name_file`; both is an error.
    pub(in crate::config) fn secret(
        &mut self,
        at: &KeyPath,
        name: &str,
        inline: Option<SecretText>,
        file: Option<&Path>,
    ) -> Option<Secret> {
        let (at_inline, at_file) = (at.key(name), at.key(&format!("{name}_file")));
        match (inline, file) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                self.error(
                    &at_inline,
                    format!("`{name}` and `{name}_file` are both set"),
                    format!("keep one of them, best `{name}_file`"),
                );
                None
            }
            (Some(SecretText(secret)), None) => {
                if secret.expose().is_empty() {
                    self.error(&at_inline, "is empty", format!("give it, or set `{name}_file`"));
                    return None;
                }
                Some(secret)
            }
            (None, Some(file)) => self.secret_file(&at_file, file),
        }
    }

    /// The content of a secret file, without the newline at its end.
    fn secret_file(&mut self, at: &KeyPath, file: &Path) -> Option<Secret> {
        let unreadable = |problems: &mut Self, reason: String| {
            problems.error(
                at,
                format!("{} cannot be read: {reason}", file.display()),
                "create it, readable for the daemon's user alone (chmod 600)",
            );
        };
        let attributes = match std::fs::metadata(file) {
            Ok(attributes) => attributes,
            Err(error) => {
                unreadable(self, error.to_string());
                return None;
            }
        };
        if attributes.is_dir() || attributes.len() > LONGEST {
            unreadable(self, "it is a folder, or far too long for a secret".to_owned());
            return None;
        }
        let mut text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                unreadable(self, error.to_string());
                return None;
            }
        };
        let length = text
            .strip_suffix('\n')
            .map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
        text.truncate(length);
        if text.is_empty() {
            unreadable(self, "it is empty".to_owned());
            return None;
        }
        self.warn_if_readable_by_others(at, file);
        Some(Secret::new(text))
    }
}
