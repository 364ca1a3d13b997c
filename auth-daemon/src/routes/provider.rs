//! The OpenID provider's endpoints for programs.

use std::sync::Arc;

use auth_core::handoff::device::GRANT_TYPE;
use auth_core::handoff::oauth_error::OAuthError;
use axum::body::Body;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::app::App;
use crate::error::{self, PublicError};
use crate::extract::origin::RequestOrigin;

/// Relying parties read metadata and keys often, and a new key is published a day before it signs.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// `GET /.well-known/openid-configuration`.
pub(super) async fn discovery(State(app): State<Arc<App>>) -> Result<Response, PublicError> {
    cached(app.provider.discovery())
}

/// `GET /oauth2/jwks`.
pub(super) async fn jwks(State(app): State<Arc<App>>) -> Result<Response, PublicError> {
    let keys = app.provider.jwks().await.map_err(|error| error::of_provider(&error))?;
    cached(&keys)
}

/// `POST /oauth2/token`.
pub(super) async fn token(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Response {
    let grant = grant_label(&pairs);
    let outcome = app.provider.token(authorization(&headers), &pairs, &origin).await;
    let result = if outcome.is_ok() { "issued" } else { "refused" };
    metrics::counter!("auth_tokens_total", "grant" => grant, "result" => result).increment(1);
    match outcome {
        Ok(tokens) => json(StatusCode::OK, tokens.body().to_string()),
        Err(error) => failure(&error),
    }
}

/// `GET` and `POST /oauth2/userinfo`; the token stands in the header only.
pub(super) async fn userinfo(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match app.provider.userinfo(bearer(&headers)).await {
        Ok(claims) => serialised(&claims),
        Err(error) => failure(&error),
    }
}

/// `POST /oauth2/introspect`, RFC 7662.
pub(super) async fn introspect(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Response {
    match app.provider.introspect(authorization(&headers), &pairs, &origin).await {
        Ok(answer) => serialised(&answer),
        Err(error) => failure(&error),
    }
}

/// `POST /oauth2/par`, RFC 9126.
pub(super) async fn push(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Response {
    match app.provider.push_authorization(authorization(&headers), &pairs, &origin).await {
        Ok(answer) => json(StatusCode::CREATED, answer.to_string()),
        Err(error) => failure(&error),
    }
}

/// `POST /oauth2/device`, RFC 8628 section 3.1.
pub(super) async fn device(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Response {
    let begun = app.provider.begin_device_authorization(authorization(&headers), &pairs, &origin);
    match begun.await {
        Ok(begun) => json(StatusCode::OK, begun.body().to_string()),
        Err(error) => failure(&error),
    }
}

/// `POST /oauth2/revoke`, RFC 7009.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Response {
    match app.provider.revoke(authorization(&headers), &pairs, &origin).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => failure(&error),
    }
}

pub(super) fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
}

/// The access token of the header `Authorization`, RFC 6750 section 2.1.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    authorization(headers).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    })
}

/// The grant as a metric's label: what a caller wrote must not become one.
pub(super) fn grant_label(pairs: &[(String, String)]) -> &'static str {
    match pairs.iter().find(|(name, _)| name == "grant_type").map(|(_, value)| value.as_str()) {
        Some("authorization_code") => "authorization_code",
        Some("refresh_token") => "refresh_token",
        Some(GRANT_TYPE) => "device_code",
        _ => "other",
    }
}

fn cached(value: &impl Serialize) -> Result<Response, PublicError> {
    let mut response = serialised(value);
    if response.status() != StatusCode::OK {
        return Err(PublicError::Internal);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, CACHED);
    Ok(response)
}

fn serialised(value: &impl Serialize) -> Response {
    // Room for most answers, so that writing one does not grow it again and again.
    let mut body = Vec::with_capacity(512);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => json(StatusCode::OK, body),
        Err(error) => {
            tracing::error!(%error, "an answer has no JSON form");
            PublicError::Internal.into_response()
        }
    }
}

pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    // RFC 6749 section 5.1 asks for both.
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ];
    (status, headers, body.into()).into_response()
}

pub(super) fn failure(error: &OAuthError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = json(status, error.body().to_string());
    if let Some(value) = error.www_authenticate().and_then(|text| text.parse().ok()) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}
