//! The sessions API: exchange, check, extend, list and revoke for a chat server without OpenID
//! Connect.

use std::sync::Arc;

use super::token::session_event;
use super::{Provider, ProviderError};
use crate::account::normalise;
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::Client;
use crate::handoff::code::Redemption;
use crate::handoff::scope::Scope;
use crate::handoff::session_api::{
    AccountView, Check, Exchange, Extend, List, Listed, MOST_TOKENS, Revoke, Standing, ends_at,
    standing, view,
};
use crate::secret::Token;
use crate::store::{
    AccountId, AccountRecord, Revocation, RevocationScope, SessionFilter, SessionId, SessionRecord,
};

/// Why a chat server's request was not followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionApiError {
    /// It did not prove who it is, or is no client of this API.
    #[error("client authentication failed")]
    Client,
    /// The code is not good (any more), or not with this redirect URI.
    #[error("the code is not valid")]
    Code,
    /// The session is over, unknown or another client's.
    #[error("the session is over")]
    SessionOver,
    /// The request lacks something or holds too much.
    #[error("{0}")]
    Request(&'static str),
    /// Something broke.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl From<crate::store::StoreError> for SessionApiError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Provider(error.into())
    }
}

/// A session that was just made. It holds a secret.
#[derive(Debug)]
pub struct ExchangedSession {
    /// Handle.
    pub session: SessionId,
    /// The token that stands for it.
    pub token: Token,
    /// Whose it is.
    pub account: AccountView,
    /// When it ends if nobody extends it.
    pub expires_at: Timestamp,
}

/// Sessions of a listing that are read at once.
const PAGE: usize = 500;

impl Provider {
    /// Redeems a code for a session.
    ///
    /// # Errors
    /// What the chat server is told.
    pub async fn exchange_session(
        &self,
        authorization: Option<&str>,
        request: Exchange,
        origin: &Origin,
    ) -> Result<ExchangedSession, SessionApiError> {
        let now = self.clock.now();
        let client = self.chat_server(authorization, origin, now).await?;
        let code = Token::parse(&request.code).ok_or(SessionApiError::Code)?;
        let beside = Redemption {
            redirect_uri: Some(&request.redirect_uri),
            code_verifier: request.code_verifier.as_deref(),
        };
        let kind = request.kind.unwrap_or(client.settings().session_kind);
        let made = self.redeem_bearer(&client, &code, beside, kind, origin, now).await?;
        let made = made.ok_or(SessionApiError::Code)?;
        let granted = Scope::of_stored(&made.session.scope);
        Ok(ExchangedSession {
            session: made.session.id,
            token: made.token,
            account: view(&made.account, &client, &granted),
            expires_at: ends_at(&made.session),
        })
    }

    /// Whether sessions stand, in the order of their tokens.
    ///
    /// # Errors
    /// What the chat server is told.
    pub async fn check_sessions(
        &self,
        authorization: Option<&str>,
        request: Check,
        origin: &Origin,
    ) -> Result<Vec<Standing>, SessionApiError> {
        let now = self.clock.now();
        let client = self.chat_server(authorization, origin, now).await?;
        if request.tokens.len() > MOST_TOKENS {
            return Err(SessionApiError::Request("tokens: more than 1000 at once"));
        }
        let mut standings = Vec::with_capacity(request.tokens.len());
        for text in &request.tokens {
            let status = match Token::parse(text) {
                Some(token) => self.standing_bearer(&client, &token, now).await?,
                None => None,
            };
            standings.push(status.map_or_else(Standing::default, |status| {
                standing(&status.session, &status.account, &client)
            }));
        }
        Ok(standings)
    }

    /// Prolongs a session that is in use. Its end then.
    ///
    /// # Errors
    /// What the chat server is told.
    pub async fn extend_session(
        &self,
        authorization: Option<&str>,
        request: Extend,
        origin: &Origin,
    ) -> Result<Timestamp, SessionApiError> {
        let now = self.clock.now();
        let client = self.chat_server(authorization, origin, now).await?;
        let token = Token::parse(&request.token).ok_or(SessionApiError::SessionOver)?;
        let found = self.standing_bearer(&client, &token, now).await?;
        let found = found.ok_or(SessionApiError::SessionOver)?;
        let used = self.use_bearer(&client, found, origin, now).await?;
        used.map(|status| ends_at(&status.session)).ok_or(SessionApiError::SessionOver)
    }

    /// The live sessions that an account has at this chat server.
    ///
    /// # Errors
    /// What the chat server is told.
    pub async fn list_client_sessions(
        &self,
        authorization: Option<&str>,
        request: List,
        origin: &Origin,
    ) -> Result<Vec<Listed>, SessionApiError> {
        let now = self.clock.now();
        let client = self.chat_server(authorization, origin, now).await?;
        let Some(account) = self.named_account(request.account.as_str()).await? else {
            return Ok(Vec::new());
        };
        let sessions = self.sessions_at(&client, account.id, now).await?;
        Ok(sessions.iter().map(Listed::of).collect())
    }

    /// Ends the session of a token, the sessions of an account at this chat server, or with `all`
    /// every session of somebody who has one here. What is not there is no error.
    ///
    /// # Errors
    /// What the chat server is told.
    pub async fn revoke_client_sessions(
        &self,
        authorization: Option<&str>,
        request: Revoke,
        origin: &Origin,
    ) -> Result<(), SessionApiError> {
        let now = self.clock.now();
        let client = self.chat_server(authorization, origin, now).await?;
        let by = By { client: &client, origin, now };
        match (request.token, request.account) {
            (Some(token), None) => {
                let Some(token) = Token::parse(&token) else { return Ok(()) };
                let found = self.store.access_token(token.hash()).await?;
                let own = found.filter(|it| it.session.client.as_deref() == Some(client.id()));
                let Some(status) = own.filter(|it| it.session.is_live(now)) else { return Ok(()) };
                if request.all {
                    self.end_everywhere(&status.account, &by).await
                } else {
                    self.end_one(&status.session, &status.account, &by).await
                }
            }
            (None, Some(account)) => {
                let Some(account) = self.named_account(account.as_str()).await? else {
                    return Ok(());
                };
                let sessions = self.sessions_at(&client, account.id, now).await?;
                if request.all && !sessions.is_empty() {
                    return self.end_everywhere(&account, &by).await;
                }
                for session in &sessions {
                    self.end_one(session, &account, &by).await?;
                }
                Ok(())
            }
            _ => Err(SessionApiError::Request("give either token or account")),
        }
    }

    async fn chat_server(
        &self,
        authorization: Option<&str>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Arc<Client>, SessionApiError> {
        let client = self.authenticate_chat_server(authorization, origin, now).await?;
        client.ok_or(SessionApiError::Client)
    }

    /// The account with this id or user name.
    async fn named_account(&self, name: &str) -> Result<Option<AccountRecord>, ProviderError> {
        Ok(match name.parse() {
            Ok(id) => self.store.account(AccountId(id)).await?,
            Err(_) => self.store.account_by_username(&normalise(name)).await?,
        })
    }

    async fn sessions_at(
        &self,
        client: &Client,
        account: AccountId,
        now: Timestamp,
    ) -> Result<Vec<SessionRecord>, ProviderError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let filter = SessionFilter { account: Some(account), after, limit: PAGE };
            let page = self.store.sessions(filter, now).await?;
            let full = page.len() == PAGE;
            after = page.last().map(|session| session.id);
            let own = |session: &SessionRecord| session.client.as_deref() == Some(client.id());
            found.extend(page.into_iter().filter(own));
            if !full {
                return Ok(found);
            }
        }
    }

    async fn end_one(
        &self,
        session: &SessionRecord,
        account: &AccountRecord,
        by: &By<'_>,
    ) -> Result<(), SessionApiError> {
        let (client, origin, now) = (by.client, by.origin, by.now);
        let mut event =
            session_event("session.revoked", client, Some(account), session, origin, now);
        event.reason = Some(REASON.to_owned());
        Ok(self.end_session(session.id, REASON, event, now).await?)
    }

    async fn end_everywhere(
        &self,
        account: &AccountRecord,
        by: &By<'_>,
    ) -> Result<(), SessionApiError> {
        let event = AuditRecord::new(by.now, "session.revoked")
            .account(&account.username)
            .client(by.client.id())
            .from_request(by.origin)
            .with("reason", "logout_everywhere")
            .with("all", true);
        let revocation = Revocation {
            scope: RevocationScope::Account(account.id),
            at: by.now,
            reason: "logout_everywhere".to_owned(),
        };
        self.store.revoke_sessions(revocation, vec![event.clone()]).await?;
        event.log();
        Ok(())
    }
}

const REASON: &str = "revoked_by_client";

/// Who ends sessions, and when.
struct By<'a> {
    client: &'a Client,
    origin: &'a Origin,
    now: Timestamp,
}
