//! `[directory.attributes]`: which attribute of an entry becomes what.

use std::collections::BTreeMap;

use auth_core::handoff::claims::is_own_claim;
use schemars::JsonSchema;
use serde::Deserialize;

use super::search::attribute;
use crate::config::finding::{KeyPath, Problems};

/// Which attribute of an entry becomes what. What is not set comes from the preset.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawAttributes {
    /// The stable id, which survives renaming: `objectGUID`, `entryUUID`, `nsUniqueId`,
    /// `ipaUniqueID`. Never an address or user name, which may be given to somebody else.
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
    /// Picture, e.g. `jpegPhoto` or `thumbnailPhoto`: the claim `picture` of the userinfo endpoint,
    /// as a `data:` URL. JPEG, PNG or GIF of at most 64 KiB; others are left out. Not set by any
    /// preset, for it makes reading people slower.
    picture: Option<String>,
    /// Further claims: claim name = attribute.
    claims: BTreeMap<String, String>,
}

/// Which attribute becomes what; `None`: what the preset says.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttributeMap {
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
    /// Picture.
    pub(crate) picture: Option<String>,
    /// Attribute by claim name.
    pub(crate) claims: BTreeMap<String, String>,
}

/// Refuses a further claim that the broker makes itself: it would not be told.
pub(in crate::config) fn not_own(at: &KeyPath, claim: &str, problems: &mut Problems) {
    if is_own_claim(claim) {
        let repair =
            "rename it; what the person is called, mail, locale and groups have their own keys";
        problems.error(at, "is a claim that the broker makes itself", repair);
    }
}

impl RawAttributes {
    pub(super) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> AttributeMap {
        let named = [
            ("id", &self.id),
            ("username", &self.username),
            ("email", &self.email),
            ("first_name", &self.first_name),
            ("last_name", &self.last_name),
            ("nickname", &self.nickname),
            ("position", &self.position),
            ("locale", &self.locale),
            ("picture", &self.picture),
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
        AttributeMap {
            id: self.id,
            username: self.username,
            email: self.email,
            first_name: self.first_name,
            last_name: self.last_name,
            nickname: self.nickname,
            position: self.position,
            locale: self.locale,
            picture: self.picture,
            claims: self.claims,
        }
    }
}
