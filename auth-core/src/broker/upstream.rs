//! What identity providers say of their own sessions: noted before our session is made, asked for
//! again after, so that a sign-out there that comes in between is not lost.

use super::sign_in::At;
use super::{Broker, BrokerError};
use crate::audit::AuditRecord;
use crate::connector::VerifiedIdentity;
use crate::key_ring::SealContext;
use crate::login::CompletedLogin;
use crate::login::flow::UpstreamNote;
use crate::store::{Revocation, RevocationScope, SessionRecord, UpstreamSessionRecord};

/// Longest hint that is kept, in bytes.
const LONGEST_HINT: usize = 16 * 1024;

impl Broker {
    /// What to keep of the provider's session; the hint is sealed.
    pub(super) fn upstream_note(&self, identity: &VerifiedIdentity) -> Option<UpstreamNote> {
        let upstream = identity.upstream()?;
        let row = hint_row(identity.connector(), identity.subject());
        let hint = upstream.hint.as_ref().filter(|hint| hint.expose().len() <= LONGEST_HINT);
        Some(UpstreamNote {
            subject: identity.subject().to_owned(),
            index: upstream.index.clone(),
            sealed_hint: hint.map(|hint| {
                let plain = hint.expose().as_bytes();
                self.ring.seal(hint_context(&row), plain, self.random.as_ref())
            }),
            methods: upstream.methods.clone(),
        })
    }

    /// Notes the provider's session behind a session that is about to be made.
    pub(super) async fn note_upstream(
        &self,
        completed: &CompletedLogin,
        session: &SessionRecord,
    ) -> Result<(), BrokerError> {
        let Some(note) = completed.upstream() else { return Ok(()) };
        let record = UpstreamSessionRecord {
            session: session.id,
            connector: completed.connector().to_owned(),
            subject: note.subject.clone(),
            index: note.index.clone(),
            sealed_hint: note.sealed_hint.clone(),
            expires_at: session.expires_at,
        };
        Ok(self.store.add_upstream_session(record).await?)
    }

    /// Whether the note is still there after the session was made. A sign-out at the provider
    /// takes it away; then the new session ends at once.
    pub(super) async fn is_upstream_live(
        &self,
        completed: &CompletedLogin,
        session: &SessionRecord,
        at: &At<'_>,
    ) -> Result<bool, BrokerError> {
        if completed.upstream().is_none()
            || self.store.upstream_session(session.id).await?.is_some()
        {
            return Ok(true);
        }
        let event = AuditRecord::new(at.now, "session.revoked")
            .account(&completed.account().username)
            .connector(completed.connector())
            .from_request(at.origin)
            .with("session", session.id.to_string())
            .with("reason", "upstream_logout");
        let revocation = Revocation {
            scope: RevocationScope::Session(session.id),
            at: at.now,
            reason: "upstream_logout".to_owned(),
        };
        self.store.revoke_sessions(revocation, vec![event.clone()]).await?;
        event.log();
        Ok(false)
    }
}

/// What a sealed hint is bound to.
pub(super) fn hint_row(connector: &str, subject: &str) -> String {
    format!("{connector}:{subject}")
}

/// The context of a sealed hint.
pub(super) const fn hint_context(row: &str) -> SealContext<'_> {
    SealContext { table: "upstream_session", column: "sealed_hint", row }
}
