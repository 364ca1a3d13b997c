//! People of a directory who sign in through another connector: both sides carry the directory's
//! stable id. The directory's synchronisation then completes and deactivates the same account, and
//! its word is asked before a session begins or goes on.

use super::directory_facts::DirectoryFacts;
use super::first_factor::Refused;
use super::provider::RecheckVerdict;
use super::{Broker, BrokerError};
use crate::account::linking::leading_identity;
use crate::account::rules::ConnectorRules;
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::connector::{Recheck, VerifiedIdentity};
use crate::store::{AccountId, AccountRecord, IdentityRecord, StoreError};

/// In [`DirectoryLink::claim`](crate::account::rules::DirectoryLink): the stable subject itself.
const SUBJECT: &str = "sub";

impl Broker {
    /// Which directory's person the identity says that it is, where the connector's rules believe
    /// it: the directory and the subject there.
    pub(super) fn directory_person<'r>(
        &self,
        identity: &VerifiedIdentity,
        rules: &'r ConnectorRules,
    ) -> Option<(&'r str, String)> {
        let link = rules.directory_link.as_ref()?;
        let id = match identity.profile().claims.get(&link.claim).map(Vec::as_slice) {
            Some([id]) => id,
            None if link.claim == SUBJECT => identity.subject(),
            _ => return None,
        };
        let subject = self.directory_subject(&link.directory, id)?;
        Some((&link.directory, subject))
    }

    #[cfg(feature = "ldap")]
    fn directory_subject(&self, directory: &str, written: &str) -> Option<String> {
        self.connectors.directory(directory)?.canonical_subject(written)
    }

    #[cfg(not(feature = "ldap"))]
    fn directory_subject(&self, _: &str, written: &str) -> Option<String> {
        Some(written.to_owned())
    }

    /// Notes the person's identity at the directory beside the one that signed in, so that the
    /// directory's synchronisation finds the account. One that another account holds is left there.
    pub(super) async fn join_directory(
        &self,
        account: &AccountRecord,
        identity: &VerifiedIdentity,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), BrokerError> {
        let rules = self.settings.rules.get(identity.connector());
        let Some((directory, subject)) =
            rules.and_then(|rules| self.directory_person(identity, rules))
        else {
            return Ok(());
        };
        let conflict = |with: String| {
            AuditRecord::new(now, "account.conflict")
                .refused("directory_identity_elsewhere")
                .account(&account.username)
                .connector(directory)
                .from_request(origin)
                .with("subject", subject.clone())
                .with("other", with)
        };
        if let Some(holder) = self.store.account_by_identity(directory, &subject).await? {
            if holder.id != account.id {
                self.note(conflict(holder.username)).await?;
            }
            return Ok(());
        }
        let all = self.store.identities(&[account.id]).await?;
        if let Some(other) = all.iter().find(|known| known.connector == directory) {
            // Another person of the directory by now: somebody has to look at it.
            self.note(conflict(other.subject.clone())).await?;
            return Ok(());
        }
        let by = format!("directory:{directory}");
        match self.write_link(account, directory, &subject, &by, origin, now).await {
            // A second sign-in, or the synchronisation, was first.
            Ok(()) | Err(StoreError::Conflict { field: "identity" }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The identity that the account's profile, groups and further claims come from.
    pub(super) async fn leader(
        &self,
        account: AccountId,
    ) -> Result<Option<IdentityRecord>, StoreError> {
        let all = self.store.identities(&[account]).await?;
        let directory_of = |connector: &str| {
            let link = self.settings.rules.get(connector)?.directory_link.as_ref();
            link.map(|link| &*link.directory)
        };
        Ok(leading_identity(&all, directory_of).cloned())
    }

    /// Whether they come from this one.
    pub(super) async fn leads(
        &self,
        account: AccountId,
        connector: &str,
        subject: &str,
    ) -> Result<bool, StoreError> {
        let leader = self.leader(account).await?;
        Ok(leader.is_none_or(|it| it.connector == connector && it.subject == subject))
    }

    /// Brings an account whose profile a directory leads up to date with it when its person comes
    /// another way, so that groups are right at once, and keeps out whom the directory does. While
    /// the directory does not answer, what is stored counts, as for a session that goes on.
    pub(super) async fn completed_by_directory(
        &self,
        account: AccountRecord,
        identity: &VerifiedIdentity,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Result<AccountRecord, Refused>, BrokerError> {
        let leader = self.leader(account.id).await?;
        let Some(leader) = leader.filter(|it| it.connector != identity.connector()) else {
            return Ok(Ok(account));
        };
        match self.ask_about(&leader.connector, &leader.subject, now).await {
            Ok(None) => Ok(Ok(account)),
            Ok(Some(Recheck::Gone { reason })) => {
                self.note_gone(&account, &leader.connector, reason, now).await;
                Ok(Err(Refused::plain(reason)))
            }
            Ok(Some(Recheck::Present(present))) => {
                let facts = DirectoryFacts::of(&leader.connector, &leader.subject, &present);
                // A changed password there ends older sessions; this sign-in is newer.
                self.note_facts(&account, &facts, origin, now).await?;
                match self.note_present(&account, &leader, &present, now).await {
                    RecheckVerdict::Updated(account) => Ok(Ok(*account)),
                    RecheckVerdict::Refused { .. } => Ok(Err(Refused::plain("account_inactive"))),
                    RecheckVerdict::Unchanged | RecheckVerdict::Unavailable => Ok(Ok(account)),
                }
            }
            Err(cause) => {
                tracing::warn!(
                    directory = leader.connector,
                    cause,
                    "not asked about a person who came another way"
                );
                Ok(Ok(account))
            }
        }
    }

    /// The identity by which a directory is asked about the account of a session that came through
    /// `connector`: that connector's own, or one at a directory.
    pub(super) fn asked_identity(
        &self,
        identities: Vec<IdentityRecord>,
        connector: &str,
    ) -> Option<IdentityRecord> {
        let is_directory = self.is_directory(connector);
        identities.into_iter().find(|known| match is_directory {
            true => known.connector == connector,
            false => self.is_directory(&known.connector),
        })
    }
}
