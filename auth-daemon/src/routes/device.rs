//! Where a person lets a device in (RFC 8628 section 3.3): types its code, sees what asks, answers.
//!
//! The page never answers by itself, not even with a code in its URL: somebody else's device could
//! have sent the link.

use std::sync::Arc;

use auth_core::audit::Origin;
use auth_core::broker::provider::{DeviceLookup, DevicePrompt};
use auth_core::handoff::acr::AuthenticationContext;
use auth_core::login::LoginRequest;
use auth_core::session::Session;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::login;
use crate::app::App;
use crate::error::{self, PublicError};
use crate::extract::browser::Browser;
use crate::extract::origin::RequestOrigin;
use crate::extract::signed_in::SignedIn;
use crate::pages;

/// Begins what a login is to go on with.
const CONTINUATION: &str = "device:";

/// What may stand in the page's URL.
#[derive(Deserialize)]
pub(super) struct DeviceQuery {
    user_code: Option<String>,
}

/// The form of the code, and the answer.
#[derive(Deserialize)]
pub(super) struct DeviceForm {
    csrf: String,
    user_code: String,
    decision: Option<String>,
}

/// `GET /device`: asks for the code.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Query(query): Query<DeviceQuery>,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    signed_in: Result<SignedIn, Response>,
) -> Result<Response, PublicError> {
    let typed = query.user_code.unwrap_or_default();
    match signed_in {
        Ok(signed_in) => Ok(form(&signed_in, &typed, None)),
        Err(response) if !response.status().is_redirection() => Ok(response),
        Err(_) => {
            let request = LoginRequest { continuation: Some(continuation(&typed)), ..plain() };
            login::begin(&app, request, None, &browser, &origin).await
        }
    }
}

/// `POST /device`: shows what asks for the code, or takes the answer.
pub(super) async fn answer(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    signed_in: SignedIn,
    Form(input): Form<DeviceForm>,
) -> Result<Response, PublicError> {
    signed_in.check_form(&input.csrf)?;
    let found = app.provider.look_for_device(&input.user_code, &signed_in.session).await;
    let prompt = match found.map_err(|error| error::of_provider(&error))? {
        DeviceLookup::Found(prompt) => prompt,
        DeviceLookup::Unknown => {
            let notice = "No device waits for this code. Compare it with the one on your device; \
                          it is valid for ten minutes.";
            let mut page = form(&signed_in, &input.user_code, Some(notice));
            *page.status_mut() = StatusCode::BAD_REQUEST;
            return Ok(page);
        }
        DeviceLookup::Locked(until) => {
            let wait = until.since(app.broker.now());
            return Err(PublicError::TooManyRequests(wait));
        }
    };
    if let Some(step_up) = step_up(&app, &prompt, &signed_in.session, &origin).await? {
        return login::begin(&app, step_up, None, &browser, &origin).await;
    }
    let approve = match input.decision.as_deref() {
        None => return Ok(question(&signed_in, &prompt)),
        Some("approve") => true,
        Some(_) => false,
    };
    let session = &signed_in.session;
    let written = app.provider.answer_device(&prompt, approve, session, &origin).await;
    let written = written.map_err(|error| error::of_provider(&error))?;
    Ok(done(approve, written))
}

/// The code that a login is to go on with, if it was begun by this page.
pub(super) fn typed_code(continuation: &str) -> Option<&str> {
    continuation.strip_prefix(CONTINUATION)
}

/// Goes on after a login.
pub(super) fn go_on(typed: &str) -> Response {
    let query = serde_urlencoded::to_string([("user_code", typed)]).unwrap_or_default();
    Redirect::to(&format!("/device?{query}")).into_response()
}

fn continuation(typed: &str) -> String {
    // Longer than any code is no code.
    format!("{CONTINUATION}{}", typed.chars().take(64).collect::<String>())
}

fn plain() -> LoginRequest {
    LoginRequest::default()
}

/// The login that is missing where the policy asks for a second factor at this client.
async fn step_up(
    app: &App,
    prompt: &DevicePrompt,
    session: &Session,
    origin: &Origin,
) -> Result<Option<LoginRequest>, PublicError> {
    let client = &prompt.client;
    let demanded = app.broker.demanded_context(session, client.id(), None, origin).await?;
    if AuthenticationContext::of_session(&session.record().acr) >= demanded {
        return Ok(None);
    }
    Ok(Some(LoginRequest {
        continuation: Some(continuation(&prompt.user_code)),
        client: Some(client.id().to_owned()),
        client_name: client.settings().name.clone(),
        connectors: client.settings().connectors.clone(),
        two_factors: true,
        fresh: true,
        account: Some(session.account().id),
        ..plain()
    }))
}

fn form(signed_in: &SignedIn, typed: &str, notice: Option<&'static str>) -> Response {
    let typed: String = typed.chars().take(64).collect();
    pages::render(&pages::Device { notice, csrf: &signed_in.csrf, user_code: &typed })
}

fn question(signed_in: &SignedIn, prompt: &DevicePrompt) -> Response {
    let client = prompt.client.settings();
    pages::render(&pages::ConfirmDevice {
        csrf: &signed_in.csrf,
        username: &signed_in.session.account().username,
        client: client.name.as_deref().unwrap_or(&client.id),
        user_code: &prompt.user_code,
        ip: prompt.grant.ip.as_deref().unwrap_or("unknown"),
        user_agent: prompt.grant.user_agent.as_deref().unwrap_or_default(),
        asked_at: &prompt.grant.created_at.rfc3339(),
        asked_at_shown: &pages::moment(prompt.grant.created_at),
    })
}

fn done(approve: bool, written: bool) -> Response {
    let (title, text) = match (approve, written) {
        (true, true) => ("The device is signed in", "Go back to it. You can close this page."),
        (false, true) => (
            "The device was refused",
            "If you did not start this yourself, somebody tried to sign \
              in as you. Tell your administrator.",
        ),
        (_, false) => (
            "Nothing was changed",
            "The device was answered already, or you may not sign in to \
              this application.",
        ),
    };
    let page =
        pages::Message { title, text, link: Some(("/account", "Your account")), reference: None };
    let mut response = pages::render(&page);
    if !written {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    response
}
