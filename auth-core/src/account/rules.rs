//! Who gets an account through a connector, and whose: the rules of one connector.

use super::name::email_key;
use crate::connector::Profile;

/// What becomes of somebody who comes through a connector for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provisioning {
    /// An account is made, just in time.
    #[default]
    Create,
    /// Refused, unless an administrator made an account and linked it beforehand.
    Invite,
    /// Refused, unless a synchronisation made the account beforehand.
    Sync,
}

/// How an identity is found to be a person of a directory: by an id that never changes, which
/// both sides have from the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryLink {
    /// Id of the directory.
    pub directory: String,
    /// The claim, as it is kept, that holds the directory's stable id; `sub` is the stable subject
    /// at the connector.
    pub claim: String,
}

/// The rules of one connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectorRules {
    /// What becomes of somebody new.
    pub provisioning: Provisioning,
    /// Only verified addresses of these domains come in; empty for no such rule.
    pub allowed_email_domains: Vec<String>,
    /// Only members of one of these groups come in; empty for no such rule.
    pub required_groups: Vec<String>,
    /// Domains whose addresses this connector hands out, so that its word on one counts as much
    /// as an administrator's.
    pub authoritative_domains: Vec<String>,
    /// How people of a directory are found.
    pub directory_link: Option<DirectoryLink>,
}

/// Why somebody is not let in by the rules of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleRefusal {
    /// No verified address of an allowed domain.
    EmailDomain,
    /// In none of the required groups.
    RequiredGroup,
    /// New, and an account has to be made and linked first.
    InvitationRequired,
    /// New, and a synchronisation has to make the account first.
    NotSynchronised,
}

impl RuleRefusal {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmailDomain => "email_domain_not_allowed",
            Self::RequiredGroup => "required_group_missing",
            Self::InvitationRequired => "invitation_required",
            Self::NotSynchronised => "not_synchronised",
        }
    }
}

impl ConnectorRules {
    /// Whether somebody may come in at all; asked at every sign-in, of new and known people.
    ///
    /// # Errors
    /// The rule that they do not meet.
    pub fn may_come_in(&self, profile: &Profile) -> Result<(), RuleRefusal> {
        if !self.allowed_email_domains.is_empty() {
            let domain = profile.email.as_deref().filter(|_| profile.email_verified);
            let domain = domain.and_then(email_domain);
            if !domain.is_some_and(|domain| self.allowed_email_domains.contains(&domain)) {
                return Err(RuleRefusal::EmailDomain);
            }
        }
        let member = |wanted: &String| profile.groups.contains(wanted);
        if !self.required_groups.is_empty() && !self.required_groups.iter().any(member) {
            return Err(RuleRefusal::RequiredGroup);
        }
        Ok(())
    }

    /// Whether an account may be made for somebody new whom nothing links to one.
    ///
    /// # Errors
    /// What has to happen first.
    pub const fn may_be_made(&self) -> Result<(), RuleRefusal> {
        match self.provisioning {
            Provisioning::Create => Ok(()),
            Provisioning::Invite => Err(RuleRefusal::InvitationRequired),
            Provisioning::Sync => Err(RuleRefusal::NotSynchronised),
        }
    }

    /// Whether the connector hands out the addresses of this address's domain.
    #[must_use]
    pub fn is_authoritative_for(&self, address: &str) -> bool {
        email_domain(address).is_some_and(|domain| self.authoritative_domains.contains(&domain))
    }
}

/// The domain of a plain address, in the form in which domains are compared; `None` for an
/// address that is no plain one.
#[must_use]
pub fn email_domain(address: &str) -> Option<String> {
    let key = email_key(address)?;
    key.split_once('@').map(|(_, domain)| domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(email: &str, verified: bool, groups: &[&str]) -> Profile {
        Profile {
            email: Some(email.to_owned()),
            email_verified: verified,
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            ..Profile::default()
        }
    }

    #[test]
    fn only_a_verified_address_of_an_allowed_domain_comes_in() {
        let rules = ConnectorRules {
            allowed_email_domains: vec!["example.com".to_owned()],
            ..ConnectorRules::default()
        };
        assert_eq!(rules.may_come_in(&profile("a@Example.COM", true, &[])), Ok(()));
        for (address, verified) in [
            ("a@example.com", false),
            ("a@sub.example.com", true),
            ("a@example.com.evil.test", true),
            ("a@evil.test@example.com", true),
            ("\"a@evil.test\"@example.com", true),
            ("a@example.com\n", false),
            ("@example.com", true),
            ("example.com", true),
        ] {
            let found = rules.may_come_in(&profile(address, verified, &[]));
            assert_eq!(found, Err(RuleRefusal::EmailDomain), "{address}");
        }
        assert_eq!(rules.may_come_in(&Profile::default()), Err(RuleRefusal::EmailDomain));
    }

    #[test]
    fn one_of_the_required_groups_is_enough_and_names_are_exact() {
        let rules = ConnectorRules {
            required_groups: vec!["chat".to_owned(), "staff".to_owned()],
            ..ConnectorRules::default()
        };
        assert_eq!(rules.may_come_in(&profile("a@b.c", true, &["staff"])), Ok(()));
        for groups in [&[][..], &["Staff"], &["staff "], &["others"]] {
            let found = rules.may_come_in(&profile("a@b.c", true, groups));
            assert_eq!(found, Err(RuleRefusal::RequiredGroup), "{groups:?}");
        }
    }
}
