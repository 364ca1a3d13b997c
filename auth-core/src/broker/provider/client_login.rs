//! Client authentication at the token, introspection and revocation endpoints.

use std::sync::Arc;

use super::Provider;
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::{AuthenticationFailure, Client, ClientCredentials};
use crate::handoff::oauth_error::OAuthError;
use crate::handoff::parameters::Parameters;

impl Provider {
    /// The client that sent a request to an API for clients, by HTTP Basic.
    ///
    /// # Errors
    /// `invalid_client`.
    pub async fn authenticate_for_api(
        &self,
        authorization: Option<&str>,
        origin: &Origin,
    ) -> Result<Arc<Client>, OAuthError> {
        let now = self.clock.now();
        let form = Parameters::new(&[]);
        let header = authorization.ok_or(OAuthError::invalid_client(true))?;
        let credentials = ClientCredentials::read(Some(header), &form)?;
        let client = self.claimed_client(&credentials, origin, now).await?;
        match client.authenticate_for_api(&credentials) {
            Ok(()) => Ok(client),
            Err(failure) => {
                Err(self.refuse_client(&client, &credentials, failure, origin, now).await)
            }
        }
    }

    /// The client that sent this request.
    ///
    /// A wrong secret of a known client goes into the audit trail; an unknown id, which anybody
    /// can send in any number, only into the log.
    pub(super) async fn authenticate_client(
        &self,
        authorization: Option<&str>,
        form: &Parameters<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Arc<Client>, OAuthError> {
        let credentials = ClientCredentials::read(authorization, form)?;
        let client = self.claimed_client(&credentials, origin, now).await?;
        match client.authenticate(&credentials) {
            Ok(()) => Ok(client),
            Err(failure) => {
                Err(self.refuse_client(&client, &credentials, failure, origin, now).await)
            }
        }
    }

    /// The client that a caller says it is.
    async fn claimed_client(
        &self,
        credentials: &ClientCredentials,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Arc<Client>, OAuthError> {
        if let Some(client) = self.find_client(credentials.id()).await? {
            return Ok(client);
        }
        AuditRecord::new(now, "client.authentication_refused")
            .refused("client_unknown")
            .from_request(origin)
            .log();
        Err(credentials.refusal())
    }

    async fn refuse_client(
        &self,
        client: &Client,
        credentials: &ClientCredentials,
        failure: AuthenticationFailure,
        origin: &Origin,
        now: Timestamp,
    ) -> OAuthError {
        let event = AuditRecord::new(now, "client.authentication_refused")
            .refused(failure.as_str())
            .client(client.id())
            .from_request(origin);
        self.note(event).await;
        credentials.refusal()
    }
}
