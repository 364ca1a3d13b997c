//! The authorization endpoint in front of the browser.

use std::sync::Arc;

use auth_core::audit::Origin;
use auth_core::broker::provider::{AuthorizationFailure, AuthorizationOutcome};
use auth_core::handoff::acr::AuthenticationContext;
use auth_core::handoff::authorization::{
    AuthorizationRequest, AuthorizationResponse, PageError, ResponseMode, SignInReason,
};
use auth_core::handoff::client::ClientKind;
use auth_core::login::LoginRequest;
use auth_core::session::Session;
use axum::Form;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::{content_policy, device, login};
use crate::app::App;
use crate::error::{self, PublicError};
use crate::extract::browser::Browser;
use crate::extract::device::DeviceCookies;
use crate::extract::origin::RequestOrigin;
use crate::extract::signed_in::MaybeSignedIn;
use crate::pages;

/// `GET /oauth2/authorize`.
pub(super) async fn by_query(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    MaybeSignedIn(session): MaybeSignedIn,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    device: DeviceCookies,
) -> Result<Response, PublicError> {
    let pairs = pairs_of(query.as_deref())?;
    answer(&app, ClientKind::Oidc, pairs, session, &browser, &device, &origin).await
}

/// `GET /oauth/authorize`: the same for clients of kind gitlab.
pub(super) async fn gitlab(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    MaybeSignedIn(session): MaybeSignedIn,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    device: DeviceCookies,
) -> Result<Response, PublicError> {
    let pairs = pairs_of(query.as_deref())?;
    answer(&app, ClientKind::Gitlab, pairs, session, &browser, &device, &origin).await
}

fn pairs_of(query: Option<&str>) -> Result<Vec<(String, String)>, PublicError> {
    serde_urlencoded::from_str(query.unwrap_or_default()).map_err(|_| PublicError::BadRequest)
}

/// `POST /oauth2/authorize`, as OpenID Connect Core 1.0 section 3.1.2.1 asks for.
pub(super) async fn by_form(
    State(app): State<Arc<App>>,
    MaybeSignedIn(session): MaybeSignedIn,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    device: DeviceCookies,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, PublicError> {
    if !browser.is_known() {
        // A post from another site carries no Lax cookie: asked again by a GET, the browser shows
        // its session, and a stranger's page does not replace its login cookie.
        let query = serde_urlencoded::to_string(&pairs).map_err(|_| PublicError::BadRequest)?;
        return Ok(Redirect::to(&format!("/oauth2/authorize?{query}")).into_response());
    }
    answer(&app, ClientKind::Oidc, pairs, session, &browser, &device, &origin).await
}

async fn answer(
    app: &App,
    kind: ClientKind,
    pairs: Vec<(String, String)>,
    session: Option<Session>,
    browser: &Browser,
    device: &DeviceCookies,
    origin: &Origin,
) -> Result<Response, PublicError> {
    match app.provider.begin_authorization_of(kind, &pairs, origin).await {
        Ok((request, _)) => decide(app, &request, session, browser, device, origin).await,
        Err(AuthorizationFailure::Page(error)) => Ok(refusal_page(error, origin)),
        Err(AuthorizationFailure::Respond(response)) => Ok(respond(&response)),
        Err(AuthorizationFailure::Provider(error)) => Err(error::of_provider(&error)),
    }
}

/// Goes on with a request that waited for a login; `session` is the one that it made.
pub(super) async fn go_on(
    app: &App,
    continuation: &str,
    session: Session,
    browser: &Browser,
    device: &DeviceCookies,
    origin: &Origin,
) -> Result<Response, PublicError> {
    if let Some(typed) = device::typed_code(continuation) {
        return Ok(device::go_on(typed));
    }
    let request: AuthorizationRequest = serde_json::from_str(continuation).map_err(|error| {
        tracing::error!(%error, "a stored authorization request cannot be read");
        PublicError::LoginExpired
    })?;
    decide(app, &request, Some(session), browser, device, origin).await
}

async fn decide(
    app: &App,
    request: &AuthorizationRequest,
    session: Option<Session>,
    browser: &Browser,
    device: &DeviceCookies,
    origin: &Origin,
) -> Result<Response, PublicError> {
    let demanded = match &session {
        Some(session) => {
            let (client, device) = (request.client(), device.token());
            app.broker.demanded_context(session, client, device, origin).await?
        }
        None => AuthenticationContext::Aal1,
    };
    let outcome = app.provider.authorize(request, session.as_ref(), demanded, origin).await;
    match outcome.map_err(|error| error::of_provider(&error))? {
        AuthorizationOutcome::Respond(response) => Ok(respond(&response)),
        AuthorizationOutcome::Page(error) => Ok(refusal_page(error, origin)),
        AuthorizationOutcome::SignIn(demand) => {
            let client = app.provider.client(request.client()).await;
            let client = client.map_err(|error| error::of_provider(&error))?;
            let client = client.ok_or(PublicError::BadRequest)?;
            // A step-up is for the person who is signed in; anybody else begins anew.
            let account = match demand.reason {
                SignInReason::StepUp => session.as_ref().map(|session| session.account().id),
                _ => None,
            };
            let continuation = serde_json::to_string(request).map_err(|error| {
                tracing::error!(%error, "an authorization request cannot be stored");
                PublicError::Internal
            })?;
            let login = LoginRequest {
                continuation: Some(continuation),
                client: Some(client.id().to_owned()),
                client_name: client.settings().name.clone(),
                connectors: client.settings().connectors.clone(),
                // What the policy asks for, the login asks itself; the client's own demand is not
                // met by a remembered device or a postponement.
                two_factors: request.minimum_acr() == Some(AuthenticationContext::Aal2),
                login_hint: request.login_hint().map(str::to_owned),
                fresh: request.wants_fresh_login() || demand.reason == SignInReason::StepUp,
                account,
                link: None,
                page: None,
                start_at: None,
            };
            login::begin(app, login, None, browser, origin).await
        }
    }
}

/// Sends the answer on its way: a redirect, or a form that the person sends.
fn respond(response: &AuthorizationResponse) -> Response {
    match response.response_mode {
        ResponseMode::Query => {
            (StatusCode::SEE_OTHER, [(header::LOCATION, response.location())]).into_response()
        }
        ResponseMode::FormPost => {
            let fields: Vec<(String, String)> = response
                .parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect();
            let page = pages::FormPost {
                text: "Go back to the application that sent you here.",
                action: &response.redirect_uri,
                fields: &fields,
            };
            content_policy::with_form_target(pages::render(&page), &response.redirect_uri)
        }
    }
}

fn refusal_page(error: PageError, origin: &Origin) -> Response {
    let (title, text) = match error {
        PageError::Email(_) => (
            "Your account is not ready for this application",
            "The application needs to know your e-mail address, and your account here has none \
             that it could use. Please tell your administrator.",
        ),
        _ => (
            "This sign-in request is not valid",
            "The application that sent you here is not set up correctly. Please tell its \
             administrator.",
        ),
    };
    let page = pages::Message {
        title,
        text,
        link: None,
        reference: Some(format!("{} {}", error.as_str(), origin.request_id)),
    };
    let status = match error {
        PageError::Email(_) => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, pages::render(&page)).into_response()
}
