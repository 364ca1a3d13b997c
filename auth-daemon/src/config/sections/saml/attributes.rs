//! `[saml.attributes]`: which attribute of an assertion becomes what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};
use crate::config::sections::directory::attributes::not_own;

/// Which attribute becomes what: its `Name` or `FriendlyName`, exactly as the identity provider
/// sends it; `@name_id` stands for the NameID. What is not set comes from the preset.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawSamlAttributes {
    /// An immutable id by which the account is found again. Default: the NameID. Never an address
    /// or user name, which may be given to somebody else. To join accounts with those of a
    /// directory, let the identity provider send the directory's id.
    id: Option<String>,
    /// User name.
    username: Option<String>,
    /// E-mail address.
    email: Option<String>,
    /// Given name.
    first_name: Option<String>,
    /// Family name.
    last_name: Option<String>,
    /// Nickname or display name.
    nickname: Option<String>,
    /// Position, e.g. a job title.
    position: Option<String>,
    /// Language, as a BCP 47 tag.
    locale: Option<String>,
    /// Groups; every value is one.
    groups: Option<String>,
    /// Further claims: claim name = attribute.
    claims: BTreeMap<String, String>,
}

/// Which attribute becomes what; `None`: what the preset says.
#[derive(Clone, Debug, Default)]
pub(crate) struct SamlAttributes {
    /// Stable id.
    pub(crate) id: Option<String>,
    /// User name.
    pub(crate) username: Option<String>,
    /// E-mail address.
    pub(crate) email: Option<String>,
    /// Given name.
    pub(crate) first_name: Option<String>,
    /// Family name.
    pub(crate) last_name: Option<String>,
    /// Nickname or display name.
    pub(crate) nickname: Option<String>,
    /// Position.
    pub(crate) position: Option<String>,
    /// Language.
    pub(crate) locale: Option<String>,
    /// Groups.
    pub(crate) groups: Option<String>,
    /// Attribute by claim name.
    pub(crate) claims: BTreeMap<String, String>,
}

impl RawSamlAttributes {
    /// Names of the further claims.
    pub(super) fn kept(&self) -> impl Iterator<Item = &str> {
        self.claims.keys().map(String::as_str)
    }

    pub(super) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> SamlAttributes {
        let named = [
            ("id", &self.id),
            ("username", &self.username),
            ("email", &self.email),
            ("first_name", &self.first_name),
            ("last_name", &self.last_name),
            ("nickname", &self.nickname),
            ("position", &self.position),
            ("locale", &self.locale),
            ("groups", &self.groups),
        ];
        for (key, name) in named {
            if let Some(name) = name {
                attribute(&at.key(key), name, problems);
            }
        }
        for (claim, name) in &self.claims {
            let at = at.key("claims").key(claim);
            attribute(&at, name, problems);
            not_own(&at, claim, problems);
        }
        SamlAttributes {
            id: self.id,
            username: self.username,
            email: self.email,
            first_name: self.first_name,
            last_name: self.last_name,
            nickname: self.nickname,
            position: self.position,
            locale: self.locale,
            groups: self.groups,
            claims: self.claims,
        }
    }
}

fn attribute(at: &KeyPath, name: &str, problems: &mut Problems) {
    if name.trim().is_empty() || name.len() > 512 || name.chars().any(char::is_control) {
        problems.error(
            at,
            "is no attribute name",
            "give the Name or FriendlyName that the identity provider sends",
        );
    }
}
