//! The relying party's side of OpenID Connect for the tests: authorization code with PKCE (RFC
//! 7636), token, refresh, introspection (RFC 7662), revocation (RFC 7009), userinfo.
//!
//! Requests are written by hand so that a test can send wrong ones; discovery and ID tokens are
//! read and verified by the `openidconnect` crate, a judge that is not our own.

use anyhow::{Context, Result, bail, ensure};
use openidconnect::core::{
    CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreProviderMetadata,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AsyncHttpClient, ClientId, ClientSecret, CsrfToken,
    HttpClientError, HttpRequest, HttpResponse, IssuerUrl, Nonce, PkceCodeChallenge,
};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;

use super::http::{Browser, Page, client_builder, read};

/// A relying party that knows its provider by discovery.
#[derive(Debug, Clone)]
pub struct RelyingParty {
    /// Client identifier.
    pub client_id: String,
    /// Client secret; none for a public client.
    pub client_secret: Option<String>,
    /// The redirect URI of its requests.
    pub redirect_uri: Url,
    /// The provider's own description (OpenID Connect Discovery 1.0, section 3).
    pub metadata: CoreProviderMetadata,
    /// The same as JSON, for the members that the crate does not know.
    pub document: Value,
    http: Client,
}

/// An authorization request on its way.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// Where the browser is sent.
    pub url: Url,
    /// `state` of the request.
    pub state: String,
    /// `nonce` of the request.
    pub nonce: String,
    /// PKCE `code_verifier`.
    pub verifier: String,
}

/// A successful answer of the token endpoint (RFC 6749, section 5.1).
#[derive(Debug, Clone, Deserialize)]
pub struct Tokens {
    /// Opaque access token.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: Option<u64>,
    /// Refresh token.
    pub refresh_token: Option<String>,
    /// ID token, still to be verified.
    pub id_token: Option<String>,
    /// Granted scope.
    pub scope: Option<String>,
}

impl RelyingParty {
    /// Reads the provider's description and keys.
    ///
    /// # Errors
    /// No answer, or a description that contradicts the issuer.
    pub async fn discover(
        issuer: &str,
        client_id: &str,
        client_secret: Option<&str>,
        redirect_uri: &str,
    ) -> Result<Self> {
        let http = client_builder().build()?;
        let metadata =
            CoreProviderMetadata::discover_async(IssuerUrl::new(issuer.into())?, &Http(&http))
                .await
                .context("discovery")?;
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = read(http.get(place)).await?.expect(200)?.json()?;
        Ok(Self {
            client_id: client_id.into(),
            client_secret: client_secret.map(Into::into),
            redirect_uri: Url::parse(redirect_uri)?,
            metadata,
            document,
            http,
        })
    }

    /// Reads the keys again, as a relying party does after it saw an unknown key id.
    ///
    /// # Errors
    /// No answer.
    pub async fn reload_keys(&mut self) -> Result<()> {
        let place = self.metadata.jwks_uri().clone();
        let keys = CoreJsonWebKeySet::fetch_async(&place, &Http(&self.http)).await?;
        self.metadata = self.metadata.clone().set_jwks(keys);
        Ok(())
    }

    /// A new authorization request with fresh state, nonce and PKCE challenge.
    pub fn authorize(&self, scope: &str) -> Authorization {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = CsrfToken::new_random().secret().clone();
        let nonce = Nonce::new_random().secret().clone();
        let mut url = self.metadata.authorization_endpoint().url().clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", self.redirect_uri.as_str())
            .append_pair("scope", scope)
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", "S256");
        Authorization { url, state, nonce, verifier: verifier.into_secret() }
    }

    /// Whether `url` is this relying party's redirect URI, whatever its query.
    pub fn is_redirect_uri(&self, url: &Url) -> bool {
        url.origin() == self.redirect_uri.origin() && url.path() == self.redirect_uri.path()
    }

    /// The code out of an authorization answer, after its `state` and `iss` (RFC 9207) were compared.
    ///
    /// # Errors
    /// Wrong address, state or issuer, or the answer is an error.
    pub fn code(&self, authorization: &Authorization, answer: &Url) -> Result<String> {
        ensure!(self.is_redirect_uri(answer), "{answer} is not the redirect URI");
        let of = |name: &str| {
            answer.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        ensure!(of("state").as_ref() == Some(&authorization.state), "state in {answer}");
        ensure!(of("iss").as_deref() == Some(self.metadata.issuer().as_str()), "iss in {answer}");
        if let Some(error) = of("error") {
            bail!("the provider answered {error}: {}", of("error_description").unwrap_or_default());
        }
        of("code").with_context(|| format!("no code in {answer}"))
    }

    /// A whole login of `browser` by a user name and password, up to the authorization code.
    ///
    /// # Errors
    /// Any step fails; the message shows the page.
    pub async fn sign_in(
        &self,
        browser: &Browser,
        authorization: &Authorization,
        connector: &str,
        username: &str,
        password: &str,
    ) -> Result<String> {
        let page = browser.open(&authorization.url).await?.expect(200)?;
        let page = browser.sign_in(&page, connector, username, password).await?;
        let page = browser.follow(page, |url| self.is_redirect_uri(url)).await?;
        ensure!(page.status.is_redirection(), "not signed in: {}", page.describe());
        self.code(authorization, &page.location()?)
    }

    /// A request of this client to the token endpoint, with any parameters.
    ///
    /// # Errors
    /// No answer.
    pub async fn token_request(&self, parameters: &[(&str, &str)]) -> Result<Page> {
        let place = self.metadata.token_endpoint().context("no token endpoint")?.url().clone();
        self.authenticated(place, parameters).await
    }

    /// Exchanges an authorization code.
    ///
    /// # Errors
    /// The provider refuses; the message holds its answer.
    pub async fn exchange(&self, authorization: &Authorization, code: &str) -> Result<Tokens> {
        tokens(
            self.token_request(&[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", self.redirect_uri.as_str()),
                ("code_verifier", &authorization.verifier),
            ])
            .await?,
        )
    }

    /// Uses a refresh token.
    ///
    /// # Errors
    /// The provider refuses; the message holds its answer.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens> {
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        tokens(self.token_request(&parameters).await?)
    }

    /// Introspection answer of a token.
    ///
    /// # Errors
    /// The provider refuses this client.
    pub async fn introspect(&self, token: &str) -> Result<Value> {
        let place = self.endpoint("introspection_endpoint")?;
        self.authenticated(place, &[("token", token)]).await?.expect(200)?.json()
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// The provider refuses this client.
    pub async fn revoke(&self, token: &str) -> Result<()> {
        let place = self.endpoint("revocation_endpoint")?;
        self.authenticated(place, &[("token", token)]).await?.expect(200)?;
        Ok(())
    }

    /// The userinfo answer, whatever its status.
    ///
    /// # Errors
    /// No answer.
    pub async fn userinfo(&self, access_token: &str) -> Result<Page> {
        let place = self.metadata.userinfo_endpoint().context("no userinfo endpoint")?;
        read(self.http.get(place.url().clone()).bearer_auth(access_token)).await
    }

    /// Verifies signature, issuer, audience, times and nonce of an ID token.
    ///
    /// # Errors
    /// Any of them is wrong.
    pub fn verify(&self, id_token: &str, nonce: &str) -> Result<CoreIdTokenClaims> {
        let token = CoreIdToken::from_str(id_token).context("ID token")?;
        let nonce = Nonce::new(nonce.into());
        Ok(token.claims(&self.verifier(), &nonce).context("ID token refused")?.clone())
    }

    /// As [`Self::verify`], and `at_hash` has to be there and to match the access token.
    ///
    /// # Errors
    /// Any of them is wrong.
    pub fn verify_with_access_token(
        &self,
        id_token: &str,
        nonce: &str,
        access_token: &str,
    ) -> Result<CoreIdTokenClaims> {
        let claims = self.verify(id_token, nonce)?;
        let token = CoreIdToken::from_str(id_token)?;
        let verifier = self.verifier();
        let computed = AccessTokenHash::from_token(
            &AccessToken::new(access_token.into()),
            token.signing_alg()?,
            token.signing_key(&verifier)?,
        )?;
        let stated = claims.access_token_hash().context("no at_hash in the ID token")?;
        ensure!(*stated == computed, "at_hash does not belong to the access token");
        Ok(claims)
    }

    /// POST to any endpoint with this client's credentials (HTTP Basic, or `client_id` alone for a
    /// public client).
    ///
    /// # Errors
    /// No answer.
    pub async fn authenticated(&self, url: Url, parameters: &[(&str, &str)]) -> Result<Page> {
        let request = self.http.post(url);
        let mut fields = parameters.to_vec();
        let request: RequestBuilder = match &self.client_secret {
            // RFC 6749, section 2.3.1: both are form-encoded before they are joined.
            Some(secret) => request.basic_auth(encoded(&self.client_id), Some(encoded(secret))),
            None => {
                fields.push(("client_id", &self.client_id));
                request
            }
        };
        read(request.form(&fields)).await
    }

    /// An endpoint by its name in the provider's description.
    ///
    /// # Errors
    /// The description does not name it.
    pub fn endpoint(&self, name: &str) -> Result<Url> {
        let place = self.document.get(name).and_then(Value::as_str);
        Ok(Url::parse(place.with_context(|| format!("no {name} in the description"))?)?)
    }

    fn verifier(&self) -> CoreIdTokenVerifier<'_> {
        let id = ClientId::new(self.client_id.clone());
        let (issuer, keys) = (self.metadata.issuer().clone(), self.metadata.jwks().clone());
        let verifier = match &self.client_secret {
            Some(secret) => {
                let secret = ClientSecret::new(secret.clone());
                CoreIdTokenVerifier::new_confidential_client(id, secret, issuer, keys)
            }
            None => CoreIdTokenVerifier::new_public_client(id, issuer, keys),
        };
        verifier.set_allowed_algs(self.metadata.id_token_signing_alg_values_supported().clone())
    }
}

fn tokens(page: Page) -> Result<Tokens> {
    ensure!(page.status == StatusCode::OK, "token endpoint: {}", page.describe());
    // RFC 6749, section 5.1.
    ensure!(page.header("cache-control").contains("no-store"), "cacheable: {}", page.describe());
    let tokens: Tokens = serde_json::from_str(&page.body)?;
    ensure!(tokens.token_type.eq_ignore_ascii_case("bearer"), "type {}", tokens.token_type);
    Ok(tokens)
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// `reqwest` as the HTTP client of `openidconnect`.
struct Http<'a>(&'a Client);

impl<'c> AsyncHttpClient<'c> for Http<'_> {
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
