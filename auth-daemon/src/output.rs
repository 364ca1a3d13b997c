//! What commands print: data goes to standard output, messages to standard error.
//!
//! A closed pipe (`auth-daemon user list | head`) is no failure of the command.

use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use serde_json::Value;

/// Whether data could not be written, e.g. to a full disk.
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether all data was written; a pipe that its reader closed counts as written.
pub(crate) fn is_complete() -> bool {
    !LOST.load(Ordering::Relaxed)
}

/// Prints a line of data.
pub(crate) fn line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    if written.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe) {
        LOST.store(true, Ordering::Relaxed);
    }
}

/// Prints a part of the data, without an end of line.
pub(crate) fn text(text: &str) {
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    if written.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe) {
        LOST.store(true, Ordering::Relaxed);
    }
}

/// Prints a value as indented JSON.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(&text),
        Err(error) => message(&format!("the result has no JSON form: {error}")),
    }
}

/// Prints rows under a header.
pub(crate) fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    line(&table.trim_fmt());
}

/// Prints a message.
pub(crate) fn message(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}

/// Prints JSON objects as a table of the named keys.
pub(crate) fn rows(columns: &[&str], rows: &[Value]) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.to_vec());
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(row.get(column))).collect::<Vec<_>>());
    }
    line(&table.trim_fmt());
}

/// Prints the members of a JSON object, one a line.
pub(crate) fn facts(object: &Value) {
    if let Value::Object(members) = object {
        for (name, value) in members {
            line(&format!("{name}: {}", cell(Some(value))));
        }
    }
}

/// Prints one value as JSON on one line.
pub(crate) fn json_line<T: Serialize + ?Sized>(value: &T) {
    match serde_json::to_string(value) {
        Ok(text) => line(&text),
        Err(error) => message(&format!("the result has no JSON form: {error}")),
    }
}

fn cell(value: Option<&Value>) -> String {
    let shown = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", ")
        }
        Some(Value::Object(members)) => {
            members.values().map(|item| cell(Some(item))).collect::<Vec<_>>().join(":")
        }
        Some(other) => other.to_string(),
    };
    plain(&shown)
}

/// What a stranger sent (a user agent, a typed name) must not steer the terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_never_holds_control_characters() {
        assert_eq!(cell(Some(&Value::from("a\u{1b}[31mb\n"))), "a\u{fffd}[31mb\u{fffd}");
    }
}
