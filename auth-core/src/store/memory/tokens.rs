//! Codes, access tokens and refresh tokens.

use async_trait::async_trait;

use super::{MemoryStore, State, conflict};
use crate::audit::AuditRecord;
use crate::secret::TokenHash;
use crate::store::{
    AccessTokenStatus, AccountRecord, CodeRecord, CodeRedemption, RefreshRotation,
    RefreshTokenRecord, RefreshTokenStatus, SessionId, SessionRecord, StoreError, TokenIssue,
    TokenStore,
};

/// A refresh token, and whether any token that succeeded it was used.
#[derive(Clone)]
pub(super) struct RefreshRow {
    pub(super) record: RefreshTokenRecord,
    pub(super) successor_used: bool,
}

impl State {
    fn check_issue(&self, issue: &TokenIssue) -> Result<(), StoreError> {
        let refresh = issue.refresh.as_ref();
        let taken = self.access_tokens.contains_key(&issue.access.hash)
            || refresh.is_some_and(|token| self.refresh_tokens.contains_key(&token.hash));
        if taken { Err(conflict("token")) } else { Ok(()) }
    }

    fn write_issue(&mut self, issue: TokenIssue) {
        self.access_tokens.insert(issue.access.hash, issue.access);
        if let Some(record) = issue.refresh {
            self.refresh_tokens.insert(record.hash, RefreshRow { record, successor_used: false });
        }
    }

    /// Whether neither the session nor the browser session that it came from is revoked. One
    /// that was purged had merely expired, or this one had ended with it.
    fn is_unrevoked(&self, session: &SessionRecord) -> bool {
        let parent = session.parent.and_then(|parent| self.sessions.get(&parent));
        session.revoked_at.is_none() && parent.is_none_or(|parent| parent.revoked_at.is_none())
    }

    /// The session that may be refreshed by this rotation, if it may take place.
    fn refreshable(&self, rotation: &RefreshRotation) -> Option<SessionId> {
        let row = self.refresh_tokens.get(&rotation.presented)?;
        let session = self.sessions.get(&row.record.session)?;
        let as_read = if rotation.first_use {
            row.record.used_at.is_none()
        } else {
            row.record.used_at.is_some() && !row.successor_used
        };
        let alive = self.is_unrevoked(session) && self.is_active(session.account);
        (as_read && alive).then_some(session.id)
    }

    /// Marks a token used for the first time; its predecessor's retry is over by that.
    fn mark_used(&mut self, rotation: &RefreshRotation) {
        let Some(row) = self.refresh_tokens.get_mut(&rotation.presented) else { return };
        row.record.used_at = Some(rotation.now);
        let predecessor = row.record.predecessor;
        if let Some(row) = predecessor.and_then(|hash| self.refresh_tokens.get_mut(&hash)) {
            row.successor_used = true;
        }
    }

    /// The session and account that a token hangs on.
    fn base(&self, id: SessionId) -> Option<(SessionRecord, AccountRecord)> {
        let session = self.sessions.get(&id)?;
        let account = self.accounts.get(&session.account)?;
        Some((session.clone(), account.clone()))
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn add_code(&self, code: CodeRecord) -> Result<(), StoreError> {
        let mut state = self.open()?;
        if state.codes.contains_key(&code.hash) {
            return Err(conflict("code"));
        }
        state.codes.insert(code.hash, code);
        Ok(())
    }

    async fn code(&self, hash: TokenHash) -> Result<Option<CodeRecord>, StoreError> {
        Ok(self.open()?.codes.get(&hash).cloned())
    }

    async fn redeem_code(
        &self,
        hash: TokenHash,
        session: SessionRecord,
        issue: TokenIssue,
        audit: Vec<AuditRecord>,
    ) -> Result<CodeRedemption, StoreError> {
        let mut state = self.open()?;
        let Some(code) = state.codes.get(&hash) else { return Ok(CodeRedemption::Refused) };
        if let Some(first) = code.redeemed_for {
            return Ok(CodeRedemption::AlreadyRedeemed(first));
        }
        let browser = state.sessions.get(&code.session);
        let alive = browser.is_some_and(|browser| browser.revoked_at.is_none())
            && state.is_active(code.account)
            && code.account == session.account;
        if !alive {
            return Ok(CodeRedemption::Refused);
        }
        state.check_session_id(&session)?;
        state.check_issue(&issue)?;

        if let Some(code) = state.codes.get_mut(&hash) {
            code.redeemed_for = Some(session.id);
        }
        state.sessions.insert(session.id, session);
        state.write_issue(issue);
        state.append(audit);
        Ok(CodeRedemption::Redeemed)
    }

    async fn access_token(&self, hash: TokenHash) -> Result<Option<AccessTokenStatus>, StoreError> {
        let state = self.open()?;
        Ok(state.access_tokens.get(&hash).and_then(|token| {
            let (session, account) = state.base(token.session)?;
            Some(AccessTokenStatus { token: token.clone(), session, account })
        }))
    }

    async fn refresh_token(
        &self,
        hash: TokenHash,
    ) -> Result<Option<RefreshTokenStatus>, StoreError> {
        let state = self.open()?;
        Ok(state.refresh_tokens.get(&hash).and_then(|row| {
            let (session, account) = state.base(row.record.session)?;
            let token = row.record.clone();
            let successor_used = row.successor_used;
            Some(RefreshTokenStatus { token, session, account, successor_used })
        }))
    }

    async fn rotate_refresh_token(&self, rotation: RefreshRotation) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let Some(session) = state.refreshable(&rotation) else { return Ok(false) };
        state.check_issue(&rotation.issue)?;

        if rotation.first_use {
            state.mark_used(&rotation);
        }
        state.touch(session, rotation.now);
        state.write_issue(rotation.issue);
        state.append(rotation.audit);
        Ok(true)
    }

    async fn remove_access_token(
        &self,
        hash: TokenHash,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.access_tokens.remove(&hash);
        state.append(audit);
        Ok(())
    }
}
