//! The user endpoint of clients of kind gitlab, and the names that people have there.
//!
//! The answer makes a disabled chat account active again, so nothing is taken from a cache: the
//! account is read afresh after the token was judged.

use std::sync::Arc;

use serde_json::Value;

use super::{Provider, ProviderError};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::{Client, ClientKind};
use crate::handoff::gitlab::{Person, username};
use crate::handoff::introspection::is_active;
use crate::handoff::oauth_error::OAuthError;
use crate::secret::Token;
use crate::store::{AccountRecord, SessionRecord};

/// Somebody whom a client of kind gitlab may be told of, found by an access token.
#[derive(Debug)]
pub struct GitlabIdentity {
    client: Arc<Client>,
    account: AccountRecord,
    session: SessionRecord,
    username: String,
    user: Value,
}

impl GitlabIdentity {
    /// The client that asks.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The account as it is now.
    #[must_use]
    pub const fn account(&self) -> &AccountRecord {
        &self.account
    }

    /// The client session that the token belongs to.
    #[must_use]
    pub const fn session(&self) -> &SessionRecord {
        &self.session
    }

    /// What the account is called at this client.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The answer of `GET /api/v4/user`.
    #[must_use]
    pub const fn user(&self) -> &Value {
        &self.user
    }
}

impl Provider {
    /// Whom an access token of a client of kind gitlab stands for.
    ///
    /// # Errors
    /// `invalid_token` for everything that is not a good token of an active person with a verified
    /// address; the exact reason is in the audit trail.
    pub async fn gitlab_identity(
        &self,
        bearer: Option<&str>,
        origin: &Origin,
    ) -> Result<GitlabIdentity, OAuthError> {
        let now = self.clock.now();
        let token = bearer.and_then(Token::parse).ok_or(OAuthError::invalid_token())?;
        let found = self.store.access_token(token.hash()).await.map_err(ProviderError::from)?;
        let status = found.ok_or(OAuthError::invalid_token())?;
        let id = status.session.client.clone().unwrap_or_default();
        let client = self.find_client(&id).await?;
        let client = client.filter(|client| client.kind() == ClientKind::Gitlab);
        let client = client.ok_or(OAuthError::invalid_token())?;
        let fresh =
            self.store.account(status.session.account).await.map_err(ProviderError::from)?;
        let account = fresh.ok_or(OAuthError::invalid_token())?;
        let refuse = |reason| Refusal { client: &client, account: &account, reason };
        if !account.active {
            return Err(self.refuse_user(refuse("account_inactive"), origin, now).await);
        }
        if !is_active(&status, now) {
            return Err(self.refuse_user(refuse("token_ended"), origin, now).await);
        }
        let person = match Person::of(&account) {
            Ok(person) => person,
            Err(problem) => {
                return Err(self.refuse_user(refuse(problem.as_str()), origin, now).await);
            }
        };
        let username = self.client_username(client.id(), &account).await?;
        let user = person.user_json(&username, &status.session, &self.issuer);
        Ok(GitlabIdentity { client, account, session: status.session, username, user })
    }

    /// What the account is called at a client of kind gitlab; settled at the first call and kept
    /// while its wanted name stays the same.
    ///
    /// # Errors
    /// When the store fails, or others hold all names that it could have.
    pub async fn client_username(
        &self,
        client: &str,
        account: &AccountRecord,
    ) -> Result<String, ProviderError> {
        let candidates = username::candidates(&account.username, account.numeric_id);
        let held = self.store.client_account(client, account.id).await?;
        if let Some(held) = held.and_then(|held| held.username)
            && candidates.contains(&held)
        {
            return Ok(held);
        }
        let now = self.clock.now();
        let claimed = self.store.claim_username(client, account.id, candidates, now).await?;
        claimed.ok_or_else(|| ProviderError::NoUsername { account: account.username.clone() })
    }

    async fn refuse_user(
        &self,
        refusal: Refusal<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> OAuthError {
        let event = AuditRecord::new(now, "gitlab.user_refused")
            .refused(refusal.reason)
            .client(refusal.client.id())
            .account(&refusal.account.username)
            .from_request(origin);
        self.note(event).await;
        OAuthError::invalid_token()
    }
}

struct Refusal<'a> {
    client: &'a Client,
    account: &'a AccountRecord,
    reason: &'static str,
}
