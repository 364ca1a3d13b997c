//! Fetches an identity provider's metadata over https.
//!
//! A URL of the configuration has [`Reach::Local`]: it may lead to a private address (AD FS lives
//! there). Redirects are not followed, size and time are bounded, http is for this machine only.

use std::time::Duration;

use auth_core::reach::{JudgingResolver, Reach, ReachError};
use reqwest::redirect::Policy;
use url::Url;

/// Bytes that a document may have.
pub(crate) const MAX_METADATA: usize = 4 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The address may not be asked.
    #[error("{url} is not asked: {source}")]
    Address {
        /// Which.
        url: Url,
        /// Why.
        source: ReachError,
    },
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
    Reach::Local
        .check_url(url)
        .map_err(|source| FetchError::Address { url: url.clone(), source })?;
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .user_agent("auth-daemon")
        .dns_resolver(JudgingResolver(Reach::Local));
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

#[cfg(test)]
mod tests {
    use super::*;

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
        for url in [
            "http://169.254.169.254/",
            "http://10.0.0.1/",
            "https://[fe80::1]/",
            "ftp://127.0.0.1/",
        ] {
            let refused = fetch(&url.parse().unwrap()).await;
            assert!(matches!(refused, Err(FetchError::Address { .. })), "{url}: {refused:?}");
        }
    }
}
