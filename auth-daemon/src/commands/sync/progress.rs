//! How far a run is: a bar on a terminal, plain lines elsewhere, both on standard error.

use std::io::IsTerminal as _;

use auth_core::directory_sync::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use crate::output;

/// Plain lines come at every twentieth.
const STEPS: u64 = 20;
/// And while reading, at every so many entries.
const ENTRIES: u64 = 10_000;

/// Shows how far it is.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    said: Mutex<Option<(&'static str, u64)>>,
}

impl Meter {
    /// A bar if standard error is a terminal.
    pub(super) fn new() -> Self {
        let bar = std::io::stderr()
            .is_terminal()
            .then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
        Self { bar, said: Mutex::default() }
    }

    /// Shows a step.
    pub(super) fn progress(&self, progress: &Progress) {
        let (what, done, total) = match progress {
            Progress::Waiting { holder } => {
                self.say("waiting", 0, || {
                    format!("another run is under way or died ({holder}): waiting for its lease")
                });
                return;
            }
            Progress::Reading { entries } => ("reading", *entries, None),
            Progress::Comparing { done, total } => ("comparing", *done, Some(*total)),
            Progress::Applying { done, total } => ("applying", *done, Some(*total)),
        };
        match &self.bar {
            Some(bar) => draw(bar, what, done, total),
            None => {
                let step = match total {
                    Some(total) if total > 0 => done * STEPS / total,
                    _ => done / ENTRIES,
                };
                self.say(what, step, || match total {
                    Some(total) => format!("{what}: {done} of {total}"),
                    None => format!("{what}: {done} entries"),
                });
            }
        }
    }

    /// Says something without disturbing the bar.
    pub(super) fn message(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::message(text)),
            None => output::message(text),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, what: &'static str, step: u64, text: impl FnOnce() -> String) {
        let mut said = self.said.lock();
        if *said == Some((what, step)) {
            return;
        }
        *said = Some((what, step));
        drop(said);
        self.message(&text());
    }
}

fn draw(bar: &ProgressBar, what: &'static str, done: u64, total: Option<u64>) {
    let template = if total.is_some() {
        "{msg:<10} {wide_bar} {pos}/{len} {eta}"
    } else {
        "{msg:<10} {spinner} {pos} entries {per_sec}"
    };
    if bar.message() != what {
        bar.reset();
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
    }
    if let Some(total) = total {
        bar.set_length(total);
    }
    bar.set_position(done);
}
