//! The revocation endpoint, RFC 7009.

use super::token::session_event;
use super::{Provider, ProviderError};
use crate::audit::Origin;
use crate::clock::Timestamp;
use crate::handoff::client::Client;
use crate::handoff::oauth_error::OAuthError;
use crate::handoff::parameters::Parameters;
use crate::handoff::revocation::{TokenTypeHint, may_revoke, presented_token};
use crate::secret::TokenHash;
use crate::store::{AccountRecord, SessionRecord};

const REASON: &str = "revoked_by_client";

impl Provider {
    /// Ends what a client gives back: an access token alone, a refresh token with its session.
    ///
    /// # Errors
    /// `invalid_client` or `invalid_request`; never for what the token is.
    pub async fn revoke(
        &self,
        authorization: Option<&str>,
        pairs: &[(String, String)],
        origin: &Origin,
    ) -> Result<(), OAuthError> {
        let now = self.clock.now();
        let form = Parameters::new(pairs);
        let client = self.authenticate_client(authorization, &form, origin, now).await?;
        let (token, hint) = presented_token(&form)?;
        let Some(hash) = token.map(|token| token.hash()) else { return Ok(()) };
        let caller = Caller { client: &client, origin, now };
        let done = match hint {
            TokenTypeHint::AccessToken => {
                self.revoke_access_token(hash, &caller).await?
                    || self.revoke_refresh_token(hash, &caller).await?
            }
            TokenTypeHint::RefreshToken => {
                self.revoke_refresh_token(hash, &caller).await?
                    || self.revoke_access_token(hash, &caller).await?
            }
        };
        if !done {
            tracing::debug!(client = client.id(), "an unknown token was given back");
        }
        Ok(())
    }

    /// Whether it is an access token, of whomever.
    async fn revoke_access_token(
        &self,
        hash: TokenHash,
        caller: &Caller<'_>,
    ) -> Result<bool, ProviderError> {
        let Some(status) = self.store.access_token(hash).await? else { return Ok(false) };
        if !self.is_callers(&status.session, &status.account, caller).await {
            return Ok(true);
        }
        let event = caller.event("token.revoked", &status.session, &status.account);
        self.store.remove_access_token(hash, vec![event.clone()]).await?;
        event.log();
        Ok(true)
    }

    /// Whether it is a refresh token, of whomever.
    async fn revoke_refresh_token(
        &self,
        hash: TokenHash,
        caller: &Caller<'_>,
    ) -> Result<bool, ProviderError> {
        let Some(status) = self.store.refresh_token(hash).await? else { return Ok(false) };
        if !self.is_callers(&status.session, &status.account, caller).await
            || status.session.revoked_at.is_some()
        {
            return Ok(true);
        }
        let mut event = caller.event("session.revoked", &status.session, &status.account);
        event.reason = Some(REASON.to_owned());
        self.end_session(status.session.id, REASON, event, caller.now).await?;
        Ok(true)
    }

    async fn is_callers(
        &self,
        session: &SessionRecord,
        account: &AccountRecord,
        caller: &Caller<'_>,
    ) -> bool {
        let own = may_revoke(session, caller.client);
        if !own {
            let event = caller.event("token.revoke_refused", session, account);
            self.note(event.refused("token_of_other_client")).await;
        }
        own
    }
}

struct Caller<'a> {
    client: &'a Client,
    origin: &'a Origin,
    now: Timestamp,
}

impl Caller<'_> {
    fn event(
        &self,
        name: &str,
        session: &SessionRecord,
        account: &AccountRecord,
    ) -> crate::audit::AuditRecord {
        session_event(name, self.client, Some(account), session, self.origin, self.now)
    }
}
