//! Whether a login needs a second factor: rules over who signs in, by what, for which client and
//! from where.
//!
//! All rules that match count and the strictest of them wins; when none matches, the default
//! policy does. A rule's conditions must all hold. Evaluated at every authorization, not only at
//! login. Where a fact is unknown, the rule is read so that it can only make things stricter.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What is asked of a login, in the order of strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MfaPolicy {
    /// No second factor.
    Off,
    /// A second factor of those who have one.
    Optional,
    /// A second factor of everybody; who has none enrols one first.
    Required,
}

impl MfaPolicy {
    /// The word in the configuration and the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// One rule. It matches when all its conditions hold; one without conditions matches everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MfaRule {
    /// The connector of the first factor.
    pub connector: Option<String>,
    /// A role of the account, compared without case.
    pub role: Option<String>,
    /// A group of the account, compared without case.
    pub group: Option<String>,
    /// The client that the login is for.
    pub client: Option<String>,
    /// The network that the request comes from.
    pub network: Option<IpNet>,
    /// What then is asked.
    pub policy: MfaPolicy,
}

impl MfaRule {
    /// A rule for everybody; set conditions to narrow it.
    #[must_use]
    pub const fn new(policy: MfaPolicy) -> Self {
        Self { connector: None, role: None, group: None, client: None, network: None, policy }
    }

    /// Whether the rule matches; `None` when that hangs on an address that is not known.
    fn matches(&self, facts: &MfaFacts<'_>) -> Option<bool> {
        let others = self.connector.as_deref().is_none_or(|connector| connector == facts.connector)
            && self.role.as_deref().is_none_or(|role| holds(facts.roles, role))
            && self.group.as_deref().is_none_or(|group| holds(facts.groups, group))
            && (self.client.is_none() || self.client.as_deref() == facts.client);
        match (others, self.network, facts.ip) {
            (false, ..) => Some(false),
            (true, None, _) => Some(true),
            (true, Some(network), Some(ip)) => Some(contains(network, ip)),
            (true, Some(_), None) => None,
        }
    }
}

/// What the rules are asked about.
#[derive(Clone, Copy, Debug)]
pub struct MfaFacts<'a> {
    /// Connector of the first factor.
    pub connector: &'a str,
    /// Roles of the account.
    pub roles: &'a [String],
    /// Groups of the account.
    pub groups: &'a [String],
    /// The client that the login is for; none for the broker's own pages.
    pub client: Option<&'a str>,
    /// Source address, after the trusted proxies were taken off.
    pub ip: Option<IpAddr>,
}

/// The policy for a login: the strictest of the rules that match, or `default`. A rule that hangs
/// on an unknown address can make the answer stricter, never laxer.
#[must_use]
pub fn requirement(rules: &[MfaRule], default: MfaPolicy, facts: &MfaFacts<'_>) -> MfaPolicy {
    let strictest = |wanted: Option<bool>| {
        rules.iter().filter(|rule| rule.matches(facts) == wanted).map(|rule| rule.policy).max()
    };
    let known = strictest(Some(true)).unwrap_or(default);
    strictest(None).map_or(known, |possible| known.max(possible))
}

/// Whether these facts may meet a demand for a second factor somewhere: by the default policy, or
/// by a rule for whatever client and network. Only `connector`, `roles` and `groups` count.
#[must_use]
pub fn may_be_required(rules: &[MfaRule], default: MfaPolicy, facts: &MfaFacts<'_>) -> bool {
    default == MfaPolicy::Required
        || rules.iter().any(|rule| {
            let anywhere = MfaRule { client: None, network: None, ..rule.clone() };
            rule.policy == MfaPolicy::Required && anywhere.matches(facts) == Some(true)
        })
}

/// Which methods of an upstream identity provider count as a second factor: values of `amr` (RFC
/// 8176) or `acr`, or SAML authentication context classes. Empty: none does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamFactors {
    accepted: Vec<String>,
}

/// Why a value cannot be accepted as a second factor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{value:?} does not say that a second factor was used: name a value that does, such as `mfa`"
)]
pub struct SingleFactorValue {
    /// The value.
    pub value: String,
}

impl UpstreamFactors {
    /// Accepts the given values, compared exactly.
    ///
    /// # Errors
    /// For a value that stands for a password alone, or for nothing.
    pub fn new(accepted: Vec<String>) -> Result<Self, SingleFactorValue> {
        match accepted.iter().find(|value| is_single_factor(value)) {
            Some(value) => Err(SingleFactorValue { value: value.clone() }),
            None => Ok(Self { accepted }),
        }
    }

    /// Whether what the identity provider presented counts as a second factor.
    #[must_use]
    pub fn satisfied_by(&self, presented: &[String]) -> bool {
        presented.iter().any(|value| self.accepted.contains(value))
    }
}

fn is_single_factor(value: &str) -> bool {
    let class = value.strip_prefix("urn:oasis:names:tc:SAML:2.0:ac:classes:").unwrap_or(value);
    matches!(
        class.trim(),
        "" | "0" | "pwd" | "pin" | "unspecified" | "Password" | "PasswordProtectedTransport"
    )
}

fn holds(values: &[String], wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    values.iter().any(|value| value.to_lowercase() == wanted)
}

/// An IPv4 address that arrived in IPv6 form belongs to IPv4 networks.
fn contains(network: IpNet, ip: IpAddr) -> bool {
    network.contains(&ip) || network.contains(&ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::MfaPolicy::{Off, Optional, Required};
    use super::*;

    fn facts<'a>(roles: &'a [String], groups: &'a [String]) -> MfaFacts<'a> {
        MfaFacts {
            connector: "corp",
            roles,
            groups,
            client: Some("chat"),
            ip: Some("10.1.2.3".parse().unwrap()),
        }
    }

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    fn network(cidr: &str, policy: MfaPolicy) -> MfaRule {
        MfaRule { network: Some(cidr.parse().unwrap()), ..MfaRule::new(policy) }
    }

    fn connector(id: &str, policy: MfaPolicy) -> MfaRule {
        MfaRule { connector: Some(id.to_owned()), ..MfaRule::new(policy) }
    }

    #[test]
    fn without_a_matching_rule_the_default_holds() {
        for default in [Off, Optional, Required] {
            assert_eq!(requirement(&[], default, &facts(&[], &[])), default);
            let rules = [connector("okta", Required), network("192.168.0.0/16", Off)];
            assert_eq!(requirement(&rules, default, &facts(&[], &[])), default);
        }
    }

    #[test]
    fn the_strictest_matching_rule_wins_in_any_order() {
        let mut rules =
            vec![network("10.0.0.0/8", Optional), connector("corp", Required), MfaRule::new(Off)];
        for _ in 0..3 {
            rules.rotate_left(1);
            assert_eq!(requirement(&rules, Off, &facts(&[], &[])), Required);
        }
        rules.retain(|rule| rule.policy != Required);
        // Rules narrow the default, also downwards.
        assert_eq!(requirement(&rules, Required, &facts(&[], &[])), Optional);
    }

    #[test]
    fn each_condition_counts_and_all_must_hold() {
        let roles = texts(&["administrator"]);
        let groups = texts(&["CN=Staff,DC=example,DC=org"]);
        let facts = facts(&roles, &groups);
        let all = MfaRule {
            connector: Some("corp".to_owned()),
            role: Some("Administrator".to_owned()),
            group: Some("cn=staff,dc=example,dc=org".to_owned()),
            client: Some("chat".to_owned()),
            network: Some("10.1.0.0/16".parse().unwrap()),
            policy: Required,
        };
        assert_eq!(requirement(std::slice::from_ref(&all), Off, &facts), Required);
        let broken = [
            MfaRule { connector: Some("CORP".to_owned()), ..all.clone() },
            MfaRule { role: Some("guest".to_owned()), ..all.clone() },
            MfaRule { group: Some("cn=staff".to_owned()), ..all.clone() },
            MfaRule { client: Some("wiki".to_owned()), ..all.clone() },
            MfaRule { network: Some("10.2.0.0/16".parse().unwrap()), ..all.clone() },
        ];
        for rule in broken {
            assert_eq!(requirement(std::slice::from_ref(&rule), Off, &facts), Off, "{rule:?}");
        }
        let own_pages = MfaFacts { client: None, ..facts };
        assert_eq!(requirement(&[all], Off, &own_pages), Off);
    }

    #[test]
    fn networks_know_both_forms_of_an_address() {
        let rule = [network("10.0.0.0/8", Off)];
        for (ip, expected) in [
            ("10.255.0.1", Off),
            ("::ffff:10.0.0.1", Off),
            ("11.0.0.1", Required),
            ("::10.0.0.1", Required),
            ("2001:db8::1", Required),
        ] {
            let facts = MfaFacts { ip: Some(ip.parse().unwrap()), ..facts(&[], &[]) };
            assert_eq!(requirement(&rule, Required, &facts), expected, "{ip}");
        }
    }

    #[test]
    fn an_unknown_address_never_makes_it_laxer() {
        let nowhere = MfaFacts { ip: None, ..facts(&[], &[]) };
        let trusted = network("10.0.0.0/8", Off);
        let outside = network("0.0.0.0/0", Required);
        let corp = connector("corp", Optional);
        assert_eq!(requirement(std::slice::from_ref(&trusted), Required, &nowhere), Required);
        assert_eq!(requirement(std::slice::from_ref(&outside), Off, &nowhere), Required);
        assert_eq!(requirement(&[corp.clone(), outside], Required, &nowhere), Required);
        assert_eq!(requirement(&[corp, trusted], Required, &nowhere), Optional);
    }

    #[test]
    fn a_demand_of_any_client_or_network_counts_for_the_last_factor() {
        let nowhere = MfaFacts { client: None, ip: None, ..facts(&[], &[]) };
        let for_client = MfaRule { client: Some("wiki".to_owned()), ..MfaRule::new(Required) };
        for (rules, default, expected) in [
            (vec![], Required, true),
            (vec![], Optional, false),
            (vec![for_client.clone()], Off, true),
            (vec![network("192.0.2.0/24", Required)], Optional, true),
            (vec![network("192.0.2.0/24", Off)], Optional, false),
            (vec![connector("okta", Required)], Off, false),
            (vec![connector("corp", Required)], Off, true),
        ] {
            assert_eq!(may_be_required(&rules, default, &nowhere), expected, "{rules:?}");
        }
    }

    #[test]
    fn upstream_methods_count_only_where_configured() {
        let none = UpstreamFactors::default();
        let some = UpstreamFactors::new(texts(&["mfa", "urn:example:strong"])).unwrap();
        let presented = texts(&["pwd", "mfa"]);
        assert!(!none.satisfied_by(&presented));
        assert!(some.satisfied_by(&presented));
        assert!(some.satisfied_by(&texts(&["urn:example:strong"])));
        assert!(!some.satisfied_by(&texts(&["pwd", "MFA", "mfa "])));
        assert!(!some.satisfied_by(&[]));
    }

    #[test]
    fn a_password_is_no_second_factor() {
        for value in [
            "pwd",
            "",
            " ",
            "0",
            "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
            "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified",
        ] {
            let refused = UpstreamFactors::new(texts(&["mfa", value])).unwrap_err();
            assert_eq!(refused.value, value);
        }
    }
}
