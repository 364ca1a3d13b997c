//! Redeeming an authorization code for a client session and its tokens.

use super::token::{Answer, respond, session_event};
use super::{Provider, ProviderError};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::{Client, ClientKind};
use crate::handoff::client_session;
use crate::handoff::code::{self, CodeRefusal, Redemption};
use crate::handoff::gitlab;
use crate::handoff::oauth_error::OAuthError;
use crate::handoff::scope::Scope;
use crate::handoff::token::TokenResponse;
use crate::secret::Token;
use crate::store::{
    AccountRecord, CodeRecord, CodeRedemption, Revocation, RevocationScope, SessionId,
    SessionRecord,
};

/// A code that may be redeemed, with what it stands on.
pub(super) struct JudgedCode {
    pub(super) code: CodeRecord,
    pub(super) browser: SessionRecord,
    pub(super) account: AccountRecord,
}

impl Provider {
    pub(super) async fn redeem_code(
        &self,
        client: &Client,
        presented: &Token,
        beside: Redemption<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenResponse, OAuthError> {
        match self.judge_code(client, presented, beside, now).await? {
            Ok(judged) => self.issue_session(client, &judged, origin, now).await,
            Err(refusal) => {
                self.refuse_code(client, refusal, origin, now).await?;
                Err(OAuthError::invalid_grant())
            }
        }
    }

    /// Looks a presented code up and judges it and what it stands on.
    pub(super) async fn judge_code(
        &self,
        client: &Client,
        presented: &Token,
        beside: Redemption<'_>,
        now: Timestamp,
    ) -> Result<Result<JudgedCode, CodeRefusal>, ProviderError> {
        let Some(code) = self.store.code(presented.hash()).await? else {
            return Ok(Err(CodeRefusal::Unknown));
        };
        if let Err(refusal) = code::judge(&code, client, beside, now) {
            return Ok(Err(refusal));
        }
        let origin = self.origin_of(&code, client, now).await?;
        Ok(origin.map(|(browser, account)| JudgedCode { code, browser, account }))
    }

    /// What the code stands on: the browser session and the account.
    pub(super) async fn origin_of(
        &self,
        code: &CodeRecord,
        client: &Client,
        now: Timestamp,
    ) -> Result<Result<(SessionRecord, AccountRecord), CodeRefusal>, ProviderError> {
        let browser = self.store.session(code.session).await?;
        let account = self.store.account(code.account).await?;
        let (Some(browser), Some(account)) = (browser, account) else {
            return Ok(Err(CodeRefusal::SessionEnded));
        };
        let judged =
            code::judge_origin(&browser, &account, client, now).and_then(|()| {
                match client.kind() {
                    ClientKind::Gitlab => {
                        gitlab::Person::of(&account).map(drop).map_err(Into::into)
                    }
                    _ => Ok(()),
                }
            });
        Ok(judged.map(|()| (browser, account)))
    }

    pub(super) async fn issue_session(
        &self,
        client: &Client,
        judged: &JudgedCode,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenResponse, OAuthError> {
        let JudgedCode { code, browser, account } = judged;
        let id = self.new_session_id(now);
        let lengths = &self.session_lengths;
        let session = client_session::open(id, browser, code, client, lengths, now);
        let scope = Scope::of_stored(&session.scope);
        let random = self.random.as_ref();
        let tokens = client_session::issue_tokens(&session, &scope, client, None, random, now);
        let answer = Answer {
            client,
            account,
            session: &session,
            scope: &scope,
            nonce: code.nonce.as_deref(),
            refreshed: false,
            tokens: &tokens,
        };
        let id_token = self.sign_id_token(&answer, now).await?;
        let event = session_event("session.issued", client, Some(account), &session, origin, now)
            .with("browser_session", browser.id.to_string());
        let written = self
            .store
            .redeem_code(code.hash, session, tokens.records.clone(), vec![event.clone()])
            .await
            .map_err(ProviderError::from)?;
        let refusal = match written {
            CodeRedemption::Redeemed => {
                event.log();
                return Ok(respond(client, tokens, id_token, scope, now));
            }
            CodeRedemption::AlreadyRedeemed(session) => CodeRefusal::Replayed(session),
            CodeRedemption::Refused => CodeRefusal::SessionEnded,
        };
        self.refuse_code(client, refusal, origin, now).await?;
        Err(OAuthError::invalid_grant())
    }

    /// Refuses, and ends the session of a replayed code (RFC 6749 section 4.1.2).
    pub(super) async fn refuse_code(
        &self,
        client: &Client,
        refusal: CodeRefusal,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), ProviderError> {
        let CodeRefusal::Replayed(session) = refusal else {
            self.note(refused(client, refusal.as_str(), origin, now)).await;
            return Ok(());
        };
        self.end_replayed(client, session, refusal, origin, now).await
    }

    async fn end_replayed(
        &self,
        client: &Client,
        id: SessionId,
        refusal: CodeRefusal,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), ProviderError> {
        let event = match self.store.session(id).await? {
            Some(session) => {
                let account = self.store.account(session.account).await?;
                session_event("code.replayed", client, account.as_ref(), &session, origin, now)
            }
            // Ended so long ago that it was purged.
            None => AuditRecord::new(now, "code.replayed")
                .client(client.id())
                .from_request(origin)
                .with("session", id.to_string()),
        };
        self.end_session(id, refusal.as_str(), event.refused(refusal.as_str()), now).await
    }

    /// Ends a client session; the event says why.
    pub(super) async fn end_session(
        &self,
        session: SessionId,
        reason: &str,
        event: AuditRecord,
        now: Timestamp,
    ) -> Result<(), ProviderError> {
        let revocation = Revocation {
            scope: RevocationScope::Session(session),
            at: now,
            reason: reason.to_owned(),
        };
        let mut revoked = AuditRecord { event: "session.revoked".to_owned(), ..event.clone() };
        revoked.outcome = crate::audit::Outcome::Success;
        revoked.reason = Some(reason.to_owned());
        let events = if revoked.event == event.event { vec![event] } else { vec![event, revoked] };
        self.store.revoke_sessions(revocation, events.clone()).await?;
        events.iter().for_each(AuditRecord::log);
        Ok(())
    }
}

fn refused(client: &Client, reason: &str, origin: &Origin, now: Timestamp) -> AuditRecord {
    AuditRecord::new(now, "session.issue_refused")
        .refused(reason)
        .client(client.id())
        .from_request(origin)
}
