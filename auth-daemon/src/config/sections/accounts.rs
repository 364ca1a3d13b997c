//! `[….accounts]` of a connector: who gets an account through it, and whose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::finding::{KeyPath, Problems};

/// Who gets an account through a connector, and whose.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawAccounts {
    /// What becomes of somebody who comes for the first time and whom nothing links to an account.
    provisioning: Provisioning,
    /// Only people with a verified address of one of these domains come in. Empty: no such rule.
    allowed_email_domains: Vec<String>,
    /// Only members of one of these groups come in. Empty: no such rule.
    required_groups: Vec<String>,
    /// Domains whose addresses this provider hands out itself. A new person with a verified
    /// address of one of them is linked to the account that has the same verified address. Name
    /// only domains where the provider, and nobody else, decides who has which address.
    authoritative_domains: Vec<String>,
    /// Directory whose people are recognised by `directory_claim`.
    directory: Option<String>,
    /// The claim, by its name in `attributes.claims`, that holds the directory's stable id. For a
    /// `[[saml]]` connection also `sub`: the NameID's value, or what `attributes.id` gives, is it.
    directory_claim: Option<String>,
}

/// What becomes of somebody who comes for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Provisioning {
    /// An account is made.
    #[default]
    Create,
    /// Refused, unless an administrator made and linked an account.
    Invite,
    /// Refused, unless the synchronisation of `directory` made an account.
    Sync,
}

/// Who gets an account through a connector, and whose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    /// What becomes of somebody new.
    pub(crate) provisioning: Provisioning,
    /// Domains that come in.
    pub(crate) allowed_email_domains: Vec<String>,
    /// Groups that come in.
    pub(crate) required_groups: Vec<String>,
    /// Domains whose addresses the provider hands out.
    pub(crate) authoritative_domains: Vec<String>,
    /// Directory, and the claim with its stable id.
    pub(crate) directory: Option<(String, String)>,
}

impl RawAccounts {
    /// As [`Self::resolve`], for a directory itself: who its people are needs no claim.
    pub(in crate::config) fn resolve_for_directory(
        self,
        at: &KeyPath,
        id: &str,
        problems: &mut Problems,
    ) -> Accounts {
        let foreign = [
            ("directory", self.directory.is_some()),
            ("directory_claim", self.directory_claim.is_some()),
        ];
        for (key, _) in foreign.into_iter().filter(|(_, set)| *set) {
            problems.error(
                &at.key(key),
                "is for other connectors whose people are this directory's",
                "take it away",
            );
        }
        let own = RawAccounts {
            directory: Some(id.to_owned()),
            directory_claim: Some("sub".to_owned()),
            ..self
        };
        let accounts = own.resolve(at, &[id.to_owned()], &["sub"], problems);
        Accounts { directory: None, ..accounts }
    }

    /// `claims` are the names of the claims that the connector keeps.
    pub(in crate::config) fn resolve(
        self,
        at: &KeyPath,
        directories: &[String],
        claims: &[&str],
        problems: &mut Problems,
    ) -> Accounts {
        let both = ("directory", self.directory.is_some());
        problems.both_or_none(at, both, ("directory_claim", self.directory_claim.is_some()));
        if let Some(directory) = &self.directory
            && !directories.contains(directory)
        {
            problems.error(
                &at.key("directory"),
                format!("there is no directory `{directory}`"),
                "name the id of a [[directory]] of this file",
            );
        }
        if let Some(claim) = &self.directory_claim
            && !claims.contains(&claim.as_str())
        {
            problems.error(
                &at.key("directory_claim"),
                format!("`{claim}` is not kept"),
                format!("add it to attributes.claims, for example {claim} = \"objectGUID\""),
            );
        }
        if self.provisioning == Provisioning::Sync && self.directory.is_none() {
            problems.warning(
                &at.key("provisioning"),
                "is \"sync\" without a directory: people come in only after `user link`",
                "set directory and directory_claim",
            );
        }
        Accounts {
            provisioning: self.provisioning,
            allowed_email_domains: problems
                .domains(&at.key("allowed_email_domains"), self.allowed_email_domains),
            required_groups: self.required_groups,
            authoritative_domains: problems
                .domains(&at.key("authoritative_domains"), self.authoritative_domains),
            directory: self.directory.zip(self.directory_claim),
        }
    }
}

impl Problems {
    /// Reads mail domains, in the form in which they are compared.
    pub(in crate::config) fn domains(&mut self, at: &KeyPath, domains: Vec<String>) -> Vec<String> {
        let mut sound = Vec::new();
        for (index, domain) in domains.into_iter().enumerate() {
            // One parser for addresses and their domains.
            match auth_core::account::rules::email_domain(&format!("a@{domain}")) {
                Some(read) if read.contains('.') || read == "localhost" => sound.push(read),
                _ => self.error(
                    &at.index(index),
                    format!("{domain:?} is no mail domain"),
                    "write it as \"example.com\", without @ and *",
                ),
            }
        }
        sound
    }
}
