//! Groups of a person: where they come from, and the walk through nested groups.
//!
//! The walk is breadth-first, remembers what it visited (cycles end) and is bounded in depth and
//! number. It only says what to search next; `group_search` does the searches.

use std::collections::HashSet;

use super::dn;
use super::entry::Entry;
use super::filter;

/// DNs in one filter of the walk: a filter of thousands of terms is refused by some servers.
const CHUNK: usize = 50;

/// Where groups come from and what they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// Where they come from.
    pub source: GroupSource,
    /// Where group entries are; `None`: below the directory's `base_dn`. Groups elsewhere do not count.
    pub base_dn: Option<String>,
    /// Which entries are groups.
    pub filter: String,
    /// Attributes of a group that hold members' DNs.
    pub member_attributes: Vec<String>,
    /// Attribute of a group that holds members' user names (`posixGroup`).
    pub member_uid_attribute: Option<String>,
    /// The attribute of the person's entry that `member_uid_attribute` holds.
    pub uid_attribute: String,
    /// The attribute of a group that is its name.
    pub name_attribute: String,
    /// What is reported as a person's groups.
    pub names: GroupNames,
    /// Whether groups within groups count.
    pub nested: bool,
    /// How deep nested groups are followed.
    pub max_depth: usize,
    /// How many groups of one person are followed.
    pub max_groups: usize,
}

/// Where groups come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSource {
    /// Active Directory's matching rule in chain, and the primary group.
    InChain,
    /// The `memberOf` attribute of the person's entry.
    MemberOf,
    /// No groups at all.
    None,
    /// A search for group entries that name the person.
    Search,
}

/// What a group is called in a person's profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupNames {
    /// The group's name attribute, e.g. `staff`. Two groups of one name are one.
    Name,
    /// The whole DN.
    Dn,
}

impl GroupSettings {
    pub(super) fn new(source: GroupSource, filter: &str) -> Self {
        Self {
            source,
            base_dn: None,
            filter: filter.to_owned(),
            member_attributes: vec!["member".to_owned(), "uniqueMember".to_owned()],
            member_uid_attribute: Some("memberUid".to_owned()),
            uid_attribute: "uid".to_owned(),
            name_attribute: "cn".to_owned(),
            names: GroupNames::Name,
            nested: true,
            max_depth: 16,
            max_groups: 10_000,
        }
    }

    /// What a person's entry has to be read for.
    pub(super) fn entry_attributes(&self) -> Vec<&str> {
        match self.source {
            GroupSource::InChain => vec!["objectSid", "primaryGroupID"],
            GroupSource::MemberOf => vec!["memberOf"],
            GroupSource::None => Vec::new(),
            GroupSource::Search => vec![self.uid_attribute.as_str()],
        }
    }

    pub(super) fn named_attributes(&self) -> Vec<(String, &str)> {
        let mut named = vec![
            ("groups.uid_attribute".to_owned(), self.uid_attribute.as_str()),
            ("groups.name_attribute".to_owned(), self.name_attribute.as_str()),
        ];
        named.extend(
            self.member_attributes
                .iter()
                .map(|a| ("groups.member_attributes".to_owned(), a.as_str())),
        );
        named.extend(
            self.member_uid_attribute
                .iter()
                .map(|a| ("groups.member_uid_attribute".to_owned(), a.as_str())),
        );
        named
    }

    /// The filter for the groups that name `person` directly.
    pub(super) fn direct_filter(&self, person: &Entry) -> String {
        let uid = self.member_uid_attribute.as_ref().and_then(|attribute| {
            Some(filter::equals(attribute, person.text(&self.uid_attribute).ok().flatten()?))
        });
        let mut terms = self.members(&person.dn);
        terms.extend(uid);
        filter::all_of(&[self.filter.clone(), filter::any_of(&terms)])
    }

    /// The filter for the groups that name any of the groups `dns`.
    pub(super) fn parents_filter(&self, dns: &[String]) -> String {
        let terms: Vec<String> = dns.iter().flat_map(|dn| self.members(dn)).collect();
        filter::all_of(&[self.filter.clone(), filter::any_of(&terms)])
    }

    /// The filter for all groups that `dn` is in, directly or through others (Active Directory).
    pub(super) fn chain_filter(&self, dn: &str) -> String {
        let term = if self.nested {
            filter::matches_rule("member", filter::IN_CHAIN, dn)
        } else {
            filter::equals("member", dn)
        };
        filter::all_of(&[self.filter.clone(), term])
    }

    fn members(&self, dn: &str) -> Vec<String> {
        self.member_attributes.iter().map(|attribute| filter::equals(attribute, dn)).collect()
    }
}

/// The walk. Feed it groups, ask it for the next searches, until there are none.
#[derive(Debug)]
pub(super) struct GroupWalk<'a> {
    settings: &'a GroupSettings,
    base: &'a str,
    visited: HashSet<String>,
    found: Vec<(String, Option<String>)>,
    frontier: Vec<String>,
    depth: usize,
    cut: bool,
}

impl<'a> GroupWalk<'a> {
    /// A walk over groups within `base`.
    pub(super) fn new(settings: &'a GroupSettings, base: &'a str) -> Self {
        Self {
            settings,
            base,
            visited: HashSet::new(),
            found: Vec::new(),
            frontier: Vec::new(),
            depth: 0,
            cut: false,
        }
    }

    /// Adds a group; one already visited, or outside the base, is left out.
    pub(super) fn add(&mut self, dn: &str, name: Option<String>) {
        if !dn::is_within(dn, self.base) || self.visited.contains(&dn::key(dn)) {
            return;
        }
        if self.found.len() >= self.settings.max_groups {
            self.cut = true;
            return;
        }
        self.visited.insert(dn::key(dn));
        self.found.push((dn.to_owned(), name));
        self.frontier.push(dn.to_owned());
    }

    /// Adds the group entries of a search.
    pub(super) fn add_entries(&mut self, entries: &[Entry]) {
        for entry in entries {
            let name = entry.text(&self.settings.name_attribute).ok().flatten();
            self.add(&entry.dn, name.map(str::to_owned));
        }
    }

    /// Filters of the next level; empty when the walk is over.
    pub(super) fn next_filters(&mut self) -> Vec<String> {
        let frontier = std::mem::take(&mut self.frontier);
        if !self.settings.nested || frontier.is_empty() {
            return Vec::new();
        }
        if self.depth >= self.settings.max_depth {
            self.cut = true;
            return Vec::new();
        }
        self.depth += 1;
        frontier.chunks(CHUNK).map(|chunk| self.settings.parents_filter(chunk)).collect()
    }

    /// Whether a bound was reached, so that groups may be missing.
    pub(super) const fn is_cut(&self) -> bool {
        self.cut
    }

    /// The names, sorted, each once.
    pub(super) fn into_names(self) -> Vec<String> {
        let mut names: Vec<String> = self
            .found
            .into_iter()
            .map(|(dn, name)| match self.settings.names {
                GroupNames::Dn => dn,
                GroupNames::Name => name.or_else(|| dn::first_value(&dn)).unwrap_or(dn),
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::entry;
    use super::*;

    fn settings() -> GroupSettings {
        GroupSettings::new(GroupSource::Search, "(objectClass=groupOfNames)")
    }

    #[test]
    fn filters_escape_dns_and_names() {
        let person = entry("cn=Weiss\\2C Zoe,dc=x", &[("uid", &["z*e"])]);
        assert_eq!(
            settings().direct_filter(&person),
            "(&(objectClass=groupOfNames)(|(member=cn=Weiss\\5c2C Zoe,dc=x)\
             (uniqueMember=cn=Weiss\\5c2C Zoe,dc=x)(memberUid=z\\2ae)))"
        );
        assert_eq!(
            settings().chain_filter("cn=(x),dc=x"),
            "(&(objectClass=groupOfNames)(member:1.2.840.113556.1.4.1941:=cn=\\28x\\29,dc=x))"
        );
    }

    #[test]
    fn a_cycle_ends() {
        let settings = settings();
        let mut walk = GroupWalk::new(&settings, "dc=x");
        walk.add("cn=a,dc=x", Some("a".into()));
        assert_eq!(walk.next_filters().len(), 1);
        walk.add("cn=b,dc=x", Some("b".into()));
        walk.add("CN=A, dc=x", Some("a".into()));
        assert_eq!(walk.next_filters().len(), 1);
        walk.add("cn=a,dc=x", Some("a".into()));
        assert!(walk.next_filters().is_empty());
        assert!(!walk.is_cut());
        assert_eq!(walk.into_names(), ["a", "b"]);
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let mut settings = settings();
        settings.max_depth = 3;
        settings.max_groups = 100;
        let mut walk = GroupWalk::new(&settings, "");
        let mut rounds = 0;
        walk.add("cn=g0", None);
        while !walk.next_filters().is_empty() {
            rounds += 1;
            walk.add(&format!("cn=g{rounds}"), None);
        }
        assert_eq!(rounds, 3);
        assert!(walk.is_cut());

        let mut walk = GroupWalk::new(&settings, "");
        (0..200).for_each(|number| walk.add(&format!("cn=g{number}"), None));
        assert!(walk.is_cut());
        assert_eq!(walk.next_filters().len(), 2);
        assert_eq!(walk.into_names().len(), 100);
    }

    #[test]
    fn groups_elsewhere_do_not_count() {
        let settings = settings();
        let mut walk = GroupWalk::new(&settings, "ou=groups,dc=x");
        walk.add("cn=admins,ou=groups,dc=x", None);
        walk.add("cn=admins,ou=playground,dc=x", None);
        assert_eq!(walk.into_names(), ["admins"]);
    }

    #[test]
    fn names_or_dns() {
        let mut settings = settings();
        settings.names = GroupNames::Dn;
        let mut walk = GroupWalk::new(&settings, "");
        walk.add_entries(&[entry("cn=a,dc=x", &[("cn", &["A"])])]);
        assert_eq!(walk.into_names(), ["cn=a,dc=x"]);
    }
}
