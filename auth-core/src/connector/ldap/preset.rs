//! What differs from vendor to vendor: the stable id, the login attributes, where groups come from.

use std::fmt;
use std::str::FromStr;

use super::group::{GroupSettings, GroupSource};
use super::settings::AttributeMap;

/// A directory product. Every default that it sets can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Microsoft Active Directory, Samba AD DC. Stable id `objectGUID`.
    ActiveDirectory,
    /// 389 Directory Server. Stable id `nsUniqueId`.
    Ds389,
    /// FreeIPA. Stable id `ipaUniqueID`.
    FreeIpa,
    /// Any other server with `entryUUID` (RFC 4530).
    Generic,
    /// OpenLDAP. Stable id `entryUUID`.
    OpenLdap,
}

/// No preset has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown preset {0:?}: use openldap, active-directory, 389-ds, freeipa or generic")]
pub struct UnknownPreset(String);

impl Preset {
    /// The name in a configuration file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ActiveDirectory => "active-directory",
            Self::Ds389 => "389-ds",
            Self::FreeIpa => "freeipa",
            Self::Generic => "generic",
            Self::OpenLdap => "openldap",
        }
    }

    pub(super) fn attributes(self) -> AttributeMap {
        let (id, username) = match self {
            Self::ActiveDirectory => ("objectGUID", "sAMAccountName"),
            Self::Ds389 => ("nsUniqueId", "uid"),
            Self::FreeIpa => ("ipaUniqueID", "uid"),
            Self::Generic | Self::OpenLdap => ("entryUUID", "uid"),
        };
        let some = |name: &str| Some(name.to_owned());
        AttributeMap {
            id: id.to_owned(),
            username: username.to_owned(),
            email: some("mail"),
            first_name: some("givenName"),
            last_name: some("sn"),
            nickname: some("displayName"),
            position: some("title"),
            locale: some("preferredLanguage"),
            picture: None,
            claims: std::collections::BTreeMap::new(),
        }
    }

    pub(super) fn login_attributes(self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::ActiveDirectory => &["sAMAccountName", "userPrincipalName"],
            Self::Ds389 | Self::FreeIpa | Self::Generic | Self::OpenLdap => &["uid", "mail"],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// Disabled accounts are not filtered away here: their entries say it, and the audit event
    /// then tells a disabled person from an unknown one.
    pub(super) const fn user_filter(self) -> &'static str {
        match self {
            Self::ActiveDirectory => "(&(objectCategory=person)(objectClass=user))",
            Self::Ds389 | Self::FreeIpa | Self::Generic | Self::OpenLdap => "(objectClass=person)",
        }
    }

    pub(super) fn groups(self) -> GroupSettings {
        let source = match self {
            Self::ActiveDirectory => GroupSource::InChain,
            // Their memberOf plug-in resolves nested groups itself.
            Self::Ds389 | Self::FreeIpa => GroupSource::MemberOf,
            Self::Generic | Self::OpenLdap => GroupSource::Search,
        };
        let filter = match self {
            Self::ActiveDirectory => "(objectClass=group)",
            Self::Ds389 | Self::FreeIpa | Self::Generic | Self::OpenLdap => {
                "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))"
            }
        };
        let mut groups = GroupSettings::new(source, filter);
        groups.nested = source != GroupSource::MemberOf;
        groups
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::ActiveDirectory, Self::Ds389, Self::FreeIpa, Self::Generic, Self::OpenLdap]
            .into_iter()
            .find(|preset| preset.as_str() == name)
            .ok_or_else(|| UnknownPreset(name.to_owned()))
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["openldap", "active-directory", "389-ds", "freeipa", "generic"] {
            assert_eq!(name.parse::<Preset>().unwrap().as_str(), name);
        }
        assert!("ad".parse::<Preset>().unwrap_err().to_string().contains("active-directory"));
    }
}
