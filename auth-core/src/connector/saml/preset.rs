//! What differs from vendor to vendor, so that a connection needs nothing but the identity
//! provider's metadata. Every default can be changed.
//!
//! Attribute names are tried in their order. The first ones are those of the chat server's own
//! set-up guides, so an application that was made for it at the identity provider works unchanged.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::name_id::{EMAIL_ADDRESS, PERSISTENT, UNSPECIFIED};
use super::settings::{AttributeMap, NAME_ID};

/// An identity provider's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Microsoft AD FS.
    Adfs,
    /// Microsoft Entra ID.
    Entra,
    /// Any other.
    Generic,
    /// Google Workspace.
    Google,
    /// Keycloak.
    Keycloak,
    /// Okta.
    Okta,
    /// OneLogin.
    OneLogin,
    /// Shibboleth.
    Shibboleth,
}

/// No preset has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown preset {0:?}: use {names}", names = Preset::ALL.map(Preset::as_str).join(", "))]
pub struct UnknownPreset(String);

impl Preset {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Okta,
        Self::OneLogin,
        Self::Adfs,
        Self::Entra,
        Self::Google,
        Self::Keycloak,
        Self::Shibboleth,
        Self::Generic,
    ];

    /// The name in a configuration file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adfs => "adfs",
            Self::Entra => "entra",
            Self::Generic => "generic",
            Self::Google => "google",
            Self::Keycloak => "keycloak",
            Self::Okta => "okta",
            Self::OneLogin => "onelogin",
            Self::Shibboleth => "shibboleth",
        }
    }

    /// The NameID format to ask for; `None`: nothing is asked for, the identity provider decides.
    /// AD FS answers a format that it has no rule for with an error, Entra ignores most.
    #[must_use]
    pub const fn name_id_format(self) -> Option<&'static str> {
        match self {
            Self::Keycloak | Self::Shibboleth => Some(PERSISTENT),
            Self::Adfs
            | Self::Entra
            | Self::Generic
            | Self::Google
            | Self::Okta
            | Self::OneLogin => None,
        }
    }

    /// The NameID format that the set-up values tell to choose at the identity provider.
    #[must_use]
    pub const fn name_id_to_choose(self) -> &'static str {
        match self {
            Self::Okta => UNSPECIFIED,
            Self::Google | Self::OneLogin | Self::Adfs => EMAIL_ADDRESS,
            Self::Entra | Self::Keycloak | Self::Shibboleth | Self::Generic => PERSISTENT,
        }
    }

    /// Whether requests are signed unless the configuration says otherwise. Google cannot check
    /// a signature; everywhere else it does no harm.
    #[must_use]
    pub const fn signs_requests(self) -> bool {
        !matches!(self, Self::Google)
    }

    /// Which attribute becomes what.
    #[must_use]
    pub fn attributes(self) -> AttributeMap {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        let own: Names = match self {
            Self::Okta => Names {
                username: &["Username", "username", "login", "userName"],
                email: &["Email", "email"],
                first_name: &["FirstName", "firstName", "first_name"],
                last_name: &["LastName", "lastName", "last_name"],
                groups: &["Groups", "groups"],
                ..Names::NONE
            },
            Self::OneLogin => Names {
                username: &["Username", "username", "User.Username"],
                email: &["Email", "User.email", "email"],
                first_name: &["FirstName", "User.FirstName"],
                last_name: &["LastName", "User.LastName"],
                groups: &["Groups", "memberOf"],
                ..Names::NONE
            },
            Self::Adfs => Names {
                username: &["Username", WINDOWS_NAME, CLAIM_UPN, CLAIM_NAME],
                email: &["Email", CLAIM_EMAIL],
                first_name: &["FirstName", CLAIM_GIVEN],
                last_name: &["LastName", CLAIM_SURNAME],
                groups: &["Groups", CLAIM_GROUP, CLAIM_ROLE, CLAIM_ROLE_XMLSOAP],
                ..Names::NONE
            },
            Self::Entra => Names {
                username: &["Username", CLAIM_NAME],
                email: &["Email", CLAIM_EMAIL],
                first_name: &["FirstName", CLAIM_GIVEN],
                last_name: &["LastName", CLAIM_SURNAME],
                nickname: &["http://schemas.microsoft.com/identity/claims/displayname"],
                groups: &["Groups", CLAIM_GROUPS, CLAIM_ROLE],
                ..Names::NONE
            },
            Self::Google => Names {
                username: &["Username", "username", NAME_ID],
                email: &["Email", "email", NAME_ID],
                first_name: &["FirstName", "firstName", "first_name"],
                last_name: &["LastName", "lastName", "last_name"],
                groups: &["Groups", "groups"],
                ..Names::NONE
            },
            Self::Keycloak => Names {
                username: &["Username", "username", URN_UID],
                email: &["Email", "email", URN_MAIL],
                first_name: &["FirstName", "firstName", URN_GIVEN],
                last_name: &["LastName", "lastName", URN_SURNAME],
                groups: &["Groups", "groups", "member", "Role"],
                ..Names::NONE
            },
            Self::Shibboleth => Names {
                username: &["Username", URN_UID, URN_PRINCIPAL],
                email: &["Email", URN_MAIL],
                first_name: &["FirstName", URN_GIVEN],
                last_name: &["LastName", URN_SURNAME],
                nickname: &[URN_DISPLAY],
                position: &["urn:oid:2.5.4.12"],
                locale: &["urn:oid:2.16.840.1.113730.3.1.39"],
                groups: &["Groups", "urn:oid:1.3.6.1.4.1.5923.1.5.1.1", URN_AFFILIATION],
                ..Names::NONE
            },
            Self::Generic => Names {
                username: &["Username", "username", "uid", URN_UID, CLAIM_NAME],
                email: &["Email", "email", "mail", URN_MAIL, CLAIM_EMAIL],
                first_name: &["FirstName", "firstName", "givenName", URN_GIVEN, CLAIM_GIVEN],
                last_name: &["LastName", "lastName", "sn", URN_SURNAME, CLAIM_SURNAME],
                groups: &["Groups", "groups", "memberOf"],
                ..Names::NONE
            },
        };
        AttributeMap {
            id: own.id.map(str::to_owned),
            username: names(own.username),
            email: names(own.email),
            first_name: names(own.first_name),
            last_name: names(own.last_name),
            nickname: names(&[&["Nickname", "nickname"], own.nickname].concat()),
            position: names(&[&["Position", "position"], own.position].concat()),
            locale: names(&[&["Locale", "locale"], own.locale].concat()),
            groups: names(own.groups),
            claims: BTreeMap::new(),
        }
    }
}

struct Names {
    id: Option<&'static str>,
    username: &'static [&'static str],
    email: &'static [&'static str],
    first_name: &'static [&'static str],
    last_name: &'static [&'static str],
    nickname: &'static [&'static str],
    position: &'static [&'static str],
    locale: &'static [&'static str],
    groups: &'static [&'static str],
}

impl Names {
    const NONE: Self = Self {
        id: None,
        username: &[],
        email: &[],
        first_name: &[],
        last_name: &[],
        nickname: &[],
        position: &[],
        locale: &[],
        groups: &[],
    };
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
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

const CLAIM_EMAIL: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress";
const CLAIM_GIVEN: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname";
const CLAIM_SURNAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname";
const CLAIM_NAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name";
const CLAIM_UPN: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
const CLAIM_GROUP: &str = "http://schemas.xmlsoap.org/claims/Group";
const CLAIM_ROLE_XMLSOAP: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/role";
const CLAIM_ROLE: &str = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";
const CLAIM_GROUPS: &str = "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups";
const WINDOWS_NAME: &str =
    "http://schemas.microsoft.com/ws/2008/06/identity/claims/windowsaccountname";
const URN_UID: &str = "urn:oid:0.9.2342.19200300.100.1.1";
const URN_MAIL: &str = "urn:oid:0.9.2342.19200300.100.1.3";
const URN_GIVEN: &str = "urn:oid:2.5.4.42";
const URN_SURNAME: &str = "urn:oid:2.5.4.4";
const URN_DISPLAY: &str = "urn:oid:2.16.840.1.113730.3.1.241";
const URN_PRINCIPAL: &str = "urn:oid:1.3.6.1.4.1.5923.1.1.1.6";
const URN_AFFILIATION: &str = "urn:oid:1.3.6.1.4.1.5923.1.1.1.9";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for preset in Preset::ALL {
            assert_eq!(preset.as_str().parse::<Preset>().unwrap(), preset);
            let map = preset.attributes();
            assert!(!map.username.is_empty() && !map.email.is_empty(), "{preset}");
        }
        assert!("saml".parse::<Preset>().unwrap_err().to_string().contains("shibboleth"));
    }

    #[test]
    fn the_names_of_the_guides_come_first() {
        for preset in Preset::ALL {
            let map = preset.attributes();
            for (list, name) in [
                (&map.username, "Username"),
                (&map.email, "Email"),
                (&map.first_name, "FirstName"),
                (&map.last_name, "LastName"),
            ] {
                assert_eq!(list.first().map(String::as_str), Some(name), "{preset}");
            }
        }
    }
}
