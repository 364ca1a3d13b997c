//! Listing and ending sessions for an administrator or their owner.

use super::{Broker, BrokerError};
use crate::audit::{AuditRecord, Origin};
use crate::store::{
    AccountRecord, Revocation, RevocationScope, SessionFilter, SessionId, SessionRecord,
};

/// Whose sessions to end.
#[derive(Clone, Debug)]
pub enum RevokeTarget {
    /// All of one account.
    Account(Box<AccountRecord>),
    /// All of everybody.
    Everybody,
    /// One session and those that came from it.
    Session(SessionId),
}

impl Broker {
    /// Live sessions.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_sessions(
        &self,
        filter: SessionFilter,
    ) -> Result<Vec<SessionRecord>, BrokerError> {
        Ok(self.store.sessions(filter, self.now()).await?)
    }

    /// Ends sessions; the next request that shows one is refused. Returns what was ended.
    ///
    /// # Errors
    /// When the store fails; nothing is ended then.
    pub async fn revoke_sessions(
        &self,
        target: RevokeTarget,
        reason: &str,
        origin: &Origin,
    ) -> Result<Vec<SessionRecord>, BrokerError> {
        let now = self.now();
        let event =
            AuditRecord::new(now, "session.revoked").from_request(origin).with("reason", reason);
        let (scope, event) = match target {
            RevokeTarget::Account(account) => (
                RevocationScope::Account(account.id),
                event.account(&account.username).with("all", true),
            ),
            RevokeTarget::Everybody => {
                (RevocationScope::All, event.with("everybody", true).with("all", true))
            }
            RevokeTarget::Session(id) => {
                let event = match self.store.session(id).await? {
                    Some(session) => match self.store.account(session.account).await? {
                        Some(account) => event.account(&account.username),
                        None => event,
                    },
                    None => event,
                };
                (RevocationScope::Session(id), event.with("session", id.to_string()))
            }
        };
        let revocation = Revocation { scope, at: now, reason: reason.to_owned() };
        let ended = self.store.revoke_sessions(revocation, vec![event.clone()]).await?;
        event.log();
        Ok(ended)
    }
}
