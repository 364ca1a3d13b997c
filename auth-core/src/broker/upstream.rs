//! What identity providers say of their own sessions: noted before our session is made, asked for
//! again after, so that a sign-out there that comes in between is not lost.

use super::sign_in::At;
use super::{Broker, BrokerError};
use crate::audit::AuditRecord;
#[cfg(any(feature = "oidc", feature = "saml"))]
use crate::audit::Origin;
use crate::connector::VerifiedIdentity;
use crate::connector::redirect::Destination;
#[cfg(any(feature = "oidc", feature = "saml"))]
use crate::connector::redirect::RedirectConnector;
use crate::key_ring::SealContext;
use crate::login::CompletedLogin;
use crate::login::flow::UpstreamNote;
use crate::secret::Secret;
use crate::store::{Revocation, RevocationScope, SessionId, SessionRecord, UpstreamSessionRecord};

/// Longest hint that is kept, in bytes.
const LONGEST_HINT: usize = 16 * 1024;

impl Broker {
    /// What to keep of the provider's session; the hint is sealed.
    pub(super) fn upstream_note(&self, identity: &VerifiedIdentity) -> Option<UpstreamNote> {
        let upstream = identity.upstream()?;
        let subject = upstream.name.as_deref().unwrap_or(identity.subject());
        let row = hint_row(identity.connector(), subject);
        let hint = upstream.hint.as_ref().filter(|hint| hint.expose().len() <= LONGEST_HINT);
        Some(UpstreamNote {
            subject: subject.to_owned(),
            index: upstream.index.clone(),
            sealed_hint: hint.map(|hint| {
                let plain = hint.expose().as_bytes();
                self.ring.seal(hint_context(&row), plain, self.random.as_ref())
            }),
            methods: upstream.methods.clone(),
            ends_at: upstream.ends_at,
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

    /// Ends the session of ours behind an identity provider's session that is over.
    #[cfg(any(feature = "oidc", feature = "saml"))]
    pub(super) async fn end_for_upstream(
        &self,
        record: &UpstreamSessionRecord,
        origin: &Origin,
    ) -> Result<usize, BrokerError> {
        let now = self.now();
        let mut event = AuditRecord::new(now, "session.revoked")
            .connector(&record.connector)
            .from_request(origin)
            .with("session", record.session.to_string())
            .with("reason", "upstream_logout");
        if let Some(session) = self.store.session(record.session).await?
            && let Some(account) = self.store.account(session.account).await?
        {
            event = event.account(&account.username);
        }
        let revocation = Revocation {
            scope: RevocationScope::Session(record.session),
            at: now,
            reason: "upstream_logout".to_owned(),
        };
        let ended = self.store.revoke_sessions(revocation, vec![event.clone()]).await?;
        event.log();
        Ok(ended.len())
    }

    /// Where the browser of this session signs out at the identity provider that it came from, if
    /// that connection wants it. To be asked before the session is ended.
    ///
    /// # Errors
    /// When the store fails.
    #[cfg_attr(
        not(any(feature = "oidc", feature = "saml")),
        expect(unused_variables, reason = "without a protocol there is nowhere to sign out")
    )]
    pub async fn upstream_sign_out(
        &self,
        session: SessionId,
    ) -> Result<Option<Destination>, BrokerError> {
        let Some(record) = self.store.upstream_session(session).await? else { return Ok(None) };
        let hint = record.sealed_hint.as_deref().and_then(|sealed| {
            let row = hint_row(&record.connector, &record.subject);
            let opened = self.ring.open(hint_context(&row), sealed).ok()?;
            String::from_utf8(opened.to_vec()).ok().map(Secret::new)
        });
        let Some(connector) = self.redirect_connector(&record.connector) else { return Ok(None) };
        match *connector {
            #[cfg(feature = "oidc")]
            RedirectConnector::Oidc(ref connector) => {
                let url = connector.end_session_url(hint.as_ref(), self.now()).await;
                Ok(url.map(Destination::Redirect))
            }
            #[cfg(feature = "saml")]
            RedirectConnector::Saml(ref place) => match place.connection() {
                Some(connection) => self.saml_sign_out(&connection, hint.as_ref()).await,
                None => Ok(None),
            },
        }
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
