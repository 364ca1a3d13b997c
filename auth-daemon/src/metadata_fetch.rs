//! Fetches an identity provider's metadata over https.
//!
//! A URL of the configuration may lead to a private address (AD FS lives there), never to a
//! link-local one, where clouds keep their secrets. The name is resolved once, every address is
//! judged, and the connection goes to those and no other; redirects are not followed, size and
//! time are bounded, http is for this machine only.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::redirect::Policy;
use url::{Host, Url};

/// Bytes that a document may have.
pub(crate) const MAX_METADATA: usize = 4 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The address may not be asked.
    #[error("{host} is at {address}, which is not asked: {reason}")]
    Address { host: String, address: IpAddr, reason: &'static str },
    /// The URL cannot be used.
    #[error("{0}")]
    Url(&'static str),
    /// The name has no address.
    #[error("{host} cannot be resolved: {source}")]
    Name { host: String, source: std::io::Error },
    /// The server did not give it.
    #[error("the server answered {0}; redirects are not followed")]
    Status(reqwest::StatusCode),
    /// The document is too large.
    #[error("the document has more than {MAX_METADATA} bytes")]
    TooLarge,
    /// The connection failed.
    #[error(transparent)]
    Transport(#[from] reqwest::Error),
}

/// Fetches `url`.
pub(crate) async fn fetch(url: &Url) -> Result<Vec<u8>, FetchError> {
    let addresses = addresses(url).await?;
    let mut client = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .user_agent("auth-daemon");
    if let Some(Host::Domain(name)) = url.host() {
        client = client.resolve_to_addrs(name, &addresses);
    }
    let mut response = client.build()?.get(url.clone()).send().await?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if document.len() + chunk.len() > MAX_METADATA {
            return Err(FetchError::TooLarge);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

async fn addresses(url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
    let port = url.port_or_known_default().ok_or(FetchError::Url("the URL has no port"))?;
    let secure = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(FetchError::Url("the URL is neither https nor http")),
    };
    let host = url.host_str().unwrap_or_default().to_owned();
    let found: Vec<SocketAddr> = match url.host() {
        None => return Err(FetchError::Url("the URL has no host")),
        Some(Host::Ipv4(address)) => vec![(address, port).into()],
        Some(Host::Ipv6(address)) => vec![(address, port).into()],
        Some(Host::Domain(name)) => tokio::net::lookup_host((name, port))
            .await
            .map_err(|source| FetchError::Name { host: host.clone(), source })?
            .collect(),
    };
    if found.is_empty() {
        return Err(FetchError::Url("the host has no address"));
    }
    for address in &found {
        if let Some(reason) = refused(address.ip(), secure) {
            return Err(FetchError::Address { host, address: address.ip(), reason });
        }
    }
    Ok(found)
}

fn refused(address: IpAddr, secure: bool) -> Option<&'static str> {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if link_local {
        Some("it is link-local")
    } else if address.is_unspecified() || address.is_multicast() {
        Some("it is no host's address")
    } else if !secure && !address.is_loopback() {
        Some("http is for this machine only, use https")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_addresses_are_asked() {
        let check = |address: &str, secure: bool, asked: bool| {
            let found = refused(address.parse().unwrap(), secure);
            assert_eq!(found.is_none(), asked, "{address} {secure}: {found:?}");
        };
        for address in ["192.0.2.1", "10.0.0.1", "fd00::1", "2001:db8::1", "127.0.0.1", "::1"] {
            check(address, true, true);
        }
        for address in ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "0.0.0.0", "::"] {
            check(address, true, false);
        }
        check("127.0.0.1", false, true);
        check("::ffff:127.0.0.1", false, true);
        check("10.0.0.1", false, false);
        check("224.0.0.1", true, false);
        check("255.255.255.255", true, false);
    }

    /// A server that gives this answer to whoever connects.
    async fn server(answer: Vec<u8>) -> Url {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metadata", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(&answer).await;
                });
            }
        });
        url.parse().unwrap()
    }

    #[tokio::test]
    async fn a_document_is_fetched_and_nothing_else_is_followed() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let url = server(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<a/>".to_vec()).await;
        assert_eq!(fetch(&url).await.unwrap(), b"<a/>");
        let moved = format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nConnection: close\r\n\r\n");
        let moved = server(moved.into_bytes()).await;
        assert!(matches!(fetch(&moved).await, Err(FetchError::Status(_))));
        let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        let large = server([head, vec![b'x'; MAX_METADATA + 1]].concat()).await;
        assert!(matches!(fetch(&large).await, Err(FetchError::TooLarge)));
        for url in ["http://169.254.169.254/", "http://10.0.0.1/", "https://[fe80::1]/"] {
            let refused = fetch(&url.parse().unwrap()).await;
            assert!(matches!(refused, Err(FetchError::Address { .. })), "{url}: {refused:?}");
        }
        let other = fetch(&"ftp://127.0.0.1/".parse().unwrap()).await;
        assert!(matches!(other, Err(FetchError::Url(_))), "{other:?}");
    }
}
