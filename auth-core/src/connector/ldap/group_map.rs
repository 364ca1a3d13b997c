//! From groups of the directory to roles, and to teams and channels of the chat server.
//!
//! Teams and channels become the claims `teams` and `channels`; what a chat server makes of them
//! is its own matter.

use super::dn;
use crate::account::normalise;
use crate::connector::Profile;

/// What membership in one group brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMapping {
    /// The group as it stands in a person's groups: its name, or its DN. Case does not count.
    pub group: String,
    /// A role.
    pub role: Option<GroupRole>,
    /// Teams.
    pub teams: Vec<String>,
    /// Channels, as the chat server names them, e.g. `engineering/town-square`.
    pub channels: Vec<String>,
}

/// A role that a group can bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupRole {
    /// Administrator.
    Administrator,
    /// Guest. A guest is never an administrator.
    Guest,
}

/// Adds what `profile.groups` brings by `map`.
pub(super) fn apply(map: &[GroupMapping], profile: &mut Profile) {
    if map.is_empty() {
        return;
    }
    let groups: Vec<String> = profile.groups.iter().map(|group| key(group)).collect();
    let (mut guest, mut administrator) = (false, false);
    let (mut teams, mut channels) = (Vec::new(), Vec::new());
    for mapping in map.iter().filter(|mapping| groups.contains(&key(&mapping.group))) {
        guest |= mapping.role == Some(GroupRole::Guest);
        administrator |= mapping.role == Some(GroupRole::Administrator);
        teams.extend(mapping.teams.iter().cloned());
        channels.extend(mapping.channels.iter().cloned());
    }
    guest |= profile.roles.iter().any(|role| role == GUEST);
    administrator |= profile.roles.iter().any(|role| role == ADMINISTRATOR);
    // Of two roles the weaker one counts.
    profile.roles = if guest {
        vec![GUEST.to_owned()]
    } else if administrator {
        vec![ADMINISTRATOR.to_owned()]
    } else {
        Vec::new()
    };
    for (claim, mut values) in [("teams", teams), ("channels", channels)] {
        if !values.is_empty() {
            values.extend(profile.claims.remove(claim).unwrap_or_default());
            values.sort_unstable();
            values.dedup();
            profile.claims.insert(claim.to_owned(), values);
        }
    }
}

const GUEST: &str = "guest";
const ADMINISTRATOR: &str = "administrator";

/// Two spellings of one group have one key.
fn key(group: &str) -> String {
    if group.contains('=') { dn::key(group) } else { normalise(group) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(group: &str, role: Option<GroupRole>, teams: &[&str]) -> GroupMapping {
        GroupMapping {
            group: group.to_owned(),
            role,
            teams: teams.iter().map(|&team| team.to_owned()).collect(),
            channels: teams.iter().map(|team| format!("{team}/town")).collect(),
        }
    }

    fn check(groups: &[&str], before: &[&str], roles: &[&str], teams: &[&str]) {
        let map = [
            mapping("Staff", None, &["all", "eng"]),
            mapping("cn=boss, dc=x", Some(GroupRole::Administrator), &["all", "board"]),
            mapping("externals", Some(GroupRole::Guest), &[]),
        ];
        let mut profile = Profile {
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            roles: before.iter().map(|&role| role.to_owned()).collect(),
            ..Profile::default()
        };
        apply(&map, &mut profile);
        assert_eq!(profile.roles, roles, "{groups:?}");
        assert_eq!(profile.claims.get("teams").map_or(&[][..], Vec::as_slice), teams, "{groups:?}");
    }

    #[test]
    fn groups_bring_roles_teams_and_channels() {
        check(&[], &[], &[], &[]);
        check(&["other"], &["administrator"], &["administrator"], &[]);
        check(&["staff"], &[], &[], &["all", "eng"]);
        check(&["STAFF", "CN=Boss,DC=X"], &[], &["administrator"], &["all", "board", "eng"]);
        check(&["cn=boss,dc=x", "Externals"], &[], &["guest"], &["all", "board"]);
        check(&["cn=boss,dc=x"], &["guest"], &["guest"], &["all", "board"]);
    }
}
