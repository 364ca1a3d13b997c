//! Shares such as `10%`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::config::finding::{KeyPath, Problems};

/// A share as written; [`Problems::percent`] reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct PercentText(String);

impl From<&str> for PercentText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for PercentText {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^(100|[0-9]{1,2})%$"})
    }
}

/// A share in whole percent, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Percent(u8);

impl Percent {
    /// The number in front of the percent sign.
    pub(crate) const fn value(self) -> u8 {
        self.0
    }
}

impl Problems {
    /// Reads a share from 0% to 100%.
    pub(in crate::config) fn percent(
        &mut self,
        at: &KeyPath,
        text: &PercentText,
    ) -> Option<Percent> {
        let share = parse(&text.0);
        if share.is_none() {
            self.error(at, "is no share", "write a whole number from \"0%\" to \"100%\"");
        }
        share
    }
}

fn parse(text: &str) -> Option<Percent> {
    let digits =
        text.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|share| *share <= 100).map(Percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_percent_only() {
        for (text, share) in [("0%", Some(0)), ("10%", Some(10)), ("100%", Some(100))] {
            assert_eq!(parse(text).map(Percent::value), share, "{text}");
        }
        for wrong in ["", "%", "10", "101%", "-1%", "+1%", "1.5%", "10 %", "300%"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
