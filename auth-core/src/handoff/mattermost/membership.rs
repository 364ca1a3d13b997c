//! Teams and channels by group: what somebody should belong to, and what of it is to change.
//!
//! What we add we note, and only that is ever taken away again: who was put into a team by hand
//! stays there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::account::normalise;

/// What members of a group belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipRule {
    /// The group as the connector gives it.
    pub group: String,
    /// Name of the team.
    pub team: String,
    /// Names of channels of that team.
    pub channels: Vec<String>,
}

/// A team, or a channel of one, by their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Membership {
    /// Name of the team.
    pub team: String,
    /// Name of the channel; none for the team itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// What is to be done, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembershipChanges {
    /// To be there, teams before their channels.
    pub wanted: Vec<Membership>,
    /// Of what we added: to be taken away, channels before their teams.
    pub surplus: Vec<Membership>,
}

/// What somebody of these groups belongs to.
#[must_use]
pub fn wanted(groups: &[String], rules: &[MembershipRule]) -> BTreeSet<Membership> {
    let groups: BTreeSet<String> = groups.iter().map(|group| normalise(group)).collect();
    let mut wanted = BTreeSet::new();
    for rule in rules.iter().filter(|rule| groups.contains(&normalise(&rule.group))) {
        wanted.insert(Membership { team: rule.team.clone(), channel: None });
        wanted.extend(
            rule.channels.iter().map(|channel| Membership {
                team: rule.team.clone(),
                channel: Some(channel.clone()),
            }),
        );
    }
    wanted
}

/// Compares what is wanted with what we added before.
#[must_use]
pub fn changes(wanted: &BTreeSet<Membership>, ours: &[Membership]) -> MembershipChanges {
    // The order of the type: a team stands before its channels.
    let mut surplus: Vec<Membership> =
        ours.iter().filter(|held| !wanted.contains(held)).cloned().collect();
    surplus.sort();
    surplus.dedup();
    surplus.reverse();
    MembershipChanges { wanted: wanted.iter().cloned().collect(), surplus }
}

/// Reads what was noted. A damaged note is no note: then nothing is taken away.
#[must_use]
pub fn noted(text: &str) -> Vec<Membership> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Writes a note.
#[must_use]
pub fn note(ours: &[Membership]) -> String {
    serde_json::to_string(ours).unwrap_or_else(|_| "[]".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(team: &str, channel: &str) -> Membership {
        let channel = (!channel.is_empty()).then(|| channel.to_owned());
        Membership { team: team.to_owned(), channel }
    }

    fn rules() -> Vec<MembershipRule> {
        let rule = |group: &str, team: &str, channels: &[&str]| MembershipRule {
            group: group.to_owned(),
            team: team.to_owned(),
            channels: channels.iter().map(|one| (*one).to_owned()).collect(),
        };
        vec![
            rule("cn=Staff,dc=example", "main", &["dev", "art"]),
            rule("cn=chefs,dc=example", "main", &["kitchen"]),
            rule("cn=chefs,dc=example", "food", &[]),
        ]
    }

    #[test]
    fn groups_bring_teams_and_channels() {
        let of_groups = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|one| (*one).to_owned()).collect();
            wanted(&groups, &rules()).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of_groups(&[]), []);
        let staff = [of("main", ""), of("main", "art"), of("main", "dev")];
        assert_eq!(of_groups(&["CN=staff,DC=example"]), staff, "groups compare without case");
        assert_eq!(of_groups(&["cn=staff,dc=example", "cn=chefs,dc=example"]).len(), 5);
    }

    #[test]
    fn only_what_we_added_is_surplus_and_channels_go_first() {
        let ours = [of("main", ""), of("main", "dev"), of("food", "")];
        let all = changes(&BTreeSet::new(), &ours);
        assert_eq!(all.surplus, [of("main", "dev"), of("main", ""), of("food", "")]);
        let kept = BTreeSet::from([of("main", ""), of("main", "art")]);
        let some = changes(&kept, &ours);
        assert_eq!(some.surplus, [of("main", "dev"), of("food", "")]);
        assert_eq!(some.wanted, [of("main", ""), of("main", "art")]);
        assert_eq!(changes(&kept, &[]).surplus, [], "nothing of ours, nothing to take away");
    }

    #[test]
    fn notes_read_back() {
        let ours = vec![of("main", ""), of("main", "dev")];
        assert_eq!(noted(&note(&ours)), ours);
        assert_eq!(noted("junk"), []);
    }
}
