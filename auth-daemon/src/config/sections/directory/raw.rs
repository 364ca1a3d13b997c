//! What may be written in `[[directory]]`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attributes::RawAttributes;
use super::group_map::{self, RawGroupMapping};
use super::groups::RawGroups;
use super::sync::RawSync;
use super::{Directory, search, server};
use crate::config::finding::{KeyPath, Problems};
use crate::config::sections::accounts::RawAccounts;
use crate::config::values::{DAY, DurationText, MINUTE, SecretText};

/// An LDAP or Active Directory server that people sign in against. Several tables make several
/// directories.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawDirectory {
    /// Id of the connector, `[a-z0-9-]{1,32}`; part of `/login/ID` and of every account's
    /// identity, so never change it.
    #[schemars(extend("x-required" = true))]
    pub(super) id: Option<String>,
    /// Name on the sign-in page. Default: the id.
    pub(super) label: Option<String>,
    /// Picture on its button: an SVG or PNG file of 64 KiB at most.
    pub(super) logo_file: Option<PathBuf>,
    /// Mail domains whose people are led here when they type their address on the sign-in page.
    pub(super) domains: Vec<String>,
    /// Kind of server; gives attributes, filters and the source of groups that are not set here.
    pub(super) preset: Preset,
    /// URLs of the servers, tried in this order: `ldaps://host[:port]`, or `ldap://host[:port]`
    /// with `starttls`. Without TLS only loopback addresses are accepted. `srv://domain` stands
    /// for the servers that the domain's SRV records name (`_ldap._tcp` with `starttls`, else
    /// `_ldaps._tcp`, else the hosts of `_ldap._tcp` on port 636); hosts outside the domain are
    /// not used.
    #[schemars(extend("x-required" = true))]
    pub(super) servers: Vec<String>,
    /// Whether `ldap://` servers are asked for StartTLS. One that refuses is not used.
    pub(super) starttls: bool,
    /// PEM file with the certificate authorities to trust instead of the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// SHA-256 fingerprint of the one server certificate to accept, instead of an authority and a
    /// host name: 64 hexadecimal digits, colons are allowed.
    pub(super) pinned_certificate_sha256: Option<String>,
    /// PEM file with our certificate, for servers that ask for one.
    pub(super) client_certificate_file: Option<PathBuf>,
    /// PEM file with its private key.
    pub(super) client_key_file: Option<PathBuf>,
    /// DN (or user principal name) of the service identity that searches for people. Without it
    /// searches are anonymous.
    pub(super) bind_dn: Option<String>,
    /// Its password.
    pub(super) bind_password: Option<SecretText>,
    /// A file that holds `bind_password`.
    pub(super) bind_password_file: Option<PathBuf>,
    /// Where people are searched. Empty only for a global catalog of Active Directory.
    #[schemars(extend("x-required" = true))]
    pub(super) base_dn: Option<String>,
    /// How deep below `base_dn` they are searched.
    pub(super) scope: Scope,
    /// Finds the entry without `login_attributes`: a DN such as
    /// `uid={username},ou=people,dc=example,dc=com`, or a `userPrincipalName` such as
    /// `{username}@example.com`. The user name is escaped.
    pub(super) user_dn_template: Option<String>,
    /// Filter that everybody who may sign in matches (RFC 4515). Default: the preset's.
    pub(super) user_filter: Option<String>,
    /// Who matches has the role `administrator` in claims.
    pub(super) admin_filter: Option<String>,
    /// Who matches has the role `guest` in claims.
    pub(super) guest_filter: Option<String>,
    /// Attributes that a typed user name is compared with. Default: the preset's.
    pub(super) login_attributes: Vec<String>,
    /// Which attribute becomes what. What is not set comes from the preset.
    pub(super) attributes: RawAttributes,
    /// Where the groups of a person come from.
    pub(super) groups: RawGroups,
    /// What membership in a group brings: a role, teams, channels.
    pub(super) group_map: Vec<RawGroupMapping>,
    /// Limit of TCP and TLS set-up with a server; then the next one is tried.
    pub(super) connect_timeout: DurationText,
    /// Limit of one LDAP operation, and of the wait for a free connection.
    pub(super) operation_timeout: DurationText,
    /// Limit of a whole sign-in, fail-over included.
    pub(super) total_timeout: DurationText,
    /// Connections to a server for searches, and as many for binds.
    #[schemars(range(min = 1, max = 1024))]
    pub(super) pool_size: u32,
    /// Entries per page of a search (RFC 2696).
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) page_size: u32,
    /// A refresh of a session reads the person's entry again when the last look is older.
    pub(super) recheck_after: DurationText,
    /// How long after the last look sessions are still refreshed while the directory is down.
    pub(super) recheck_grace: DurationText,
    /// Who gets an account through it.
    pub(super) accounts: RawAccounts,
    /// Synchronisation of all people.
    pub(super) sync: Option<RawSync>,
}

/// Kind of server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Preset {
    /// Microsoft Active Directory, Samba AD.
    ActiveDirectory,
    /// FreeIPA.
    #[serde(rename = "freeipa")]
    FreeIpa,
    /// Anything else that has `entryUUID` (RFC 4530).
    #[default]
    Generic,
    /// OpenLDAP.
    #[serde(rename = "openldap")]
    OpenLdap,
    /// 389 Directory Server.
    #[serde(rename = "389-ds")]
    ThreeEightNineDs,
}

/// How deep a search goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Only directly below the base.
    One,
    /// The whole tree below the base.
    #[default]
    Sub,
}

impl Default for RawDirectory {
    fn default() -> Self {
        Self {
            id: None,
            label: None,
            logo_file: None,
            domains: Vec::new(),
            preset: Preset::default(),
            servers: Vec::new(),
            starttls: false,
            ca_file: None,
            pinned_certificate_sha256: None,
            client_certificate_file: None,
            client_key_file: None,
            bind_dn: None,
            bind_password: None,
            bind_password_file: None,
            base_dn: None,
            scope: Scope::default(),
            user_dn_template: None,
            user_filter: None,
            admin_filter: None,
            guest_filter: None,
            login_attributes: Vec::new(),
            attributes: RawAttributes::default(),
            groups: RawGroups::default(),
            group_map: Vec::new(),
            connect_timeout: "5s".into(),
            operation_timeout: "10s".into(),
            total_timeout: "20s".into(),
            pool_size: 16,
            page_size: 1000,
            recheck_after: "5m".into(),
            recheck_grace: "1h".into(),
            accounts: RawAccounts::default(),
            sync: None,
        }
    }
}

impl RawDirectory {
    /// The id as written, for the checks of uniqueness.
    pub(in crate::config) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(in crate::config) fn resolve(mut self, at: &KeyPath, problems: &mut Problems) -> Directory {
        let at = &at.clone().named(self.id.as_deref());
        let id = problems.id(at, self.id.take()).unwrap_or_default();
        if let Some(label) = &self.label {
            problems.label(&at.key("label"), label);
        }
        let servers = server::servers(&self, at, problems);
        let tls = server::tls_trust(&mut self, at, problems);
        let service_identity = search::service_identity(&mut self, at, problems);
        search::check(&self, at, problems);
        let (connect_timeout, operation_timeout, total_timeout) = self.timeouts(at, problems);
        let recheck_after =
            problems.duration(&at.key("recheck_after"), &self.recheck_after, Duration::ZERO..=DAY);
        let recheck_grace = problems.duration(
            &at.key("recheck_grace"),
            &self.recheck_grace,
            Duration::ZERO..=DAY * 7,
        );
        let logo = self.logo_file.as_deref();
        Directory {
            logo: logo.and_then(|file| problems.logo(&at.key("logo_file"), file)),
            domains: problems.domains(&at.key("domains"), self.domains),
            accounts: self.accounts.resolve_for_directory(&at.key("accounts"), &id, problems),
            label: self.label.unwrap_or_else(|| id.clone()),
            id,
            preset: self.preset,
            servers,
            tls,
            service_identity,
            base_dn: self.base_dn.unwrap_or_default(),
            scope: self.scope,
            user_dn_template: self.user_dn_template,
            user_filter: self.user_filter,
            admin_filter: self.admin_filter,
            guest_filter: self.guest_filter,
            login_attributes: self.login_attributes,
            attributes: self.attributes.resolve(&at.key("attributes"), problems),
            groups: self.groups.resolve(&at.key("groups"), problems),
            group_map: group_map::resolve(self.group_map, &at.key("group_map"), problems),
            connect_timeout,
            operation_timeout,
            total_timeout,
            pool_size: self.pool_size,
            page_size: self.page_size,
            recheck_after: recheck_after.unwrap_or_default(),
            recheck_grace: recheck_grace.unwrap_or_default(),
            sync: self.sync.unwrap_or_default().resolve(&at.key("sync"), problems),
        }
    }

    fn timeouts(&self, at: &KeyPath, problems: &mut Problems) -> (Duration, Duration, Duration) {
        let mut limit = |name: &str, text: &DurationText| {
            let limits = Duration::from_millis(10)..=MINUTE * 10;
            problems.duration(&at.key(name), text, limits).unwrap_or_default()
        };
        (
            limit("connect_timeout", &self.connect_timeout),
            limit("operation_timeout", &self.operation_timeout),
            limit("total_timeout", &self.total_timeout),
        )
    }
}
