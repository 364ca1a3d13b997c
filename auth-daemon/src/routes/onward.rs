//! Leading a browser on to another site after a form was sent.
//!
//! Chromium applies `form-action` to every redirect that follows a form's post, also to those of
//! sites that we do not know (a provider that itself sends the person to another one). So a form's
//! answer that leaves this site is a page of its own, which refreshes itself to the next address
//! and has a link for browsers that do not.

use auth_core::audit::Origin;
use auth_core::login::LoginRequest;
use auth_core::secret::Token;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::login;
use crate::app::App;
use crate::error::PublicError;
use crate::extract::browser::Browser;
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

/// A typed address leads to its domain's provider, or to the form with the address filled in.
pub(super) fn home_realm(
    app: &App,
    handle: &str,
    address: &str,
    browser: &Browser,
) -> Result<Response, PublicError> {
    let handle = Token::parse(handle).ok_or(PublicError::LoginExpired)?;
    browser.known()?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("login", handle.expose());
    let Some(connector) = app.broker.home_realm(address) else {
        // Nothing is said of the domain; the form below takes every name.
        let location = format!("/login?{}", query.finish());
        return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response());
    };
    let target = format!("/login/{connector}?{}", query.append_pair("address", address).finish());
    let text = "Your organisation signs you in.";
    Ok(to_site("Going on to your organisation", text, &target))
}

/// Begins a login from a page of ours that a form was sent from: what leaves this site is a page
/// that leads on.
pub(super) async fn begin_from_form(
    app: &App,
    request: LoginRequest,
    connector: Option<&str>,
    browser: &Browser,
    origin: &Origin,
) -> Result<Response, PublicError> {
    let response = login::begin(app, request, connector, browser, origin).await?;
    let target = (response.status() == StatusCode::SEE_OTHER)
        .then(|| response.headers().get(header::LOCATION)?.to_str().ok().map(str::to_owned))
        .flatten();
    match target {
        Some(target) if !target.starts_with('/') => {
            let text = "You sign in there and come back here.";
            let page = to_site("Going on to the other site", text, &target);
            Ok(browser.remember(page))
        }
        _ => Ok(response),
    }
}
