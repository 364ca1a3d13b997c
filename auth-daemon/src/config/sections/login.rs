//! `[login]`: the sign-in page.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};

/// The sign-in page.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawLogin {
    /// Ids of connectors (`local` for passwords) in the order in which they are offered; those that
    /// are not named come after. Default: directories, providers, passwords.
    order: Vec<String>,
}

impl RawLogin {
    /// Checks and gives the order.
    pub(in crate::config) fn resolve(
        self,
        at: &KeyPath,
        connectors: &[String],
        problems: &mut Problems,
    ) -> Vec<String> {
        for (index, id) in self.order.iter().enumerate() {
            let at = at.key("order").index(index);
            if !connectors.contains(id) {
                let known = format!("known are {}", connectors.join(", "));
                problems.error(&at, format!("there is no connector `{id}`"), known);
            } else if self.order.iter().take(index).any(|other| other == id) {
                problems.error(&at, format!("`{id}` is listed twice"), "remove one");
            }
        }
        self.order
    }
}
