//! `[throttle]`: how wrong guesses are slowed down.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::{DAY, DurationText};

/// How guesses at passwords and codes are slowed down. Keep `failures_per_account` below the
/// directory's own threshold, so that nobody can lock a colleague out of the directory. A browser
/// on which somebody signed in before counts as a source of its own for that person: guesses of
/// others, behind the same address too, neither slow nor shut it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawThrottle {
    /// Failures in a row, from one source network, after which an account takes no further tries
    /// from there for the time of `lockout`. 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    failures_per_account: u32,
    /// How long that lasts; it ends by itself.
    lockout: DurationText,
    /// Refused sign-ins a minute that one source (an IPv4 address, an IPv6 /64) may cause, for all
    /// accounts together.
    #[schemars(range(min = 1, max = 1_000_000))]
    source_per_minute: u32,
    /// Refused sign-ins that a source may cause at once before `source_per_minute` holds.
    #[schemars(range(min = 1, max = 1_000_000))]
    source_burst: u32,
}

impl Default for RawThrottle {
    fn default() -> Self {
        Self {
            failures_per_account: 10,
            lockout: "15m".into(),
            source_per_minute: 120,
            source_burst: 60,
        }
    }
}

/// How guesses are slowed down.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// Failures in a row that an account takes from one source network.
    pub(crate) failures_per_account: u32,
    /// How long an account takes no tries from there afterwards.
    pub(crate) lockout: Duration,
    /// Tries a minute from one source network.
    pub(crate) source_per_minute: u32,
    /// Tries that it may make at once.
    pub(crate) source_burst: u32,
}

impl RawThrottle {
    pub(in crate::config) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Throttle {
        let limits = Duration::from_secs(1)..=DAY;
        let lockout = problems.duration(&at.key("lockout"), &self.lockout, limits);
        Throttle {
            failures_per_account: self.failures_per_account,
            lockout: lockout.unwrap_or_default(),
            source_per_minute: self.source_per_minute,
            source_burst: self.source_burst,
        }
    }
}
