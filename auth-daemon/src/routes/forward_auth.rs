//! Forward authentication: what a reverse proxy asks, and how a browser gets a session for a
//! protected host.
//!
//! ```text
//! proxy   -> /forward-auth                401 with the login URL
//! browser -> /forward-auth/login?url=     303 to https://HOST/.auth/callback?return=
//!         -> HOST/.auth/callback          a secret in a host-only cookie, 303 to /oauth2/authorize
//!         -> sign-in, a code bound to that secret
//!         -> HOST/.auth/callback?code=    the session in a host-only cookie, 303 to where it began
//! ```

use std::sync::Arc;

use auth_core::broker::provider::ForwardAuthAnswer;
use auth_core::handoff::client::Client;
use auth_core::handoff::forward_auth::ProtectedUrl;
use auth_core::random::SystemRandom;
use auth_core::secret::Token;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::app::App;
use crate::error::{self, PublicError};
use crate::extract::cookie::{cookie, set_cookie};
use crate::extract::origin::RequestOrigin;
use crate::extract::proxied::{MaybeProxied, Proxied};
use crate::pages;

/// Header with the login URL.
const LOGIN_URL: HeaderName = HeaderName::from_static("x-login-url");

/// What travels as `state` is no longer; a longer path returns to the host's first page.
const LONGEST_RETURN: usize = 2048;

/// `GET /forward-auth`: 200 with the person's headers, or 401 with the login URL. A proxy that
/// hands our answer to the browser as it is asks with `?redirect=true` and gets 303 instead.
pub(super) async fn verify(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    MaybeProxied(proxied): MaybeProxied,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PublicError> {
    // Nobody's headers are believed: there is nothing to be let through to.
    let Some(proxied) = proxied else { return Ok(unauthorized(None)) };
    let url = match proxied.asked_about {
        Ok(url) => url,
        Err(unknown) => {
            tracing::warn!(reason = unknown.as_str(), "forward authentication is refused");
            return Ok(StatusCode::FORBIDDEN.into_response());
        }
    };
    let token = cookie(&headers, session_cookie(&url)).and_then(Token::parse);
    let answer = app.provider.forward_auth(&url, token.as_ref(), &origin).await;
    match answer.map_err(|error| error::of_provider(&error))? {
        ForwardAuthAnswer::Allow(told) => {
            let mut response = StatusCode::OK.into_response();
            for (name, value) in told {
                let value =
                    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| PublicError::Internal)?;
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        }
        ForwardAuthAnswer::SignIn { url } => {
            let redirect = parameter(query.as_deref(), "redirect")?.is_some_and(|it| it == "true");
            Ok(if redirect { see(&url) } else { unauthorized(Some(&url)) })
        }
        ForwardAuthAnswer::UnknownHost => {
            tracing::warn!(host = url.authority(), "no client of kind forward-auth has this host");
            Ok(StatusCode::FORBIDDEN.into_response())
        }
    }
}

/// `GET /forward-auth/login`: sends the browser to the callback of its host, if it is a listed one.
pub(super) async fn login(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, PublicError> {
    let url = parameter(query.as_deref(), "url")?.as_deref().and_then(ProtectedUrl::parse);
    let Some(url) = url else { return Ok(unknown_host()) };
    if client_of(&app, &url).await?.is_none() {
        return Ok(unknown_host());
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("return", url.path_and_query());
    Ok(see(&format!("{}?{}", url.callback(), query.finish())))
}

/// `GET /.auth/callback`, on a protected host.
pub(super) async fn callback(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    MaybeProxied(proxied): MaybeProxied,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PublicError> {
    let own = proxied.and_then(|Proxied { own, .. }| own).ok_or(PublicError::NotFound)?;
    let client = client_of(&app, &own).await?.ok_or(PublicError::NotFound)?;
    let known = cookie(&headers, login_cookie(&own)).and_then(Token::parse);
    let query = query.as_deref();
    if let Some(error) = parameter(query, "error")? {
        tracing::info!(client = client.id(), error, "a sign-in for a protected host was refused");
        return Err(PublicError::SignInRefused);
    }
    let Some(code) = parameter(query, "code")? else {
        let back = parameter(query, "return")?.unwrap_or_default();
        return Ok(begin(&app, &client, &own, known, &back));
    };
    // Without the secret, the code may be somebody else's, sent here to sign this browser in.
    let secret = known.ok_or(PublicError::LoginExpired)?;
    let code = Token::parse(&code).ok_or(PublicError::SignInRefused)?;
    let opened =
        app.provider.open_forward_auth_session(&client, &own, &code, &secret, &origin).await;
    let opened = opened.map_err(|error| error::of_provider(&error))?;
    let opened = opened.ok_or(PublicError::SignInRefused)?;
    let state = parameter(query, "state")?.and_then(|state| URL_SAFE_NO_PAD.decode(state).ok());
    let back = state.and_then(|path| String::from_utf8(path).ok());
    let back = back.and_then(|path| own.at_path(&path)).or_else(|| own.at_path("/"));
    let mut response = see(&back.ok_or(PublicError::Internal)?.to_string());
    let seconds = opened.lifetime.as_secs();
    let (name, token) = (session_cookie(&own), opened.token.expose());
    set_cookie(&mut response, own.is_https(), name, token, Some(seconds));
    Ok(response)
}

fn begin(
    app: &App,
    client: &Client,
    own: &ProtectedUrl,
    known: Option<Token>,
    back: &str,
) -> Response {
    // Kept while it is there, so that two tabs do not disturb each other.
    let fresh = known.is_none();
    let secret = known.unwrap_or_else(|| Token::generate(&SystemRandom::new()));
    let back = if back.len() <= LONGEST_RETURN { back } else { "/" };
    let state = URL_SAFE_NO_PAD.encode(back);
    let mut response = see(&app.provider.forward_auth_request(client, own, &secret, &state));
    if fresh {
        let (name, secret) = (login_cookie(own), secret.expose());
        set_cookie(&mut response, own.is_https(), name, secret, Some(86_400));
    }
    response
}

async fn client_of(app: &App, url: &ProtectedUrl) -> Result<Option<Arc<Client>>, PublicError> {
    app.provider.client_of_host(url).await.map_err(|error| error::of_provider(&error))
}

/// A parameter that is there once; twice is an error.
fn parameter(query: Option<&str>, name: &str) -> Result<Option<String>, PublicError> {
    let query = query.unwrap_or_default().as_bytes();
    let mut values = url::form_urlencoded::parse(query).filter(|(key, _)| key == name);
    let first = values.next().map(|(_, value)| value.into_owned());
    if values.next().is_some() { Err(PublicError::BadRequest) } else { Ok(first) }
}

fn session_cookie(url: &ProtectedUrl) -> &'static str {
    if url.is_https() { "__Host-auth_forward" } else { "auth_forward" }
}

fn login_cookie(url: &ProtectedUrl) -> &'static str {
    if url.is_https() { "__Host-auth_forward_login" } else { "auth_forward_login" }
}

fn see(location: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// 401 with the login URL: for proxies as a header, for people as a link. nginx rewrites a
/// `Location` that begins with the address it asked, so there is a header that nobody touches.
fn unauthorized(login: Option<&str>) -> Response {
    let page = pages::Message {
        title: "Sign in first",
        text: "You have to sign in before you can open this page.",
        link: login.map(|url| (url, "Sign in")),
        reference: None,
    };
    let mut response = pages::render(&page);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let challenge = HeaderValue::from_static("Form realm=\"sign-in\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    if let Some(location) = login.and_then(|url| HeaderValue::from_str(url).ok()) {
        response.headers_mut().insert(LOGIN_URL, location.clone());
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn unknown_host() -> Response {
    let page = pages::Message {
        title: "This address is not one of ours",
        text: "Nobody can be signed in there. Please tell the administrator of the page that sent \
               you here.",
        link: None,
        reference: None,
    };
    let mut response = pages::render(&page);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_there_once_or_not_at_all() {
        assert_eq!(parameter(Some("a=1&b=2"), "a"), Ok(Some("1".to_owned())));
        assert_eq!(parameter(Some("b=2"), "a"), Ok(None));
        assert_eq!(parameter(None, "a"), Ok(None));
        assert_eq!(parameter(Some("a=1&a=1"), "a"), Err(PublicError::BadRequest));
    }
}
