//! What a directory says of a person beside the account: further claims, and the last change of
//! the password, after which earlier sessions must not go on.

use super::Broker;
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::connector::{LOCAL, Present};
use crate::store::{AccountRecord, ClaimMap, PasswordChange, StoreError};

/// What a connector said just now.
pub(super) struct DirectoryFacts<'a> {
    pub(super) connector: &'a str,
    pub(super) subject: &'a str,
    /// `None`: the connector does not say, or may no longer say it; then nothing changed.
    pub(super) password_changed_at: Option<&'a str>,
    pub(super) claims: &'a ClaimMap,
}

impl<'a> DirectoryFacts<'a> {
    /// What a directory answered about `subject`.
    pub(super) fn of(connector: &'a str, subject: &'a str, present: &'a Present) -> Self {
        Self {
            connector,
            subject,
            password_changed_at: present.password_changed_at.as_deref(),
            claims: &present.profile.claims,
        }
    }
}

impl Broker {
    /// Notes it; further claims only from the identity that leads the profile. `true` when the
    /// password was changed since it was noted last: then all sessions of the account ended.
    pub(super) async fn note_facts(
        &self,
        account: &AccountRecord,
        facts: &DirectoryFacts<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if facts.connector == LOCAL {
            return Ok(false);
        }
        if self.store.claims(account.id).await? != *facts.claims
            && self.leads(account.id, facts.connector, facts.subject).await?
        {
            self.store.set_claims(account.id, facts.claims.clone()).await?;
        }
        let Some(after) = facts.password_changed_at else { return Ok(false) };
        let before = self.store.password_change(facts.connector, facts.subject).await?;
        if before.as_deref() == Some(after) {
            return Ok(false);
        }
        let changed = before.is_some();
        let events: Vec<AuditRecord> = changed
            .then(|| {
                AuditRecord::new(now, "session.revoked")
                    .account(&account.username)
                    .connector(facts.connector)
                    .from_request(origin)
                    .with("reason", "password_changed")
                    .with("all", true)
            })
            .into_iter()
            .collect();
        let change = PasswordChange {
            connector: facts.connector.to_owned(),
            subject: facts.subject.to_owned(),
            before,
            after: after.to_owned(),
            end_sessions_at: changed.then_some(now),
        };
        // Another login or recheck that saw the same change may have been first.
        let noted = self.store.note_password_change(change, events.clone()).await?;
        if noted {
            events.iter().for_each(AuditRecord::log);
        }
        Ok(noted && changed)
    }
}
