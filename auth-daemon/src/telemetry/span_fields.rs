//! The fields of a span as JSON, written as they come. Every request has a span and few write a log
//! line, so what it costs to make one counts: the formatter of `tracing-subscriber` builds a map of
//! values first.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};

/// Formats a span's fields as one JSON object.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanFields;

impl<'w> FormatFields<'w> for SpanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut members = Members { writer, any: false, result: Ok(()) };
        members.writer.write_char('{')?;
        fields.record(&mut members);
        members.result?;
        members.writer.write_char('}')
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let known = current.fields.strip_suffix('}').map(str::len);
        let Some(known) = known.filter(|length| *length > 1) else {
            current.fields.clear();
            return self.format_fields(current.as_writer(), fields);
        };
        current.fields.truncate(known);
        let mut members = Members { writer: current.as_writer(), any: true, result: Ok(()) };
        fields.record(&mut members);
        members.result?;
        members.writer.write_char('}')
    }
}

/// Members of an object that is open.
struct Members<'w> {
    writer: Writer<'w>,
    any: bool,
    result: fmt::Result,
}

impl Members<'_> {
    fn member(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_err() {
            return;
        }
        self.result = (|| {
            if self.any {
                self.writer.write_char(',')?;
            }
            self.any = true;
            text(&mut self.writer, format_args!("{}", field.name()))?;
            self.writer.write_char(':')?;
            write(&mut self.writer)
        })();
    }
}

impl Visit for Members<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field, |writer| text(writer, format_args!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |writer| text(writer, format_args!("{value}")));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| write!(writer, "{value}"));
    }
}

/// A JSON string (RFC 8259 section 7).
fn text(writer: &mut Writer<'_>, value: fmt::Arguments<'_>) -> fmt::Result {
    writer.write_char('"')?;
    Escaped(writer).write_fmt(value)?;
    writer.write_char('"')
}

struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut special = special.chars();
            match special.next() {
                Some(c @ ('"' | '\\')) => write!(self.0, "\\{c}")?,
                Some(c) => write!(self.0, "\\u{:04x}", u32::from(c))?,
                None => {}
            }
            rest = special.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The span of the one line that `work` logs.
    fn span_of(work: impl FnOnce()) -> Value {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .with_current_span(true)
            .fmt_fields(SpanFields)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let line = lines.0.lock().unwrap().clone();
        let line: Value = serde_json::from_slice(&line).unwrap();
        line["span"].clone()
    }

    #[test]
    fn whatever_stands_in_a_field_the_line_stays_json() {
        let path = "/a\"b\\c\n\u{1}\u{7f}\u{e4}";
        let span = span_of(|| {
            let span = tracing::info_span!("request", id = %7, path, n = -1, u = 2u64, ok = true);
            span.in_scope(|| tracing::info!("here"));
        });
        let expected =
            json!({"name": "request", "id": "7", "path": path, "n": -1, "u": 2, "ok": true});
        assert_eq!(span, expected);
    }

    #[test]
    fn fields_that_come_later_are_added() {
        for first in [true, false] {
            let span = span_of(|| {
                let span = tracing::info_span!(
                    "request",
                    id = tracing::field::Empty,
                    late = tracing::field::Empty
                );
                if first {
                    span.record("id", "1");
                }
                span.record("late", "2");
                span.in_scope(|| tracing::info!("here"));
            });
            assert_eq!(span["late"], "2", "{span}");
            assert_eq!(span.get("id").is_some(), first, "{span}");
        }
    }
}
