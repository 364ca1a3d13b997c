//! `[[directory]]`: LDAP and Active Directory servers.
//!
//! What is left out falls back to the preset, which belongs to the connector: the typed struct
//! says `None` there.

pub(crate) mod attributes;
pub(crate) mod group_map;
pub(crate) mod groups;
mod raw;
mod search;
pub(crate) mod server;
pub(crate) mod sync;

use std::time::Duration;

use auth_core::secret::Secret;

use super::accounts::Accounts;
use super::logo::Logo;
pub(crate) use attributes::AttributeMap;
pub(crate) use group_map::{GroupMapping, MappedRole};
pub(crate) use groups::{GroupNames, GroupSource, Groups};
pub(in crate::config) use raw::RawDirectory;
pub(crate) use raw::{Preset, Scope};
use server::{LdapServer, TlsTrust};
use sync::Sync;

/// A directory that people sign in against.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Its id: the connector's name.
    pub(crate) id: String,
    /// Its name on the sign-in page.
    pub(crate) label: String,
    /// Its picture on the sign-in page.
    pub(crate) logo: Option<Logo>,
    /// Mail domains whose people are led here.
    pub(crate) domains: Vec<String>,
    /// Who gets an account through it.
    pub(crate) accounts: Accounts,
    /// Kind of server.
    pub(crate) preset: Preset,
    /// Servers in the order in which they are tried.
    pub(crate) servers: Vec<LdapServer>,
    /// How the servers prove who they are, and we to them.
    pub(crate) tls: TlsTrust,
    /// Service identity for searches: bind DN and password. `None`: searches are anonymous.
    pub(crate) service_identity: Option<(String, Secret)>,
    /// Where people are searched.
    pub(crate) base_dn: String,
    /// How deep.
    pub(crate) scope: Scope,
    /// Finds the entry without `login_attributes`: a DN or user principal name with `{username}`
    /// in it once.
    pub(crate) user_dn_template: Option<String>,
    /// Filter that all people match; `None`: the preset's.
    pub(crate) user_filter: Option<String>,
    /// Filter of those with the role `administrator`.
    pub(crate) admin_filter: Option<String>,
    /// Filter of those with the role `guest`.
    pub(crate) guest_filter: Option<String>,
    /// Attributes that a typed user name is compared with; empty: the preset's.
    pub(crate) login_attributes: Vec<String>,
    /// Which attribute becomes what.
    pub(crate) attributes: AttributeMap,
    /// Where groups come from.
    pub(crate) groups: Groups,
    /// What membership in a group brings.
    pub(crate) group_map: Vec<GroupMapping>,
    /// Limit of TCP and TLS set-up.
    pub(crate) connect_timeout: Duration,
    /// Limit of one LDAP operation.
    pub(crate) operation_timeout: Duration,
    /// Limit of a whole sign-in, fail-over included.
    pub(crate) total_timeout: Duration,
    /// Connections per server for searches, and as many for binds.
    pub(crate) pool_size: u32,
    /// Entries per page, RFC 2696.
    pub(crate) page_size: u32,
    /// Age after which a refresh reads the entry again.
    pub(crate) recheck_after: Duration,
    /// How long after the last look refreshes go on while the directory is down.
    pub(crate) recheck_grace: Duration,
    /// Synchronisation; by hand only where it is not set.
    pub(crate) sync: Sync,
}
