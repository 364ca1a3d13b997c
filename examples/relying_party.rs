//! The OpenID Connect side of the example chat server: everything it says to the daemon.
//!
//! A login is an authorization code with PKCE, `state` and `nonce`. Of what comes back only the
//! verified ID token and the userinfo answer about the same subject are believed. Afterwards the
//! session is asked about by introspection, prolonged by refresh and ended by revocation.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClient,
    CoreClientAuthMethod, CoreErrorResponseType, CoreGrantType, CoreIdToken, CoreIdTokenClaims,
    CoreIdTokenVerifier, CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
    CoreUserInfoClaims,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AdditionalProviderMetadata, AsyncHttpClient, AuthorizationCode,
    ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    HttpClientError, HttpRequest, HttpResponse, IntrospectionUrl, IssuerUrl, JsonWebKeySetUrl,
    Nonce, NonceVerifier, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier,
    ProviderMetadata, RedirectUrl, RefreshToken, RequestTokenError, RevocationUrl, Scope,
    SignatureVerificationError, TokenIntrospectionResponse, TokenResponse,
};
use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;
use url::Url;

const LIMIT: Duration = Duration::from_secs(10);

/// A client that knows where the daemon's endpoints are.
type Client =
    CoreClient<EndpointSet, EndpointNotSet, EndpointSet, EndpointNotSet, EndpointSet, EndpointSet>;

/// The discovery document with the two endpoints of RFC 8414 that OpenID Connect does not list.
type Metadata = ProviderMetadata<
    Rfc8414Endpoints,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Rfc8414Endpoints {
    introspection_endpoint: IntrospectionUrl,
    revocation_endpoint: RevocationUrl,
}

impl AdditionalProviderMetadata for Rfc8414Endpoints {}

/// This chat server as the daemon knows it.
pub(crate) struct RelyingParty {
    client: Client,
    client_id: ClientId,
    client_secret: ClientSecret,
    issuer: IssuerUrl,
    keys_url: JsonWebKeySetUrl,
    keys: RwLock<CoreJsonWebKeySet>,
    revocation_url: Url,
    http: Http,
}

/// A login on its way: what has to match when the browser comes back.
pub(crate) struct PendingLogin {
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

/// Who signed in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// The daemon's identifier of the account; the only one that never changes.
    pub(crate) subject: String,
    pub(crate) username: String,
    pub(crate) name: String,
    pub(crate) email: String,
}

/// The tokens of one session.
pub(crate) struct Tokens {
    access: AccessToken,
    refresh: RefreshToken,
}

/// What the daemon says of a session.
pub(crate) enum Standing {
    /// It goes on, with new tokens when there are some.
    Active(Option<Tokens>),
    /// It has ended: expired, revoked, or the account was disabled.
    Ended,
}

impl RelyingParty {
    /// Reads the daemon's description of itself and its keys.
    pub(crate) async fn discover(
        issuer: IssuerUrl,
        client_id: String,
        client_secret: String,
        redirect_uri: RedirectUrl,
    ) -> Result<Self> {
        let http = Http::new()?;
        let metadata =
            Metadata::discover_async(issuer.clone(), &http).await.context("discovery failed")?;
        let token_url = metadata.token_endpoint().context("no token endpoint")?.clone();
        let userinfo_url = metadata.userinfo_endpoint().context("no userinfo endpoint")?.clone();
        let endpoints = metadata.additional_metadata().clone();
        let (client_id, client_secret) =
            (ClientId::new(client_id), ClientSecret::new(client_secret));
        let keys_url = metadata.jwks_uri().clone();
        let keys = RwLock::new(metadata.jwks().clone());
        let secret = Some(client_secret.clone());
        let client = CoreClient::from_provider_metadata(metadata, client_id.clone(), secret)
            .set_token_uri(token_url)
            .set_user_info_url(userinfo_url)
            .set_introspection_url(endpoints.introspection_endpoint)
            .set_redirect_uri(redirect_uri);
        let revocation_url = endpoints.revocation_endpoint.url().clone();
        Ok(Self { client, client_id, client_secret, issuer, keys_url, keys, revocation_url, http })
    }

    /// Where to send the browser, the `state` it has to bring back, and what to keep meanwhile.
    pub(crate) fn begin_login(&self) -> (Url, CsrfToken, PendingLogin) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = self
            .client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scope(Scope::new("profile".into()))
            .add_scope(Scope::new("email".into()))
            .add_scope(Scope::new("offline_access".into()))
            .set_pkce_challenge(challenge)
            .url();
        (url, state, PendingLogin { nonce, verifier })
    }

    /// Exchanges the code for tokens and finds out who signed in.
    pub(crate) async fn finish_login(
        &self,
        login: PendingLogin,
        code: String,
    ) -> Result<(Person, Tokens)> {
        let answer = self
            .client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(login.verifier)
            .request_async(&self.http)
            .await
            .context("the code was refused")?;
        let access = answer.access_token().clone();
        let refresh = answer.refresh_token().context("no refresh token")?.clone();
        let id_token = answer.id_token().context("no ID token")?;
        let claims = self.verify(id_token, Some(&access), &login.nonce).await?;

        // Passing the subject makes the crate refuse an answer about somebody else.
        let userinfo: CoreUserInfoClaims = self
            .client
            .user_info(access.clone(), Some(claims.subject().clone()))
            .request_async(&self.http)
            .await
            .context("userinfo failed")?;
        let first = |name: Option<&openidconnect::LocalizedClaim<openidconnect::EndUserName>>| {
            name.and_then(|name| name.get(None)).map(|name| name.as_str().to_owned())
        };
        let username = userinfo.preferred_username().map(|name| name.as_str().to_owned());
        let person = Person {
            subject: claims.subject().as_str().to_owned(),
            name: first(userinfo.name()).or_else(|| username.clone()).unwrap_or_default(),
            username: username.unwrap_or_default(),
            email: userinfo.email().map(|email| email.as_str().to_owned()).unwrap_or_default(),
        };
        Ok((person, Tokens { access, refresh }))
    }

    /// Asks whether the session still stands (RFC 7662). An access token that has merely run out
    /// is replaced.
    pub(crate) async fn check(&self, subject: &str, tokens: &Tokens) -> Result<Standing> {
        let answer = self.client.introspect(&tokens.access).request_async(&self.http).await;
        if answer.context("introspection failed")?.active() {
            return Ok(Standing::Active(None));
        }
        self.refresh(subject, tokens).await
    }

    /// Gets new tokens for old ones. The old refresh token is used up by this.
    pub(crate) async fn refresh(&self, subject: &str, tokens: &Tokens) -> Result<Standing> {
        let request = self.client.exchange_refresh_token(&tokens.refresh);
        let answer = match request.request_async(&self.http).await {
            Ok(answer) => answer,
            Err(RequestTokenError::ServerResponse(refusal))
                if *refusal.error() == CoreErrorResponseType::InvalidGrant =>
            {
                return Ok(Standing::Ended);
            }
            Err(error) => return Err(error).context("refresh failed"),
        };
        let access = answer.access_token().clone();
        if let Some(id_token) = answer.id_token() {
            // OpenID Connect Core, section 12.2: no nonce is needed, the subject must be the same.
            let any_nonce = |_: Option<&Nonce>| Ok::<(), String>(());
            let claims = self.verify(id_token, Some(&access), any_nonce).await?;
            ensure!(claims.subject().as_str() == subject, "the refreshed session is another's");
        }
        let refresh = answer.refresh_token().cloned().unwrap_or_else(|| tokens.refresh.clone());
        Ok(Standing::Active(Some(Tokens { access, refresh })))
    }

    /// Ends the session at the daemon (RFC 7009).
    pub(crate) async fn revoke(&self, tokens: &Tokens) -> Result<()> {
        // By hand: `Client::revoke_token` takes https only, and this example runs on localhost.
        let encode = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
        };
        let answer = self
            .http
            .0
            .post(self.revocation_url.clone())
            .basic_auth(encode(&self.client_id), Some(encode(self.client_secret.secret())))
            .form(&[
                ("token", tokens.refresh.secret().as_str()),
                ("token_type_hint", "refresh_token"),
            ])
            .send()
            .await
            .context("revocation failed")?;
        ensure!(answer.status().is_success(), "revocation was refused: {}", answer.status());
        Ok(())
    }

    /// Verifies signature, issuer, audience, times and nonce, and that the access token belongs to
    /// it. A key that is not known yet is fetched once: the daemon may have changed its keys.
    async fn verify(
        &self,
        token: &CoreIdToken,
        access: Option<&AccessToken>,
        nonce: impl NonceVerifier + Copy,
    ) -> Result<CoreIdTokenClaims> {
        let mut verifier = self.verifier().await;
        if let Err(ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey,
        )) = token.claims(&verifier, nonce)
        {
            let fresh = CoreJsonWebKeySet::fetch_async(&self.keys_url, &self.http).await;
            *self.keys.write().await = fresh.context("the daemon's keys")?;
            verifier = self.verifier().await;
        }
        let claims = token.claims(&verifier, nonce).context("the ID token was refused")?;
        if let (Some(access), Some(stated)) = (access, claims.access_token_hash()) {
            let key = token.signing_key(&verifier)?;
            let computed = AccessTokenHash::from_token(access, token.signing_alg()?, key)?;
            ensure!(computed == *stated, "the access token is not the ID token's");
        }
        Ok(claims.clone())
    }

    async fn verifier(&self) -> CoreIdTokenVerifier<'static> {
        CoreIdTokenVerifier::new_confidential_client(
            self.client_id.clone(),
            self.client_secret.clone(),
            self.issuer.clone(),
            self.keys.read().await.clone(),
        )
    }
}

/// `reqwest` as the HTTP client of `openidconnect`.
struct Http(reqwest::Client);

impl Http {
    fn new() -> Result<Self> {
        // A redirect would carry our credentials wherever the answer says.
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        Ok(Self(builder.timeout(LIMIT).build()?))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpClientError<reqwest::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Self::Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.execute(request.try_into().map_err(Box::new)?).await;
            let answer = answer.map_err(Box::new)?;
            let mut builder = openidconnect::http::Response::builder().status(answer.status());
            for (name, value) in answer.headers() {
                builder = builder.header(name, value);
            }
            let body = answer.bytes().await.map_err(Box::new)?.to_vec();
            builder.body(body).map_err(HttpClientError::Http)
        })
    }
}
