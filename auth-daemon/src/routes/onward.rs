//! Leading a browser on to another site after a form was sent.
//!
//! Chromium applies `form-action` to every redirect that follows a form's post, also to those of
//! sites that we do not know (a provider that itself sends the person to another one). So a form's
//! answer that leaves this site is a page of its own, which refreshes itself to the next address
//! and has a link for browsers that do not.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::pages;

/// A page that leads on to `target`.
pub(super) fn to_site(title: &str, text: &str, target: &str) -> Response {
    let page = pages::Message { title, text, link: Some((target, "Continue")), reference: None };
    let mut response = pages::render(&page);
    if let Ok(value) = HeaderValue::from_str(&format!("0; url={target}")) {
        response.headers_mut().insert(header::REFRESH, value);
    }
    response
}

/// A redirect to a page of ours.
pub(super) fn to_page(path: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}
