//! One connection to one server: open, bind, search. It fetches; it does not judge.
//!
//! Every call has a time limit, and a connection that failed in any way is to be dropped: the
//! client crate keeps a hung one open, and its parser may end by a panic on a malformed message,
//! which is caught here and becomes a failure.

pub(super) mod content_sync;
mod dir_sync;

use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use ldap3::controls::{ControlType, PagedResults, RawControl};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, SearchOptions, StdStream};
use rustls::ClientConfig;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use url::Url;

use super::bind_result::{BindAnswer, PASSWORD_POLICY};
use super::decode::{SearchMessage, bind_answer, search_message};
use super::failure::{Failure, FailureKind};
use super::search::{SearchAnswer, SearchRequest};
pub(super) use content_sync::RefreshAnswer;
pub(super) use dir_sync::{DIR_SYNC, DirSyncAnswer};

/// Active Directory's control for deleted objects (MS-ADTS 3.1.1.3.4.1.14).
pub(super) const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";

/// What a connection is opened with.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Scheme, host and port.
    pub(super) url: Url,
    /// For `ldaps://` and StartTLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Whether to upgrade an `ldap://` connection.
    pub(super) starttls: bool,
    /// Resolves the host; `None`: the system does.
    pub(super) resolver: Option<TokioResolver>,
    /// For TCP and TLS together.
    pub(super) connect_timeout: Duration,
    /// For each request.
    pub(super) operation_timeout: Duration,
}

/// An open connection.
pub(super) struct Connection {
    ldap: Ldap,
    driver: JoinHandle<Result<(), LdapError>>,
    operation_timeout: Duration,
}

impl Endpoint {
    /// `host:port`.
    pub(super) fn address(&self) -> String {
        let default = if self.url.scheme() == "ldaps" { 636 } else { 389 };
        let host = self.url.host_str().unwrap_or_default();
        format!("{host}:{}", self.url.port().unwrap_or(default))
    }

    /// The addresses of the host.
    pub(super) async fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let Some(resolver) = &self.resolver else {
            return Ok(lookup_host(self.address()).await?.collect());
        };
        let host = self.url.host_str().unwrap_or_default();
        let found = resolver.lookup_ip(host).await.map_err(std::io::Error::other)?;
        let port = self.url.port().unwrap_or_default();
        Ok(found.iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// Opens a TCP connection.
    pub(super) async fn connect(&self) -> Result<TcpStream, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(FailureKind::Unavailable, format!("cannot connect: {error}"))
        };
        let addresses = self.resolve().await.map_err(failed)?;
        let stream = TcpStream::connect(addresses.as_slice()).await.map_err(failed)?;
        // Requests are small and answered at once: nothing is gained by collecting them.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Connection {
    /// Opens a connection, with TLS as the endpoint says.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, Failure> {
        let limit = endpoint.connect_timeout;
        timeout(limit, Self::open_unlimited(endpoint)).await.unwrap_or_else(|_| {
            Err(Failure::new(FailureKind::Timeout, format!("no connection within {limit:?}")))
        })
    }

    async fn open_unlimited(endpoint: &Endpoint) -> Result<Self, Failure> {
        let stream = endpoint.connect().await?;
        let stream = stream
            .into_std()
            .map_err(|error| Failure::new(FailureKind::Unavailable, error.to_string()))?;
        let mut settings = LdapConnSettings::new()
            .set_std_stream(StdStream::Tcp(stream))
            .set_starttls(endpoint.starttls);
        if let Some(tls) = &endpoint.tls {
            settings = settings.set_config(Arc::clone(tls));
        }
        let (driver, ldap) = caught(LdapConnAsync::from_url_with_settings(settings, &endpoint.url))
            .await?
            .map_err(|error| handshake_failure(&error))?;
        Ok(Self {
            ldap,
            driver: tokio::spawn(driver.drive()),
            operation_timeout: endpoint.operation_timeout,
        })
    }

    /// Whether the peer is known to have closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }

    /// Simple bind (RFC 4513 section 5.1) with the password policy request control.
    pub(super) async fn bind(&mut self, dn: &str, password: &str) -> Result<BindAnswer, Failure> {
        // The rule stands in `bind`; a server would call such a bind a success.
        if password.is_empty() || dn.is_empty() {
            return Err(Failure::new(
                FailureKind::BindRefused,
                "a bind needs a name and a password",
            ));
        }
        let control = RawControl { ctype: PASSWORD_POLICY.to_owned(), crit: false, val: None };
        let mut ldap = self.ldap.clone();
        ldap.with_controls(control);
        let answer = self.limited(ldap.simple_bind(dn, password)).await?;
        Ok(bind_answer(answer))
    }

    /// One search without paging, read to its end.
    pub(super) async fn search(
        &mut self,
        request: &SearchRequest,
    ) -> Result<SearchAnswer, Failure> {
        self.run_search(Vec::new(), request).await
    }

    /// One page (RFC 2696) from `cookie` on. A server without paging answers with everything and
    /// no cookie.
    pub(super) async fn page(
        &mut self,
        request: &SearchRequest,
        size: u32,
        cookie: Vec<u8>,
    ) -> Result<SearchAnswer, Failure> {
        let paging = PagedResults { size: i32::try_from(size).unwrap_or(i32::MAX), cookie };
        self.run_search(vec![paging.into()], request).await
    }

    async fn run_search(
        &mut self,
        mut controls: Vec<RawControl>,
        request: &SearchRequest,
    ) -> Result<SearchAnswer, Failure> {
        if request.deleted {
            controls.push(RawControl { ctype: SHOW_DELETED.to_owned(), crit: true, val: None });
        }
        let mut ldap = self.ldap.clone();
        if !controls.is_empty() {
            ldap.with_controls(controls);
        }
        let seconds = i32::try_from(self.operation_timeout.as_secs().max(1)).unwrap_or(i32::MAX);
        let options = SearchOptions::new().timelimit(seconds).sizelimit(request.size_limit);
        ldap.with_search_options(options);
        let attributes: Vec<&str> = request.attributes.iter().map(String::as_str).collect();
        let work = async {
            let mut stream = ldap
                .streaming_search(&request.base, request.scope, &request.filter, attributes)
                .await?;
            let mut answer = SearchAnswer::default();
            let mut malformed = false;
            while let Some(message) = stream.next().await? {
                match search_message(message) {
                    Some(SearchMessage::Entry(entry)) => answer.entries.push(entry),
                    Some(SearchMessage::Reference(uris)) => answer.references.extend(uris),
                    Some(SearchMessage::Other) => {}
                    None => malformed = true,
                }
            }
            let result = stream.finish().await;
            answer.code = result.rc;
            answer.diagnostic = result.text;
            answer.references.extend(result.refs);
            let paging = result
                .ctrls
                .iter()
                .find(|control| matches!(control.0, Some(ControlType::PagedResults)))
                .filter(|control| control.1.val.is_some());
            if let Some(control) = paging {
                answer.cookie = control.1.parse::<PagedResults>().cookie;
                answer.paged = true;
            }
            answer.dir_sync = result
                .ctrls
                .into_iter()
                .find(|control| control.1.ctype == DIR_SYNC)
                .and_then(|control| control.1.val);
            Ok((answer, malformed))
        };
        match self.limited(work).await? {
            (answer, false) => Ok(answer),
            (_, true) => Err(malformed_answer()),
        }
    }

    async fn limited<T>(
        &mut self,
        work: impl Future<Output = Result<T, LdapError>>,
    ) -> Result<T, Failure> {
        let limit = self.operation_timeout;
        match timeout(limit, caught(work)).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(self.operation_failure(&error).await),
            Ok(Err(panicked)) => Err(panicked),
            Err(_) => {
                Err(Failure::new(FailureKind::Timeout, format!("no answer within {limit:?}")))
            }
        }
    }

    /// The driver ends with the cause, while the operation only sees its channel closed.
    async fn operation_failure(&mut self, error: &LdapError) -> Failure {
        match error {
            LdapError::FilterParsing => {
                Failure::new(FailureKind::SearchFailed, "the filter is not valid")
            }
            LdapError::Timeout { .. } => Failure::new(FailureKind::Timeout, error.to_string()),
            _ => match timeout(Duration::from_millis(200), &mut self.driver).await {
                Ok(Ok(Err(LdapError::Io { source }))) => io_failure(&source),
                Ok(Ok(Err(cause))) => Failure::new(FailureKind::Unavailable, cause.to_string()),
                Ok(Err(ended)) if ended.is_panic() => malformed_answer(),
                Ok(_) => Failure::closed("the server closed the connection"),
                Err(_) => Failure::new(FailureKind::Unavailable, error.to_string()),
            },
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Ends a driver that waits for a hung server, too.
        self.driver.abort();
    }
}

fn malformed_answer() -> Failure {
    Failure::new(
        FailureKind::Unavailable,
        "the server sent a malformed answer: is this an LDAP server?",
    )
}

fn handshake_failure(error: &LdapError) -> Failure {
    match error {
        LdapError::Io { source } => io_failure(source),
        LdapError::LdapResult { result } => Failure::new(
            FailureKind::Tls,
            format!("the server refused StartTLS: {result}; set it up there, or use ldaps://"),
        ),
        LdapError::Rustls { .. } | LdapError::DNSName { .. } => {
            Failure::new(FailureKind::Tls, error.to_string())
        }
        _ => Failure::new(FailureKind::Unavailable, error.to_string()),
    }
}

fn io_failure(error: &std::io::Error) -> Failure {
    let tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    if tls {
        Failure::new(FailureKind::Tls, format!("TLS: {error}"))
    } else if matches!(
        error.kind(),
        std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::BrokenPipe
    ) {
        Failure::closed(format!("the server closed the connection: {error}"))
    } else if error.to_string() == "bytes remaining on stream" {
        Failure::closed("the server closed the connection in the middle of a message")
    } else if error.to_string() == "decoding error" {
        malformed_answer()
    } else {
        Failure::new(FailureKind::Unavailable, error.to_string())
    }
}

/// Runs `work` and makes a failure of a panic in it.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let mut work = pin!(work);
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(malformed_answer())),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_parser_is_a_failure() {
        let failure = caught(async { assert!(std::hint::black_box(false), "as the parser does") })
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert_eq!(caught(async { 7 }).await, Ok(7));
    }
}
