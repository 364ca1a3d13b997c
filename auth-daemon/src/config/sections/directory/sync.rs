//! `[directory.sync]`: when people are synchronised, and what stops a harmful run.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::{DAY, DurationText, HOUR, MINUTE, Percent, PercentText};

/// Synchronisation of all people of the directory. This version does not run it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawSync {
    /// When: `every 15m`, or `off`.
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
#[expect(dead_code, reason = "checked now, used once sync jobs exist")]
pub(crate) struct Sync {
    /// Time between two runs; `None`: only by hand.
    pub(crate) every: Option<Duration>,
    /// Time between two full runs.
    pub(crate) full_every: Duration,
    /// What stops a harmful run.
    pub(crate) brake: Brake,
}

/// What stops a harmful run.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "used once sync jobs exist")]
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
        problems.warning(
            at,
            "this version does not synchronise: people are updated when they sign in or refresh",
            "nothing to do",
        );
        let every = self.schedule(at, problems);
        let full_every =
            problems.duration(&at.key("full_every"), &self.full_every, HOUR..=DAY * 31);
        let brake = self.deactivation_brake.resolve(&at.key("deactivation_brake"), problems);
        Sync { every, full_every: full_every.unwrap_or_default(), brake }
    }

    fn schedule(&self, at: &KeyPath, problems: &mut Problems) -> Option<Duration> {
        if self.schedule == "off" {
            return None;
        }
        let at = at.key("schedule");
        let Some(every) = self.schedule.strip_prefix("every ") else {
            problems.error(&at, "is no schedule", "write \"every 15m\" or \"off\"");
            return None;
        };
        problems.duration(&at, &every.into(), MINUTE..=DAY * 31)
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
