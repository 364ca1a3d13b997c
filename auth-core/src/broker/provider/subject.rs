//! Subject identifiers of clients, and the accounts behind those that clients give back.

use openidconnect::SubjectIdentifier;

use super::{Provider, ProviderError};
use crate::handoff::client::Client;
use crate::handoff::id_token::IdTokenHint;
use crate::handoff::subject;
use crate::key_ring::HashKey;
use crate::store::{AccountId, SessionId};

impl Provider {
    /// The key of keyed hashes.
    pub(super) async fn hash_key(&self) -> Result<&HashKey, ProviderError> {
        Ok(self.hash_key.get(self.store.as_ref(), &self.ring).await?)
    }

    /// The subject identifier under which `client` knows the account.
    pub(super) async fn subject(
        &self,
        client: &Client,
        account: AccountId,
    ) -> Result<SubjectIdentifier, ProviderError> {
        Ok(match client.sector() {
            None => subject::public(account),
            Some(sector) => subject::pairwise(self.hash_key().await?, &sector, account),
        })
    }

    /// Whom an ID token that `client` gave back is about. A pairwise subject cannot be turned
    /// back; the session that the token names leads there, as long as its row is kept.
    pub(super) async fn account_of_hint(
        &self,
        hint: &IdTokenHint,
        client: &Client,
    ) -> Result<Option<AccountId>, ProviderError> {
        if client.sector().is_none() {
            return Ok(subject::account_of_public(&hint.subject));
        }
        let session = hint.sid.as_deref().and_then(|sid| sid.parse().ok()).map(SessionId);
        let Some(session) = session else { return Ok(None) };
        let Some(session) = self.store.session(session).await? else { return Ok(None) };
        let subject = self.subject(client, session.account).await?;
        Ok((subject.as_str() == hint.subject).then_some(session.account))
    }
}
