//! The person behind a request, by the browser's session.

use std::sync::Arc;

use auth_core::broker::browser_session::HANDLE;
use auth_core::session::Session;
use auth_core::store::SessionId;
use aws_lc_rs::hmac;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use tower_sessions::Session as CookieSession;

use crate::app::App;
use crate::error::PublicError;

/// The browser's live session, or none.
pub(crate) struct MaybeSignedIn(pub(crate) Option<Session>);

/// A signed-in person; others are sent to the sign-in page.
pub(crate) struct SignedIn {
    pub(crate) session: Session,
    /// The hidden field of this session's forms.
    pub(crate) csrf: String,
}

impl SignedIn {
    /// Checks a form's hidden field.
    pub(crate) fn check_form(&self, presented: &str) -> Result<(), PublicError> {
        let same: bool = presented.as_bytes().ct_eq(self.csrf.as_bytes()).into();
        if same { Ok(()) } else { Err(PublicError::FormExpired) }
    }
}

impl FromRequestParts<Arc<App>> for MaybeSignedIn {
    type Rejection = PublicError;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        let Some(cookie) = parts.extensions.get::<CookieSession>().cloned() else {
            return Ok(Self(None));
        };
        if cookie.id().is_none() {
            return Ok(Self(None));
        }
        let handle: Option<SessionId> = cookie.get(HANDLE).await?;
        match handle {
            Some(handle) => Ok(Self(app.broker.session(handle).await?)),
            None => Ok(Self(None)),
        }
    }
}

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        let MaybeSignedIn(session) = MaybeSignedIn::from_request_parts(parts, app)
            .await
            .map_err(IntoResponse::into_response)?;
        let id = parts.extensions.get::<CookieSession>().and_then(CookieSession::id);
        match (session, id) {
            (Some(session), Some(id)) => Ok(Self { csrf: form_token(id), session }),
            _ => Err(Redirect::to("/login").into_response()),
        }
    }
}

/// HMAC under the cookie's id, which only this browser and the request know.
fn form_token(id: tower_sessions::session::Id) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &id.0.to_be_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, b"account form").as_ref())
}
