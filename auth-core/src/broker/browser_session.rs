//! A browser's session: found by its cookie, touched, ended.

use serde_json::json;

use super::{Broker, BrokerError};
use crate::audit::{AuditRecord, Origin};
use crate::secret::Token;
use crate::session::Session;
use crate::store::{CookieRecord, Revocation, RevocationScope, SessionId, SessionRecord};

/// Key of the session's handle in a cookie row's data.
pub const HANDLE: &str = "session";

impl Broker {
    /// The live session with this handle; `None` when it ended. Use is noted once a minute.
    ///
    /// The handle is no secret: take it from a cookie row that was found by the cookie's secret.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, BrokerError> {
        let now = self.now();
        let Some(record) = self.store.session(id).await? else { return Ok(None) };
        let Some(account) = self.store.account(record.account).await? else { return Ok(None) };
        let Some(session) = Session::resume(record, account, now) else { return Ok(None) };
        if session.wants_touch(now) {
            self.store.touch_session(id, now).await?;
        }
        Ok(Some(session))
    }

    /// Makes a cookie value for a session, for a server that does not use tower-sessions.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn issue_cookie(&self, session: &Session) -> Result<Token, BrokerError> {
        let token = Token::generate(self.random.as_ref());
        let cookie = CookieRecord {
            id_hash: token.hash(),
            data: json!({ HANDLE: session.id() }).to_string(),
            expires_at: session.record().expires_at,
        };
        if self.store.add_cookie(cookie).await? {
            Ok(token)
        } else {
            Err(BrokerError::Internal("a fresh cookie id was taken".to_owned()))
        }
    }

    /// The live session behind a cookie value of [`Self::issue_cookie`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn session_by_cookie(&self, cookie: &Token) -> Result<Option<Session>, BrokerError> {
        let Some(row) = self.store.cookie(cookie.hash()).await? else { return Ok(None) };
        if self.now() >= row.expires_at {
            return Ok(None);
        }
        let handle = serde_json::from_str::<serde_json::Value>(&row.data)
            .ok()
            .and_then(|data| serde_json::from_value(data.get(HANDLE)?.clone()).ok());
        match handle {
            Some(id) => self.session(id).await,
            None => Ok(None),
        }
    }

    /// Ends a browser's session and the chat servers' sessions that came from it. Returns what
    /// was ended.
    ///
    /// # Errors
    /// When the store fails; nothing is ended then.
    pub async fn logout(
        &self,
        session: Session,
        origin: &Origin,
    ) -> Result<Vec<SessionRecord>, BrokerError> {
        let now = self.now();
        let event = |name: &str| {
            AuditRecord::new(now, name)
                .account(&session.account().username)
                .connector(&session.record().connector)
                .from_request(origin)
                .with("session", session.id().to_string())
        };
        let audit = vec![event("logout"), event("session.revoked").with("reason", "logout")];
        let revocation = Revocation {
            scope: RevocationScope::Session(session.id()),
            at: now,
            reason: "logout".to_owned(),
        };
        let ended = self.store.revoke_sessions(revocation, audit.clone()).await?;
        audit.iter().for_each(AuditRecord::log);
        Ok(ended)
    }
}
