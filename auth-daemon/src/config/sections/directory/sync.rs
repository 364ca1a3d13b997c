//! `[directory.sync]`: when people are synchronised, and what stops a harmful run.

use std::str::FromStr as _;
use std::time::Duration;

use auth_core::clock::Timestamp;
use chrono::{DateTime, Utc};
use croner::Cron;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::{DAY, DurationText, HOUR, MINUTE, Percent, PercentText};

/// Synchronisation of all people of the directory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawSync {
    /// When: `every 15m`, a cron expression in UTC such as `0 3 * * *`, or `off`.
    schedule: String,
    /// A full run comes at least this often; deletions are found by it.
    full_every: DurationText,
    /// A run that would deactivate more people than this changes nothing.
    deactivation_brake: RawBrake,
}

/// A run that would deactivate more people than this changes nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawBrake {
    /// Share of the directory's active accounts.
    share: PercentText,
    /// So many people may always be deactivated, however small the directory is.
    #[schemars(range(min = 0, max = 100_000))]
    people: u32,
    /// Deactivations of this time count together.
    window: DurationText,
}

impl Default for RawSync {
    fn default() -> Self {
        Self {
            schedule: "off".to_owned(),
            full_every: "24h".into(),
            deactivation_brake: RawBrake::default(),
        }
    }
}

impl Default for RawBrake {
    fn default() -> Self {
        Self { share: "10%".into(), people: 5, window: "24h".into() }
    }
}

/// When people are synchronised, and what stops a harmful run.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    /// When runs begin.
    pub(crate) schedule: Schedule,
    /// Time between two full runs.
    pub(crate) full_every: Duration,
    /// What stops a harmful run.
    pub(crate) brake: Brake,
}

/// What stops a harmful run.
/// When runs begin.
#[derive(Clone, Debug, Default)]
pub(crate) enum Schedule {
    /// Only by hand.
    #[default]
    Off,
    /// So long after the beginning of the last one.
    Every(Duration),
    /// At the moments of a cron expression, UTC.
    Cron(Box<Cron>),
}

impl Schedule {
    /// The next moment after `after`; `None`: there is none.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Off => None,
            Self::Every(every) => Some(after + *every),
            Self::Cron(cron) => {
                let after: DateTime<Utc> = DateTime::from_timestamp_millis(after.millis())?;
                let next = cron.find_next_occurrence(&after, false).ok()?;
                Some(Timestamp::from_millis(next.timestamp_millis()))
            }
        }
    }
}

/// What stops a harmful run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brake {
    /// Share of active accounts.
    pub(crate) share: Percent,
    /// Number of people that is always allowed.
    pub(crate) people: u32,
    /// Time over which deactivations are counted.
    pub(crate) window: Duration,
}

impl RawSync {
    pub(super) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Sync {
        let schedule = self.schedule(at, problems);
        let full_every =
            problems.duration(&at.key("full_every"), &self.full_every, HOUR..=DAY * 31);
        let brake = self.deactivation_brake.resolve(&at.key("deactivation_brake"), problems);
        Sync { schedule, full_every: full_every.unwrap_or_default(), brake }
    }

    fn schedule(&self, at: &KeyPath, problems: &mut Problems) -> Schedule {
        if self.schedule == "off" {
            return Schedule::Off;
        }
        let at = at.key("schedule");
        if let Some(every) = self.schedule.strip_prefix("every ") {
            let every = problems.duration(&at, &every.into(), MINUTE..=DAY * 31);
            return every.map_or(Schedule::Off, Schedule::Every);
        }
        let repair =
            "write \"every 15m\", a cron expression such as \"0 3 * * *\" (UTC), or \"off\"";
        match Cron::from_str(&self.schedule) {
            Ok(cron) => {
                let schedule = Schedule::Cron(Box::new(cron));
                if schedule.next(Timestamp::from_seconds(0)).is_none() {
                    problems.error(&at, "is a cron expression that no moment fits", repair);
                }
                schedule
            }
            Err(_) => {
                problems.error(&at, "is no schedule", repair);
                Schedule::Off
            }
        }
    }
}

impl RawBrake {
    fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Brake {
        Brake {
            share: problems.percent(&at.key("share"), &self.share).unwrap_or_default(),
            people: self.people,
            window: problems
                .duration(&at.key("window"), &self.window, HOUR..=DAY * 31)
                .unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> (Schedule, bool) {
        let mut problems = Problems::default();
        let raw = RawSync { schedule: text.to_owned(), ..RawSync::default() };
        let schedule = raw.schedule(&KeyPath::root(), &mut problems);
        (schedule, problems.has_errors())
    }

    #[test]
    fn schedules() {
        let after = Timestamp::parse_rfc3339("2026-01-31T10:07:00Z").unwrap();
        for (text, next) in [
            ("off", None),
            ("every 15m", Some("2026-01-31T10:22:00Z")),
            ("*/15 * * * *", Some("2026-01-31T10:15:00Z")),
            ("0 3 * * *", Some("2026-02-01T03:00:00Z")),
            ("*/10 * * * * *", Some("2026-01-31T10:07:10Z")),
            ("@hourly", Some("2026-01-31T11:00:00Z")),
        ] {
            let (schedule, wrong) = schedule(text);
            assert!(!wrong, "{text}");
            assert_eq!(schedule.next(after).map(Timestamp::rfc3339).as_deref(), next, "{text}");
        }
        for text in ["", "daily", "every", "every 1s", "61 * * * *", "0 0 31 2 *"] {
            assert!(schedule(text).1, "{text:?} is no schedule");
        }
    }
}
