//! Signing out: by the person's own button, and at a client's request (OpenID Connect RP-Initiated
//! Logout 1.0). Without an ID token that says who asks, the person is asked first.

use std::sync::Arc;

use auth_core::audit::Origin;
use auth_core::connector::redirect::Destination;
use auth_core::handoff::logout::{LogoutRefusal, LogoutRequest, LogoutTarget};
use auth_core::session::Session;
use axum::Form;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tower_sessions::Session as CookieSession;

use super::{content_policy, onward, saml};
use crate::app::App;
use crate::error::{self, PublicError};
use crate::extract::browser::Browser;
use crate::extract::cookie::set_cookie;
use crate::extract::origin::RequestOrigin;
use crate::extract::signed_in::SignedIn;
use crate::pages;

/// The person's answer, with where the browser goes afterwards.
#[derive(Deserialize)]
pub(super) struct LogoutForm {
    csrf: String,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

/// `GET /logout`: asks first, because a link on another site could lead here.
pub(super) async fn confirm(signed_in: SignedIn) -> Response {
    question(&signed_in, None)
}

/// `POST /logout`.
pub(super) async fn by_person(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    cookie: CookieSession,
    signed_in: SignedIn,
    Form(form): Form<LogoutForm>,
) -> Result<Response, PublicError> {
    signed_in.check_form(&form.csrf)?;
    // The form came from a browser, so where it goes is judged again.
    let target = match (&form.client_id, &form.post_logout_redirect_uri) {
        (Some(client), Some(uri)) => {
            let target = app.provider.logout_target(client, uri, form.state.as_deref()).await;
            target.map_err(|error| error::of_provider(&error))?
        }
        _ => None,
    };
    end(&app, signed_in.session, cookie, target.as_ref(), &origin).await
}

/// `GET /oauth2/logout`.
pub(super) async fn by_query(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    RequestOrigin(origin): RequestOrigin,
    cookie: CookieSession,
    signed_in: Result<SignedIn, Response>,
) -> Result<Response, PublicError> {
    let pairs = serde_urlencoded::from_str(query.as_deref().unwrap_or_default())
        .map_err(|_| PublicError::BadRequest)?;
    answer(&app, pairs, signed_in, cookie, &origin).await
}

/// `POST /oauth2/logout`.
pub(super) async fn by_form(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    cookie: CookieSession,
    signed_in: Result<SignedIn, Response>,
    browser: Browser,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, PublicError> {
    if !browser.is_known() && signed_in.is_err() {
        // A post from another site carries no Lax cookie: asked again by a GET, the browser shows
        // its session.
        let query = serde_urlencoded::to_string(&pairs).map_err(|_| PublicError::BadRequest)?;
        return Ok(Redirect::to(&format!("/oauth2/logout?{query}")).into_response());
    }
    answer(&app, pairs, signed_in, cookie, &origin).await
}

async fn answer(
    app: &App,
    pairs: Vec<(String, String)>,
    signed_in: Result<SignedIn, Response>,
    cookie: CookieSession,
    origin: &Origin,
) -> Result<Response, PublicError> {
    let request = app.provider.read_logout(&pairs).await;
    let request = match request.map_err(|error| error::of_provider(&error))? {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal_page(refusal, origin)),
    };
    let LogoutRequest { account, target } = request;
    match signed_in {
        Ok(signed_in) if account == Some(signed_in.session.account().id) => {
            end(app, signed_in.session, cookie, target.as_ref(), origin).await
        }
        Ok(signed_in) => Ok(question(&signed_in, target.as_ref())),
        Err(response) if !response.status().is_redirection() => Ok(response),
        // Nobody is signed in. Only an ID token of ours sends the browser on by itself.
        Err(_) => Ok(match (account, target) {
            (Some(_), Some(target)) => see(&target),
            (_, target) => signed_out(target.as_ref()),
        }),
    }
}

async fn end(
    app: &App,
    session: Session,
    cookie: CookieSession,
    target: Option<&LogoutTarget>,
    origin: &Origin,
) -> Result<Response, PublicError> {
    let upstream = app.broker.upstream_sign_out(session.id()).await?;
    app.broker.logout(session, origin).await?;
    cookie.flush().await?;
    let mut response = match (target, upstream) {
        // The client wants the browser back; the identity provider's own session stays.
        (Some(target), _) => see(target),
        // A page of its own between: redirects after a form's post are bound by its policy.
        (None, Some(Destination::Redirect(url))) => onward::to_site(
            "You are signed out",
            "The sessions that you opened from this browser are over. You are now signed out at \
             your organisation too.",
            url.as_str(),
        ),
        (None, Some(post)) => saml::carry(&post),
        (None, None) => signed_out(None),
    };
    // tower-sessions' own removal lacks `Secure`, and browsers pass over it for a `__Host-` name.
    set_cookie(&mut response, app.site.secure, app.site.session_cookie(), "", Some(0));
    Ok(response)
}

fn question(signed_in: &SignedIn, target: Option<&LogoutTarget>) -> Response {
    let mut fields = Vec::new();
    if let Some(target) = target {
        fields.push(("client_id", target.client.as_str()));
        fields.push(("post_logout_redirect_uri", target.uri.as_str()));
        fields.extend(target.state.as_deref().map(|state| ("state", state)));
    }
    let page = pages::ConfirmLogout {
        username: &signed_in.session.account().username,
        csrf: &signed_in.csrf,
        fields: &fields,
    };
    let page = pages::render(&page);
    match target {
        Some(target) => content_policy::with_form_target(page, &target.uri),
        None => page,
    }
}

fn signed_out(target: Option<&LogoutTarget>) -> Response {
    let location = target.map(LogoutTarget::location);
    let page = pages::Message {
        title: "You are signed out",
        text: "The sessions that you opened from this browser are over.",
        link: Some(location.as_deref().map_or(("/login", "Sign in again"), |uri| (uri, "Go back"))),
        reference: None,
    };
    pages::render(&page)
}

fn refusal_page(refusal: LogoutRefusal, origin: &Origin) -> Response {
    tracing::info!(reason = refusal.as_str(), "a client's logout request is refused");
    let page = pages::Message {
        title: "This sign-out request is not valid",
        text: "The application that sent you here is not set up correctly. You can sign out here.",
        link: Some(("/logout", "Sign out")),
        reference: Some(format!("{} {}", refusal.as_str(), origin.request_id)),
    };
    (StatusCode::BAD_REQUEST, pages::render(&page)).into_response()
}

fn see(target: &LogoutTarget) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, target.location())]).into_response()
}
