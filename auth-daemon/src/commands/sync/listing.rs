//! What `sync plan` and `sync run` print: lines as they come, and how far it is.
//!
//! JSON is written while the plan is made, so that a plan of a million lines needs no memory; the
//! table shows the first lines only.

use auth_core::directory_sync::{Change, Operation, Progress, SyncError, SyncOutcome, Watcher};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::progress::Meter;
use crate::output;

/// Lines of the table.
const SHOWN: usize = 200;
/// Bytes of JSON that are written at once.
const PIECE: usize = 16 * 1024;
/// Characters of a cell.
const CELL: usize = 90;

/// Prints a plan or a run.
pub(super) struct Listing {
    directory: String,
    as_json: bool,
    runs: bool,
    lines: Mutex<Lines>,
    meter: Meter,
}

#[derive(Default)]
struct Lines {
    number: usize,
    /// JSON that was not written yet.
    kept: String,
    shown: Vec<[String; 4]>,
}

impl Listing {
    /// For a directory; `runs`: what is listed was done.
    pub(super) fn new(directory: &str, as_json: bool, runs: bool) -> Self {
        Self {
            directory: directory.to_owned(),
            as_json,
            runs,
            lines: Mutex::default(),
            meter: Meter::new(),
        }
    }

    /// Says something beside the progress.
    pub(super) fn message(&self, text: &str) {
        self.meter.message(text);
    }

    /// Prints the end.
    pub(super) fn finish(&self, outcome: &Result<SyncOutcome, SyncError>) {
        self.meter.finish();
        let mut lines = self.lines.lock();
        output::text(&std::mem::take(&mut lines.kept));
        if self.as_json {
            self.finish_json(&lines, outcome);
        } else {
            self.finish_table(&lines, outcome);
        }
    }

    fn finish_json(&self, lines: &Lines, outcome: &Result<SyncOutcome, SyncError>) {
        let mut object = Map::new();
        object.insert("directory".to_owned(), json!(self.directory));
        match outcome {
            Ok(outcome) => {
                object.insert("kind".to_owned(), json!(outcome.kind));
                object.insert("entries".to_owned(), json!(outcome.entries));
                object.insert("searches".to_owned(), json!(outcome.searches));
                object.insert("server".to_owned(), json!(outcome.server));
                object.insert("counts".to_owned(), json!(outcome.counts));
                object.insert("brake".to_owned(), json!(outcome.brake));
                if self.runs {
                    object.insert("applied".to_owned(), json!(outcome.applied));
                    object.insert("left_out".to_owned(), json!(outcome.left_out));
                }
                object.insert("seconds".to_owned(), json!(outcome.took.as_secs_f64()));
            }
            // Nothing was printed yet: the message on standard error is enough.
            Err(_) if lines.number == 0 => return,
            Err(error) => {
                object.insert("error".to_owned(), json!(error.to_string()));
            }
        }
        let members: Vec<String> = object
            .iter()
            .map(|(name, value)| format!("  {}: {value}", Value::from(name.as_str())))
            .collect();
        let begin = if lines.number == 0 { "{\n  \"changes\": [" } else { "" };
        output::line(&format!("{begin}\n  ],\n{}\n}}", members.join(",\n")));
    }

    fn finish_table(&self, lines: &Lines, outcome: &Result<SyncOutcome, SyncError>) {
        if !lines.shown.is_empty() {
            output::table(["op", "account", "dn", "change"], lines.shown.iter().cloned());
        }
        if lines.number > lines.shown.len() {
            let more = lines.number - lines.shown.len();
            output::line(&format!("… and {more} more lines; --json lists all"));
        }
        let Ok(outcome) = outcome else { return };
        let counts = outcome.counts;
        output::line(&format!(
            "{} read of {:?}: {} entries; create {}, update {}, deactivate {}, reactivate {}, \
             conflict {}, unchanged {}",
            outcome.kind,
            self.directory,
            outcome.entries,
            counts.create,
            counts.update,
            counts.deactivate,
            counts.reactivate,
            counts.conflict,
            counts.unchanged
        ));
        if let Some(brake) = &outcome.brake {
            let word = if brake.overridden { "overridden" } else { "refused" };
            output::line(&format!("brake ({word}): {}", output::plain(&brake.reason)));
        }
        if self.runs {
            output::line(&format!(
                "{} accounts written in {:.1} s",
                outcome.applied,
                outcome.took.as_secs_f64()
            ));
        }
        if outcome.left_out > 0 {
            output::line(&format!(
                "{} people kept changing; the next run looks at them again",
                outcome.left_out
            ));
        }
    }
}

impl Watcher for Listing {
    fn progress(&self, progress: Progress) {
        self.meter.progress(&progress);
    }

    fn change(&self, change: &Change) {
        let mut lines = self.lines.lock();
        lines.number += 1;
        if self.as_json {
            let begin = if lines.number == 1 { "{\n  \"changes\": [\n" } else { ",\n" };
            match serde_json::to_string(change) {
                Ok(text) => {
                    lines.kept.push_str(begin);
                    lines.kept.push_str("    ");
                    lines.kept.push_str(&text);
                    if lines.kept.len() >= PIECE {
                        output::text(&std::mem::take(&mut lines.kept));
                    }
                }
                Err(error) => self.meter.message(&format!("a change has no JSON form: {error}")),
            }
        } else if lines.shown.len() < SHOWN {
            lines.shown.push(row(change));
        }
    }
}

fn row(change: &Change) -> [String; 4] {
    let fields: Vec<String> = change
        .fields
        .iter()
        // Of a new account every field is new: its address tells enough.
        .filter(|(name, _)| change.op != Operation::Create || **name == "email")
        .map(|(name, field)| match &field.from {
            Value::Null => format!("{name}: {}", short(&field.to)),
            from => format!("{name}: {} → {}", short(from), short(&field.to)),
        })
        .collect();
    let what: Vec<&str> =
        change.reason.as_deref().into_iter().chain(fields.iter().map(String::as_str)).collect();
    [
        change.op.as_str().to_owned(),
        cell(change.account.as_deref().unwrap_or_default(), CELL),
        cell(&change.dn, CELL),
        cell(&what.join("; "), CELL * 5),
    ]
}

fn short(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(" "),
        Value::Object(members) => {
            let one = |(name, value): (&String, &Value)| format!("{name}={}", short(value));
            members.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

fn cell(text: &str, length: usize) -> String {
    let text = output::plain(text);
    if text.chars().count() <= length {
        return text;
    }
    let kept: String = text.chars().take(length - 1).collect();
    format!("{kept}…")
}
