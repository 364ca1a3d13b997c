//! Sessions and cookie rows.

use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;
use crate::store::{
    CookieRecord, Revocation, RevocationScope, SessionFilter, SessionId, SessionRecord,
    SessionStore, StoreError,
};

impl State {
    /// Ends the sessions of a scope that are not revoked yet; returns them as they are then.
    pub(super) fn revoke(
        &mut self,
        scope: RevocationScope,
        at: Timestamp,
        reason: &str,
    ) -> Vec<SessionRecord> {
        match scope {
            RevocationScope::Session(_) => {}
            RevocationScope::Account(account) => self.forget_devices(account),
            RevocationScope::All => self.devices.clear(),
        }
        self.revoke_where(at, reason, |session| match scope {
            RevocationScope::Session(id) => session.id == id || session.parent == Some(id),
            RevocationScope::Account(account) => session.account == account,
            RevocationScope::All => true,
        })
    }

    /// Ends the sessions that `matches` chooses and that are not revoked yet.
    pub(super) fn revoke_where(
        &mut self,
        at: Timestamp,
        reason: &str,
        matches: impl Fn(&SessionRecord) -> bool,
    ) -> Vec<SessionRecord> {
        let chosen = self.sessions.values_mut().filter(|s| s.revoked_at.is_none() && matches(s));
        let ended: Vec<SessionRecord> = chosen
            .map(|session| {
                session.revoked_at = Some(at);
                session.revoked_reason = Some(reason.to_owned());
                session.clone()
            })
            .collect();
        for session in &ended {
            self.session_event(session, at);
        }
        ended
    }

    pub(super) fn check_session_id(&self, session: &SessionRecord) -> Result<(), StoreError> {
        if self.sessions.contains_key(&session.id) { Err(conflict("session")) } else { Ok(()) }
    }

    /// Notes use unless the session is revoked or not there; time never goes back.
    pub(super) fn touch(&mut self, id: SessionId, now: Timestamp) -> bool {
        let session = self.sessions.get_mut(&id).filter(|session| session.revoked_at.is_none());
        let Some(session) = session else { return false };
        session.last_seen_at = session.last_seen_at.max(now);
        true
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn session(&self, id: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        Ok(self.open()?.sessions.get(&id).cloned())
    }

    async fn sessions(
        &self,
        filter: SessionFilter,
        now: Timestamp,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let state = self.open()?;
        let from = filter.after.map_or(Unbounded, Excluded);
        let found = state
            .sessions
            .range((from, Unbounded))
            .map(|(_, session)| session)
            .filter(|session| filter.account.is_none_or(|account| session.account == account))
            .filter(|session| session.is_live(now));
        Ok(found.take(filter.limit).cloned().collect())
    }

    async fn count_sessions(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        let state = self.open()?;
        let mut counts = std::collections::BTreeMap::new();
        for session in state.sessions.values().filter(|session| session.is_live(now)) {
            *counts.entry(session.kind.clone()).or_insert(0) += 1;
        }
        Ok(counts.into_iter().collect())
    }

    async fn revoke_sessions(
        &self,
        revocation: Revocation,
        audit: Vec<AuditRecord>,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let mut state = self.open()?;
        let Revocation { scope, at, reason } = revocation;
        let ended = state.revoke(scope, at, &reason);
        match scope {
            RevocationScope::Session(_) => {}
            RevocationScope::Account(account) => state.sessions_event(Some(account), at, &reason),
            RevocationScope::All => state.sessions_event(None, at, &reason),
        }
        state.append(audit);
        Ok(ended)
    }

    async fn touch_session(&self, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.open()?.touch(id, now))
    }

    async fn add_cookie(&self, cookie: CookieRecord) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if state.cookies.contains_key(&cookie.id_hash) {
            return Ok(false);
        }
        state.cookies.insert(cookie.id_hash, cookie);
        Ok(true)
    }

    async fn update_cookie(&self, cookie: CookieRecord) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let Some(stored) = state.cookies.get_mut(&cookie.id_hash) else { return Ok(false) };
        *stored = cookie;
        Ok(true)
    }

    async fn cookie(&self, id_hash: TokenHash) -> Result<Option<CookieRecord>, StoreError> {
        Ok(self.open()?.cookies.get(&id_hash).cloned())
    }

    async fn remove_cookie(&self, id_hash: TokenHash) -> Result<(), StoreError> {
        self.open()?.cookies.remove(&id_hash);
        Ok(())
    }
}
