//! Durations as people write them: `500ms`, `30s`, `15m`, `8h`, `30d`.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::config::finding::{KeyPath, Problems};

/// 60 seconds.
pub(in crate::config) const MINUTE: Duration = Duration::from_secs(60);
/// 60 minutes.
pub(in crate::config) const HOUR: Duration = Duration::from_secs(3600);
/// 24 hours.
pub(in crate::config) const DAY: Duration = Duration::from_secs(86_400);

/// Units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A duration as written; [`Problems::duration`] reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct DurationText(String);

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "duration", "pattern": "^[0-9]+(ms|s|m|h|d)$"})
    }
}

impl Problems {
    /// Reads a duration that has to lie within `limits`.
    pub(in crate::config) fn duration(
        &mut self,
        at: &KeyPath,
        text: &DurationText,
        limits: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let (least, most) = (written(*limits.start()), written(*limits.end()));
        let Some(duration) = parse(&text.0) else {
            self.error(
                at,
                "is no duration",
                format!(
                    "write a whole number and one unit of ms, s, m, h, d, from \"{least}\" to \"{most}\""
                ),
            );
            return None;
        };
        if !limits.contains(&duration) {
            let problem = format!("{} is out of range", text.0);
            self.error(at, problem, format!("give \"{least}\" to \"{most}\""));
            return None;
        }
        Some(duration)
    }
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*millis).map(Duration::from_millis)
}

/// The duration in the largest unit that gives a whole number.
pub(in crate::config) fn written(duration: Duration) -> String {
    let total = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match UNITS.iter().find(|(_, unit)| total >= *unit && total.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", total / unit),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(parse(text), millis.map(Duration::from_millis), "{text:?}");
        };
        check("500ms", Some(500));
        check("30s", Some(30_000));
        check("15m", Some(900_000));
        check("8h", Some(28_800_000));
        check("30d", Some(2_592_000_000));
        check("0s", Some(0));
        for wrong in [
            "",
            "30",
            "s",
            "1.5h",
            "-1s",
            "1 h",
            "1h30m",
            "1w",
            "1H",
            "99999999999999999999d",
            "１s",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn written_is_read_back() {
        for text in ["1ms", "1500ms", "90s", "60s", "1h", "36h", "30d"] {
            let duration = parse(text).expect(text);
            assert_eq!(parse(&written(duration)), Some(duration), "{text}");
        }
        assert_eq!(written(Duration::from_secs(3600)), "1h");
        assert_eq!(written(Duration::ZERO), "0s");
    }
}
