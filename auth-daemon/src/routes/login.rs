//! Sign-in pages. Every step returns to `/login/continue`, the only dispatcher.

use std::sync::Arc;

use auth_core::audit::Origin;
use auth_core::broker::browser_session::HANDLE;
use auth_core::broker::saml::Returned;
use auth_core::broker::{Completed, ConnectorKind, CredentialsPrompt, Event, Step};
use auth_core::login::{LoginRequest, OwnPage, step};
use auth_core::secret::{Secret, Token};
use auth_core::session::Session;
use auth_core::store::SessionId;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use time::OffsetDateTime;
use tower_sessions::{Expiry, Session as CookieSession};
use tracing::Instrument as _;

mod page;

use page::{page_of, step_page};

use super::{authorize, identities, last_used, onward, security};
use crate::app::App;
use crate::error::{self, PublicError};
use crate::extract::browser::Browser;
use crate::extract::device::DeviceCookies;
use crate::extract::origin::RequestOrigin;
use crate::extract::signed_in::MaybeSignedIn;
use crate::pages;

/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// What may stand in a sign-in page's URL.
#[derive(Deserialize)]
pub(super) struct LoginQuery {
    login: Option<String>,
    connector: Option<String>,
    /// An e-mail address whose domain leads to a connector.
    address: Option<String>,
}

/// The sign-in form.
#[derive(Deserialize)]
pub(super) struct CredentialsForm {
    username: String,
    password: String,
    csrf: String,
}

/// The form of a code.
#[derive(Deserialize)]
pub(super) struct CodeForm {
    code: String,
    csrf: String,
    remember: Option<String>,
}

/// What the passkey script sends.
#[derive(Deserialize)]
pub(super) struct PasskeyAnswer {
    csrf: String,
    #[serde(default)]
    credential: String,
    name: Option<String>,
    remember: Option<String>,
}

/// A form with nothing but its token.
#[derive(Deserialize)]
pub(super) struct BareForm {
    csrf: String,
}

/// `GET /login`: begins a login that ends at `/account`, or shows one again.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Query(query): Query<LoginQuery>,
    MaybeSignedIn(session): MaybeSignedIn,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
) -> Result<Response, PublicError> {
    let Some(handle) = &query.login else {
        if session.is_some() {
            return Ok(Redirect::to("/account").into_response());
        }
        let request = LoginRequest::default();
        return begin(&app, request, query.connector.as_deref(), &browser, &origin).await;
    };
    if let Some(address) = &query.address {
        return onward::home_realm(&app, handle, address, &browser);
    }
    shown_again(&app, handle, query.connector.as_deref(), &browser).await
}

/// `GET /login/{connector}`: the same with one connector chosen.
pub(super) async fn show_connector(
    State(app): State<Arc<App>>,
    Path(connector): Path<String>,
    Query(query): Query<LoginQuery>,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
) -> Result<Response, PublicError> {
    if !app.broker.connectors().choices().iter().any(|choice| choice.id == connector) {
        return Err(PublicError::NotFound);
    }
    let Some(handle) = &query.login else {
        return begin(&app, LoginRequest::default(), Some(&connector), &browser, &origin).await;
    };
    if !is_redirect(&app, &connector) {
        return shown_again(&app, handle, Some(&connector), &browser).await;
    }
    let handle = Token::parse(handle).ok_or(PublicError::LoginExpired)?;
    let hint = query.address.as_deref();
    let step = app.broker.depart(&handle, browser.known()?, &connector, hint, &origin).await?;
    page_of(&app, step, &handle, Some(&connector), &browser)
}

/// Begins a login and shows its first page.
pub(super) async fn begin(
    app: &App,
    request: LoginRequest,
    connector: Option<&str>,
    browser: &Browser,
    origin: &Origin,
) -> Result<Response, PublicError> {
    let (handle, mut step) = app.broker.begin(request, &browser.secret, origin).await?;
    if let Step::AskCredentials(prompt) = &step
        && let Some(connector) = straight_to(prompt, connector)
    {
        step = app.broker.depart(&handle, &browser.secret, &connector, None, origin).await?;
    }
    let response = page_of(app, step, &handle, connector, browser)?;
    Ok(browser.remember(response))
}

/// The identity provider to which a browser goes without a page of ours: the one that was asked
/// for, or the only way to sign in.
fn straight_to(prompt: &CredentialsPrompt, wanted: Option<&str>) -> Option<String> {
    let chosen = match (wanted, prompt.connectors.as_slice()) {
        (Some(wanted), choices) => choices.iter().find(|choice| choice.id == wanted)?,
        (None, [only]) => only,
        (None, _) => return None,
    };
    (chosen.kind == ConnectorKind::Redirect).then(|| chosen.id.clone())
}

fn is_redirect(app: &App, connector: &str) -> bool {
    let choices = app.broker.connectors().choices();
    choices.iter().any(|choice| choice.id == connector && choice.kind == ConnectorKind::Redirect)
}

async fn shown_again(
    app: &App,
    handle: &str,
    connector: Option<&str>,
    browser: &Browser,
) -> Result<Response, PublicError> {
    let handle = Token::parse(handle).ok_or(PublicError::LoginExpired)?;
    let step = app.broker.resume(&handle, browser.known()?).await?;
    page_of(app, step, &handle, connector, browser)
}

/// `POST /login/{connector}`: user name and password.
pub(super) async fn credentials(
    State(app): State<Arc<App>>,
    Path(connector): Path<String>,
    MaybeSignedIn(session): MaybeSignedIn,
    cookie: CookieSession,
    RequestOrigin(origin): RequestOrigin,
    (browser, device): (Browser, DeviceCookies),
    Form(form): Form<CredentialsForm>,
) -> Result<Response, PublicError> {
    let event = Event::Credentials {
        connector,
        username: form.username,
        password: Secret::new(form.password),
    };
    let replaces = session.map(|session| session.id());
    let answer = Answer { form_token: form.csrf, event, replaces, remember: false };
    finish(app, answer, browser, device, origin, cookie).await
}

/// `POST /login/factor` and `POST /login/enrol`: a code.
pub(super) async fn code(
    State(app): State<Arc<App>>,
    MaybeSignedIn(session): MaybeSignedIn,
    cookie: CookieSession,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    device: DeviceCookies,
    Form(form): Form<CodeForm>,
) -> Result<Response, PublicError> {
    let event = Event::Code(Secret::new(form.code));
    let replaces = session.map(|session| session.id());
    let remember = form.remember.is_some();
    let answer = Answer { form_token: form.csrf, event, replaces, remember };
    finish(app, answer, browser, device, origin, cookie).await
}

/// `POST /login/passkey`: an authenticator's answer, at whatever step the login stands.
pub(super) async fn passkey(
    State(app): State<Arc<App>>,
    MaybeSignedIn(session): MaybeSignedIn,
    cookie: CookieSession,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    device: DeviceCookies,
    Form(form): Form<PasskeyAnswer>,
) -> Result<Response, PublicError> {
    let event = Event::Passkey { answer: form.credential, name: form.name };
    let replaces = session.map(|session| session.id());
    let remember = form.remember.is_some();
    let answer = Answer { form_token: form.csrf, event, replaces, remember };
    finish(app, answer, browser, device, origin, cookie).await
}

/// `POST /login/enrol/later`: puts the enrolment off.
pub(super) async fn postpone(
    State(app): State<Arc<App>>,
    MaybeSignedIn(session): MaybeSignedIn,
    cookie: CookieSession,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    device: DeviceCookies,
    Form(form): Form<BareForm>,
) -> Result<Response, PublicError> {
    let replaces = session.map(|session| session.id());
    let (form_token, event) = (form.csrf, Event::PostponeEnrolment);
    let answer = Answer { form_token, event, replaces, remember: false };
    finish(app, answer, browser, device, origin, cookie).await
}

/// `POST /login/continue`: goes on as whom an identity provider named unasked.
pub(super) async fn accept(
    State(app): State<Arc<App>>,
    MaybeSignedIn(session): MaybeSignedIn,
    cookie: CookieSession,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
    device: DeviceCookies,
    Form(form): Form<BareForm>,
) -> Result<Response, PublicError> {
    let replaces = session.map(|session| session.id());
    let answer =
        Answer { form_token: form.csrf, event: Event::Continue, replaces, remember: false };
    finish(app, answer, browser, device, origin, cookie).await
}

/// What a form of the login said.
struct Answer {
    form_token: String,
    event: Event,
    replaces: Option<SessionId>,
    remember: bool,
}

/// Takes an answer and writes the session's cookie, in a task of its own: a browser that goes away
/// in the middle must not leave a judged attempt without its event, or a session without a cookie.
async fn finish(
    app: Arc<App>,
    given: Answer,
    browser: Browser,
    device: DeviceCookies,
    origin: Origin,
    cookie: CookieSession,
) -> Result<Response, PublicError> {
    let work = async move {
        let Answer { form_token, event, replaces, remember } = given;
        let (secret, at) = (browser.known()?, device.device(remember));
        let step = app.broker.submit_on(&form_token, secret, event, replaces, at, &origin).await?;
        let handle = step::handle_of(&form_token).ok_or(PublicError::FormExpired)?;
        match step {
            // The form again, with what this browser did the last time.
            Step::AskCredentials(_) => page_of(&app, step, &handle, None, &browser),
            step => answered(&app, step, &handle, &device, &cookie).await,
        }
    };
    let span = tracing::Span::current();
    tokio::spawn(work.instrument(span)).await.map_err(|error| {
        tracing::error!(%error, "a sign-in's task failed");
        PublicError::Internal
    })?
}

/// `GET /login/continue`, `GET /login/factor`, `GET /login/enrol`: shows the step where the login
/// stands, or, when it is completed, goes on to what it was begun for.
pub(super) async fn dispatch(
    State(app): State<Arc<App>>,
    Query(query): Query<LoginQuery>,
    MaybeSignedIn(session): MaybeSignedIn,
    cookie: CookieSession,
    RequestOrigin(origin): RequestOrigin,
    (browser, device): (Browser, DeviceCookies),
) -> Result<Response, PublicError> {
    let handle = query.login.as_deref().and_then(Token::parse).ok_or(PublicError::LoginExpired)?;
    let replaces = session.as_ref().map(|session| session.id());
    // A browser that goes away in the middle must not leave a session without a cookie.
    let work = async move {
        let (secret, at) = (&browser.secret, device.device(false));
        let returned = app.broker.redeem_returned(&handle, secret, replaces, at, &origin).await?;
        match returned {
            Returned::Redeemed(step) => answered(&app, step, &handle, &device, &cookie).await,
            Returned::Offered(ours) => Ok(browser.remember(see_continue(&ours))),
            Returned::Nothing => go_on(&app, &handle, session, &browser, &device, &origin).await,
        }
    };
    let span = tracing::Span::current();
    tokio::spawn(work.instrument(span)).await.map_err(|error| {
        tracing::error!(%error, "a sign-in's task failed");
        PublicError::Internal
    })?
}

async fn go_on(
    app: &App,
    handle: &Token,
    session: Option<Session>,
    browser: &Browser,
    device: &DeviceCookies,
    origin: &Origin,
) -> Result<Response, PublicError> {
    let step = app.broker.resume(handle, browser.known()?).await?;
    if let Step::AskContinue { form_token, name, connector_label, .. } = &step {
        let signed_in_as = session.as_ref().map(|it| it.account().username.as_str());
        let page = pages::Offer { name, connector: connector_label, form_token, signed_in_as };
        return Ok(pages::render(&page));
    }
    if let Step::AlreadyCompleted { session: made, request } = step {
        // Only the browser that got the session's cookie goes on; the login itself is no proof.
        let session = session.filter(|session| session.id() == made);
        let session = session.ok_or(PublicError::LoginExpired)?;
        return match request.continuation {
            Some(page) if page == security::CONTINUATION => {
                Ok(Redirect::to("/account/security").into_response())
            }
            Some(continuation) => {
                authorize::go_on(app, &continuation, session, browser, device, origin).await
            }
            None => to_goal(app, &request).await,
        };
    }
    page_of(app, step, handle, None, browser)
}

/// Where a login that no client asked for ends: at a page of ours, or at the client that an
/// identity provider named. Anything else that it named leads nowhere.
async fn to_goal(app: &App, request: &LoginRequest) -> Result<Response, PublicError> {
    let goal = match &request.start_at {
        Some(named) => app.provider.client(named).await.map_err(|it| error::of_provider(&it))?,
        None => None,
    };
    let issuer = app.site.public_url.as_str().trim_end_matches('/');
    let goal = goal.and_then(|client| client.start_url(issuer));
    // A page between: the redirects after a form's post stay on this site.
    Ok(match goal {
        Some(url) => onward::to_site("You are signed in", "The application opens.", url.as_str()),
        None => Redirect::to(own_page(request.page)).into_response(),
    })
}

const fn own_page(page: Option<OwnPage>) -> &'static str {
    match page {
        None => "/account",
        Some(OwnPage::Identities) => "/account/identities",
    }
}

/// Turns the step after an answer into a page, and writes the cookie of a session that was made.
pub(super) async fn answered(
    app: &App,
    step: Step,
    handle: &Token,
    device: &DeviceCookies,
    cookie: &CookieSession,
) -> Result<Response, PublicError> {
    if let Some(page) = identities::linked(&step) {
        return Ok(page);
    }
    match step {
        Step::Completed(completed) => {
            let mut page = completed_page(app, &completed, handle, cookie).await?;
            device.set(&mut page, &completed, app.broker.now());
            Ok(page)
        }
        // A redirect after the post, so that reloading the page does not post again.
        Step::AskFactor { notice: None, .. }
        | Step::AskEnrolment { notice: None, .. }
        | Step::AskContinue { .. }
        | Step::AlreadyCompleted { .. } => Ok(see_continue(handle)),
        // Who comes back from a provider to a login that waits for a password.
        Step::AskCredentials(_) => Ok(see_login(handle)),
        other => step_page(app, other, handle),
    }
}

async fn completed_page(
    app: &App,
    completed: &Completed,
    handle: &Token,
    cookie: &CookieSession,
) -> Result<Response, PublicError> {
    let Completed { session, recovery_codes, .. } = completed;
    // A new id at every login: the row of the old one goes, the new one is made by `create`.
    cookie.cycle_id().await?;
    cookie.clear().await;
    let expires = session.record().expires_at;
    let expires = OffsetDateTime::from_unix_timestamp(expires.seconds())
        .map_err(|_| PublicError::Internal)?;
    cookie.set_expiry(Some(Expiry::AtDateTime(expires)));
    cookie.insert(HANDLE, session.id()).await?;
    cookie.save().await?;
    let connector = &session.record().connector;
    if recovery_codes.is_empty() {
        return Ok(last_used::remember(&app.site, see_continue(handle), connector));
    }
    let codes: Vec<String> = recovery_codes.iter().map(|code| code.expose().to_owned()).collect();
    let next = format!("/login/continue?login={}", handle.expose());
    let page = pages::render(&pages::RecoveryCodes { codes: &codes, next: &next });
    Ok(last_used::remember(&app.site, page, connector))
}

fn see_login(handle: &Token) -> Response {
    let location = format!("/login?login={}", handle.expose());
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// To the dispatcher, where a login goes on.
pub(super) fn see_continue(handle: &Token) -> Response {
    let location = format!("/login/continue?login={}", handle.expose());
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}
