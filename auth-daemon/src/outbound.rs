//! Requests of ours to other servers: bounded in time and size, never redirected, and only to
//! addresses that they may go to.
//!
//! An address of the configuration file has [`Reach::Local`] (a chat server often stands on this
//! machine), one that came through a command or the API is public only. Proxies of the environment
//! are not asked.

use std::sync::OnceLock;
use std::time::Duration;

use auth_core::reach::{JudgingResolver, Reach};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use url::Url;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request may take, its answer included.
const WHOLE: Duration = Duration::from_secs(15);

/// Clients for both kinds of reach. Each is made when it is first wanted: the authorities that it
/// trusts take megabytes.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    local: OnceLock<Client>,
    public: OnceLock<Client>,
}

/// An answer, read to its end or to the limit.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// What `Retry-After` asks for, where it is a number of seconds.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

impl Outbound {
    /// Begins a request to `url`.
    ///
    /// # Errors
    /// Says why the address is none that requests may go to.
    pub(crate) fn request(
        &self,
        method: reqwest::Method,
        url: &Url,
        reach: Reach,
    ) -> Result<RequestBuilder, String> {
        // Without the address, which may hold a secret.
        reach.check_url(url).map_err(|error| format!("the address is refused: {error}"))?;
        // Nothing here asks for the reach between; the narrower one serves it.
        let kept = if reach == Reach::Local { &self.local } else { &self.public };
        let client = match kept.get() {
            Some(client) => client,
            None => {
                let made = client(reach).map_err(|error| format!("no HTTP client: {error}"))?;
                kept.get_or_init(|| made)
            }
        };
        Ok(client.request(method, url.clone()))
    }
}

fn client(reach: Reach) -> Result<Client, reqwest::Error> {
    let reach = if reach == Reach::Local { reach } else { Reach::Public };
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("auth-daemon/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(JudgingResolver(reach))
        .build()
}

/// Sends a request and reads at most `limit` bytes of the answer.
///
/// # Errors
/// What went wrong, without the address: it may hold a secret.
pub(crate) async fn send(request: RequestBuilder, limit: usize) -> Result<Answer, String> {
    let text = |error: reqwest::Error| {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    };
    let mut response = request.send().await.map_err(text)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(text)? {
        if body.len() + chunk.len() > limit {
            return Err(format!("the answer is longer than {limit} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), headers: response.headers().clone(), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_to_a_forbidden_address_is_not_reached() {
        let outbound = Outbound::default();
        let url = Url::parse("https://localhost:1/").unwrap();
        let error = outbound.request(reqwest::Method::GET, &url, Reach::Public).unwrap_err();
        assert!(error.contains("requests do not go to 127.0.0.1"), "{error}");
        let url = Url::parse("https://nowhere.invalid:1/?secret=x").unwrap();
        let request = outbound.request(reqwest::Method::GET, &url, Reach::Public).unwrap();
        let error = send(request, 10).await.unwrap_err();
        assert!(!error.contains("secret"), "the address is not repeated: {error}");
    }
}
