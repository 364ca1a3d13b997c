//! What the worker of the outbox needs of the provider: who listens for logout tokens, and the
//! tokens themselves, made anew for each attempt; and what a client hears of an event.

use serde_json::Value;
use zeroize::Zeroizing;

use super::{Provider, ProviderError};
use crate::handoff::client::Client;
use crate::handoff::logout_token::LogoutTokenContent;
use crate::handoff::outbox::{KnownAs, told};
use crate::store::OutboxEventRecord;

/// A client that is told of the end of its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackchannelTarget {
    /// Its id.
    pub client: String,
    /// Where logout tokens are posted.
    pub uri: String,
    /// Whether the address stands in the configuration file, and may so be of a private network.
    pub configured: bool,
}

impl Provider {
    /// The clients that are told of the end of their sessions, as they are now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn backchannel_targets(&self) -> Result<Vec<BackchannelTarget>, ProviderError> {
        let target = |client: &Client, configured| {
            let uri = client.settings().backchannel_logout_uri.clone()?;
            Some(BackchannelTarget { client: client.id().to_owned(), uri, configured })
        };
        let mut targets: Vec<BackchannelTarget> =
            self.clients.configured().values().filter_map(|client| target(client, true)).collect();
        for record in self.store.clients().await? {
            // One damaged client must not keep the others from hearing.
            match self.find_client(&record.id).await {
                Ok(Some(client)) => targets.extend(target(&client, false)),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "stored client left out"),
            }
        }
        Ok(targets)
    }

    /// What a client is told of an event, with the subject under which it knows the person. `None`
    /// when the client is gone.
    ///
    /// # Errors
    /// When the store fails, or the key of pairwise subjects cannot be opened.
    pub async fn told(
        &self,
        client: &str,
        event: &OutboxEventRecord,
    ) -> Result<Option<Value>, ProviderError> {
        let Some(client) = self.find_client(client).await? else { return Ok(None) };
        let person = match event.account {
            None => None,
            Some(account) => {
                let subject = self.subject(&client, account).await?;
                let pairwise = client.sector().is_some();
                Some(if pairwise { KnownAs::Pairwise(subject) } else { KnownAs::Public(subject) })
            }
        };
        Ok(Some(told(event, person.as_ref())))
    }

    /// A logout token for the end of a client's session. `None` when the event tells of no
    /// session, or the client is gone.
    ///
    /// # Errors
    /// When no key signs, or the crypto library fails.
    pub async fn logout_token(
        &self,
        client: &str,
        event: &OutboxEventRecord,
    ) -> Result<Option<Zeroizing<String>>, ProviderError> {
        let (Some(account), Some(session)) = (event.account, event.session) else {
            return Ok(None);
        };
        let Some(client) = self.find_client(client).await? else { return Ok(None) };
        let now = self.clock.now();
        let key = self.signer(client.id_token_algorithm(), now).await?;
        let subject = self.subject(&client, account).await?;
        let content = LogoutTokenContent {
            issuer: &self.issuer,
            client: client.id(),
            subject: &subject,
            session,
            id: &event.id,
        };
        let token = content.sign(&key, now);
        token.map(Some).map_err(|error| ProviderError::LogoutToken(error.to_string()))
    }
}
