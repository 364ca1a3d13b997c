//! Talks to a provider for a connection: metadata and keys (kept a while), the code's redemption,
//! userinfo. It fetches; what is right is judged by the modules beside it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::authorization::{self, AwayState, CallbackAnswer};
use super::discovery::Provider;
use super::freshness::{Kept, Need};
use super::id_token::{self, Expected};
use super::jwks::{KeySet, SignedClaims, UnverifiedToken};
use super::logout::{self, LogoutNotice};
use super::refusal::{OidcRefusal, Rejection};
use super::settings::{ClientAuthentication, OidcSettings};
use super::transport::Transport;
use super::{plain, profile};
use crate::clock::Timestamp;
use crate::connector::redirect::{Departure, DepartureRequest, Destination};
use crate::connector::{ConnectorError, UpstreamSession, VerifiedIdentity};
use crate::random::Random;
use crate::secret::Secret;

/// One connection to a provider.
pub struct OidcConnector {
    settings: OidcSettings,
    transport: Transport,
    provider: Mutex<Kept<Provider>>,
    keys: Mutex<Kept<KeySet>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    id_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// What the code was worth.
struct Tokens {
    access_token: Option<Secret>,
    id_token: Option<String>,
}

impl std::fmt::Debug for OidcConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcConnector").field("id", &self.settings.id).finish_non_exhaustive()
    }
}

impl OidcConnector {
    /// A connection; nothing is fetched yet.
    ///
    /// # Errors
    /// Says which setting cannot be used.
    pub fn new(settings: OidcSettings) -> Result<Self, String> {
        if settings.issuer.query().is_some() || settings.issuer.fragment().is_some() {
            return Err("issuer has a query or a fragment".to_owned());
        }
        let transport = Transport::new(&settings)?;
        Ok(Self { settings, transport, provider: Mutex::default(), keys: Mutex::default() })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.settings.id
    }

    /// What people read on its button.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.settings.label
    }

    /// Prepares the way to the provider.
    ///
    /// # Errors
    /// `Unavailable` when its metadata cannot be had.
    pub async fn depart(
        &self,
        request: DepartureRequest<'_>,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Departure, ConnectorError> {
        let (endpoint, issuer, names_itself) = match &self.settings.plain {
            Some(plain) => {
                if request.fresh {
                    let rule = OidcRefusal::NotFresh;
                    let why = "this provider cannot be asked for a new sign-in";
                    return Err(Rejection::because(rule, why).into());
                }
                (plain.authorization.clone(), self.settings.issuer.to_string(), false)
            }
            None => {
                let provider = self.provider(now).await?;
                let issuer = provider.issuer.clone();
                // An issuer of many tenants names the tenant's own in its answer.
                let names_itself = provider.names_itself && !provider.has_tenants();
                (provider.authorization.clone(), issuer, names_itself)
            }
        };
        let (url, away) = authorization::depart(
            &self.settings,
            &endpoint,
            &issuer,
            names_itself,
            request,
            random,
            now,
        );
        let state = serde_json::to_vec(&away).map_err(|error| internal(&error))?;
        Ok(Departure { destination: Destination::Redirect(url), state })
    }

    /// Judges what the browser brought back. `state` is the departure's.
    ///
    /// # Errors
    /// `Refused` with the rule that was broken, `Unavailable` when the provider does not answer.
    pub async fn arrive(
        &self,
        answer: &CallbackAnswer,
        state: &[u8],
        now: Timestamp,
    ) -> Result<VerifiedIdentity, ConnectorError> {
        let away: AwayState = serde_json::from_slice(state).map_err(|error| internal(&error))?;
        let code = answer.code(&away)?;
        if self.settings.plain.is_some() {
            return self.arrive_plain(code, &away, now).await;
        }
        let provider = self.provider(now).await?;
        if provider.issuer != away.issuer {
            // The metadata changed its issuer while the browser was away.
            return Err(Rejection::from(OidcRefusal::ResponseIssuer).into());
        }
        let tokens = self.redeem(code, &away, &provider.token, provider.authentication).await?;
        let id_token = tokens.id_token.ok_or(Rejection::from(OidcRefusal::NoIdToken))?;
        let signed = self.verify_signature(&id_token, &provider, now).await?;
        let expected = Expected {
            nonce: &away.nonce,
            departed_at: away.at,
            fresh: away.fresh,
            access_token: tokens.access_token.as_ref().map(Secret::expose),
        };
        let mut verified = id_token::verify(signed, &provider, &self.settings, &expected, now)?;
        let methods = profile::methods(&verified.claims);
        if let (Some(url), Some(token)) = (&provider.userinfo, &tokens.access_token)
            && profile::wants_userinfo(&self.settings, &verified.claims)
        {
            let more = self.userinfo(url, token, &provider, now).await?;
            profile::merge(&mut verified.claims, more, &verified.sub, &self.settings.claims)?;
        }
        let profile = profile::profile(&verified.claims, &self.settings.claims)?;
        let upstream = UpstreamSession {
            name: None,
            ends_at: None,
            index: verified.sid,
            hint: Some(Secret::new(id_token)),
            methods,
        };
        let identity =
            VerifiedIdentity::new(&self.settings.id, verified.subject, profile, &[], now);
        Ok(identity.with_upstream(upstream))
    }

    /// Judges a logout token that somebody posted.
    ///
    /// # Errors
    /// As for [`Self::arrive`].
    pub async fn read_logout_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<LogoutNotice, ConnectorError> {
        if self.settings.plain.is_some() {
            return Err(Rejection::from(OidcRefusal::NoLogoutToken).into());
        }
        // Junk costs no request.
        UnverifiedToken::parse(token)?;
        let provider = self.provider(now).await?;
        let signed = self.verify_signature(token, &provider, now).await?;
        Ok(logout::verify(&signed, &provider, &self.settings, now)?)
    }

    /// Where a browser signs out at the provider, if the connection wants that and the provider
    /// has such a page.
    pub async fn end_session_url(
        &self,
        id_token: Option<&Secret>,
        now: Timestamp,
    ) -> Option<url::Url> {
        if !self.settings.sign_out_upstream || self.settings.plain.is_some() {
            return None;
        }
        match self.provider(now).await {
            Ok(provider) => {
                logout::end_session_url(&provider, &self.settings, id_token.map(Secret::expose))
            }
            Err(error) => {
                tracing::warn!(connector = self.id(), %error, "no sign-out at the provider");
                None
            }
        }
    }

    /// Fetches metadata and keys, for a check of the configuration.
    ///
    /// # Errors
    /// Says what cannot be had.
    pub async fn check(&self, now: Timestamp) -> Result<String, ConnectorError> {
        if let Some(plain) = &self.settings.plain {
            return Ok(format!("plain OAuth 2.0 at {}", plain.authorization));
        }
        let provider = self.provider(now).await?;
        self.keys(&provider, now, None).await?;
        Ok(format!("issuer {}", provider.issuer))
    }

    async fn arrive_plain(
        &self,
        code: &str,
        away: &AwayState,
        now: Timestamp,
    ) -> Result<VerifiedIdentity, ConnectorError> {
        let Some(endpoints) = &self.settings.plain else {
            return Err(internal(&"no plain endpoints"));
        };
        let method = self.settings.authentication.unwrap_or(ClientAuthentication::Post);
        let tokens = self.redeem(code, away, &endpoints.token, method).await?;
        let token = tokens.access_token.ok_or(Rejection::from(OidcRefusal::MalformedResponse))?;
        let user = self.json(&endpoints.user, &token).await?;
        let emails = self.json(&endpoints.emails, &token).await?;
        let (subject, claims) = plain::claims(&user, &emails)?;
        let profile = profile::profile(&claims, &self.settings.claims)?;
        Ok(VerifiedIdentity::new(&self.settings.id, subject, profile, &[], now))
    }

    async fn json(&self, url: &url::Url, token: &Secret) -> Result<Value, ConnectorError> {
        let body = self.transport.get(url, Some(token)).await?.good(url)?;
        serde_json::from_slice(&body).map_err(|error| ConnectorError::Unavailable {
            reason: "provider_answer",
            message: format!("{url} gives no JSON: {error}"),
        })
    }

    async fn redeem(
        &self,
        code: &str,
        away: &AwayState,
        url: &url::Url,
        method: ClientAuthentication,
    ) -> Result<Tokens, ConnectorError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.settings.redirect_uri.as_str()),
            ("code_verifier", &away.verifier),
        ];
        let answer = self.transport.post_form(url, &fields, &self.settings, method).await?;
        if answer.status.is_server_error() {
            answer.good(url)?;
            return Err(internal(&"a server error passed for a good answer"));
        }
        let status = answer.status;
        let read: TokenAnswer =
            serde_json::from_slice(&answer.body).map_err(|error| ConnectorError::Unavailable {
                reason: "provider_answer",
                message: format!("{url} answers {status} and no JSON: {error}"),
            })?;
        // GitHub answers 200 with an error.
        if let Some(error) = read.error {
            // Wrong credentials of ours are nobody's wrong guess.
            if matches!(error.as_str(), "invalid_client" | "unauthorized_client") {
                return Err(ConnectorError::Unavailable {
                    reason: "provider_refuses_client",
                    message: format!("{url} refuses client_id or client_secret: {error}"),
                });
            }
            let words = read.error_description.unwrap_or_default();
            let detail = format!("{error}: {words}");
            return Err(Rejection::because(OidcRefusal::CodeRefused, detail).into());
        }
        if !status.is_success() {
            return Err(Rejection::because(OidcRefusal::CodeRefused, status.to_string()).into());
        }
        Ok(Tokens { access_token: read.access_token.map(Secret::new), id_token: read.id_token })
    }

    async fn userinfo(
        &self,
        url: &url::Url,
        token: &Secret,
        provider: &Provider,
        now: Timestamp,
    ) -> Result<Map<String, Value>, ConnectorError> {
        let answer = self.transport.get(url, Some(token)).await?;
        let is_signed = answer.content_type == "application/jwt";
        let body = answer.good(url)?;
        if is_signed {
            let text = std::str::from_utf8(&body)
                .map_err(|_| Rejection::from(OidcRefusal::MalformedToken))?;
            let signed = self.verify_signature(text.trim(), provider, now).await?;
            // Core 1.0 section 5.3.2: a signed answer names its issuer and its audience.
            id_token::check_origin(&signed, provider, &self.settings)?;
            id_token::check_audience(&signed, &self.settings.client_id)?;
            return Ok(signed.claims);
        }
        serde_json::from_slice(&body).map_err(|error| ConnectorError::Unavailable {
            reason: "provider_answer",
            message: format!("{url} gives no JSON object: {error}"),
        })
    }

    async fn verify_signature(
        &self,
        token: &str,
        provider: &Provider,
        now: Timestamp,
    ) -> Result<SignedClaims, ConnectorError> {
        let token = UnverifiedToken::parse(token)?;
        let keys = self.keys(provider, now, Some(&token)).await?;
        Ok(token.verify(&keys)?)
    }

    /// The provider's metadata. One request at a time: the others wait for its answer.
    async fn provider(&self, now: Timestamp) -> Result<Arc<Provider>, ConnectorError> {
        let mut kept = self.provider.lock().await;
        match kept.need(now, |_| true) {
            Need::Use(provider) => return Ok(provider),
            Need::Wait => return Err(failed_a_moment_ago("metadata")),
            Need::Fetch => {}
        }
        let fetched = self.fetch_provider().await;
        self.kept_or_new(&mut kept, fetched, now)
    }

    async fn fetch_provider(&self) -> Result<Provider, ConnectorError> {
        let wrong = |message| ConnectorError::Unavailable { reason: "provider_metadata", message };
        let url = Provider::metadata_url(&self.settings.issuer).map_err(wrong)?;
        let body = self.transport.get(&url, None).await?.good(&url)?;
        Provider::read(&body, &self.settings).map_err(wrong)
    }

    /// The provider's keys; fetched anew for a token whose key they do not hold, within limits.
    async fn keys(
        &self,
        provider: &Provider,
        now: Timestamp,
        token: Option<&UnverifiedToken<'_>>,
    ) -> Result<Arc<KeySet>, ConnectorError> {
        let mut kept = self.keys.lock().await;
        let fits = |keys: &KeySet| token.is_none_or(|token| token.is_known_to(keys));
        match kept.need(now, fits) {
            Need::Use(keys) => return Ok(keys),
            Need::Wait => return Err(failed_a_moment_ago("keys")),
            Need::Fetch => {}
        }
        let fetched = self.fetch_keys(&provider.jwks).await;
        self.kept_or_new(&mut kept, fetched, now)
    }

    fn kept_or_new<T>(
        &self,
        kept: &mut Kept<T>,
        fetched: Result<T, ConnectorError>,
        now: Timestamp,
    ) -> Result<Arc<T>, ConnectorError> {
        let error = match fetched {
            Ok(value) => return Ok(kept.keep(value, now)),
            Err(error) => error,
        };
        match kept.failed(now) {
            Some(old) => {
                tracing::warn!(connector = self.id(), %error, "what was fetched before is used");
                Ok(old)
            }
            None => Err(error),
        }
    }

    async fn fetch_keys(&self, url: &url::Url) -> Result<KeySet, ConnectorError> {
        let body = self.transport.get(url, None).await?.good(url)?;
        KeySet::read(&body)
            .map_err(|message| ConnectorError::Unavailable { reason: "provider_keys", message })
    }
}

fn failed_a_moment_ago(what: &str) -> ConnectorError {
    ConnectorError::Unavailable {
        reason: "provider_unavailable",
        message: format!("the provider's {what} could not be had a moment ago"),
    }
}

fn internal(error: &dyn std::fmt::Display) -> ConnectorError {
    ConnectorError::Unavailable { reason: "internal", message: error.to_string() }
}
