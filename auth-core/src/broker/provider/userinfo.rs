//! The userinfo endpoint, OpenID Connect Core 1.0 section 5.3.

use super::{Provider, ProviderError};
use crate::handoff::claims::{self, UserInfo};
use crate::handoff::client::Client;
use crate::handoff::introspection::is_active;
use crate::handoff::oauth_error::OAuthError;
use crate::handoff::scope::{self, Scope};
use crate::secret::Token;
use crate::store::{AccountId, ClaimMap};

impl Provider {
    /// What the bearer of an access token may know of its person.
    ///
    /// # Errors
    /// `invalid_token` or `insufficient_scope`, RFC 6750 section 3.1.
    pub async fn userinfo(&self, bearer: Option<&str>) -> Result<UserInfo, OAuthError> {
        let now = self.clock.now();
        let token = bearer.and_then(Token::parse).ok_or(OAuthError::invalid_token())?;
        let found = self.store.access_token(token.hash()).await.map_err(ProviderError::from)?;
        let status =
            found.filter(|status| is_active(status, now)).ok_or(OAuthError::invalid_token())?;
        let Some(id) = status.session.client.as_deref() else {
            return Err(OAuthError::invalid_token());
        };
        // A client that was removed has no tokens any more.
        let client = self.find_client(id).await?.ok_or(OAuthError::invalid_token())?;
        let scope = client.narrow_scope(&Scope::of_stored(&status.token.scope));
        if !scope.contains(scope::OPENID) {
            return Err(OAuthError::insufficient_scope("the scope openid was not granted"));
        }
        let more = self.connector_claims(status.account.id, &client, &scope).await?;
        let subject = self.subject(&client, status.account.id).await?;
        Ok(claims::userinfo(&status.account, &subject, &more, &client, &scope))
    }

    /// The connector's further claims about a person; not read where nothing of them is told.
    pub(super) async fn connector_claims(
        &self,
        account: AccountId,
        client: &Client,
        scope: &Scope,
    ) -> Result<ClaimMap, ProviderError> {
        if self.further_claims && claims::tells_connector_claims(client, scope) {
            return Ok(self.store.claims(account).await?);
        }
        Ok(ClaimMap::new())
    }
}
