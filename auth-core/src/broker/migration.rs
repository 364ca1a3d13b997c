//! Moving people from one connector to another, undoing that, and merging two accounts: what an
//! administrator does, with a report first.

use std::collections::HashMap;

use super::accounts::{AccountDetails, invalid};
use super::{Broker, BrokerError};
use crate::account::migration::{Candidate, Finding, MatchBy, Move, Resolution, plan};
use crate::account::normalise;
use crate::audit::{AuditRecord, Origin};
#[cfg(feature = "ldap")]
use crate::connector::ConnectorError;
use crate::connector::LOCAL;
use crate::store::{AccountId, AccountPage, AccountRecord, IdentityRecord, StoreError};

const PAGE: usize = 500;

/// Where the new subjects come from.
#[derive(Debug)]
pub enum SubjectSource {
    /// The directory is asked for each person.
    Directory,
    /// The value itself is the subject, as for a SAML connection whose name id it is.
    Value,
    /// A list: value and subject.
    List(HashMap<String, String>),
}

/// A move that was made and can be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The account.
    pub account: AccountId,
    /// What it had.
    pub old: (String, String),
    /// What it has.
    pub new: (String, String),
}

impl Broker {
    /// Who would move from one connector to another, and who would not and why.
    ///
    /// # Errors
    /// When a connector is not known, the directory does not answer, or the store fails.
    pub async fn plan_migration(
        &self,
        (from, to): (&str, &str),
        by: MatchBy,
        source: SubjectSource,
    ) -> Result<Vec<Move>, BrokerError> {
        self.check_connector(to)?;
        if from == to {
            return Err(invalid("to", "is the connector to move from"));
        }
        if to == LOCAL {
            return Err(invalid("to", "is local: passwords are set by `user set-password`"));
        }
        let candidates = self.candidates(from).await?;
        let mut resolved = HashMap::new();
        for candidate in &candidates {
            let Ok(value) = candidate.value(by, from) else { continue };
            if resolved.contains_key(&value) {
                continue;
            }
            let resolution = match &source {
                SubjectSource::Value => Resolution::Subject(value.clone()),
                SubjectSource::List(list) => match list.get(&value) {
                    Some(subject) => Resolution::Subject(subject.clone()),
                    None => Resolution::Nobody,
                },
                SubjectSource::Directory => self.ask_for_subject(to, &value).await?,
            };
            resolved.insert(value, resolution);
        }
        let mut owners = HashMap::new();
        for resolution in resolved.values() {
            if let Resolution::Subject(subject) = resolution
                && let Some(owner) = self.store.account_by_identity(to, subject).await?
            {
                owners.insert(subject.clone(), owner.id);
            }
        }
        Ok(plan(&candidates, (from, to), by, &resolved, &owners))
    }

    async fn candidates(&self, from: &str) -> Result<Vec<Candidate>, BrokerError> {
        let mut candidates = Vec::new();
        let mut after = None;
        loop {
            let page = AccountPage { after: after.take(), limit: PAGE };
            let accounts = self.list_accounts(page).await?;
            let is_full = accounts.len() == PAGE;
            after = accounts.last().map(|last| last.account.username_key.clone());
            let of_connector = |details: &AccountDetails| {
                details.identities.iter().any(|identity| identity.connector == from)
            };
            candidates.extend(accounts.into_iter().filter(of_connector).map(|details| Candidate {
                account: details.account,
                identities: details.identities,
            }));
            if !is_full {
                return Ok(candidates);
            }
        }
    }

    #[cfg(feature = "ldap")]
    async fn ask_for_subject(&self, to: &str, value: &str) -> Result<Resolution, BrokerError> {
        let Some(directory) = self.connectors.directory(to) else {
            return Err(invalid("to", "is no directory; give the subjects with --to-subjects"));
        };
        match directory.subject_of(value).await {
            Ok(Some(subject)) => Ok(Resolution::Subject(subject)),
            Ok(None) => Ok(Resolution::Nobody),
            Err(ConnectorError::Refused { .. }) => Ok(Resolution::Several),
            // Half a plan would call people missing who are there.
            Err(error) => Err(invalid("to", &format!("cannot be asked: {error}"))),
        }
    }

    #[cfg(not(feature = "ldap"))]
    async fn ask_for_subject(&self, _: &str, _: &str) -> Result<Resolution, BrokerError> {
        Err(invalid("to", "is no directory; give the subjects with --to-subjects"))
    }

    /// Moves those whom the plan moves, one transaction each. Returns what was moved, and who
    /// changed in between.
    ///
    /// # Errors
    /// When the store fails; what was moved before stays moved and stands in the trail.
    pub async fn migrate(
        &self,
        moves: &[Move],
        to: &str,
        origin: &Origin,
    ) -> Result<Vec<(AccountId, Option<Finding>)>, BrokerError> {
        let mut outcome = Vec::new();
        for one in moves {
            let Ok(subject) = &one.subject else { continue };
            let new = IdentityRecord {
                connector: to.to_owned(),
                subject: subject.clone(),
                account: one.account,
                linked_at: self.now(),
            };
            let replaced = self.replace(one.old.clone(), new, &one.username, origin).await?;
            outcome.push((one.account, (!replaced).then_some(Finding::Changed)));
        }
        Ok(outcome)
    }

    /// Puts back what an undo file names. Returns those that are not as they were left.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn undo_migration(
        &self,
        moved: &[Moved],
        dry_run: bool,
        origin: &Origin,
    ) -> Result<Vec<AccountId>, BrokerError> {
        let mut changed = Vec::new();
        for one in moved {
            let Some(account) = self.store.account(one.account).await? else {
                changed.push(one.account);
                continue;
            };
            let record = |(connector, subject): &(String, String)| IdentityRecord {
                connector: connector.clone(),
                subject: subject.clone(),
                account: one.account,
                linked_at: self.now(),
            };
            let owner = self.store.account_by_identity(&one.new.0, &one.new.1).await?;
            let is_as_left = owner.is_some_and(|owner| owner.id == one.account);
            let undone = match (is_as_left, dry_run) {
                (false, _) => false,
                (true, true) => true,
                (true, false) => {
                    let (new, old) = (record(&one.new), record(&one.old));
                    self.replace(new, old, &account.username, origin).await?
                }
            };
            if !undone {
                changed.push(one.account);
            }
        }
        Ok(changed)
    }

    async fn replace(
        &self,
        old: IdentityRecord,
        new: IdentityRecord,
        username: &str,
        origin: &Origin,
    ) -> Result<bool, BrokerError> {
        let event = AuditRecord::new(self.now(), "identity.migrated")
            .account(username)
            .connector(&new.connector)
            .from_request(origin)
            .with("subject", new.subject.clone())
            .with("from_connector", old.connector.clone())
            .with("from_subject", old.subject.clone());
        match self.store.replace_identity(old, new, vec![event.clone()]).await {
            Ok(true) => {
                event.log();
                Ok(true)
            }
            Ok(false) | Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the identities of the account `from` to `into` and closes `from`. Returns both as
    /// they were.
    ///
    /// # Errors
    /// When they are the same, `into` is not active, or the store fails. Nothing changed then.
    pub async fn merge_accounts(
        &self,
        from: &str,
        into: &str,
        dry_run: bool,
        origin: &Origin,
    ) -> Result<(AccountDetails, AccountDetails), BrokerError> {
        let now = self.now();
        for _ in 0..4 {
            let (from, into) = (self.show_account(from).await?, self.show_account(into).await?);
            if from.account.id == into.account.id {
                return Err(invalid("account", "cannot be merged into itself"));
            }
            if !into.account.active {
                return Err(invalid(
                    &format!("account {:?}", into.account.username),
                    "is not active; enable it first",
                ));
            }
            if dry_run {
                return Ok((from, into));
            }
            // Name and address become free, so that the other account can have them.
            let name = format!("{}~{}", from.account.username, from.account.id);
            let closed = AccountRecord {
                username_key: normalise(&name),
                username: name,
                email: None,
                email_key: None,
                email_verified: false,
                active: false,
                inactive_reason: Some("merged".to_owned()),
                updated_at: now,
                ..from.account.clone()
            };
            let event = |name: &str, account: &AccountRecord| {
                AuditRecord::new(now, name).account(&account.username).from_request(origin)
            };
            let moved: Vec<String> = from
                .identities
                .iter()
                .filter(|identity| identity.connector != LOCAL)
                .map(|identity| format!("{}:{}", identity.connector, identity.subject))
                .collect();
            let audit = vec![
                event("account.merged", &from.account)
                    .with("into", into.account.username.clone())
                    .with("identities", moved),
                event("account.disabled", &from.account).with("reason", "merged"),
                event("session.revoked", &from.account)
                    .with("reason", "account_inactive")
                    .with("all", true),
                event("identity.linked", &into.account)
                    .with("by", "administrator")
                    .with("merged_from", from.account.username.clone()),
            ];
            let id = into.account.id;
            if self.store.merge_accounts(closed, id, LOCAL, audit.clone()).await? {
                audit.iter().for_each(AuditRecord::log);
                return Ok((from, into));
            }
        }
        Err(BrokerError::Store(StoreError::Unavailable {
            message: "the accounts keep changing; try again".to_owned(),
        }))
    }
}
