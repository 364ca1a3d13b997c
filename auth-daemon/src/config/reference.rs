//! The reference page `docs/configuration.md`, written from the schema.
//!
//! `auth-daemon config schema --markdown` prints it; a test compares it with the checked-in page.

use std::fmt::Write as _;

use serde_json::Value;

use super::schema::{choices, description, further_keys, kind, properties, schema};

/// Order of the sections; one that is not named here comes last.
const ORDER: [&str; 12] = [
    "listen",
    "storage",
    "keys",
    "session",
    "password",
    "throttle",
    "mfa",
    "directory",
    "client",
    "admin",
    "saml",
    "oidc",
];

const INTRODUCTION: &str = "\
# Configuration

<!-- Written by `auth-daemon config schema --markdown`. Change the doc comments in auth-daemon/src/config instead. -->

The file is TOML. It is the one named by `--config`, else by the environment variable `AUTH_DAEMON_CONFIG`, else
`./auth-daemon.toml`, else `/etc/auth-daemon/auth-daemon.toml`. `auth-daemon config init` writes a starter file,
`auth-daemon config check` finds everything that is wrong with one, `auth-daemon config schema` prints its JSON schema
(checked in as `docs/config-schema.json`).

- Any value can come from the environment: `AUTH_DAEMON__`, then the key in capitals, its parts joined by two
  underscores: `AUTH_DAEMON__SESSION__IDLE_TIMEOUT=30m`. A list or table is given as TOML or JSON:
  `AUTH_DAEMON__LISTEN__TRUSTED_PROXIES='[\"10.0.0.0/8\"]'`. An entry of a list that the file has is named by its number:
  `AUTH_DAEMON__DIRECTORY__0__BIND_PASSWORD_FILE=/run/secrets/reader`. The environment wins over the file.
- A secret `x` can be given as `x_file`, the path of a file that holds it (a newline at its end is cut). Both is an error.
- A duration is a whole number and one unit: `500ms`, `30s`, `15m`, `8h`, `30d`. A share is whole percent: `10%`.
- Relative paths start at the working directory of the daemon.
- Unknown keys are errors. The daemon does not start with a file that has errors (exit code 78); it names all of them.
";

/// The whole page.
pub(crate) fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    let schema = schema();
    table(&mut page, "", &schema);
    page
}

/// The part about one table, and those below it.
fn table(page: &mut String, path: &str, schema: &Value) {
    let mut rows = String::new();
    let mut below: Vec<(&str, &Value)> = Vec::new();
    for (name, property) in sorted(schema) {
        if is_table(property) {
            below.push((name, property));
        } else {
            row(&mut rows, name, property, is_required(schema, name));
        }
    }
    if path.is_empty() {
        page.push_str("\n## Top level\n");
    }
    if !rows.is_empty() {
        page.push_str("\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
        page.push_str(&rows);
    }
    for (name, property) in below {
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let level = if path.contains('.') { "###" } else { "##" };
        let (open, close, inner) = match property.get("items") {
            Some(items) => ("[[", "]]", items),
            None => ("[", "]", property),
        };
        let text = match description(inner) {
            "" => description(property),
            text => text,
        };
        let _ = writeln!(page, "\n{level} `{open}{path}{close}`\n\n{}", text.trim());
        if let Some(further) = further_keys(inner).filter(|_| properties(inner).is_none()) {
            let _ = writeln!(page, "\nAny key; each value is {}.", value(further));
        }
        table(page, &path, inner);
    }
}

fn row(rows: &mut String, name: &str, property: &Value, required: bool) {
    let default = match property.get("default") {
        _ if required => "**required**".to_owned(),
        Some(Value::Array(items)) if items.is_empty() => "empty".to_owned(),
        Some(default) => format!("`{default}`"),
        None => String::new(),
    };
    let mut meaning = description(property).replace('\n', " ");
    for (word, text) in choices(property).iter().filter(|(_, text)| !text.is_empty()) {
        let _ = write!(meaning, "<br>`{word}`: {}", text.replace('\n', " "));
    }
    let _ = writeln!(
        rows,
        "| `{name}` | {} | {} | {} |",
        value(property),
        default.replace('|', "\\|"),
        meaning.replace('|', "\\|")
    );
}

fn value(property: &Value) -> String {
    let words: Vec<String> =
        choices(property).iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
    if !words.is_empty() {
        return words.join(", ");
    }
    if property.get("format").and_then(Value::as_str) == Some("duration") {
        return "duration".to_owned();
    }
    if property.get("writeOnly").is_some() {
        return "secret".to_owned();
    }
    match kind(property) {
        "array" => format!("list of {}s", property.get("items").map(value).unwrap_or_default()),
        "boolean" => "`true`, `false`".to_owned(),
        "integer" => "number".to_owned(),
        "string" if is_percent(property) => "share".to_owned(),
        "string" => "text".to_owned(),
        other => other.to_owned(),
    }
}

fn is_percent(property: &Value) -> bool {
    property.get("pattern").and_then(Value::as_str).is_some_and(|pattern| pattern.ends_with("%$"))
}

fn is_table(property: &Value) -> bool {
    kind(property) == "object" || property.get("items").is_some_and(|items| kind(items) == "object")
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema
        .get("required")
        .and_then(Value::as_array)
        .is_some_and(|required| required.iter().any(|required| required == name))
}

/// Required keys first, then by name; sections in [`ORDER`].
fn sorted(schema: &Value) -> Vec<(&str, &Value)> {
    let mut entries: Vec<(&str, &Value)> =
        properties(schema).into_iter().flatten().map(|(name, p)| (name.as_str(), p)).collect();
    entries.sort_by_key(|(name, _)| {
        let section = ORDER.iter().position(|section| section == name);
        (!is_required(schema, name), section.unwrap_or(ORDER.len()), *name)
    });
    entries
}
