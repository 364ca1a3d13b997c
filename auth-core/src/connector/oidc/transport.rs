//! Requests to a provider. Whatever a provider (or whoever poses as one) answers can cost only so
//! much time and memory, and leads nowhere else.
//!
//! No redirect is followed, no proxy of the environment used. Addresses are judged where the
//! connection is made, so that a name cannot lead elsewhere between check and use. A connection
//! of the configuration file may be on a private network, never on a link-local address (cloud
//! metadata services). Loopback only for an issuer that is itself on loopback; http only there.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Client, RequestBuilder, StatusCode};
use url::Url;

use super::settings::{ClientAuthentication, OidcSettings};
use crate::reach::{JudgingResolver, Reach, is_loopback};
use crate::secret::Secret;

/// Largest answer that is read, in bytes.
const LARGEST: usize = 1024 * 1024;

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{reason}: {message}")]
pub(super) struct TransportError {
    /// The word in the audit trail.
    pub(super) reason: &'static str,
    message: String,
}

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    reach: Reach,
}

impl Transport {
    /// The client of one connection.
    pub(super) fn new(settings: &OidcSettings) -> Result<Self, String> {
        let reach = if is_loopback(&settings.issuer) { Reach::Local } else { Reach::Private };
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(Duration::from_secs(5)))
            .pool_max_idle_per_host(4)
            .user_agent(concat!("auth-daemon/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(JudgingResolver(reach));
        if let Some(pem) = &settings.ca_pem {
            let roots = Certificate::from_pem_bundle(pem)
                .map_err(|error| format!("ca_file is no PEM file of certificates: {error}"))?;
            builder = builder.tls_certs_only(roots);
        }
        let client = builder.build().map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Self { client, reach })
    }

    /// GET of JSON, maybe with an access token.
    pub(super) async fn get(
        &self,
        url: &Url,
        bearer: Option<&Secret>,
    ) -> Result<Answer, TransportError> {
        let request =
            self.client.get(url.clone()).header(ACCEPT, "application/json, application/jwt");
        let request = match bearer {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        self.send(url, request).await
    }

    /// POST of a form by the client that we are there.
    pub(super) async fn post_form(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        settings: &OidcSettings,
        authentication: ClientAuthentication,
    ) -> Result<Answer, TransportError> {
        let id = settings.client_id.as_str();
        let mut fields = fields.to_vec();
        let mut request = self.client.post(url.clone()).header(ACCEPT, "application/json");
        match (&settings.client_secret, authentication) {
            (Some(secret), ClientAuthentication::Basic) => {
                // Both are form-encoded first (RFC 6749 section 2.3.1).
                request = request.basic_auth(encoded(id), Some(encoded(secret.expose())));
            }
            (Some(secret), ClientAuthentication::Post) => {
                fields.push(("client_id", id));
                fields.push(("client_secret", secret.expose()));
            }
            (None, _) => fields.push(("client_id", id)),
        }
        self.send(url, request.form(&fields)).await
    }

    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Answer, TransportError> {
        self.reach.check_url(url).map_err(|error| TransportError {
            reason: "provider_address_refused",
            message: format!("{url}: {error}"),
        })?;
        let mut response = request.send().await.map_err(|error| failed(url, &error))?;
        let status = response.status();
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(url, &error))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(TransportError {
                    reason: "provider_answer_too_large",
                    message: format!("{url} answers with more than {LARGEST} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, content_type, body })
    }
}

impl Answer {
    /// The body of a good answer.
    pub(super) fn good(self, url: &Url) -> Result<Vec<u8>, TransportError> {
        if self.status == StatusCode::OK {
            return Ok(self.body);
        }
        let reason = "provider_answer";
        let message = if self.status.is_redirection() {
            format!("{url} redirects, which is not followed; configure the final address")
        } else {
            format!("{url} answers {}", self.status)
        };
        Err(TransportError { reason, message })
    }
}

impl From<TransportError> for crate::connector::ConnectorError {
    fn from(error: TransportError) -> Self {
        Self::Unavailable { reason: error.reason, message: error.message }
    }
}

fn failed(url: &Url, error: &reqwest::Error) -> TransportError {
    let reason = if error.is_timeout() { "provider_timeout" } else { "provider_unavailable" };
    let mut message = format!("{url}: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    TransportError { reason, message }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
