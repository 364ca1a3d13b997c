//! The token endpoint: who asks, for what, and the answer.

use zeroize::Zeroizing;

use super::{Provider, ProviderError};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::{Client, ClientKind};
use crate::handoff::client_session::IssuedTokens;
use crate::handoff::id_token::IdTokenContent;
use crate::handoff::oauth_error::{OAuthError, OAuthErrorCode};
use crate::handoff::parameters::Parameters;
use crate::handoff::scope::{self, Scope};
use crate::handoff::token::{Grant, TokenResponse};
use crate::store::{AccountRecord, SessionRecord};

/// Everything that one answer of the token endpoint says, before it is written.
pub(super) struct Answer<'a> {
    pub(super) client: &'a Client,
    pub(super) account: &'a AccountRecord,
    pub(super) session: &'a SessionRecord,
    pub(super) scope: &'a Scope,
    pub(super) nonce: Option<&'a str>,
    /// Whether it is a refreshed one.
    pub(super) refreshed: bool,
    pub(super) tokens: &'a IssuedTokens,
}

impl Provider {
    /// Answers a token request: the value of its header `Authorization`, and its form.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn token(
        &self,
        authorization: Option<&str>,
        pairs: &[(String, String)],
        origin: &Origin,
    ) -> Result<TokenResponse, OAuthError> {
        self.token_for(ClientKind::Oidc, authorization, pairs, origin).await
    }

    /// The same at the token endpoint of clients of kind gitlab.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn gitlab_token(
        &self,
        authorization: Option<&str>,
        pairs: &[(String, String)],
        origin: &Origin,
    ) -> Result<TokenResponse, OAuthError> {
        self.token_for(ClientKind::Gitlab, authorization, pairs, origin).await
    }

    /// A client is answered at the endpoint of its own kind alone.
    async fn token_for(
        &self,
        kind: ClientKind,
        authorization: Option<&str>,
        pairs: &[(String, String)],
        origin: &Origin,
    ) -> Result<TokenResponse, OAuthError> {
        let now = self.clock.now();
        let form = Parameters::new(pairs);
        let client = self.authenticate_client(authorization, &form, origin, now).await?;
        if client.kind() != kind {
            let event = AuditRecord::new(now, "client.authentication_refused")
                .refused("client_of_other_kind")
                .client(client.id())
                .from_request(origin);
            self.note(event).await;
            return Err(OAuthError::new(
                OAuthErrorCode::UnauthorizedClient,
                "this endpoint is not for this kind of client",
            ));
        }
        match Grant::read(&form)? {
            Grant::AuthorizationCode { code, redirect_uri, code_verifier } => {
                let presented = crate::handoff::code::Redemption { redirect_uri, code_verifier };
                self.redeem_code(&client, &code, presented, origin, now).await
            }
            Grant::RefreshToken { .. } if kind == ClientKind::Gitlab => Err(OAuthError::new(
                OAuthErrorCode::UnauthorizedClient,
                "this kind of client has no refresh tokens",
            )),
            Grant::RefreshToken { token, scope } => {
                self.refresh(&client, &token, scope, origin, now).await
            }
            Grant::DeviceCode { code } => {
                self.redeem_device_code(&client, &code, origin, now).await
            }
        }
    }

    /// Signs the ID token of an answer. It is done before anything is written, so that a failure
    /// costs neither the code nor the refresh token.
    pub(super) async fn sign_id_token(
        &self,
        answer: &Answer<'_>,
        now: Timestamp,
    ) -> Result<Option<Zeroizing<String>>, ProviderError> {
        let left_out = answer.refreshed && !answer.client.wants_id_token_on_refresh();
        if left_out || !answer.scope.contains(scope::OPENID) {
            return Ok(None);
        }
        let subject = self.subject(answer.client, answer.account.id).await?;
        let key = self.signer(answer.client.id_token_algorithm(), now).await?;
        let more = self.connector_claims(answer.account.id, answer.client, answer.scope).await?;
        let content = IdTokenContent {
            issuer: &self.issuer,
            client: answer.client,
            account: answer.account,
            more: &more,
            subject: &subject,
            session: answer.session,
            scope: answer.scope,
            nonce: answer.nonce,
            access_token: &answer.tokens.access,
        };
        Ok(Some(Zeroizing::new(content.sign(&key, now)?.to_string())))
    }
}

/// Puts the answer together once everything is written.
pub(super) fn respond(
    client: &Client,
    tokens: IssuedTokens,
    id_token: Option<Zeroizing<String>>,
    scope: Scope,
    now: Timestamp,
) -> TokenResponse {
    TokenResponse {
        expires_in: tokens.records.access.expires_at.since(now),
        access_token: tokens.access,
        refresh_token: tokens.refresh,
        id_token,
        scope,
        created_at: (client.kind() == ClientKind::Gitlab).then_some(now),
    }
}

/// An event about a client session.
pub(super) fn session_event(
    name: &str,
    client: &Client,
    account: Option<&AccountRecord>,
    session: &SessionRecord,
    origin: &Origin,
    now: Timestamp,
) -> AuditRecord {
    let event = AuditRecord::new(now, name)
        .client(client.id())
        .connector(&session.connector)
        .from_request(origin)
        .with("session", session.id.to_string())
        .with("kind", session.kind.as_str());
    match account {
        Some(account) => event.account(&account.username),
        None => event,
    }
}
