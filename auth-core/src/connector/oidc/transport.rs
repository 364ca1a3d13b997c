//! Requests to a provider. Whatever a provider (or whoever poses as one) answers can cost only so
//! much time and memory, and leads nowhere else.
//!
//! No redirect is followed, no proxy of the environment used. Addresses are judged where the
//! connection is made, so that a name cannot lead elsewhere between check and use. A connection
//! of the configuration file may be on a private network, never on a link-local address (cloud
//! metadata services). Loopback only for an issuer that is itself on loopback; http only there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Client, RequestBuilder, StatusCode};
use url::{Host, Url};

use super::settings::{ClientAuthentication, OidcSettings};
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

/// Which addresses a connection may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    loopback: bool,
}

impl Transport {
    /// The client of one connection.
    pub(super) fn new(settings: &OidcSettings) -> Result<Self, String> {
        let reach = Reach { loopback: is_loopback(&settings.issuer) };
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
        self.reach
            .check_url(url)
            .map_err(|message| TransportError { reason: "provider_address_refused", message })?;
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

/// Whether a URL's host is a loopback address, `localhost` or below it.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => is_local_name(name),
        None => false,
    }
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

impl Reach {
    /// What a URL's own words say; names are judged when they are resolved.
    fn check_url(self, url: &Url) -> Result<(), String> {
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(url)) {
            return Err(format!("{url} is no https URL"));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(name)) if is_local_name(name) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(format!("{url} has no host")),
        };
        self.check_address(address)
    }

    fn check_address(self, address: IpAddr) -> Result<(), String> {
        let inner = embedded(address);
        let allowed = match inner {
            IpAddr::V4(v4) => {
                (self.loopback || !v4.is_loopback())
                    && v4.octets().first() != Some(&0)
                    && !v4.is_link_local()
                    && !v4.is_multicast()
                    && !v4.is_broadcast()
            }
            IpAddr::V6(v6) => {
                (self.loopback || !v6.is_loopback())
                    && !v6.is_unspecified()
                    && !v6.is_multicast()
                    && !v6.is_unicast_link_local()
                    && v6 != METADATA_V6
            }
        };
        if allowed { Ok(()) } else { Err(format!("{address} is not an address to connect to")) }
    }
}

/// The metadata service of a large cloud has a unique local address.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// The IPv4 address inside an IPv6 one: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if v6.is_loopback() || v6.is_unspecified() {
        return address;
    }
    let s = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

/// Resolves a name and gives only addresses that may be connected to.
struct JudgingResolver(Reach);

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            if is_local_name(&host) {
                // Never asked of a name server, which could answer something else.
                let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                reach.check_address(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
                let addresses = local.map(|address| SocketAddr::new(address, 0));
                return Ok(Box::new(addresses.into_iter()) as Addrs);
            }
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            // One bad address among good ones is a bad name, not a choice.
            for address in &found {
                reach.check_address(address.ip())?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_never_connected_to() {
        let reach = Reach { loopback: false };
        for bad in [
            "169.254.169.254",
            "127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "::127.0.0.1",
        ] {
            assert!(reach.check_address(bad.parse().unwrap()).is_err(), "{bad}");
        }
        for good in ["10.0.0.1", "192.168.1.1", "192.0.2.1", "fd12::1", "2001:db8::1"] {
            assert!(reach.check_address(good.parse().unwrap()).is_ok(), "{good}");
        }
    }

    #[test]
    fn loopback_is_for_issuers_on_loopback_and_never_link_local() {
        let reach = Reach { loopback: true };
        for good in ["http://127.0.0.1:80/", "http://localhost/", "http://a.localhost/x"] {
            assert!(reach.check_url(&good.parse().unwrap()).is_ok(), "{good}");
        }
        for bad in [
            "http://169.254.169.254/latest",
            "https://169.254.169.254/latest",
            "http://10.0.0.1/",
            "http://idp.example/",
            "https://[fe80::1]/",
            "http://0x7f.1.example/",
        ] {
            assert!(reach.check_url(&bad.parse().unwrap()).is_err(), "{bad}");
        }
        let far = Reach { loopback: false };
        assert!(far.check_url(&"https://127.0.0.1/".parse().unwrap()).is_err());
        assert!(far.check_url(&"https://localhost/".parse().unwrap()).is_err());
        assert!(far.check_url(&"https://idp.example/".parse().unwrap()).is_ok());
    }
}
