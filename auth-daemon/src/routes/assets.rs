//! The style sheet, the icon, the passkey script and the connectors' pictures; nothing else is ever
//! fetched by a page.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::PublicError;

const STYLE: &str = include_str!("../../assets/style.css");
const PASSKEY: &str = include_str!("../../assets/passkey.js");
const ICON: &str = include_str!("../../assets/icon.svg");

/// `GET /assets/style.css`.
pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

/// `GET /assets/passkey.js`.
pub(super) async fn passkey() -> Response {
    asset("text/javascript; charset=utf-8", PASSKEY)
}

/// `GET /assets/icon.svg`.
pub(super) async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

/// `GET /assets/logo/{connector}`: the picture of a connector that has one.
pub(super) async fn logo(
    State(app): State<Arc<App>>,
    Path(connector): Path<String>,
) -> Result<Response, PublicError> {
    let logo = app.site.logos.get(&connector).ok_or(PublicError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(logo.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400")),
    ];
    Ok((headers, logo.bytes.clone()).into_response())
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400")),
    ];
    (headers, text).into_response()
}
