//! `[directory.groups]`: where the groups of a person come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::search::{attribute, filter};
use crate::config::finding::{KeyPath, Problems};

/// Where the groups of a person come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawGroups {
    /// How groups are found. Default: the preset's way (`in-chain` for Active Directory,
    /// `member-of` for 389 Directory Server and FreeIPA, else `search`).
    source: Option<GroupSource>,
    /// Where group entries are. Default: below the `base_dn` of the directory. Groups elsewhere
    /// do not count.
    base_dn: Option<String>,
    /// Which entries are groups. Default: the preset's.
    filter: Option<String>,
    /// Attributes of a group that hold members' DNs. Default: `member` and `uniqueMember`.
    member_attributes: Option<Vec<String>>,
    /// Attribute of a group that holds members' user names. Default: `memberUid`.
    member_uid_attribute: Option<String>,
    /// Attribute of the person that `member_uid_attribute` holds. Default: `uid`.
    uid_attribute: Option<String>,
    /// Attribute of a group that is its name. Default: `cn`.
    name_attribute: Option<String>,
    /// What is reported as a person's groups.
    names: GroupNames,
    /// Whether members of a group within a group are members too.
    nested: bool,
    /// How deep groups within groups are followed.
    #[schemars(range(min = 1, max = 100))]
    max_depth: u32,
    /// How many groups of one person are followed.
    #[schemars(range(min = 1, max = 100_000))]
    max_groups: u32,
}

/// How the groups of a person are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GroupSource {
    /// By Active Directory's matching rule in chain, and the primary group.
    InChain,
    /// By the attribute `memberOf` of the person.
    MemberOf,
    /// Not at all.
    None,
    /// By a search for groups that list the person.
    Search,
}

/// What a group is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GroupNames {
    /// The whole DN.
    Dn,
    /// Its `name_attribute`. Two groups of one name are one.
    #[default]
    Name,
}

/// Where groups come from; `None`: what the preset says.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    /// How they are found.
    pub(crate) source: Option<GroupSource>,
    /// Where they are searched.
    pub(crate) base_dn: Option<String>,
    /// Filter that they match.
    pub(crate) filter: Option<String>,
    /// Attributes that list members' DNs.
    pub(crate) member_attributes: Option<Vec<String>>,
    /// Attribute that lists members' user names.
    pub(crate) member_uid_attribute: Option<String>,
    /// Attribute of the person that is listed there.
    pub(crate) uid_attribute: Option<String>,
    /// Attribute that is the name.
    pub(crate) name_attribute: Option<String>,
    /// What is reported.
    pub(crate) names: GroupNames,
    /// Whether groups within groups count.
    pub(crate) nested: bool,
    /// How deep they are followed.
    pub(crate) max_depth: u32,
    /// How many of one person are followed.
    pub(crate) max_groups: u32,
}

impl Default for RawGroups {
    fn default() -> Self {
        Self {
            source: None,
            base_dn: None,
            filter: None,
            member_attributes: None,
            member_uid_attribute: None,
            uid_attribute: None,
            name_attribute: None,
            names: GroupNames::default(),
            nested: true,
            max_depth: 16,
            max_groups: 10_000,
        }
    }
}

impl RawGroups {
    pub(super) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Groups {
        if let Some(text) = &self.filter {
            filter(&at.key("filter"), text, problems);
        }
        let named = [
            ("member_uid_attribute", &self.member_uid_attribute),
            ("uid_attribute", &self.uid_attribute),
            ("name_attribute", &self.name_attribute),
        ];
        for (key, name) in named {
            if let Some(name) = name {
                attribute(&at.key(key), name, problems);
            }
        }
        for (index, name) in self.member_attributes.iter().flatten().enumerate() {
            attribute(&at.key("member_attributes").index(index), name, problems);
        }
        if self.base_dn.as_deref().is_some_and(|dn| !dn.contains('=')) {
            problems.error(&at.key("base_dn"), "is no DN", "write it as \"ou=groups,dc=example\"");
        }
        Groups {
            source: self.source,
            base_dn: self.base_dn,
            filter: self.filter,
            member_attributes: self.member_attributes,
            member_uid_attribute: self.member_uid_attribute,
            uid_attribute: self.uid_attribute,
            name_attribute: self.name_attribute,
            names: self.names,
            nested: self.nested,
            max_depth: self.max_depth,
            max_groups: self.max_groups,
        }
    }
}
