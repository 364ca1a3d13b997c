//! Forward authentication: what a reverse proxy is answered, and the session of a protected host.

use std::sync::Arc;

use url::form_urlencoded;

use super::{Provider, ProviderError};
use crate::audit::Origin;
use crate::handoff::client::{Client, ClientKind};
use crate::handoff::code::Redemption;
use crate::handoff::discovery::AUTHORIZATION_PATH;
use crate::handoff::forward_auth::{self, LOGIN_PATH, ProtectedUrl, identity_headers};
use crate::handoff::pkce;
use crate::secret::Token;
use crate::store::SessionId;

/// What a reverse proxy is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum ForwardAuthAnswer {
    /// Let the request through, with these headers.
    Allow([(&'static str, String); 4]),
    /// The browser has to sign in here first.
    SignIn {
        /// Where.
        url: String,
    },
    /// No client has this host.
    UnknownHost,
}

/// A session of a protected host, as its cookie holds it.
#[derive(Debug)]
pub struct ForwardAuthSession {
    /// The cookie's value.
    pub token: Token,
    /// Handle.
    pub session: SessionId,
    /// How long it may last at most.
    pub lifetime: std::time::Duration,
}

impl Provider {
    /// Answers a reverse proxy that asks about `url`; `token` is the cookie of that host.
    ///
    /// # Errors
    /// When the store or a connector that must be asked fails.
    pub async fn forward_auth(
        &self,
        url: &ProtectedUrl,
        token: Option<&Token>,
        origin: &Origin,
    ) -> Result<ForwardAuthAnswer, ProviderError> {
        let now = self.clock.now();
        if let Some(token) = token
            && let Some(status) = self.store.access_token(token.hash()).await?
            && let Some(id) = status.session.client.as_deref()
            && let Some(client) = self.find_client(id).await?
            && protects(&client, url)
            && let Some(status) = self.standing_bearer(&client, token, now).await?
            && let Some(status) = self.use_bearer(&client, status, origin, now).await?
        {
            return Ok(ForwardAuthAnswer::Allow(identity_headers(&status.account, &client)));
        }
        if self.client_of_host(url).await?.is_none() {
            return Ok(ForwardAuthAnswer::UnknownHost);
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("url", &url.to_string());
        let url = format!("{}?{}", self.issuer.endpoint(LOGIN_PATH), query.finish());
        Ok(ForwardAuthAnswer::SignIn { url })
    }

    /// The client that has the host of `url`.
    ///
    /// # Errors
    /// When the store fails, or a stored client cannot be opened.
    pub async fn client_of_host(
        &self,
        url: &ProtectedUrl,
    ) -> Result<Option<Arc<Client>>, ProviderError> {
        let configured = self.clients.configured().values().find(|client| protects(client, url));
        if let Some(client) = configured {
            return Ok(Some(Arc::clone(client)));
        }
        for record in self.store.clients().await? {
            let of_kind = record.settings.get("kind").and_then(serde_json::Value::as_str)
                == Some(ClientKind::ForwardAuth.as_str());
            if of_kind
                && let Some(client) = self.find_client(&record.id).await?
                && protects(&client, url)
            {
                return Ok(Some(client));
            }
        }
        Ok(None)
    }

    /// The authorization request that signs a browser in at the host of `url`. The code that it
    /// ends in is good in the browser alone that holds `secret`: that is its PKCE verifier.
    #[must_use]
    pub fn forward_auth_request(
        &self,
        client: &Client,
        url: &ProtectedUrl,
        secret: &Token,
        state: &str,
    ) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", client.id())
            .append_pair("redirect_uri", &url.callback())
            .append_pair("scope", "openid profile email groups")
            .append_pair("state", state)
            .append_pair("code_challenge", &pkce::challenge(secret.expose()))
            .append_pair("code_challenge_method", "S256");
        format!("{}?{}", self.issuer.endpoint(AUTHORIZATION_PATH), query.finish())
    }

    /// Redeems the code that came to the callback of `url`; `None` when it is refused.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open_forward_auth_session(
        &self,
        client: &Client,
        url: &ProtectedUrl,
        code: &Token,
        secret: &Token,
        origin: &Origin,
    ) -> Result<Option<ForwardAuthSession>, ProviderError> {
        let now = self.clock.now();
        let callback = url.callback();
        let beside =
            Redemption { redirect_uri: Some(&callback), code_verifier: Some(secret.expose()) };
        let kind = client.settings().session_kind;
        let made = self.redeem_bearer(client, code, beside, kind, origin, now).await?;
        Ok(made.map(|made| ForwardAuthSession {
            lifetime: made.session.expires_at.since(now),
            session: made.session.id,
            token: made.token,
        }))
    }
}

fn protects(client: &Client, url: &ProtectedUrl) -> bool {
    client.kind() == ClientKind::ForwardAuth
        && forward_auth::is_listed(&client.settings().hosts, url)
}
