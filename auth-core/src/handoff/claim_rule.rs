//! What single clients are told of a person beside the usual claims: rules over groups and roles.

use std::collections::BTreeMap;

use crate::store::AccountRecord;

/// One rule: the client is told these claims of who meets all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimRule {
    /// The client.
    pub client: String,
    /// Only of members of this group, compared exactly.
    pub group: Option<String>,
    /// Only of people with this role.
    pub role: Option<String>,
    /// The claims.
    pub set: BTreeMap<String, String>,
}

impl ClaimRule {
    fn matches(&self, account: &AccountRecord) -> bool {
        self.group.as_ref().is_none_or(|group| account.groups.contains(group))
            && self.role.as_ref().is_none_or(|role| account.roles.contains(role))
    }
}

/// The claims that the rules give of an account; of two rules with one claim the first counts.
#[must_use]
pub fn further_claims(rules: &[ClaimRule], account: &AccountRecord) -> BTreeMap<String, String> {
    let mut claims = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.matches(account)) {
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
            set: [("team".to_owned(), value.to_owned())].into(),
        };
        let team = |rules: &[ClaimRule]| further_claims(rules, &account()).get("team").cloned();
        assert_eq!(team(&[rule(Some("others"), None, "a")]), None);
        assert_eq!(team(&[rule(Some("staff"), Some("guest"), "a")]), None);
        let rules = [rule(Some("staff"), Some("member"), "a"), rule(None, None, "b")];
        assert_eq!(team(&rules).as_deref(), Some("a"));
    }
}
