//! The structural check: unknown keys, wrong types, words that are no choice, whole numbers out of
//! range.
//!
//! serde would stop at the first of them. So the tree of values is first walked against the
//! schema; whatever is wrong is reported and cut out, and the rest can still be read and judged.

use serde_json::Value as Schema;
use toml::Value;

use super::finding::{KeyPath, Problems};
use super::schema::{choices, further_keys, kind, properties};

/// Reports everything in `value` that does not fit `schema` and cuts it out.
/// `false` when `value` itself has to go.
pub(super) fn prune(
    value: &mut Value,
    schema: &Schema,
    at: &KeyPath,
    problems: &mut Problems,
) -> bool {
    match (kind(schema), value) {
        ("object", Value::Table(table)) => {
            prune_table(table, schema, at, problems);
            true
        }
        ("array", Value::Array(items)) => prune_list(items, schema, at, problems),
        ("string", Value::String(text)) => is_choice(text, schema, at, problems),
        ("integer", Value::Integer(number)) => is_in_range(*number, schema, at, problems),
        ("boolean", Value::Boolean(_)) => true,
        (wanted, found) => {
            let problem = format!("is {}, not {}", described(found.type_str()), described(wanted));
            problems.error(at, problem, example(wanted, at));
            false
        }
    }
}

/// The known name that `name` was probably meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .map(|known| (strsim::normalized_damerau_levenshtein(&name, &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

fn prune_table(table: &mut toml::Table, schema: &Schema, at: &KeyPath, problems: &mut Problems) {
    let Some(known) = properties(schema) else { return };
    let at = at.clone().named(table.get("id").and_then(Value::as_str));
    table.retain(|name, value| {
        let at = at.key(name);
        match known.get(name).or_else(|| further_keys(schema)) {
            Some(schema) => prune(value, schema, &at, problems),
            None => {
                report_unknown(name, known.keys().map(String::as_str), &at, problems);
                false
            }
        }
    });
}

fn report_unknown<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    at: &KeyPath,
    problems: &mut Problems,
) {
    let repair = match nearest(name, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
    };
    problems.error(at, "unknown key", repair);
}

/// A list with an entry of the wrong type goes as a whole: without the entry, the later ones
/// would be reported under wrong numbers.
fn prune_list(items: &mut [Value], schema: &Schema, at: &KeyPath, problems: &mut Problems) -> bool {
    let Some(schema) = schema.get("items") else { return true };
    let mut keep = true;
    for (index, item) in items.iter_mut().enumerate() {
        keep &= prune(item, schema, &at.index(index), problems);
    }
    keep
}

fn is_choice(text: &str, schema: &Schema, at: &KeyPath, problems: &mut Problems) -> bool {
    let choices: Vec<&str> = choices(schema).into_iter().map(|(word, _)| word).collect();
    if choices.is_empty() || choices.contains(&text) {
        return true;
    }
    let repair = match nearest(text, choices.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"? Choices: {}", choices.join(", ")),
        None => format!("choose one of: {}", choices.join(", ")),
    };
    problems.error(at, "is not one of the choices", repair);
    false
}

fn is_in_range(number: i64, schema: &Schema, at: &KeyPath, problems: &mut Problems) -> bool {
    let least = schema.get("minimum").and_then(Schema::as_i64).unwrap_or(i64::MIN);
    let most = schema.get("maximum").and_then(Schema::as_i64).unwrap_or_else(|| {
        match schema.get("format").and_then(Schema::as_str) {
            Some("uint8") => i64::from(u8::MAX),
            Some("uint16") => i64::from(u16::MAX),
            Some("uint32") => i64::from(u32::MAX),
            _ => i64::MAX,
        }
    });
    let fits = (least..=most).contains(&number);
    if !fits {
        problems.error(
            at,
            format!("{number} is out of range"),
            format!("give a number from {least} to {most}"),
        );
    }
    fits
}

fn described(kind: &str) -> &str {
    match kind {
        "object" | "table" => "a table",
        "array" => "a list",
        "string" => "a text",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "float" => "a number with a fraction",
        "datetime" => "a date",
        other => other,
    }
}

fn example(kind: &str, at: &KeyPath) -> String {
    let name = at.as_str().rsplit('.').next().unwrap_or_default();
    let bare = name.split('[').next().unwrap_or_default();
    let in_list = name.contains('[');
    match kind {
        "object" if in_list => format!("write it as [[{bare}]]"),
        "object" => format!("write it as [{}]", at.as_str()),
        "array" => format!("write {bare} = [\"…\", \"…\"] (or [[{bare}]] for tables)"),
        "string" if in_list => "put it in quotation marks".to_owned(),
        "string" => format!("write {bare} = \"…\" with quotation marks"),
        "integer" => format!("write {bare} = 10 without quotation marks"),
        "boolean" => format!("write {bare} = true or {bare} = false without quotation marks"),
        _ => String::new(),
    }
}
