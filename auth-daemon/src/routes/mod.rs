//! The whole route table. `tests/authorisation_table.rs` lists every route with who may call it.

mod account;
mod assets;
mod authorize;
mod content_policy;
mod health;
mod login;
mod provider;

use std::sync::Arc;
use std::time::Duration;

use auth_core::store::Store;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{Redirect, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use tower_sessions::SessionManagerLayer;
use tower_sessions::cookie::SameSite;

use crate::app::App;
use crate::cookie_store::CookieStore;
use crate::error;
use crate::extract::origin;

/// No body that we read is larger.
const BODY_LIMIT: usize = 64 * 1024;
/// No request takes longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Routes of the public listener.
pub(crate) fn public(app: Arc<App>) -> Router {
    let pages = Router::new()
        .route("/", get(|| async { Redirect::to("/account") }))
        .route("/login", get(login::show))
        .route("/login/continue", get(login::dispatch))
        .route("/login/factor", get(login::dispatch).post(login::code))
        .route("/login/enrol", get(login::dispatch).post(login::code))
        .route("/login/{connector}", get(login::show_connector).post(login::credentials))
        .route("/logout", get(account::confirm_logout).post(account::logout))
        .route("/account", get(account::show))
        .route("/account/sessions", get(account::sessions).post(account::end_sessions))
        .route("/oauth2/authorize", get(authorize::by_query).post(authorize::by_form))
        .layer(browser_sessions(&app));
    let programs = Router::new()
        .route("/.well-known/openid-configuration", get(provider::discovery))
        .route("/oauth2/token", post(provider::token))
        .route("/oauth2/userinfo", get(provider::userinfo).post(provider::userinfo))
        .route("/oauth2/jwks", get(provider::jwks))
        .route("/oauth2/introspect", post(provider::introspect))
        .route("/oauth2/revoke", post(provider::revoke))
        .route("/healthz", get(health::live))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/icon.svg", get(assets::icon));
    let secure = app.site.secure;
    let router =
        pages.merge(programs).layer(map_response(move |response| secure_headers(response, secure)));
    with_edges(router, app)
}

/// Routes of the administration listener.
pub(crate) fn administration(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .layer(map_response(|response| secure_headers(response, false)));
    with_edges(router, app)
}

fn with_edges(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    router
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::new())
        .layer(from_fn(error::render))
        .layer(from_fn_with_state(Arc::clone(&app), origin::assign))
        .with_state(app)
}

fn browser_sessions(app: &App) -> SessionManagerLayer<CookieStore> {
    let store: Arc<dyn Store> = Arc::clone(app.broker.store());
    SessionManagerLayer::new(CookieStore(store))
        .with_name(app.site.session_cookie())
        .with_secure(app.site.secure)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
}

/// Headers of every answer; a handler that sets one of them itself wins.
async fn secure_headers(mut response: Response, https: bool) -> Response {
    let defaults: [(HeaderName, &'static str); 6] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if https {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(year);
    }
    response
}
