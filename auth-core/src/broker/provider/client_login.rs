//! Client authentication at the token, introspection and revocation endpoints.

use std::sync::Arc;

use super::{Provider, ProviderError};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::{
    AuthenticationFailure, Client, ClientCredentials, ClientKind, ExpectedAssertion,
};
use crate::handoff::discovery::{PUSHED_REQUEST_PATH, TOKEN_PATH};
use crate::handoff::oauth_error::{OAuthError, OAuthErrorCode};
use crate::handoff::parameters::Parameters;
use crate::handoff::session_api;

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
        let Some(client) = self.find_client(credentials.id()).await? else {
            AuditRecord::new(now, "client.authentication_refused")
                .refused("client_unknown")
                .from_request(origin)
                .log();
            return Err(credentials.refusal());
        };
        match client.authenticate_for_api(&credentials) {
            Ok(()) => Ok(client),
            Err(failure) => {
                self.refuse_client(&client, failure.as_str(), origin, now).await;
                Err(credentials.refusal())
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
        let Some(client) = self.find_client(credentials.id()).await? else {
            AuditRecord::new(now, "client.authentication_refused")
                .refused("client_unknown")
                .from_request(origin)
                .log();
            return Err(credentials.refusal());
        };
        if let Err(failure) = self.prove_client(&client, &credentials, now).await? {
            self.refuse_client(&client, failure.as_str(), origin, now).await;
            return Err(credentials.refusal());
        }
        if matches!(client.kind(), ClientKind::SessionApi | ClientKind::ForwardAuth) {
            self.refuse_client(&client, "client_of_other_kind", origin, now).await;
            return Err(OAuthError::new(
                OAuthErrorCode::UnauthorizedClient,
                "this endpoint is not for this kind of client",
            ));
        }
        Ok(client)
    }

    /// The client of the sessions API that sent this request; `None` where there is none.
    pub(super) async fn authenticate_chat_server(
        &self,
        authorization: Option<&str>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<Arc<Client>>, ProviderError> {
        let nothing: [(String, String); 0] = [];
        let Ok(credentials) = ClientCredentials::read(authorization, &Parameters::new(&nothing))
        else {
            return Ok(None);
        };
        let Some(client) = self.find_client(credentials.id()).await? else {
            AuditRecord::new(now, "client.authentication_refused")
                .refused("client_unknown")
                .from_request(origin)
                .log();
            return Ok(None);
        };
        let failure = match self.prove_client(&client, &credentials, now).await? {
            Err(failure) => failure.as_str(),
            Ok(()) if session_api::is_for(&client) => return Ok(Some(client)),
            Ok(()) => "client_of_other_kind",
        };
        self.refuse_client(&client, failure, origin, now).await;
        Ok(None)
    }

    async fn prove_client(
        &self,
        client: &Client,
        credentials: &ClientCredentials,
        now: Timestamp,
    ) -> Result<Result<(), AuthenticationFailure>, ProviderError> {
        let audiences = [
            self.issuer.as_str().to_owned(),
            self.issuer.endpoint(TOKEN_PATH),
            self.issuer.endpoint(PUSHED_REQUEST_PATH),
        ];
        let expected = ExpectedAssertion { audiences: &audiences, now };
        let once = match client.authenticate(credentials, expected) {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(once)) => once,
            Err(failure) => return Ok(Err(failure)),
        };
        let scope = format!("client_assertion:{}", client.id());
        let first = self.store.first_seen(&scope, once.jti, once.until).await?;
        Ok(if first { Ok(()) } else { Err(AuthenticationFailure::AssertionReplayed) })
    }

    async fn refuse_client(&self, client: &Client, reason: &str, origin: &Origin, now: Timestamp) {
        let event = AuditRecord::new(now, "client.authentication_refused")
            .refused(reason)
            .client(client.id())
            .from_request(origin);
        self.note(event).await;
    }
}
