//! `[mfa]`: who needs a second factor.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::PublicUrl;

/// Who needs a second factor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawMfa {
    /// What holds where no rule matches.
    policy: MfaPolicy,
    /// The name that authenticator applications show. Default: the host of `public_url`.
    issuer: Option<String>,
    /// Rules for some people, networks or clients. All that match count, and the strictest of
    /// them wins, whatever `policy` says.
    rule: Vec<RawMfaRule>,
}

/// A rule for some people, networks or clients. Every condition that it names must hold; it names
/// at least one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawMfaRule {
    /// Source network of the browser, e.g. `10.0.0.0/8`.
    network: Option<String>,
    /// Connector that the person came through: `local`, or the id of a directory.
    connector: Option<String>,
    /// Role of the account: `administrator`, `member` or `guest`.
    role: Option<String>,
    /// Group of the account, as the directory names it.
    group: Option<String>,
    /// Client that the person signs in to.
    client: Option<String>,
    /// What the rule asks for.
    #[schemars(extend("x-required" = true))]
    policy: Option<MfaPolicy>,
}

/// How much is asked for. The order is that of strictness.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MfaPolicy {
    /// Nobody is asked for a second factor, even who has one.
    Off,
    /// Who has a second factor is asked for it.
    #[default]
    Optional,
    /// Everybody is asked for it; who has none sets one up before the first sign-in ends.
    Required,
}

/// Who needs a second factor.
#[derive(Debug)]
pub(crate) struct Mfa {
    /// What holds where no rule matches.
    pub(crate) policy: MfaPolicy,
    /// The name in authenticator applications.
    pub(crate) issuer: String,
    /// All that match count, the strictest wins.
    pub(crate) rules: Vec<MfaRule>,
}

/// A rule; conditions that are set must all hold.
#[derive(Debug)]
pub(crate) struct MfaRule {
    /// Source network of the browser.
    pub(crate) network: Option<IpNet>,
    /// Connector.
    pub(crate) connector: Option<String>,
    /// Role of the account.
    pub(crate) role: Option<String>,
    /// Group of the account.
    pub(crate) group: Option<String>,
    /// Client.
    pub(crate) client: Option<String>,
    /// What it asks for.
    pub(crate) policy: MfaPolicy,
}

/// Names that rules may refer to.
pub(in crate::config) struct Known<'a> {
    pub(in crate::config) connectors: &'a [String],
    pub(in crate::config) clients: &'a [String],
}

impl RawMfa {
    pub(in crate::config) fn resolve(
        self,
        at: &KeyPath,
        public_url: Option<&PublicUrl>,
        known: &Known<'_>,
        problems: &mut Problems,
    ) -> Mfa {
        if let Some(issuer) = &self.issuer {
            problems.label(&at.key("issuer"), issuer);
            if issuer.contains(':') {
                // The label of an otpauth URI is "issuer:account".
                problems.error(&at.key("issuer"), "holds a colon", "take it away");
            }
        }
        // The host can be an IPv6 address.
        let issuer = self.issuer.unwrap_or_else(|| {
            public_url.map_or_else(String::new, |url| url.host().replace(':', "."))
        });
        let rules = self
            .rule
            .into_iter()
            .enumerate()
            .map(|(index, rule)| rule.resolve(&at.key("rule").index(index), known, problems))
            .collect();
        Mfa { policy: self.policy, issuer, rules }
    }
}

impl Mfa {
    /// Whether every local account needs a second factor, wherever it signs in.
    pub(in crate::config) fn is_always_required_locally(&self) -> bool {
        let for_all_local = |rule: &&MfaRule| {
            rule.network.is_none()
                && rule.role.is_none()
                && rule.group.is_none()
                && rule.client.is_none()
                && rule.may_match_local()
        };
        // A required rule for all of them wins over any other; without one, every rule that may
        // match has to be as strict as the policy.
        let required_by_rule =
            self.rules.iter().filter(for_all_local).any(|rule| rule.policy == MfaPolicy::Required);
        required_by_rule
            || (self.policy == MfaPolicy::Required
                && self
                    .rules
                    .iter()
                    .filter(|rule| rule.may_match_local())
                    .all(|rule| rule.policy == MfaPolicy::Required))
    }
}

impl MfaRule {
    fn may_match_local(&self) -> bool {
        self.connector.as_deref().is_none_or(|connector| connector == "local")
    }
}

impl RawMfaRule {
    fn resolve(self, at: &KeyPath, known: &Known<'_>, problems: &mut Problems) -> MfaRule {
        let network =
            self.network.as_deref().and_then(|text| problems.network(&at.key("network"), text));
        let conditions = [&self.network, &self.connector, &self.role, &self.group, &self.client];
        if conditions.iter().all(|condition| condition.is_none()) && !problems.has_errors_at(at) {
            problems.error(
                at,
                "has no condition",
                "name network, connector, role, group or client, or set mfa.policy instead",
            );
        }
        if self.policy.is_none() {
            problems.missing(&at.key("policy"), "write policy = \"required\" (or optional, off)");
        }
        if let Some(connector) = &self.connector
            && !known.connectors.contains(connector)
        {
            problems.error(
                &at.key("connector"),
                format!("there is no connector `{connector}`"),
                format!("known are {}", known.connectors.join(", ")),
            );
        }
        if let Some(role) = &self.role
            && !["administrator", "member", "guest"].contains(&role.as_str())
        {
            problems.error(
                &at.key("role"),
                format!("there is no role `{role}`"),
                "roles are administrator, member and guest",
            );
        }
        if let Some(client) = &self.client
            && !known.clients.contains(client)
        {
            problems.warning(
                &at.key("client"),
                format!("no [[client]] of this file has the id `{client}`"),
                "check the spelling, unless the client lives in the store",
            );
        }
        MfaRule {
            network,
            connector: self.connector,
            role: self.role,
            group: self.group,
            client: self.client,
            policy: self.policy.unwrap_or(MfaPolicy::Required),
        }
    }
}
