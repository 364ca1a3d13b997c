//! All groups of a directory at once, so that nobody's groups have to be searched one by one.
//!
//! Says of a person exactly what `group_search` would say, from group entries that were read in
//! pages before. Held are a name and a fingerprint for each group, and a fingerprint for each
//! membership; members' names are not kept.

use std::collections::{HashMap, HashSet};

use super::dn::{self, Fingerprint};
use super::entry::Entry;
use super::group::{GroupNames, GroupSettings, GroupSource};
use super::subject;
use crate::hash_buckets::HashBuckets;
use crate::secret::sha256;

/// All groups.
#[derive(Debug)]
pub(super) struct GroupGraph<'a> {
    settings: &'a GroupSettings,
    base: &'a str,
    groups: Vec<Group>,
    /// Sorted by member once [`GroupGraph::finish`] ran.
    memberships: Vec<Membership>,
    places: HashBuckets,
    by_sid: HashMap<Vec<u8>, u32>,
    /// What each group is in, directly or through others, in the order of a walk.
    above: HashMap<u32, Vec<u32>>,
    /// What was found out about DNs of `memberOf`.
    named: HashMap<String, Option<(Fingerprint, String)>>,
}

#[derive(Debug)]
struct Group {
    fingerprint: Fingerprint,
    name: String,
    /// Within the base.
    within: bool,
    /// Within the base, and of the filter.
    counts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Membership {
    member: Fingerprint,
    group: u32,
}

/// Groups of one person.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Groups {
    /// Sorted, each once.
    pub(super) names: Vec<String>,
    /// Whether a bound was reached.
    pub(super) cut: bool,
}

impl<'a> GroupGraph<'a> {
    /// A graph without groups; those within `base` count.
    pub(super) fn new(settings: &'a GroupSettings, base: &'a str) -> Self {
        Self {
            settings,
            base,
            groups: Vec::new(),
            memberships: Vec::new(),
            places: HashBuckets::default(),
            by_sid: HashMap::new(),
            above: HashMap::new(),
            named: HashMap::new(),
        }
    }

    /// Whether group entries have to be read at all.
    pub(super) const fn is_needed(settings: &GroupSettings) -> bool {
        match settings.source {
            GroupSource::None => false,
            GroupSource::MemberOf => settings.nested,
            GroupSource::InChain | GroupSource::Search => true,
        }
    }

    /// What group entries have to be read for.
    pub(super) fn attributes(settings: &GroupSettings) -> Vec<String> {
        let mut names = vec![settings.name_attribute.clone()];
        if settings.source == GroupSource::InChain {
            names.extend(["member".to_owned(), "objectSid".to_owned()]);
        } else {
            names.extend(settings.member_attributes.iter().cloned());
        }
        if settings.source == GroupSource::Search {
            names.extend(settings.member_uid_attribute.clone());
        }
        names
    }

    /// Adds a group. `of_filter` says whether it is one of the configured filter.
    pub(super) fn add(&mut self, entry: &Entry, of_filter: bool) {
        let Ok(number) = u32::try_from(self.groups.len()) else { return };
        let settings = self.settings;
        let within = dn::is_within(&entry.dn, self.base);
        let name = match settings.names {
            GroupNames::Dn => entry.dn.clone(),
            GroupNames::Name => entry
                .text(&settings.name_attribute)
                .ok()
                .flatten()
                .map(str::to_owned)
                .or_else(|| dn::first_value(&entry.dn))
                .unwrap_or_else(|| entry.dn.clone()),
        };
        if settings.source == GroupSource::InChain {
            if let Some(sid) = entry.first("objectSid") {
                self.by_sid.insert(sid.to_vec(), number);
            }
            self.add_members(entry, "member", number);
        } else {
            for attribute in &settings.member_attributes {
                self.add_members(entry, attribute, number);
            }
        }
        if settings.source == GroupSource::Search
            && let Some(attribute) = &settings.member_uid_attribute
        {
            let members = entry.texts(attribute);
            self.memberships.extend(
                members.into_iter().map(|uid| Membership { member: of_name(uid), group: number }),
            );
        }
        let fingerprint = dn::fingerprint(&entry.dn);
        self.groups.push(Group { fingerprint, name, within, counts: within && of_filter });
    }

    fn add_members(&mut self, entry: &Entry, attribute: &str, group: u32) {
        let members = entry.texts(attribute);
        self.memberships.reserve(members.len());
        for dn in members {
            self.memberships.push(Membership { member: dn::fingerprint(dn), group });
        }
    }

    /// All groups are there.
    pub(super) fn finish(&mut self) {
        self.memberships.sort_unstable();
        self.memberships.dedup();
        self.memberships.shrink_to_fit();
        self.places = HashBuckets::of(self.memberships.iter().map(|it| &it.member));
    }

    /// Changes when any group, name or membership does.
    pub(super) fn digest(&self) -> Fingerprint {
        let mut groups: Vec<_> = self
            .groups
            .iter()
            .map(|group| (group.fingerprint, group.name.as_str(), group.counts))
            .collect();
        groups.sort_unstable();
        let mut members: Vec<[Fingerprint; 2]> = self
            .memberships
            .iter()
            .filter_map(|m| Some([m.member, self.group(m.group)?.fingerprint]))
            .collect();
        members.sort_unstable();
        let mut bytes = Vec::with_capacity(members.len() * 32);
        for (fingerprint, name, counts) in groups {
            bytes.extend(fingerprint);
            bytes.extend(sha256(name.as_bytes()));
            bytes.push(u8::from(counts));
        }
        bytes.extend(members.into_iter().flatten().flatten());
        dn::fingerprint_of(&bytes)
    }

    /// The groups of a person, by the entry.
    pub(super) fn groups_of(&mut self, person: &Entry) -> Groups {
        match self.settings.source {
            GroupSource::None => Groups { names: Vec::new(), cut: false },
            GroupSource::MemberOf => self.by_member_of(person),
            GroupSource::Search => {
                let mut direct = self.groups_with(dn::fingerprint(&person.dn));
                if self.settings.member_uid_attribute.is_some()
                    && let Ok(Some(uid)) = person.text(&self.settings.uid_attribute)
                {
                    direct.extend(self.groups_with(of_name(uid)));
                }
                self.with_those_above(&direct, |group| group.counts)
            }
            GroupSource::InChain => self.in_chain(person),
        }
    }

    fn in_chain(&mut self, person: &Entry) -> Groups {
        let mut direct = self.groups_with(dn::fingerprint(&person.dn));
        let relative_id = person.number("primaryGroupID").and_then(|id| u32::try_from(id).ok());
        let primary = person
            .first("objectSid")
            .zip(relative_id)
            .and_then(|(own, id)| subject::primary_group_sid(own, id))
            .and_then(|sid| self.by_sid.get(&sid).copied())
            .filter(|&number| self.group(number).is_some_and(|group| group.within));
        direct.extend(primary);
        // The primary group counts whatever the filter says: it stands in nobody's `member`.
        let primary = primary.and_then(|number| Some(self.group(number)?.name.clone()));
        let mut groups = self.with_those_above(&direct, |group| group.counts);
        groups.names.extend(primary);
        groups.names.sort_unstable();
        groups.names.dedup();
        groups
    }

    fn by_member_of(&mut self, person: &Entry) -> Groups {
        let mut names = Vec::new();
        let mut direct = HashSet::new();
        for dn in person.texts("memberOf") {
            if !self.named.contains_key(dn) {
                let fact = dn::is_within(dn, self.base).then(|| {
                    let name = match self.settings.names {
                        GroupNames::Dn => dn.to_owned(),
                        GroupNames::Name => dn::first_value(dn).unwrap_or_else(|| dn.to_owned()),
                    };
                    (dn::fingerprint(dn), name)
                });
                self.named.insert(dn.to_owned(), fact);
            }
            if let Some(Some((fingerprint, name))) = self.named.get(dn)
                && direct.insert(*fingerprint)
            {
                names.push(name.clone());
            }
        }
        let mut cut = false;
        if self.settings.nested {
            let parents: Vec<u32> =
                direct.iter().flat_map(|&fingerprint| self.groups_with(fingerprint)).collect();
            let above =
                self.with_those_above(&parents, |g| g.counts && !direct.contains(&g.fingerprint));
            names.extend(above.names);
            cut = above.cut;
        }
        cut |= names.len() > self.settings.max_groups;
        names.truncate(self.settings.max_groups);
        names.sort_unstable();
        names.dedup();
        Groups { names, cut }
    }

    /// The names of `direct` and, if nested groups count, of what those are in.
    fn with_those_above(&mut self, direct: &[u32], wanted: impl Fn(&Group) -> bool) -> Groups {
        let mut numbers: Vec<u32> = Vec::new();
        let mut seen = HashSet::new();
        let mut cut = false;
        for &number in direct {
            if seen.insert(number) {
                numbers.push(number);
            }
        }
        if self.settings.nested {
            for &number in direct {
                cut |= self.walk(number);
                let above = self.above.get(&number).map_or(&[][..], Vec::as_slice);
                numbers.extend(above.iter().filter(|&&above| seen.insert(above)));
            }
        }
        let mut names: Vec<String> = numbers
            .into_iter()
            .filter_map(|number| self.group(number))
            .filter(|group| wanted(group))
            .map(|group| group.name.clone())
            .collect();
        cut |= names.len() > self.settings.max_groups;
        names.truncate(self.settings.max_groups);
        names.sort_unstable();
        names.dedup();
        Groups { names, cut }
    }

    /// Finds out once what is above a group, level by level; whether the depth was not enough.
    fn walk(&mut self, from: u32) -> bool {
        if self.above.contains_key(&from) {
            return false;
        }
        let mut seen = HashSet::from([from]);
        let (mut above, mut level) = (Vec::new(), vec![from]);
        // Active Directory's own rule has no bound; a cycle ends because nothing is seen twice.
        let bounded = self.settings.source != GroupSource::InChain;
        let mut depth = 0;
        while !level.is_empty() && (!bounded || depth < self.settings.max_depth) {
            let next: Vec<u32> = level
                .iter()
                .filter_map(|&number| Some(self.group(number)?.fingerprint))
                .flat_map(|fingerprint| self.groups_with(fingerprint))
                .filter(|&number| seen.insert(number))
                .collect();
            above.extend(&next);
            level = next;
            depth += 1;
        }
        self.above.insert(from, above);
        !level.is_empty()
    }

    /// Groups that name a member directly.
    fn groups_with(&self, member: Fingerprint) -> Vec<u32> {
        let near = self.memberships.get(self.places.around(&member)).unwrap_or_default();
        near.iter().filter(|m| m.member == member).map(|m| m.group).collect()
    }

    fn group(&self, number: u32) -> Option<&Group> {
        self.groups.get(usize::try_from(number).ok()?)
    }
}

/// A member by user name; never equal to one by DN.
fn of_name(uid: &str) -> Fingerprint {
    dn::fingerprint_of(format!("memberUid:{uid}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::entry;
    use super::*;

    const BASE: &str = "ou=groups,dc=x";

    fn groups(source: GroupSource) -> GroupSettings {
        GroupSettings::new(source, "(objectClass=*)")
    }

    fn graph<'a>(settings: &'a GroupSettings, entries: &[Entry]) -> GroupGraph<'a> {
        let mut graph = GroupGraph::new(settings, BASE);
        entries.iter().for_each(|entry| graph.add(entry, true));
        graph.finish();
        graph
    }

    fn group(name: &str, members: &[&str]) -> Entry {
        entry(&format!("cn={name},{BASE}"), &[("cn", &[name]), ("member", members)])
    }

    #[test]
    fn members_by_dn_by_name_and_nested() {
        let settings = groups(GroupSource::Search);
        let devs = entry(&format!("cn=devs,{BASE}"), &[("cn", &["devs"]), ("memberUid", &["a"])]);
        let outer = format!("cn=outer,{BASE}");
        let inner = format!("CN=Inner, {BASE}");
        let all =
            [group("inner", &["UID=A, dc=x", &outer]), group("outer", &[inner.as_str()]), devs];
        let mut graph = graph(&settings, &all);
        let person = entry("uid=a,dc=x", &[("uid", &["a"])]);
        assert_eq!(graph.groups_of(&person).names, ["devs", "inner", "outer"]);
        let stranger = entry("uid=b,dc=x", &[("uid", &["A"])]);
        assert!(graph.groups_of(&stranger).names.is_empty());
    }

    #[test]
    fn not_nested_and_not_too_deep() {
        let chain: Vec<Entry> = (0..6)
            .map(|n| match n {
                0 => group("g0", &["uid=a,dc=x"]),
                n => group(&format!("g{n}"), &[&format!("cn=g{},{BASE}", n - 1)]),
            })
            .collect();
        let mut settings = groups(GroupSource::Search);
        settings.max_depth = 2;
        let person = entry("uid=a,dc=x", &[]);
        let found = graph(&settings, &chain).groups_of(&person);
        assert_eq!((found.names, found.cut), (vec!["g0".into(), "g1".into(), "g2".into()], true));
        settings.nested = false;
        assert_eq!(graph(&settings, &chain).groups_of(&person).names, ["g0"]);
    }

    #[test]
    fn by_member_of_and_what_those_are_in() {
        let mut settings = groups(GroupSource::MemberOf);
        let staff = format!("cn=Staff,{BASE}");
        let all = [group("staff", &["uid=a,dc=x"]), group("all", &[&staff])];
        let person = entry("uid=a,dc=x", &[("memberOf", &[&staff, "cn=elsewhere,dc=x"])]);
        assert_eq!(graph(&settings, &all).groups_of(&person).names, ["Staff", "all"]);
        settings.nested = false;
        assert_eq!(graph(&settings, &[]).groups_of(&person).names, ["Staff"]);
        assert!(!GroupGraph::is_needed(&settings));
    }

    #[test]
    fn the_primary_group_and_groups_beside_the_filter() {
        let settings = groups(GroupSource::InChain);
        let sid =
            |id: u32| [&[1, 2, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0][..], &id.to_le_bytes()].concat();
        let mut users = group("users", &[]);
        users.attributes.push(super::super::entry::Attribute {
            name: "objectSid".into(),
            values: vec![sid(513)],
        });
        let mut graph = GroupGraph::new(&settings, BASE);
        graph.add(&users, false);
        graph.add(&group("all", &[&users.dn]), true);
        graph.add(&group("hidden", &["uid=a,dc=x"]), false);
        graph.finish();
        let mut person = entry("uid=a,dc=x", &[("primaryGroupID", &["513"])]);
        person.attributes.push(super::super::entry::Attribute {
            name: "objectSid".into(),
            values: vec![sid(1000)],
        });
        assert_eq!(graph.groups_of(&person).names, ["all", "users"]);
    }

    #[test]
    fn every_change_changes_the_digest() {
        let settings = groups(GroupSource::Search);
        let one = [group("a", &["uid=a,dc=x"]), group("b", &["uid=b,dc=x"])];
        let digest = |entries: &[Entry]| graph(&settings, entries).digest();
        let base = digest(&one);
        assert_eq!(base, digest(&[one[1].clone(), one[0].clone()]), "the order does not count");
        assert_ne!(base, digest(&one[..1]));
        assert_ne!(base, digest(&[one[0].clone(), group("b", &[])]));
        assert_ne!(base, digest(&[one[0].clone(), group("b", &["uid=a,dc=x"])]));
        let mut renamed = one.clone();
        renamed[0].attributes[0].values = vec![b"z".to_vec()];
        assert_ne!(base, digest(&renamed));
    }
}
