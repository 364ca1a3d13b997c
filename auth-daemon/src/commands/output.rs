//! What commands print: data to standard output as JSON or a table, everything else to standard
//! error.

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Prints one JSON value, indented.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn json(value: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Prints one JSON value on one line.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn json_line(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Prints a table of rows whose cells are taken from JSON objects by key.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn table(columns: &[&str], rows: &[Value]) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.to_vec());
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(row.get(column))).collect::<Vec<_>>());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{table}")?;
    Ok(())
}

/// Prints `key: value` lines of a JSON object.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn facts(object: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if let Value::Object(map) = object {
        for (key, value) in map {
            writeln!(out, "{key}: {}", cell(Some(value)))?;
        }
    }
    Ok(())
}

/// Prints a line of text to standard output: the data that a command was asked for.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints a message for the person at the terminal to standard error.
pub(crate) fn note(text: &str) {
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn cell(value: Option<&Value>) -> String {
    let shown = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", ")
        }
        Some(Value::Object(map)) => {
            map.values().map(|item| cell(Some(item))).collect::<Vec<_>>().join(":")
        }
        Some(other) => other.to_string(),
    };
    // What a stranger sent (a user agent, a typed name) must not steer the terminal.
    shown.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_never_holds_control_characters() {
        assert_eq!(cell(Some(&Value::from("a\u{1b}[31mb\n"))), "a\u{fffd}[31mb\u{fffd}");
    }
}
