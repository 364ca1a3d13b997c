//! `[[directory.group_map]]`: what membership in a group brings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::finding::{KeyPath, Problems};

/// What membership in one group brings. Several tables may be about one group.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawGroupMapping {
    /// The group as it stands in a person's groups: its name, or its DN with `names = "dn"`. Case
    /// does not count.
    #[schemars(extend("x-required" = true))]
    group: Option<String>,
    /// A role in claims. A guest is never an administrator.
    role: Option<MappedRole>,
    /// Teams, for the claim `teams` (scope `groups`).
    teams: Vec<String>,
    /// Channels, for the claim `channels` (scope `groups`), as the chat server names them.
    channels: Vec<String>,
}

/// A role that a group can bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MappedRole {
    /// Administrator.
    Administrator,
    /// Guest.
    Guest,
}

/// What membership in one group brings.
#[derive(Clone, Debug)]
pub(crate) struct GroupMapping {
    /// The group.
    pub(crate) group: String,
    /// Role.
    pub(crate) role: Option<MappedRole>,
    /// Teams.
    pub(crate) teams: Vec<String>,
    /// Channels.
    pub(crate) channels: Vec<String>,
}

pub(super) fn resolve(
    raw: Vec<RawGroupMapping>,
    at: &KeyPath,
    problems: &mut Problems,
) -> Vec<GroupMapping> {
    raw.into_iter()
        .enumerate()
        .filter_map(|(index, raw)| {
            let at = at.index(index);
            let group = raw.group.filter(|group| !group.trim().is_empty());
            let Some(group) = group else {
                problems.missing(&at.key("group"), "name the group, e.g. group = \"staff\"");
                return None;
            };
            for (key, values) in [("teams", &raw.teams), ("channels", &raw.channels)] {
                for (index, value) in values.iter().enumerate() {
                    if value.trim().is_empty() || value.chars().any(char::is_control) {
                        problems.error(
                            &at.key(key).index(index),
                            "is no name",
                            "name a team or channel of the chat server",
                        );
                    }
                }
            }
            if raw.role.is_none() && raw.teams.is_empty() && raw.channels.is_empty() {
                problems.error(&at, "brings nothing", "give a role, teams or channels");
            }
            Some(GroupMapping { group, role: raw.role, teams: raw.teams, channels: raw.channels })
        })
        .collect()
}
