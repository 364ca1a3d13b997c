//! SAML identity providers: responses that browsers post from there, and our metadata.

use std::sync::Arc;

use auth_core::broker::saml::SamlArrival;
use auth_core::connector::saml::posted::MAX_FORM;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

use super::login;
use crate::app::App;
use crate::error::PublicError;
use crate::extract::origin::RequestOrigin;

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
    let (connection, now) = (Arc::clone(connection), app.broker.now());
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
