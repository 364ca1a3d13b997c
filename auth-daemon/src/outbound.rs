//! Requests of ours to other servers: bounded in time and size, never redirected, and only to
//! addresses that they may go to.
//!
//! An address of the configuration file may be private (a chat server often is), one that came
//! through a command or the API is public only; link-local addresses, where clouds keep their
//! secrets, are reached by neither. A name is resolved once: what was judged is what is connected
//! to. Proxies of the environment are not asked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use url::{Host, Url};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request may take, its answer included.
const WHOLE: Duration = Duration::from_secs(15);

/// How far a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everywhere but link-local, unspecified and multicast addresses: for the configuration file.
    Configured,
    /// Public addresses only.
    Public,
}

/// Clients for both kinds of reach.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    configured: Client,
    public: Client,
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
    /// Builds the clients.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let client = |reach| {
            Client::builder()
                .redirect(redirect::Policy::none())
                .no_proxy()
                .connect_timeout(CONNECT)
                .timeout(WHOLE)
                .pool_idle_timeout(Duration::from_secs(30))
                .user_agent(concat!("auth-daemon/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Arc::new(Guard(reach)))
                .build()
                .context("HTTP client")
        };
        Ok(Self { configured: client(Reach::Configured)?, public: client(Reach::Public)? })
    }

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
        judge_url(url, reach)?;
        let client = match reach {
            Reach::Configured => &self.configured,
            Reach::Public => &self.public,
        };
        Ok(client.request(method, url.clone()))
    }
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

/// Addresses in the URL itself are never resolved, so they are judged here.
fn judge_url(url: &Url, reach: Reach) -> Result<(), String> {
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return Err("the address has no host".to_owned()),
    };
    let loopback = match literal {
        Some(address) => address.is_loopback(),
        None => url.host_str().is_some_and(is_localhost),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback && reach == Reach::Configured => {}
        _ => return Err("the address is not https".to_owned()),
    }
    match literal {
        Some(address) if !may_reach(address, reach) => {
            Err(format!("requests do not go to {address}"))
        }
        _ => Ok(()),
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether requests of this reach may go to the address.
fn may_reach(address: IpAddr, reach: Reach) -> bool {
    let address = address.to_canonical();
    let never = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    if never || address.is_unspecified() || address.is_multicast() {
        return false;
    }
    reach == Reach::Configured || is_public(address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let special = a == 0
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19))
                || a >= 240;
            !(v4.is_private() || v4.is_loopback() || v4.is_documentation() || special)
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let embeds_v4 = first == 0x2002
                || (first == 0x64 && second == 0xff9b)
                || (first == 0x2001 && second == 0);
            let is_global = first & 0xe000 == 0x2000;
            is_global && !embeds_v4 && !(first == 0x2001 && second == 0xdb8)
        }
    }
}

/// Resolves names and keeps the addresses that may be reached.
#[derive(Debug)]
struct Guard(Reach);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            // A name of this machine must not lead elsewhere: http is allowed to it.
            let allowed: Vec<SocketAddr> = found
                .filter(|one| may_reach(one.ip(), reach))
                .filter(|one| !is_localhost(&host) || one.ip().is_loopback())
                .collect();
            if allowed.is_empty() {
                return Err(format!("{host} has no address that requests may go to").into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, configured: bool, public: bool) {
        let url = Url::parse(url).unwrap();
        let allowed = |reach| judge_url(&url, reach).is_ok();
        assert_eq!(
            (allowed(Reach::Configured), allowed(Reach::Public)),
            (configured, public),
            "{url}"
        );
    }

    #[test]
    fn addresses_in_urls() {
        check("https://chat.example.com/", true, true);
        check("https://93.184.216.34/", true, true);
        check("https://[2606:2800:220:1::1]/", true, true);
        for private in [
            "https://10.0.0.1/",
            "https://192.168.1.1/",
            "https://172.16.0.1/",
            "https://127.0.0.1/",
            "https://100.64.0.1/",
            "https://[::1]/",
            "https://[fd00::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[2002:a00:1::]/",
            "https://[64:ff9b::a00:1]/",
            "http://127.0.0.1:8065/",
            "http://localhost:8065/",
        ] {
            check(private, true, false);
        }
        for never in [
            "https://169.254.169.254/latest/meta-data",
            "https://[fe80::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://0.0.0.0/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "http://chat.example.com/",
            "http://10.0.0.1/",
            "ftp://chat.example.com/",
        ] {
            check(never, false, false);
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_forbidden_address_is_not_reached() {
        let outbound = Outbound::new().unwrap();
        let url = Url::parse("https://localhost:1/").unwrap();
        let request = outbound.request(reqwest::Method::GET, &url, Reach::Public).unwrap();
        let error = send(request, 10).await.unwrap_err();
        assert!(error.contains("no address that requests may go to"), "{error}");
        assert!(!error.contains("localhost:1"), "the address is not repeated: {error}");
    }
}
