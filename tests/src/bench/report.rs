//! The figures of a run: printed one by one as they come, and as one Markdown table at the end.

use std::fmt::Write as _;

/// All figures so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
}

/// One figure.
#[derive(Debug, Default, Clone)]
pub(super) struct Row {
    /// What was measured.
    pub(super) what: String,
    /// Backend, number of clients and the like.
    pub(super) of: String,
    /// The daemon's figure.
    pub(super) daemon: String,
    /// What it is compared with, measured in the same run; empty when there is nothing.
    pub(super) beside: String,
    /// Daemon's figure divided by the other.
    pub(super) ratio: Option<f64>,
    /// What is aimed at; empty when the figure is there to be known only.
    pub(super) goal: String,
    /// Whether the goal is reached.
    pub(super) reached: Option<bool>,
}

impl Report {
    /// Prints a figure and keeps it.
    pub(super) fn add(&mut self, row: Row) {
        let mut line = format!("{} ({}): {}", row.what, row.of, row.daemon);
        if !row.beside.is_empty() {
            let _ = write!(line, "; beside it {}", row.beside);
        }
        if let Some(ratio) = row.ratio {
            let _ = write!(line, "; ratio {ratio:.2}");
        }
        if !row.goal.is_empty() {
            let _ = write!(line, "; goal {}: {}", row.goal, row.verdict());
        }
        println!("{line}");
        self.rows.push(row);
    }

    /// All figures as a Markdown table.
    pub(super) fn table(&self) -> String {
        let mut table = String::from(
            "| measured | of | daemon | beside it, same run | ratio | goal | reached |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for row in &self.rows {
            let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let verdict = if row.goal.is_empty() { "" } else { row.verdict() };
            let _ = writeln!(
                table,
                "| {} | {} | {} | {} | {ratio} | {} | {verdict} |",
                row.what, row.of, row.daemon, row.beside, row.goal
            );
        }
        table
    }
}

impl Row {
    fn verdict(&self) -> &'static str {
        match self.reached {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        }
    }
}

/// A rate, for example `12,345/s`.
pub(super) fn per_second(rate: f64) -> String {
    if rate < 100.0 {
        return format!("{rate:.1}/s");
    }
    let digits = format!("{rate:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped}/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_readable() {
        let cases = [(7.25, "7.2/s"), (100.0, "100/s"), (1234.5, "1,234/s"), (1e6, "1,000,000/s")];
        for (rate, expected) in cases {
            assert_eq!(per_second(rate), expected);
        }
    }

    #[test]
    fn the_table_has_one_line_per_figure() {
        let mut report = Report::default();
        report.add(Row {
            what: "checks".into(),
            of: "SQLite".into(),
            daemon: "80/s".into(),
            beside: "100/s".into(),
            ratio: Some(0.8),
            goal: "at least 0.80".into(),
            reached: Some(true),
        });
        report.add(Row { what: "memory".into(), daemon: "9 MiB".into(), ..Row::default() });
        let table = report.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2], "| checks | SQLite | 80/s | 100/s | 0.80 | at least 0.80 | yes |");
        assert_eq!(lines[3], "| memory |  | 9 MiB |  |  |  |  |");
    }
}
