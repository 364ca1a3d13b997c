//! Request id and source address of every request, as an extension and as an argument.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use auth_core::audit::Origin;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::HeaderValue;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;
use uuid::Uuid;

use super::client_ip::client_ip;
use crate::app::App;

/// Where the request came from.
#[derive(Clone, Debug)]
pub(crate) struct RequestOrigin(pub(crate) Origin);

/// Middleware: gives the request its id and source address, its log span, and the answer its
/// `X-Request-Id`.
pub(crate) async fn assign(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let request_id = Uuid::now_v7().simple().to_string();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let ip = peer.map(|peer| client_ip(peer, request.headers(), &app.site.trusted_proxies));
    let user_agent = request
        .headers()
        .get(axum::http::header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .map(|agent| agent.chars().take(256).collect());
    let origin = Origin { ip, request_id: request_id.clone(), user_agent };
    request.extensions_mut().insert(RequestOrigin(origin));
    let span = tracing::info_span!("request", id = %request_id, method = %request.method(), path = %request.uri().path());
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

impl<S: Send + Sync> FromRequestParts<S> for RequestOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| {
            Self(Origin { ip: None, request_id: String::new(), user_agent: None })
        }))
    }
}
