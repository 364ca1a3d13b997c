//! The whole route table. `tests/authorisation_table.rs` lists every route with who may call it.

mod account;
mod assets;
mod authorize;
mod content_policy;
mod events;
mod gitlab;
mod health;
mod login;
mod provider;

use std::sync::Arc;

use auth_core::store::Store;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::{get, post};
use tower_sessions::SessionManagerLayer;
use tower_sessions::cookie::SameSite;

use crate::app::App;
use crate::cookie_store::CookieStore;
use crate::edge;

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
        .route("/oauth/authorize", get(authorize::gitlab))
        .route("/oauth2/authorize", get(authorize::by_query).post(authorize::by_form))
        .layer(browser_sessions(&app));
    let programs = Router::new()
        .route("/.well-known/openid-configuration", get(provider::discovery))
        .route("/oauth2/token", post(provider::token))
        .route("/oauth2/userinfo", get(provider::userinfo).post(provider::userinfo))
        .route("/oauth2/jwks", get(provider::jwks))
        .route("/oauth2/introspect", post(provider::introspect))
        .route("/oauth2/revoke", post(provider::revoke))
        .route("/oauth/token", post(gitlab::token))
        .route("/api/v4/user", get(gitlab::user))
        .route("/api/v1/events", get(events::stream))
        .route("/healthz", get(health::live))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/icon.svg", get(assets::icon));
    with_edge(pages.merge(programs), app)
}

/// Routes of the administration listener.
pub(crate) fn administration(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics));
    with_edge(router, app)
}

fn with_edge(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    router.layer(from_fn_with_state(Arc::clone(&app), edge::around)).with_state(app)
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
