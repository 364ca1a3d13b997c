//! The settings of one directory, typed. The file format belongs to the program that reads it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::directory::servers::SRV_SCHEME;
use super::group::GroupSettings;
use super::group_map::GroupMapping;
use super::preset::Preset;
use crate::secret::Secret;

/// One directory with its servers. [`LdapSettings::new`] gives the defaults of a preset; every
/// field may then be changed. `LdapConnector::new` checks them all.
#[derive(Debug)]
pub struct LdapSettings {
    /// Id of the connector, `[a-z0-9-]{1,32}`.
    pub id: String,
    /// What people see on the sign-in page. Default: the id.
    pub label: String,
    /// The product.
    pub preset: Preset,
    /// Servers in order of preference, `ldaps://HOST[:PORT]` or `ldap://HOST[:PORT]`, or
    /// `srv://DOMAIN` for those that the domain's SRV records name (RFC 2782): of `_ldap._tcp` with
    /// `starttls`, else of `_ldaps._tcp`, else the hosts of `_ldap._tcp` on port 636. Hosts outside
    /// the domain are not used.
    pub servers: Vec<Url>,
    /// DNS servers that are asked for `srv://`; empty: the system's.
    pub name_servers: Vec<SocketAddr>,
    /// Whether `ldap://` connections are upgraded by StartTLS. Without it `ldap://` is accepted
    /// for loopback addresses only, because passwords would cross the network in clear.
    pub starttls: bool,
    /// Service account that searches; none: anonymous searches.
    pub bind_dn: Option<String>,
    /// Password of `bind_dn`.
    pub bind_password: Option<Secret>,
    /// Where the people are. Empty only for a global catalog of Active Directory.
    pub base_dn: String,
    /// How deep below `base_dn`.
    pub scope: SearchScope,
    /// Only entries that match may sign in.
    pub user_filter: String,
    /// Whoever matches gets the role `guest`, and no other.
    pub guest_filter: Option<String>,
    /// Whoever matches gets the role `administrator`.
    pub admin_filter: Option<String>,
    /// Attributes that what is typed is compared with.
    pub login_attributes: Vec<String>,
    /// Finds the entry without `login_attributes`: a DN such as `uid={username},ou=people,dc=…`
    /// that is read directly, or a `userPrincipalName` such as `{username}@example.com`.
    pub user_dn_template: Option<String>,
    /// From attributes to a person.
    pub attributes: AttributeMap,
    /// Where groups come from.
    pub groups: GroupSettings,
    /// What membership in a group brings.
    pub group_map: Vec<GroupMapping>,
    /// Certificate authorities to trust instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Exactly this server certificate is trusted instead of an authority and a host name:
    /// SHA-256 of its DER form, 64 hexadecimal digits, colons allowed.
    pub pinned_certificate_sha256: Option<String>,
    /// Client certificate chain, PEM; needs `client_key_file`.
    pub client_certificate_file: Option<PathBuf>,
    /// Key of the client certificate, PEM.
    pub client_key_file: Option<PathBuf>,
    /// For TCP and TLS together. Default 5 s.
    pub connect_timeout: Duration,
    /// For each request, and for the wait for a free connection. Default 10 s.
    pub operation_timeout: Duration,
    /// For a whole login or recheck over all servers. Default 20 s.
    pub total_timeout: Duration,
    /// Connections per server for searches, and as many for binds. Default 16.
    pub pool_size: usize,
    /// Entries per page (RFC 2696). Default 1000, the largest that Active Directory gives.
    pub page_size: u32,
}

/// How deep a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchScope {
    /// Directly below the base.
    OneLevel,
    /// The base and everything below it.
    Subtree,
}

/// Which attribute becomes which field. Of several values the first in server order counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeMap {
    /// Stable id: must never change for a person, nor be given to another.
    pub id: String,
    /// User name.
    pub username: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Nickname.
    pub nickname: Option<String>,
    /// Position.
    pub position: Option<String>,
    /// Language.
    pub locale: Option<String>,
    /// Picture: the claim `picture`, as a `data:` URL.
    pub picture: Option<String>,
    /// Further claims: claim name to attribute, with all values.
    pub claims: BTreeMap<String, String>,
}

impl LdapSettings {
    /// The defaults of `preset`.
    #[must_use]
    pub fn new(id: &str, preset: Preset, servers: Vec<Url>, base_dn: &str) -> Self {
        Self {
            id: id.to_owned(),
            label: id.to_owned(),
            preset,
            servers,
            name_servers: Vec::new(),
            starttls: false,
            bind_dn: None,
            bind_password: None,
            base_dn: base_dn.trim().to_owned(),
            scope: SearchScope::Subtree,
            user_filter: preset.user_filter().to_owned(),
            guest_filter: None,
            admin_filter: None,
            login_attributes: preset.login_attributes(),
            user_dn_template: None,
            attributes: preset.attributes(),
            groups: preset.groups(),
            group_map: Vec::new(),
            ca_file: None,
            pinned_certificate_sha256: None,
            client_certificate_file: None,
            client_key_file: None,
            connect_timeout: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(20),
            pool_size: 16,
            page_size: 1000,
        }
    }

    /// Whether any connection uses TLS.
    pub(super) fn uses_tls(&self) -> bool {
        self.starttls
            || self.servers.iter().any(|server| matches!(server.scheme(), "ldaps" | SRV_SCHEME))
    }

    /// Every attribute that a person's entry is read for.
    pub(super) fn entry_attributes(&self) -> Vec<String> {
        let map = &self.attributes;
        let optional = [
            &map.email,
            &map.first_name,
            &map.last_name,
            &map.nickname,
            &map.position,
            &map.locale,
            &map.picture,
        ];
        let mut names: Vec<String> = [&map.id, &map.username]
            .into_iter()
            .chain(optional.into_iter().flatten())
            .chain(map.claims.values())
            .cloned()
            .collect();
        names.extend(super::account_state::ATTRIBUTES.map(str::to_owned));
        names.extend(self.groups.entry_attributes().iter().map(|&name| name.to_owned()));
        names.sort_by_key(|name| name.to_ascii_lowercase());
        names.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
        names
    }
}

impl AttributeMap {
    /// Setting and attribute name of each entry of the map.
    pub(super) fn named(&self) -> Vec<(String, &str)> {
        let optional = [
            ("email", &self.email),
            ("first_name", &self.first_name),
            ("last_name", &self.last_name),
            ("nickname", &self.nickname),
            ("position", &self.position),
            ("locale", &self.locale),
            ("picture", &self.picture),
        ];
        let mut named = vec![
            ("attributes.id".to_owned(), self.id.as_str()),
            ("attributes.username".to_owned(), self.username.as_str()),
        ];
        named.extend(optional.iter().filter_map(|(setting, attribute)| {
            Some((format!("attributes.{setting}"), attribute.as_deref()?))
        }));
        named.extend(
            self.claims
                .iter()
                .map(|(claim, name)| (format!("attributes.claims.{claim}"), name.as_str())),
        );
        named
    }
}
