//! `[oidc.attributes]`: which claim becomes what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};
use crate::config::sections::directory::attributes::not_own;

/// Which claim becomes what. What is not set comes from the preset. A path into objects is written
/// with dots: `realm_access.roles`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawClaimNames {
    /// User name. Where the claim is missing, the e-mail address takes its place.
    username: Option<String>,
    /// E-mail address. Under another name than `email` nobody vouches for it.
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
    /// Groups.
    groups: Option<String>,
    /// Further claims to keep: name = claim.
    claims: BTreeMap<String, String>,
}

/// Which claim becomes what; `None`: what the preset says.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClaimNames {
    pub(crate) username: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) nickname: Option<String>,
    pub(crate) position: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) groups: Option<String>,
    pub(crate) claims: BTreeMap<String, String>,
}

impl RawClaimNames {
    /// Names under which further claims are kept.
    pub(super) fn kept(&self) -> impl Iterator<Item = &str> {
        self.claims.keys().map(String::as_str)
    }

    pub(super) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> ClaimNames {
        let named = [
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
                claim(&at.key(key), name, problems);
            }
        }
        for (kept_as, name) in &self.claims {
            let at = at.key("claims").key(kept_as);
            claim(&at, name, problems);
            not_own(&at, kept_as, problems);
        }
        ClaimNames {
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

fn claim(at: &KeyPath, name: &str, problems: &mut Problems) {
    let sound = !name.is_empty()
        && name.len() <= 200
        && !name.chars().any(|c| c.is_whitespace() || c.is_control());
    if !sound {
        problems.error(at, "is no name of a claim", "give the name as the provider writes it");
    }
}
