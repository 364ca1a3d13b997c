//! `[claims]`: from groups and attributes to roles, and what single clients are told beside.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::mfa::Known;
use crate::config::finding::{KeyPath, Problems};

/// Roles and further claims, by rules.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawClaims {
    /// Who has which role. All rules that match count.
    role: Vec<RawRoleRule>,
    /// What single clients are told beside. All rules that match count.
    client: Vec<RawClientRule>,
}

/// Who has a role. All conditions that are set must hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawRoleRule {
    /// The connector that people come through.
    connector: Option<String>,
    /// A group, compared exactly.
    group: Option<String>,
    /// A claim that the connector keeps (`attributes.claims`); `value` goes with it.
    claim: Option<String>,
    /// The value that the claim has to have.
    value: Option<String>,
    /// The role: `member`, `guest` or `administrator`.
    #[schemars(extend("x-required" = true))]
    role: Option<String>,
}

/// What a client is told beside. All conditions that are set must hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawClientRule {
    /// The client that is told.
    #[schemars(extend("x-required" = true))]
    client: Option<String>,
    /// A group of the account, compared exactly.
    group: Option<String>,
    /// A role of the account.
    role: Option<String>,
    /// A claim that the connector keeps (`attributes.claims`); `value` goes with it.
    claim: Option<String>,
    /// The value that the claim has to have.
    value: Option<String>,
    /// The claims: name = value.
    #[schemars(extend("x-required" = true))]
    set: BTreeMap<String, String>,
}

/// Roles and further claims.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    pub(crate) roles: Vec<RoleRule>,
    pub(crate) clients: Vec<ClientRule>,
}

/// Who has a role.
#[derive(Clone, Debug)]
pub(crate) struct RoleRule {
    pub(crate) connector: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) claim: Option<(String, String)>,
    pub(crate) role: String,
}

/// What a client is told beside.
#[derive(Clone, Debug)]
pub(crate) struct ClientRule {
    pub(crate) client: String,
    pub(crate) group: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) claim: Option<(String, String)>,
    pub(crate) set: BTreeMap<String, String>,
}

impl RawClaims {
    pub(in crate::config) fn resolve(
        self,
        at: &KeyPath,
        known: &Known<'_>,
        problems: &mut Problems,
    ) -> Claims {
        let place = |name: &str, index: usize| at.key(name).index(index);
        let roles = self.role.into_iter().enumerate();
        let clients = self.client.into_iter().enumerate();
        Claims {
            roles: roles
                .map(|(index, rule)| rule.resolve(&place("role", index), known, problems))
                .collect(),
            clients: clients
                .map(|(index, rule)| rule.resolve(&place("client", index), known, problems))
                .collect(),
        }
    }
}

impl RawRoleRule {
    fn resolve(self, at: &KeyPath, known: &Known<'_>, problems: &mut Problems) -> RoleRule {
        let conditions = [&self.connector, &self.group, &self.claim];
        if conditions.iter().all(|condition| condition.is_none()) {
            problems.error(at, "has no condition", "name connector, group, or claim and value");
        }
        problems.both_or_none(at, ("claim", self.claim.is_some()), ("value", self.value.is_some()));
        if let Some(connector) = &self.connector
            && !known.connectors.contains(connector)
        {
            problems.error(
                &at.key("connector"),
                format!("there is no connector `{connector}`"),
                format!("known are {}", known.connectors.join(", ")),
            );
        }
        match &self.role {
            None => problems.missing(&at.key("role"), "write member, guest or administrator"),
            Some(role) => check_role(&at.key("role"), role, problems),
        }
        RoleRule {
            connector: self.connector,
            group: self.group,
            claim: self.claim.zip(self.value),
            role: self.role.unwrap_or_default(),
        }
    }
}

impl RawClientRule {
    fn resolve(self, at: &KeyPath, known: &Known<'_>, problems: &mut Problems) -> ClientRule {
        match &self.client {
            None => problems.missing(&at.key("client"), "name the client that is told"),
            Some(client) if !known.clients.contains(client) => problems.warning(
                &at.key("client"),
                format!("no [[client]] of this file has the id `{client}`"),
                "check the spelling, unless the client lives in the store",
            ),
            Some(_) => {}
        }
        if let Some(role) = &self.role {
            check_role(&at.key("role"), role, problems);
        }
        problems.both_or_none(at, ("claim", self.claim.is_some()), ("value", self.value.is_some()));
        if self.set.is_empty() {
            problems.missing(&at.key("set"), "write set = { name = \"value\" }");
        }
        for name in self.set.keys() {
            if auth_core::handoff::claims::is_own_claim(name) {
                let at = at.key("set").key(name);
                problems.error(&at, "is a claim that the broker makes itself", "rename it");
            }
        }
        ClientRule {
            client: self.client.unwrap_or_default(),
            group: self.group,
            role: self.role,
            claim: self.claim.zip(self.value),
            set: self.set,
        }
    }
}

fn check_role(at: &KeyPath, role: &str, problems: &mut Problems) {
    if !auth_core::account::ROLES.contains(&role) {
        problems.error(
            at,
            format!("there is no role `{role}`"),
            "roles are administrator, member and guest",
        );
    }
}
