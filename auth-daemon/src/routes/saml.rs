//! SAML identity providers: responses and logout messages that browsers bring from there, and our
//! metadata.

use std::sync::Arc;

use auth_core::audit::Origin;
use auth_core::broker::saml::{MAX_FORM, SamlArrival};
use auth_core::broker::saml_logout::{LogoutMessage, SamlLogout};
use auth_core::connector::redirect::Destination;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

use super::{content_policy, login};
use crate::app::App;
use crate::error::PublicError;
use crate::extract::origin::RequestOrigin;
use crate::pages;

/// A response with its certificates and groups is larger than any other form.
pub(super) fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(MAX_FORM)
}

/// `POST /saml/{connection}/acs`. It comes from another site, so it reads no cookie: who the
/// browser is, `/login/continue` finds out.
pub(super) async fn consume(
    State(app): State<Arc<App>>,
    Path(connection): Path<String>,
    RequestOrigin(origin): RequestOrigin,
    form: Bytes,
) -> Result<Response, PublicError> {
    if app.broker.saml_connection(&connection).is_none() {
        return Err(PublicError::NotFound);
    }
    // A browser that goes away in the middle must not leave a judged response without its event.
    let work = async move {
        match app.broker.saml_response(&connection, &form, &origin).await? {
            SamlArrival::Parked(handle) => Ok(login::see_continue(&handle)),
            SamlArrival::Refused(_) => Err(PublicError::SignInRefused),
        }
    };
    let span = tracing::Span::current();
    tokio::spawn(work.instrument(span)).await.map_err(|error| {
        tracing::error!(%error, "a sign-in's task failed");
        PublicError::Internal
    })?
}

/// `GET /saml/{connection}/metadata`: ours, for the identity provider.
pub(super) async fn metadata(
    State(app): State<Arc<App>>,
    Path(connection): Path<String>,
) -> Result<Response, PublicError> {
    let connection = app.broker.saml_connection(&connection).ok_or(PublicError::NotFound)?;
    let now = app.broker.now();
    // It may be signed, which takes a processor's time.
    let made = tokio::task::spawn_blocking(move || connection.metadata(now)).await;
    let document = made
        .map_err(|error| error.to_string())
        .and_then(|made| made.map_err(|refusal| refusal.to_string()))
        .map_err(|error| {
            tracing::error!(error, "our SAML metadata cannot be made");
            PublicError::Internal
        })?;
    let kind = [(header::CONTENT_TYPE, "application/samlmetadata+xml")];
    Ok((kind, document).into_response())
}

/// `GET /saml/{connection}/slo`: a logout message by redirect.
pub(super) async fn logout_by_query(
    State(app): State<Arc<App>>,
    Path(connection): Path<String>,
    RequestOrigin(origin): RequestOrigin,
    RawQuery(query): RawQuery,
) -> Result<Response, PublicError> {
    logout(app, connection, LogoutMessage::Query(query.unwrap_or_default()), origin).await
}

/// `POST /saml/{connection}/slo`: a logout message by a form.
pub(super) async fn logout_by_form(
    State(app): State<Arc<App>>,
    Path(connection): Path<String>,
    RequestOrigin(origin): RequestOrigin,
    form: Bytes,
) -> Result<Response, PublicError> {
    logout(app, connection, LogoutMessage::Form(form.to_vec()), origin).await
}

async fn logout(
    app: Arc<App>,
    connection: String,
    message: LogoutMessage,
    origin: Origin,
) -> Result<Response, PublicError> {
    if app.broker.saml_connection(&connection).is_none() {
        return Err(PublicError::NotFound);
    }
    // A browser that goes away in the middle must not leave half of the sessions.
    let work = async move { app.broker.saml_logout(&connection, message, &origin).await };
    let span = tracing::Span::current();
    let done = tokio::spawn(work.instrument(span)).await.map_err(|error| {
        tracing::error!(%error, "a logout's task failed");
        PublicError::Internal
    })??;
    Ok(match done {
        SamlLogout::Done(Some(back)) => carry(&back),
        SamlLogout::Done(None) | SamlLogout::Answered { complete: true } => {
            signed_out("The sessions that you opened through your organisation are over.")
        }
        SamlLogout::Answered { complete: false } => signed_out(
            "You are signed out here, but your organisation could not end all of its other \
             sessions. Close the browser to be sure.",
        ),
        SamlLogout::Refused(_) => return Err(PublicError::BadRequest),
    })
}

/// Sends the browser on with a message.
pub(super) fn carry(to: &Destination) -> Response {
    match to {
        Destination::Redirect(url) => {
            (StatusCode::SEE_OTHER, [(header::LOCATION, url.to_string())]).into_response()
        }
        Destination::PostForm { action, fields } => {
            let text = "Your organisation is told that you sign out.";
            let page = pages::FormPost { text, action: action.as_str(), fields };
            content_policy::with_form_target(pages::render(&page), action.as_str())
        }
    }
}

fn signed_out(text: &str) -> Response {
    pages::render(&pages::Message {
        title: "You are signed out",
        text,
        link: Some(("/login", "Sign in again")),
        reference: None,
    })
}
