//! From groups and attributes to roles: rules over what a connector says of a person.

use crate::connector::Profile;

/// Roles that clients are told of.
pub const ROLES: [&str; 3] = ["member", "guest", "administrator"];

/// One rule: who meets all its conditions has the role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleRule {
    /// Only people of this connector.
    pub connector: Option<String>,
    /// Only members of this group, compared exactly.
    pub group: Option<String>,
    /// Only people with this claim and value, as the connector keeps it.
    pub claim: Option<(String, String)>,
    /// The role.
    pub role: String,
}

impl RoleRule {
    fn matches(&self, connector: &str, profile: &Profile) -> bool {
        let of_connector = self.connector.as_deref().is_none_or(|wanted| wanted == connector);
        let in_group = self.group.as_ref().is_none_or(|wanted| profile.groups.contains(wanted));
        let with_claim = self.claim.as_ref().is_none_or(|(name, value)| {
            profile.claims.get(name).is_some_and(|values| values.contains(value))
        });
        of_connector && in_group && with_claim
    }
}

/// The profile with the roles that the rules give beside those of the connector itself.
#[must_use]
pub fn with_roles(rules: &[RoleRule], connector: &str, profile: &Profile) -> Profile {
    let mut profile = profile.clone();
    for rule in
        rules.iter().filter(|rule| rule.matches(connector, &profile)).cloned().collect::<Vec<_>>()
    {
        if !profile.roles.contains(&rule.role) {
            profile.roles.push(rule.role);
        }
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_conditions_of_a_rule_have_to_hold() {
        let rule =
            |connector: Option<&str>, group: Option<&str>, claim: Option<(&str, &str)>| RoleRule {
                connector: connector.map(str::to_owned),
                group: group.map(str::to_owned),
                claim: claim.map(|(name, value)| (name.to_owned(), value.to_owned())),
                role: "administrator".to_owned(),
            };
        let person = Profile {
            groups: vec!["ops".to_owned()],
            claims: [("department".to_owned(), vec!["it".to_owned(), "lab".to_owned()])].into(),
            ..Profile::default()
        };
        for (rule, expected) in [
            (rule(None, Some("ops"), None), true),
            (rule(Some("okta"), Some("ops"), None), true),
            (rule(Some("corp"), Some("ops"), None), false),
            (rule(None, Some("Ops"), None), false),
            (rule(None, None, Some(("department", "lab"))), true),
            (rule(None, Some("ops"), Some(("department", "sales"))), false),
        ] {
            let roles = with_roles(std::slice::from_ref(&rule), "okta", &person).roles;
            assert_eq!(roles == ["administrator"], expected, "{rule:?}");
        }
    }

    #[test]
    fn a_role_is_given_once() {
        let rule = RoleRule { role: "guest".to_owned(), ..RoleRule::default() };
        let person = Profile { roles: vec!["guest".to_owned()], ..Profile::default() };
        assert_eq!(with_roles(&[rule.clone(), rule], "okta", &person).roles, ["guest"]);
    }
}
