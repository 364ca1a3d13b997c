//! `[mfa]`: who needs a second factor.

mod extras;

use std::time::Duration;

use auth_core::factor::{TotpSettings, UpstreamFactors};
use auth_core::store::GraceRule;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::{DurationText, PublicUrl};
use extras::{RawGrace, RawTotp, RawUpstream};

/// Who needs a second factor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawMfa {
    /// What holds where no rule matches.
    policy: MfaPolicy,
    /// The name that authenticator applications show. Default: the host of `public_url`.
    issuer: Option<String>,
    /// Whether passkeys and security keys are offered as a second factor. They need a host name
    /// in `public_url`, and are bound to it.
    passkeys: bool,
    /// Whether a passkey may also stand in for user name and password. The authenticator verifies
    /// its user, so it counts as two factors. For local accounts and those of a directory.
    passwordless: bool,
    /// How long a device is remembered, at most `90d`, on which somebody passed the second factor
    /// and asked for it. It spares what the policy asks for, not what a client asks for by
    /// `acr_values`. Not set: no device is remembered.
    remember_device: Option<DurationText>,
    /// How often or how long whoever has no second factor may put off setting one up. Not set:
    /// not at all.
    grace: Option<RawGrace>,
    /// How new authenticator applications make their codes. Those that are set up stay as they
    /// are.
    totp: RawTotp,
    /// Connectors (`[[saml]]`, `[[oidc]]`) whose own second factor counts, by the usual values of
    /// `amr`, `acr` or the authentication context. For other values use `[[mfa.upstream]]`.
    trust_upstream: Vec<String>,
    /// Which values count at one connector.
    upstream: Vec<RawUpstream>,
    /// Rules for some people, networks or clients. All that match count, and the strictest of
    /// them wins, whatever `policy` says.
    rule: Vec<RawMfaRule>,
}

impl Default for RawMfa {
    fn default() -> Self {
        Self {
            policy: MfaPolicy::default(),
            issuer: None,
            passkeys: true,
            passwordless: false,
            remember_device: None,
            grace: None,
            totp: RawTotp::default(),
            trust_upstream: Vec::new(),
            upstream: Vec::new(),
            rule: Vec::new(),
        }
    }
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
    /// Whether passkeys are offered, where `public_url` has a host name.
    pub(crate) passkeys: bool,
    /// Whether a passkey may stand in for the password.
    pub(crate) passwordless: bool,
    /// How long a device is remembered.
    pub(crate) remember_device: Option<Duration>,
    /// How an enrolment may be put off.
    pub(crate) grace: Option<GraceRule>,
    /// How codes of new applications are made.
    pub(crate) totp: TotpSettings,
    /// What counts as a second factor, by connector.
    pub(crate) upstream: Vec<(String, UpstreamFactors)>,
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
    /// Connectors of an upstream identity provider.
    pub(in crate::config) upstream: &'a [String],
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
        let host_is_name = public_url.is_none_or(|url| url.url().domain().is_some());
        if self.passwordless && !(self.passkeys && host_is_name) {
            problems.error(
                &at.key("passwordless"),
                "is true, but no passkey can be used",
                "set mfa.passkeys to true and use a host name in public_url, not an IP address",
            );
        }
        Mfa {
            policy: self.policy,
            issuer,
            rules,
            passkeys: self.passkeys && host_is_name,
            passwordless: self.passwordless,
            remember_device: extras::remembered(
                self.remember_device.as_ref(),
                &at.key("remember_device"),
                problems,
            ),
            grace: self.grace.and_then(|grace| grace.resolve(&at.key("grace"), problems)),
            totp: self.totp.resolve(&at.key("totp"), problems),
            upstream: extras::upstream(self.trust_upstream, self.upstream, at, known, problems),
        }
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
        // Whoever may put it off signs in by the password alone meanwhile.
        if self.grace.is_some() {
            return false;
        }
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
