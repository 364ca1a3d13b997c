//! The whole route table. `tests/authorisation_table.rs` lists every route with who may call it.

mod account;
mod assets;
mod authorize;
mod content_policy;
mod device;
mod events;
mod forward_auth;
mod gitlab;
mod health;
mod identities;
mod last_used;
mod login;
mod logout;
mod oidc;
mod onward;
mod provider;
mod saml;
mod security;
mod session_api;

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
pub(crate) use content_policy::DEFAULT as DEFAULT_POLICY;

/// Routes of the public listener.
pub(crate) fn public(app: Arc<App>) -> Router {
    let pages = Router::new()
        .route("/", get(|| async { Redirect::to("/account") }))
        .route("/login", get(login::show))
        .route("/login/continue", get(login::dispatch).post(login::accept))
        .route("/login/factor", get(login::dispatch).post(login::code))
        .route("/login/enrol", get(login::dispatch).post(login::code))
        .route("/login/enrol/later", post(login::postpone))
        .route("/login/passkey", post(login::passkey))
        .route("/login/{connector}", get(login::show_connector).post(login::credentials))
        .route("/logout", get(logout::confirm).post(logout::by_person))
        .route("/account", get(account::show))
        .route("/account/security", get(security::show))
        .route("/account/security/confirm", get(security::confirm))
        .route("/account/security/totp", get(security::new_totp).post(security::add_totp))
        .route("/account/security/passkey", get(security::new_passkey).post(security::add_passkey))
        .route("/account/security/factors", post(security::change_factor))
        .route("/account/security/recovery-codes", post(security::replace_codes))
        .route("/account/security/devices", post(security::forget_devices))
        .route(
            "/account/security/password",
            get(security::new_password).post(security::change_password),
        )
        .route("/account/sessions", get(account::sessions).post(account::end_sessions))
        .route("/account/identities", get(identities::show).post(identities::change))
        .route("/oidc/{connection}/callback", get(oidc::callback))
        .route("/oauth/authorize", get(authorize::gitlab))
        .route("/device", get(device::show).post(device::answer))
        .route("/oauth2/authorize", get(authorize::by_query).post(authorize::by_form))
        .route("/oauth2/logout", get(logout::by_query).post(logout::by_form))
        .layer(browser_sessions(&app));
    let programs = Router::new()
        .route("/.well-known/openid-configuration", get(provider::discovery))
        .route("/oauth2/token", post(provider::token))
        .route("/oauth2/userinfo", get(provider::userinfo).post(provider::userinfo))
        .route("/oauth2/jwks", get(provider::jwks))
        .route("/oauth2/introspect", post(provider::introspect))
        .route("/oauth2/revoke", post(provider::revoke))
        .route("/oidc/{connection}/backchannel-logout", post(oidc::backchannel_logout))
        .route("/saml/{connection}/acs", post(saml::consume).layer(saml::body_limit()))
        .route(
            "/saml/{connection}/slo",
            get(saml::logout_by_query).post(saml::logout_by_form).layer(saml::body_limit()),
        )
        .route("/saml/{connection}/metadata", get(saml::metadata))
        .route("/oauth/token", post(gitlab::token))
        .route("/api/v4/user", get(gitlab::user))
        .route("/oauth2/par", post(provider::push))
        .route("/oauth2/device", post(provider::device))
        .route("/api/v1/sessions/exchange", post(session_api::exchange))
        .route("/api/v1/sessions/check", post(session_api::check))
        .route("/api/v1/sessions/extend", post(session_api::extend))
        .route("/api/v1/sessions/list", post(session_api::list))
        .route("/api/v1/sessions/revoke", post(session_api::revoke))
        .route("/forward-auth", get(forward_auth::verify))
        .route("/forward-auth/login", get(forward_auth::login))
        .route("/.auth/callback", get(forward_auth::callback))
        .route("/api/v1/events", get(events::stream))
        .route("/healthz", get(health::live))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/passkey.js", get(assets::passkey))
        .route("/assets/icon.svg", get(assets::icon))
        .route("/assets/logo/{connector}", get(assets::logo));
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
