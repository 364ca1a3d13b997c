//! Before a refresh: is the person still welcome at the directory they came from?
//!
//! The directory is asked when its last answer is older than `after`. When it is down, what it
//! said last stands for `grace`; then refreshes are refused until it is back. That somebody is
//! gone counts only when the directory said so; it ends their sessions. The account itself is
//! left to the synchronisation, which has a brake against mass deactivation.

use std::time::Duration;

use async_trait::async_trait;

use super::Broker;
use super::directory_facts::DirectoryFacts;
use super::provider::{AccountRecheck, RecheckVerdict};
use crate::account::{apply_profile, with_roles};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::connector::{Present, Recheck};
use crate::store::{AccountRecord, IdentityRecord, Revocation, RevocationScope, StoreError};

/// When a directory is asked again about a person whose session is refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecheckTimes {
    /// When its last answer is older.
    pub after: Duration,
    /// How much longer its last answer stands while it is down.
    pub grace: Duration,
}

impl Default for RecheckTimes {
    fn default() -> Self {
        Self { after: Duration::from_secs(5 * 60), grace: Duration::from_secs(3600) }
    }
}

#[async_trait]
impl AccountRecheck for Broker {
    async fn recheck(&self, account: &AccountRecord, connector: &str) -> RecheckVerdict {
        let now = self.now();
        // The directory's times count for its people, however they come.
        let link = self.settings.rules.get(connector).and_then(|it| it.directory_link.as_ref());
        let timed_by = link.map_or(connector, |link| &link.directory);
        let times = self.settings.recheck.get(timed_by).copied().unwrap_or_default();
        let age = account.checked_at.map_or(Duration::MAX, |checked| now.since(checked));
        if age < times.after {
            return RecheckVerdict::Unchanged;
        }
        match self.ask_directory(account, connector, now).await {
            Ok(None) => RecheckVerdict::Unchanged,
            Ok(Some((known, Recheck::Present(present)))) => {
                let facts = DirectoryFacts::of(&known.connector, &known.subject, &present);
                match self.note_facts(account, &facts, &recheck_origin(), now).await {
                    Ok(true) => RecheckVerdict::Refused { reason: "password_changed".to_owned() },
                    Ok(false) => self.note_present(account, &known, &present, now).await,
                    Err(error) => unavailable(&error),
                }
            }
            Ok(Some((known, Recheck::Gone { reason }))) => {
                self.note_gone(account, &known.connector, reason, now).await
            }
            Err(message) => {
                tracing::warn!(connector, cause = message, "directory not asked before a refresh");
                if age < times.after.saturating_add(times.grace) {
                    RecheckVerdict::Unchanged
                } else {
                    RecheckVerdict::Unavailable
                }
            }
        }
    }
}

impl Broker {
    /// The identity that was asked about, and the answer; `None` when no directory knows the
    /// account.
    async fn ask_directory(
        &self,
        account: &AccountRecord,
        connector: &str,
        now: Timestamp,
    ) -> Result<Option<(IdentityRecord, Recheck)>, String> {
        let identities =
            self.store.identities(&[account.id]).await.map_err(|error| error.to_string())?;
        let Some(identity) = self.asked_identity(identities, connector) else {
            return Ok(self.is_directory(connector).then(|| {
                let unlinked = IdentityRecord {
                    connector: connector.to_owned(),
                    subject: String::new(),
                    account: account.id,
                    linked_at: now,
                };
                (unlinked, Recheck::Gone { reason: "unlinked" })
            }));
        };
        let answer = self.ask_about(&identity.connector, &identity.subject, now).await?;
        Ok(answer.map(|answer| (identity, answer)))
    }

    /// What a directory says of a subject; `None` when the connector is no directory.
    pub(super) async fn ask_about(
        &self,
        connector: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<Option<Recheck>, String> {
        #[cfg(feature = "ldap")]
        if let Some(directory) = self.connectors.directory(connector) {
            let answer = directory.recheck(subject, now).await;
            return answer.map(Some).map_err(|error| error.to_string());
        }
        let _ = (connector, subject, now);
        Ok(None)
    }

    /// Brings the account up to date with what its directory says; one whose profile comes from
    /// elsewhere is only noted as asked about.
    pub(super) async fn note_present(
        &self,
        before: &AccountRecord,
        identity: &IdentityRecord,
        present: &Present,
        now: Timestamp,
    ) -> RecheckVerdict {
        let mut fresh = before.clone();
        match self.leads(before.id, &identity.connector, &identity.subject).await {
            Ok(true) => {
                let rules = &self.settings.role_rules;
                let profile = with_roles(rules, &identity.connector, &present.profile);
                apply_profile(&mut fresh, &profile);
            }
            Ok(false) => {}
            Err(error) => return unavailable(&error),
        }
        fresh.checked_at = Some(now);
        fresh.updated_at = now;
        match self.store.update_account(fresh.clone(), Vec::new()).await {
            Ok(true) => {
                fresh.version += 1;
                RecheckVerdict::Updated(Box::new(fresh))
            }
            // Changed meanwhile: whoever changed it decides, the next refresh asks again.
            Ok(false) => RecheckVerdict::Unchanged,
            Err(StoreError::Conflict { .. }) => {
                // The new name or address is somebody else's: all stays as it was.
                let kept = AccountRecord { checked_at: Some(now), ..before.clone() };
                match self.store.update_account(kept, Vec::new()).await {
                    Ok(_) => RecheckVerdict::Unchanged,
                    Err(error) => unavailable(&error),
                }
            }
            Err(error) => unavailable(&error),
        }
    }

    pub(super) async fn note_gone(
        &self,
        account: &AccountRecord,
        connector: &str,
        reason: &'static str,
        now: Timestamp,
    ) -> RecheckVerdict {
        let origin = recheck_origin();
        let event = AuditRecord::new(now, "session.revoked")
            .account(&account.username)
            .connector(connector)
            .from_request(&origin)
            .with("reason", reason)
            .with("all", true);
        let revocation = Revocation {
            scope: RevocationScope::Account(account.id),
            at: now,
            reason: reason.to_owned(),
        };
        match self.store.revoke_sessions(revocation, vec![event.clone()]).await {
            Ok(_) => {
                event.log();
                RecheckVerdict::Refused { reason: reason.to_owned() }
            }
            Err(error) => unavailable(&error),
        }
    }
}

fn recheck_origin() -> Origin {
    Origin { ip: None, request_id: "recheck".to_owned(), user_agent: None }
}

fn unavailable(error: &StoreError) -> RecheckVerdict {
    tracing::error!(%error, "store failed while a directory was asked");
    RecheckVerdict::Unavailable
}
