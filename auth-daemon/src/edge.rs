//! What happens to every request around its handler: an id and a source address, a span for the log,
//! a limit in time and size, a panic caught, the body of a failure, and the headers of every answer.
//!
//! One middleware and not one for each: a layer costs allocations on every request, and a chat
//! server checks a session with every one of its own.

use std::any::Any;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use auth_core::audit::Origin;
use auth_core::clock::Timestamp;
use auth_core::random::{Random as _, SystemRandom};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use tracing::Instrument as _;
use uuid::Builder;

use crate::app::App;
use crate::error::{Audience, PublicError, with_body};
use crate::extract::client_ip::client_ip;
use crate::extract::origin::RequestOrigin;

/// No body that we read is larger.
const BODY_LIMIT: usize = 64 * 1024;
/// No request takes longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The middleware of all routes of both listeners.
pub(crate) async fn around(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let request_id = request_id(app.broker.now());
    let audience = Audience::of(&request);
    let origin = origin(&app, &request, request_id.clone());
    request.extensions_mut().insert(RequestOrigin(origin));
    DefaultBodyLimit::max(BODY_LIMIT).apply(&mut request);
    // Texts, not formatters: a span is made for every request and read for few.
    let span = tracing::info_span!(
        "request",
        id = request_id.as_str(),
        method = request.method().as_str(),
        path = request.uri().path()
    );
    let handled = answer(next.run(request)).instrument(span);
    let response = tokio::time::timeout(REQUEST_TIMEOUT, handled)
        .await
        .unwrap_or_else(|_| PublicError::Timeout.into_response());
    let mut response = with_body(response, audience, &request_id);
    set_headers(response.headers_mut(), &request_id);
    if app.site.secure {
        // On the administration listener too: it is of the same host or of none.
        let year = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().entry(header::STRICT_TRANSPORT_SECURITY).or_insert(year);
    }
    response
}

/// The handler's answer; a panic is logged here and is a fault of ours.
async fn answer(handler: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|panic| {
        tracing::error!(cause = panic_message(panic.as_ref()), "a handler panicked");
        PublicError::Internal.into_response()
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}

/// A UUID of version 7, drawn without a system call.
fn request_id(now: Timestamp) -> String {
    let mut random = [0; 10];
    SystemRandom::new().fill(&mut random);
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid().simple().to_string()
}

fn origin(app: &App, request: &Request, request_id: String) -> Origin {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let ip = peer.map(|peer| client_ip(peer, request.headers(), &app.site.trusted_proxies));
    let user_agent = request
        .headers()
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .map(|agent| agent.chars().take(256).collect());
    Origin { ip, request_id, user_agent }
}

/// Headers of every answer; a handler that sets one of them itself wins.
fn set_headers(headers: &mut HeaderMap, request_id: &str) {
    const DEFAULTS: [(HeaderName, HeaderValue); 6] = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(crate::routes::DEFAULT_POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    headers.reserve(DEFAULTS.len() + 1);
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(value);
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_tells_its_time_and_is_drawn_anew() {
        let now = Timestamp::from_seconds(1_764_000_000);
        let (first, second) = (request_id(now), request_id(now));
        assert_eq!((first.len(), &first[..12]), (32, &second[..12]));
        assert_ne!(first, second);
        let parsed = uuid::Uuid::parse_str(&first).unwrap();
        assert_eq!(parsed.get_version_num(), 7);
    }

    #[test]
    fn a_header_of_the_handler_wins() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        set_headers(&mut headers, "abc");
        assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=300");
        assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY");
        assert_eq!(headers["x-request-id"], "abc");
    }

    #[tokio::test]
    async fn a_panic_is_a_fault_of_ours() {
        let response = answer(async { panic!("boom") }).await;
        assert_eq!(response.status(), 500);
        assert_eq!(panic_message(&"boom"), "boom");
        assert_eq!(panic_message(&"boom".to_owned()), "boom");
        assert_eq!(panic_message(&7), "unknown");
    }
}
