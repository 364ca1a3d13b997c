//! The listeners: bind, say so, serve, and end in order: listeners first, requests under way
//! finish within a bound, the store closes last.

mod current;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::ServiceExt;
use axum::extract::Request;
use axum_server::tls_rustls::RustlsConfig;
use axum_server::{Control, Handle};
use tokio::task::JoinSet;

pub(crate) use current::CurrentRoutes;

/// How long requests under way may take once the end was asked for.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);
/// How long a client may take to send a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often certificate files are looked at for a change.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(30);

/// Where certificate and key stand.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A bound listener with what it serves.
pub(crate) struct Listener {
    name: &'static str,
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<TlsFiles>,
}

impl Listener {
    /// Binds; port 0 is resolved by the system.
    ///
    /// # Errors
    /// Names the setting when the address cannot be had.
    pub(crate) fn bind(
        name: &'static str,
        address: SocketAddr,
        tls: Option<TlsFiles>,
    ) -> anyhow::Result<Self> {
        let socket = TcpListener::bind(address).with_context(|| {
            format!("listen.{name}: cannot listen on {address}; is another program using it?")
        })?;
        let address = socket.local_addr().context("address of a bound socket")?;
        Ok(Self { name, socket, address, tls })
    }
}

/// Serves all listeners until `end` resolves, then drains them.
///
/// # Errors
/// When TLS files cannot be read or a listener fails.
pub(crate) async fn serve(
    listeners: Vec<(Listener, CurrentRoutes)>,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let control = Control::new();
    let mut servers = JoinSet::new();
    for (listener, routes) in listeners {
        let handle = Handle::<SocketAddr>::with_control(control.clone());
        let service =
            ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(routes);
        let Listener { name, socket, address, tls } = listener;
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!(event = "listening", listener = name, address = %address, url = %format!("{scheme}://{address}"), "listening");
        if let Some(files) = tls {
            let config = load_tls(&files).await?;
            watch_certificate(files, config.clone());
            let mut server = axum_server::from_tcp_rustls(socket, config)?
                .handle(handle)
                .first_request_timeout(HEADER_TIMEOUT)
                .accept_error_handler(accept_failed);
            limit_headers(server.http_builder());
            servers.spawn(async move { server.serve(service).await });
        } else {
            let mut server = axum_server::from_tcp(socket)?
                .handle(handle)
                .first_request_timeout(HEADER_TIMEOUT)
                .accept_error_handler(accept_failed);
            limit_headers(server.http_builder());
            servers.spawn(async move { server.serve(service).await });
        }
    }
    tokio::pin!(end);
    let early = tokio::select! {
        () = &mut end => None,
        finished = servers.join_next() => finished,
    };
    control.graceful_shutdown(Some(DRAIN));
    let mut outcome = flatten(early);
    while let Some(finished) = servers.join_next().await {
        outcome = outcome.and(flatten(Some(finished)));
    }
    outcome
}

fn accept_failed(peer: Option<&SocketAddr>, error: &std::io::Error) {
    tracing::error!(?peer, %error, "a connection was not accepted");
}

fn flatten(
    finished: Option<Result<std::io::Result<()>, tokio::task::JoinError>>,
) -> anyhow::Result<()> {
    match finished {
        None => Ok(()),
        Some(Ok(result)) => result.context("a listener failed"),
        Some(Err(error)) => Err(error).context("a listener's task failed"),
    }
}

fn limit_headers(
    builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>,
) {
    builder.http1().timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
}

async fn load_tls(files: &TlsFiles) -> anyhow::Result<RustlsConfig> {
    RustlsConfig::from_pem_file(&files.certificate, &files.key).await.with_context(|| {
        format!(
            "listen.tls: cannot use {} with {}; both must be PEM files that belong together",
            files.certificate.display(),
            files.key.display()
        )
    })
}

/// Loads a renewed certificate without a restart. A pair that does not fit keeps the old one.
fn watch_certificate(files: TlsFiles, config: RustlsConfig) {
    tokio::spawn(async move {
        let mut seen = changed_at(&files);
        loop {
            tokio::time::sleep(CERTIFICATE_CHECK).await;
            let now = changed_at(&files);
            if now == seen {
                continue;
            }
            match config.reload_from_pem_file(&files.certificate, &files.key).await {
                Ok(()) => {
                    tracing::info!(event = "tls.reloaded", "certificate reloaded");
                    seen = now;
                }
                Err(error) => {
                    tracing::error!(%error, "listen.tls: changed files cannot be used; the old certificate stays");
                }
            }
        }
    });
}

fn changed_at(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    [&files.certificate, &files.key]
        .map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

/// Resolves when the process is asked to end.
pub(crate) async fn end_asked_for() {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        // Without handlers the signals end the process by themselves.
        _ => std::future::pending().await,
    }
}
