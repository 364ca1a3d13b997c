//! Logout that a client asks for: who asks, whose session is meant, and where the browser goes.

use super::{Provider, ProviderError};
use crate::handoff::id_token;
use crate::handoff::logout::{self, LogoutRefusal, LogoutRequest, LogoutTarget};
use crate::handoff::parameters::Parameters;

impl Provider {
    /// Reads a request of the logout endpoint.
    ///
    /// # Errors
    /// When the store fails. A refusal is shown to the person.
    pub async fn read_logout(
        &self,
        pairs: &[(String, String)],
    ) -> Result<Result<LogoutRequest, LogoutRefusal>, ProviderError> {
        let now = self.clock.now();
        let parameters = Parameters::new(pairs);
        let hint = match parameters.get("id_token_hint") {
            Some(hint) => {
                let keys = self.signing_keys(now).await?;
                id_token::read_hint(hint, &keys, &self.issuer)
            }
            None => None,
        };
        let audience = hint.as_ref().map(|hint| hint.audience.as_slice());
        let client = match logout::requesting_client(&parameters, audience) {
            Ok(Some(id)) => match self.find_client(id).await? {
                Some(client) => Some(client),
                None => return Ok(Err(LogoutRefusal::Client)),
            },
            Ok(None) => None,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let target = match logout::target(&parameters, client.as_deref()) {
            Ok(target) => target,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let account = match (&hint, &client) {
            (Some(hint), Some(client)) => self.account_of_hint(hint, client).await?,
            _ => None,
        };
        Ok(Ok(LogoutRequest { account, target }))
    }

    /// Judges again where a confirmed logout goes: the form came from a browser.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn logout_target(
        &self,
        client: &str,
        uri: &str,
        state: Option<&str>,
    ) -> Result<Option<LogoutTarget>, ProviderError> {
        let client = self.find_client(client).await?;
        Ok(client.and_then(|client| LogoutTarget::judge(&client, uri, state)))
    }
}
