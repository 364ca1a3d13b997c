//! The introspection endpoint, RFC 7662.

use super::{Provider, ProviderError};
use crate::audit::Origin;
use crate::clock::Timestamp;
use crate::handoff::client::Client;
use crate::handoff::introspection::{IntrospectionResponse, of_access_token, of_refresh_token};
use crate::handoff::oauth_error::OAuthError;
use crate::handoff::parameters::Parameters;
use crate::handoff::revocation::{TokenTypeHint, presented_token};
use crate::secret::TokenHash;

impl Provider {
    /// Tells a confidential client whether a token of its own is good.
    ///
    /// # Errors
    /// `invalid_client` or `invalid_request`; never for what the token is.
    pub async fn introspect(
        &self,
        authorization: Option<&str>,
        pairs: &[(String, String)],
        origin: &Origin,
    ) -> Result<IntrospectionResponse, OAuthError> {
        let now = self.clock.now();
        let form = Parameters::new(pairs);
        let client = self.authenticate_client(authorization, &form, origin, now).await?;
        if client.is_public() {
            // Section 2.1: whoever asks must prove who they are.
            return Err(OAuthError::invalid_client(authorization.is_some()));
        }
        let (token, hint) = presented_token(&form)?;
        let Some(token) = token else { return Ok(IntrospectionResponse::inactive()) };
        let kinds = match hint {
            TokenTypeHint::AccessToken => [TokenTypeHint::AccessToken, TokenTypeHint::RefreshToken],
            TokenTypeHint::RefreshToken => {
                [TokenTypeHint::RefreshToken, TokenTypeHint::AccessToken]
            }
        };
        for kind in kinds {
            if let Some(response) = self.look_up(kind, token.hash(), &client, now).await? {
                return Ok(response);
            }
        }
        Ok(IntrospectionResponse::inactive())
    }

    async fn look_up(
        &self,
        kind: TokenTypeHint,
        hash: TokenHash,
        client: &Client,
        now: Timestamp,
    ) -> Result<Option<IntrospectionResponse>, ProviderError> {
        match kind {
            TokenTypeHint::AccessToken => {
                let Some(status) = self.store.access_token(hash).await? else { return Ok(None) };
                let subject = self.subject(client, status.account.id).await?;
                Ok(Some(of_access_token(&status, &subject, client, &self.issuer, now)))
            }
            TokenTypeHint::RefreshToken => {
                let Some(status) = self.store.refresh_token(hash).await? else { return Ok(None) };
                let subject = self.subject(client, status.account.id).await?;
                Ok(Some(of_refresh_token(&status, &subject, client, &self.issuer, now)))
            }
        }
    }
}
