//! The JSON schema of the configuration file, made from the raw structs and their doc comments.
//!
//! The same schema drives three things: the structural check ([`super::structure`]), the parsing
//! of environment variables ([`super::environment`]) and the reference page
//! ([`super::reference()`]), so that none of them can know a key that another does not.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::raw::RawConfig;

/// Marks a setting that has to be there. The raw structs take everything as optional, so that
/// all that is missing can be reported at once.
const REQUIRED_MARK: &str = "x-required";

/// The JSON schema (draft 2020-12) of the file. TOML knows no null, so neither does the schema.
pub(crate) fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<RawConfig>().to_value();
    tidy(&mut schema);
    schema
}

/// The properties of an object schema.
pub(super) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

/// The schema of further keys of a table, where it takes any.
pub(super) fn further_keys(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|further| further.is_object())
}

/// `object`, `array`, `string`, `integer`, `boolean`.
pub(super) fn kind(schema: &Value) -> &str {
    match schema.get("type").and_then(Value::as_str) {
        Some(kind) => kind,
        None if schema.get("oneOf").is_some() || schema.get("enum").is_some() => "string",
        None => "",
    }
}

/// The words that a text setting accepts, with their descriptions; empty when any text will do.
pub(super) fn choices(schema: &Value) -> Vec<(&str, &str)> {
    if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
        return variants
            .iter()
            .filter_map(|variant| Some((variant.get("const")?.as_str()?, description(variant))))
            .collect();
    }
    let words = schema.get("enum").and_then(Value::as_array);
    words.into_iter().flatten().filter_map(Value::as_str).map(|word| (word, "")).collect()
}

/// The reference text.
pub(super) fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(map) => {
            drop_null(map);
            map.values_mut().for_each(tidy);
            collect_required(map);
        }
        _ => {}
    }
}

/// Turns "this or null" into "this".
fn drop_null(map: &mut Map<String, Value>) {
    if map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
    if let Some(Value::Array(kinds)) = map.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(mut alternatives)) = map.remove("anyOf") else { return };
    alternatives.retain(|alternative| alternative.get("type") != Some(&Value::from("null")));
    match (alternatives.len(), alternatives.pop()) {
        (1, Some(Value::Object(only))) => {
            for (key, value) in only {
                map.entry(key).or_insert(value);
            }
        }
        (_, last) => {
            alternatives.extend(last);
            map.insert("anyOf".to_owned(), Value::Array(alternatives));
        }
    }
}

fn collect_required(map: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = map.get_mut("properties") else { return };
    let mut required = Vec::new();
    for (name, property) in properties {
        let mark = property.as_object_mut().and_then(|property| property.remove(REQUIRED_MARK));
        if mark.is_some() {
            required.push(Value::from(name.as_str()));
        }
    }
    if !required.is_empty() {
        map.insert("required".to_owned(), Value::Array(required));
    }
}
