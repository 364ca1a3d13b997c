//! The sessions API: for a chat server that speaks no OpenID Connect. Client credentials by HTTP
//! Basic, bodies and answers as JSON, errors as problem documents (RFC 9457).

use std::sync::Arc;

use auth_core::broker::provider::SessionApiError;
use auth_core::handoff::session_api::{Check, Exchange, Extend, List, Revoke};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;
use crate::error::{self, PublicError};
use crate::extract::origin::RequestOrigin;

/// `POST /api/v1/sessions/exchange`.
pub(super) async fn exchange(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Json(request): Json<Exchange>,
) -> Result<Response, PublicError> {
    let made = app.provider.exchange_session(authorization(&headers), request, &origin).await;
    let made = made.map_err(refusal)?;
    let body = json!({
        "session": made.session.to_string(),
        "token": made.token.expose(),
        "account": made.account,
        "expires_at": made.expires_at.rfc3339(),
    });
    Ok(Json(body).into_response())
}

/// `POST /api/v1/sessions/check`.
pub(super) async fn check(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Json(request): Json<Check>,
) -> Result<Response, PublicError> {
    let checked = app.provider.check_sessions(authorization(&headers), request, &origin).await;
    Ok(Json(json!({ "sessions": checked.map_err(refusal)? })).into_response())
}

/// `POST /api/v1/sessions/extend`.
pub(super) async fn extend(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Json(request): Json<Extend>,
) -> Result<Response, PublicError> {
    let ends_at = app.provider.extend_session(authorization(&headers), request, &origin).await;
    Ok(Json(json!({ "expires_at": ends_at.map_err(refusal)?.rfc3339() })).into_response())
}

/// `POST /api/v1/sessions/list`.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Json(request): Json<List>,
) -> Result<Response, PublicError> {
    let listed = app.provider.list_client_sessions(authorization(&headers), request, &origin).await;
    Ok(Json(json!({ "sessions": listed.map_err(refusal)? })).into_response())
}

/// `POST /api/v1/sessions/revoke`.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Json(request): Json<Revoke>,
) -> Result<Response, PublicError> {
    let done = app.provider.revoke_client_sessions(authorization(&headers), request, &origin).await;
    done.map_err(refusal)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
}

#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn refusal(error: SessionApiError) -> PublicError {
    match error {
        SessionApiError::Client => PublicError::ClientRefused,
        SessionApiError::Code => PublicError::InvalidCode,
        SessionApiError::SessionOver => PublicError::SessionOver,
        SessionApiError::Request(problem) => {
            tracing::info!(problem, "a chat server's request cannot be followed");
            PublicError::BadRequest
        }
        SessionApiError::Provider(ref error) => error::of_provider(error),
        _ => PublicError::Internal,
    }
}
