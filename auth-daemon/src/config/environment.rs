//! Settings from the environment: `AUTH_DAEMON__SESSION__IDLE_TIMEOUT=30m`.
//!
//! The name after `AUTH_DAEMON__` is the key path, its parts joined by `__`. The schema says how
//! the text is read: a text setting takes it as it stands (a password `0123` stays what it is), a
//! list or table is given as TOML or JSON. An entry of a list that the file has is named by its
//! number: `AUTH_DAEMON__DIRECTORY__0__BIND_PASSWORD_FILE`.
//! This is the only module that reads the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value as Schema;
use toml::{Table, Value};

use super::finding::{KeyPath, Problems};
use super::schema::{further_keys, kind, properties};
use super::structure::nearest;

/// Prefix of variables that give settings.
const PREFIX: &str = "AUTH_DAEMON__";

/// The variables of this process that give settings, by name.
pub(super) fn setting_variables() -> Vec<(String, OsString)> {
    let mut variables: Vec<(String, OsString)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    variables.sort();
    variables
}

/// The file named by `AUTH_DAEMON_CONFIG`.
pub(super) fn named_file() -> Option<PathBuf> {
    std::env::var_os("AUTH_DAEMON_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from)
}

/// Writes the settings of `variables` over `settings`.
pub(super) fn overlay(
    settings: &mut Table,
    variables: &[(String, OsString)],
    schema: &Schema,
    problems: &mut Problems,
) {
    for (name, value) in variables {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let path = path.to_lowercase();
        let at = KeyPath::root().key(&path.replace("__", "."));
        match value.to_str() {
            Some(text) => {
                let parts: Vec<&str> = path.split("__").collect();
                let mut tree = Value::Table(std::mem::take(settings));
                let outcome = set(&mut tree, schema, &parts, text, &KeyPath::root());
                if let Value::Table(table) = tree {
                    *settings = table;
                }
                match outcome {
                    Ok(at) => problems.note_variable(&at, name),
                    Err((problem, repair)) => {
                        problems.note_variable(&at, name);
                        problems.error(&at, problem, repair);
                    }
                }
            }
            None => {
                problems.note_variable(&at, name);
                problems.error(&at, "is not UTF-8 text", "");
            }
        }
    }
}

type Refused = (String, String);

/// Sets what `parts` name below `node`; gives the key that was set.
fn set(
    node: &mut Value,
    schema: &Schema,
    parts: &[&str],
    text: &str,
    at: &KeyPath,
) -> Result<KeyPath, Refused> {
    let Some((part, rest)) = parts.split_first() else {
        *node = read(text, schema)?;
        return Ok(at.clone());
    };
    match kind(schema) {
        "object" => {
            let below = property(schema, part)?;
            if !node.is_table() {
                *node = Value::Table(Table::new());
            }
            let Some(table) = node.as_table_mut() else { return Err(no_such_key()) };
            let known = table.contains_key(*part);
            let child = table.entry((*part).to_owned()).or_insert(Value::Table(Table::new()));
            let outcome = set(child, below, rest, text, &at.key(part));
            if outcome.is_err() && !known {
                table.remove(*part);
            }
            outcome
        }
        "array" => {
            let below = schema.get("items").ok_or_else(no_such_key)?;
            let count = node.as_array().map_or(0, Vec::len);
            let index = part.parse::<usize>().ok().filter(|index| *index < count);
            let item = index.and_then(|index| Some((index, node.as_array_mut()?.get_mut(index)?)));
            let Some((index, item)) = item else {
                return Err((
                    format!("the list has {count} entries and no number {part}"),
                    "count from 0, or give the whole list as TOML or JSON".to_owned(),
                ));
            };
            set(item, below, rest, text, &at.index(index))
        }
        _ => Err(no_such_key()),
    }
}

fn property<'a>(schema: &'a Schema, name: &str) -> Result<&'a Schema, Refused> {
    let known = properties(schema).ok_or_else(no_such_key)?;
    known.get(name).or_else(|| further_keys(schema)).ok_or_else(|| {
        let repair = match nearest(name, known.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean {}?", meant.to_uppercase()),
            None => "parts of a key are joined by two underscores".to_owned(),
        };
        (format!("unknown key `{name}`"), repair)
    })
}

fn no_such_key() -> Refused {
    ("there is no key below this one".to_owned(), "take the rest of the name away".to_owned())
}

fn read(text: &str, schema: &Schema) -> Result<Value, Refused> {
    match kind(schema) {
        "string" => Ok(Value::String(text.to_owned())),
        "integer" => text
            .trim()
            .parse()
            .map(Value::Integer)
            .map_err(|_| ("is no whole number".to_owned(), "give digits only".to_owned())),
        "boolean" => {
            text.trim().parse().map(Value::Boolean).map_err(|_| {
                ("is neither true nor false".to_owned(), "give one of them".to_owned())
            })
        }
        _ => from_json(text).or_else(|| from_toml(text)).ok_or_else(|| {
            let problem = "is neither TOML nor JSON".to_owned();
            (problem, "give a list as [\"a\", \"b\"], a table as {\"key\": \"value\"}".to_owned())
        }),
    }
}

fn from_json(text: &str) -> Option<Value> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    Value::try_from(json).ok()
}

fn from_toml(text: &str) -> Option<Value> {
    let mut table: Table = toml::from_str(&format!("value = {text}")).ok()?;
    if table.len() == 1 { table.remove("value") } else { None }
}
