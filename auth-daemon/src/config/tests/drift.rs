//! The checked-in schema and reference page are those of the code, and what they say is true.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::config::reference;
use crate::config::schema::{properties, schema};

fn check_drift(file: &str, written: &str, command: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in.trim_end() == written.trim_end(),
        "docs/{file} is not what the code says: run `cargo run -p auth-daemon -- {command} > docs/{file}`"
    );
}

#[test]
fn schema_is_checked_in() {
    let written = serde_json::to_string_pretty(&schema()).unwrap();
    check_drift("config-schema.json", &written, "config schema");
}

#[test]
fn reference_is_checked_in() {
    check_drift("configuration.md", &reference(), "config schema --markdown");
}

/// Every key has a text, and the tree has no form that the structural check does not know.
#[test]
fn every_key_is_described() {
    fn walk(schema: &Value, path: &str) {
        let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        assert!(path.is_empty() || text.ends_with(['.', ')']), "{path}: {text:?}");
        assert!(schema.get("anyOf").is_none() && schema.get("$ref").is_none(), "{path}");
        let kind = crate::config::schema::kind(schema);
        assert!(
            ["object", "array", "string", "integer", "boolean"].contains(&kind),
            "{path}: {kind:?}"
        );
        for (name, property) in properties(schema).into_iter().flatten() {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                    && !name.contains("__"),
                "{path}.{name} could not be named by an environment variable"
            );
            walk(property, &format!("{path}.{name}"));
        }
        if let Some(items) = schema.get("items").filter(|items| items.get("properties").is_some()) {
            walk(items, &format!("{path}[]"));
        }
    }
    walk(&schema(), "");
}

/// A section that writes its defaults out means the same as one that leaves them out.
#[test]
fn documented_defaults_are_the_real_ones() {
    fn defaults(schema: &Value) -> toml::Table {
        let mut table = toml::Table::new();
        for (name, property) in properties(schema).into_iter().flatten() {
            let value = match property.get("default") {
                Some(default) => toml::Value::try_from(default.clone()).unwrap(),
                None if properties(property).is_some() => toml::Value::Table(defaults(property)),
                None => continue,
            };
            table.insert(name.clone(), value);
        }
        table
    }
    let schema = schema();
    let mut sections = toml::Table::new();
    for (name, section) in properties(&schema).into_iter().flatten() {
        if properties(section).is_some() {
            sections.insert(name.clone(), toml::Value::Table(defaults(section)));
        }
    }
    let text = toml::to_string(&sections).unwrap();
    for key in ["minimum_length", "lockout", "ring_file", "pool_size", "memory_kib", "mobile"] {
        assert!(text.contains(key), "{key}\n{text}");
    }
    // Naming one of these with nothing in it would be a mistake.
    let text = text.replace("[listen.tls]\n", "").replace("[mfa.grace]\n", "");
    let text = text.replace("[notices.webhook]\n", "");
    assert_eq!(format!("{:?}", config(&text)), format!("{:?}", config("")));

    let of_list = |list: &str| {
        let items = schema.pointer(&format!("/properties/{list}/items")).unwrap();
        let mut table = defaults(items);
        // Optional tables that are off when they are left out.
        for name in ["sync", "webhook", "mattermost"] {
            table.remove(name);
        }
        table
    };
    let with = |list: &str, keys: &str, more: toml::Table| {
        let mut table: toml::Table = toml::from_str(keys).unwrap();
        for (name, value) in more {
            table.entry(name).or_insert(value);
        }
        let mut file = toml::Table::new();
        file.insert(list.to_owned(), toml::Value::Array(vec![table.into()]));
        format!("{:?}", config(&toml::to_string(&file).unwrap()))
    };
    for (list, keys) in [
        ("directory", "id = \"a\"\nservers = [\"ldaps://a\"]\nbase_dn = \"dc=a\""),
        ("client", "id = \"a\"\npublic = true\nredirect_uris = [\"https://a/\"]"),
    ] {
        assert_eq!(with(list, keys, of_list(list)), with(list, keys, toml::Table::new()), "{list}");
    }
}
