//! What a client would be told of a person, for an administrator.

use super::{Provider, ProviderError};
use crate::handoff::claims::{self, UserInfo};
use crate::handoff::scope::{SUPPORTED, Scope};
use crate::store::AccountRecord;

/// What a client would be told.
#[derive(Debug)]
pub struct ClaimsPreview {
    /// The widest scope that the client can be granted.
    pub scope: Scope,
    /// The claims of the ID token and the userinfo endpoint.
    pub claims: UserInfo,
}

impl Provider {
    /// What `client` would be told of `account` if it asked for all that it may ask for; `None`
    /// when there is no such client.
    ///
    /// # Errors
    /// When the store fails, or the client cannot be opened.
    pub async fn preview_claims(
        &self,
        account: &AccountRecord,
        client: &str,
    ) -> Result<Option<ClaimsPreview>, ProviderError> {
        let Some(client) = self.find_client(client).await? else { return Ok(None) };
        let scope = client.narrow_scope(&Scope::of_stored(&SUPPORTED.join(" ")));
        let more = self.store.claims(account.id).await?;
        let subject = self.subject(&client, account.id).await?;
        let claims = claims::userinfo(account, &subject, &more, &client, &scope);
        Ok(Some(ClaimsPreview { scope, claims }))
    }
}
