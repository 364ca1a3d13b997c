//! OpenID providers: browsers that come back from one, and its word that a session is over.

use std::sync::Arc;

use auth_core::broker::oidc::BackchannelLogout;
use auth_core::connector::redirect::RedirectConnector;
use auth_core::secret::Secret;
use axum::Form;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tower_sessions::Session as CookieSession;
use tracing::Instrument as _;

use super::login;
use crate::app::App;
use crate::error::PublicError;
use crate::extract::browser::Browser;
use crate::extract::device::DeviceCookies;
use crate::extract::origin::RequestOrigin;
use crate::extract::signed_in::MaybeSignedIn;

/// The body of a back-channel logout (Back-Channel Logout 1.0 section 2.5).
#[derive(Deserialize)]
pub(super) struct LogoutForm {
    logout_token: String,
}

/// `GET /oidc/{connection}/callback`: what the browser brings back from the provider.
#[expect(clippy::too_many_arguments, reason = "extractors")]
pub(super) async fn callback(
    State(app): State<Arc<App>>,
    Path(connection): Path<String>,
    RawQuery(query): RawQuery,
    MaybeSignedIn(session): MaybeSignedIn,
    cookie: CookieSession,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    device: DeviceCookies,
) -> Result<Response, PublicError> {
    if !is_oidc(&app, &connection) {
        return Err(PublicError::NotFound);
    }
    let query = query.unwrap_or_default();
    let answer = RedirectConnector::read_callback(&query).ok_or(PublicError::BadRequest)?;
    let replaces = session.map(|session| session.id());
    // A browser that goes away in the middle must not leave a judged answer without its event, or
    // a session without a cookie.
    let work = async move {
        let secret = browser.known()?;
        let (handle, step) = app
            .broker
            .oidc_callback(&connection, &answer, secret, replaces, device.device(false), &origin)
            .await?;
        login::answered(&app, step, &handle, &device, &cookie).await
    };
    let span = tracing::Span::current();
    tokio::spawn(work.instrument(span)).await.map_err(|error| {
        tracing::error!(%error, "a sign-in's task failed");
        PublicError::Internal
    })?
}

/// `POST /oidc/{connection}/backchannel-logout`.
pub(super) async fn backchannel_logout(
    State(app): State<Arc<App>>,
    Path(connection): Path<String>,
    RequestOrigin(origin): RequestOrigin,
    Form(form): Form<LogoutForm>,
) -> Result<Response, PublicError> {
    if !is_oidc(&app, &connection) {
        return Err(PublicError::NotFound);
    }
    let token = Secret::new(form.logout_token);
    let outcome = app.broker.backchannel_logout(&connection, token.expose(), &origin).await?;
    let response = match outcome {
        BackchannelLogout::Done(_) => StatusCode::OK.into_response(),
        BackchannelLogout::Refused(_) => {
            let body = json!({
                "error": "invalid_request",
                "error_description": "The logout token was refused.",
            });
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::BAD_REQUEST, kind, body.to_string()).into_response()
        }
        BackchannelLogout::Unavailable => {
            return Err(PublicError::Unavailable(std::time::Duration::from_secs(30)));
        }
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], response).into_response())
}

fn is_oidc(app: &App, connection: &str) -> bool {
    app.broker.oidc_connector(connection).is_some()
}
