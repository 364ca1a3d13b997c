//! What single clients are told of a person beside the usual claims: rules over groups, roles and
//! attributes.

use std::collections::BTreeMap;

use crate::store::{AccountRecord, ClaimMap};

/// One rule: the client is told these claims of who meets all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimRule {
    /// The client.
    pub client: String,
    /// Only of members of this group, compared exactly.
    pub group: Option<String>,
    /// Only of people with this role.
    pub role: Option<String>,
    /// Only of people whose connector keeps this value under this claim's name.
    pub claim: Option<(String, String)>,
    /// The claims.
    pub set: BTreeMap<String, String>,
}

impl ClaimRule {
    fn matches(&self, account: &AccountRecord, kept: &ClaimMap) -> bool {
        let holds = |(name, value): &(String, String)| {
            kept.get(name).is_some_and(|values| values.contains(value))
        };
        self.group.as_ref().is_none_or(|group| account.groups.contains(group))
            && self.role.as_ref().is_none_or(|role| account.roles.contains(role))
            && self.claim.as_ref().is_none_or(holds)
    }
}

/// The claims that the rules give of an account, of which `kept` is what its connectors mapped; of
/// two rules with one claim the first counts.
#[must_use]
pub fn further_claims(
    rules: &[ClaimRule],
    account: &AccountRecord,
    kept: &ClaimMap,
) -> BTreeMap<String, String> {
    let mut claims = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.matches(account, kept)) {
        for (name, value) in &rule.set {
            claims.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::claims::tests::account;

    #[test]
    fn conditions_have_to_hold_and_the_first_rule_counts() {
        let rule = |group: Option<&str>, role: Option<&str>, value: &str| ClaimRule {
            client: "chat".to_owned(),
            group: group.map(str::to_owned),
            role: role.map(str::to_owned),
            claim: None,
            set: [("team".to_owned(), value.to_owned())].into(),
        };
        let kept = ClaimMap::from([("dept".to_owned(), vec!["it".to_owned(), "hr".to_owned()])]);
        let team =
            |rules: &[ClaimRule]| further_claims(rules, &account(), &kept).get("team").cloned();
        assert_eq!(team(&[rule(Some("others"), None, "a")]), None);
        assert_eq!(team(&[rule(Some("staff"), Some("guest"), "a")]), None);
        let rules = [rule(Some("staff"), Some("member"), "a"), rule(None, None, "b")];
        assert_eq!(team(&rules).as_deref(), Some("a"));
        let of_department = |name: &str, value: &str| ClaimRule {
            claim: Some((name.to_owned(), value.to_owned())),
            ..rule(Some("staff"), None, "c")
        };
        assert_eq!(team(&[of_department("dept", "hr")]).as_deref(), Some("c"));
        assert_eq!(team(&[of_department("dept", "HR"), of_department("room", "hr")]), None);
    }
}
