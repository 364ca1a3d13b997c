//! Pushed authorization requests, RFC 9126.

use super::{Provider, ProviderError};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::authorization::{AuthorizationRequest, PageError};
use crate::handoff::client::Client;
use crate::handoff::oauth_error::OAuthError;
use crate::handoff::parameters::Parameters;
use crate::handoff::pushed_request::{self, LIFETIME};
use crate::secret::Token;
use crate::store::PushedRequestRecord;

impl Provider {
    /// Checks and keeps an authorization request that a client sends by itself. The body of the
    /// answer.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn push_authorization(
        &self,
        authorization: Option<&str>,
        pairs: &[(String, String)],
        origin: &Origin,
    ) -> Result<serde_json::Value, OAuthError> {
        let now = self.clock.now();
        let form = Parameters::new(pairs);
        let client = self.authenticate_client(authorization, &form, origin, now).await?;
        let kept = pushed_request::parameters(pairs, client.id())?;
        let read = AuthorizationRequest::read(&Parameters::new(&kept), &client, &self.issuer, now);
        if let Err(refusal) = read {
            let error = pushed_request::refusal(&refusal);
            let event = AuditRecord::new(now, "authorization.refused")
                .refused(error.code().as_str())
                .client(client.id())
                .from_request(origin)
                .with("description", error.description());
            self.note(event).await;
            return Err(error);
        }
        let token = Token::generate(self.random.as_ref());
        let parameters = serde_json::to_string(&kept)
            .map_err(|error| ProviderError::Task(format!("a pushed request: {error}")))?;
        let record = PushedRequestRecord {
            hash: token.hash(),
            client: client.id().to_owned(),
            parameters,
            created_at: now,
            expires_at: now + LIFETIME,
        };
        self.store.add_pushed_request(record).await.map_err(ProviderError::from)?;
        Ok(pushed_request::answer(&token))
    }

    /// The parameters behind a reference of ours; none where the request has no such reference.
    pub(super) async fn pushed_parameters(
        &self,
        parameters: &Parameters<'_>,
        client: &Client,
        now: Timestamp,
    ) -> Result<Result<Option<Vec<(String, String)>>, PageError>, ProviderError> {
        let token = parameters.get("request_uri").and_then(pushed_request::token_of);
        let Some(token) = token else { return Ok(Ok(None)) };
        let record = self.store.take_pushed_request(token.hash()).await?;
        let good = record.filter(|it| it.client == client.id() && now < it.expires_at);
        let pairs = good.and_then(|record| serde_json::from_str(&record.parameters).ok());
        Ok(pairs.map(Some).ok_or(PageError::NoPushedRequest))
    }
}
