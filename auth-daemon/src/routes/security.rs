//! `/account/security`: a person's own factors, recovery codes, devices and password. Everything that
//! changes something wants the form's token first, then a login of the last five minutes.

use std::sync::Arc;

use auth_core::broker::{Confirmation, Enrolment, PasswordChange};
use auth_core::secret::{Secret, Token};
use auth_core::session::FreshSession;
use auth_core::store::{DeviceId, FactorId, FactorKind, FactorRecord, FactorRemoval};
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{content_policy, login};
use crate::app::App;
use crate::error::PublicError;
use crate::extract::browser::Browser;
use crate::extract::device::DeviceCookies;
use crate::extract::origin::RequestOrigin;
use crate::extract::signed_in::SignedIn;
use crate::pages;

/// What a login is begun with that leads back here.
pub(super) const CONTINUATION: &str = "/account/security";

/// A code for an authenticator app being set up.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct TotpForm {
    csrf: String,
    handle: String,
    code: String,
}

/// What the passkey script sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PasskeyAnswer {
    csrf: String,
    handle: String,
    credential: String,
    name: String,
}

/// What to do with a factor.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct FactorForm {
    csrf: String,
    factor: String,
    action: String,
    name: String,
}

/// Which device to forget.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct DeviceForm {
    csrf: String,
    device: String,
}

/// A new password.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PasswordForm {
    csrf: String,
    old_password: String,
    new_password: String,
    repeated: String,
}

/// `GET /account/security`.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    device: DeviceCookies,
) -> Result<Response, PublicError> {
    overview(&app, &signed_in, &device, None).await
}

async fn overview(
    app: &App,
    signed_in: &SignedIn,
    device: &DeviceCookies,
    notice: Option<&'static str>,
) -> Result<Response, PublicError> {
    let found = app.broker.security_overview(&signed_in.session).await?;
    let factors: Vec<pages::FactorItem> = found.factors.iter().map(factor_item).collect();
    let current = device.token().map(Token::hash);
    let devices: Vec<pages::DeviceItem> = found
        .devices
        .into_iter()
        .map(|device| pages::DeviceItem {
            id: device.id.to_string(),
            current: current == Some(device.token),
            user_agent: device.user_agent.unwrap_or_default(),
            ip: device.ip.unwrap_or_default(),
            created_shown: pages::moment(device.created_at),
            expires_shown: pages::moment(device.expires_at),
        })
        .collect();
    let page = pages::render(&pages::Security {
        notice,
        csrf: &signed_in.csrf,
        is_fresh: found.is_fresh,
        factors: &factors,
        passkeys_offered: found.passkeys_offered,
        recovery_codes_left: found.recovery_codes_left,
        devices: &devices,
        has_local_password: found.has_local_password,
    });
    Ok(if notice.is_some() { refused(page) } else { page })
}

fn factor_item(factor: &FactorRecord) -> pages::FactorItem {
    let kind = match factor.kind {
        FactorKind::Totp => "Authenticator app",
        FactorKind::Passkey => "Passkey",
    };
    pages::FactorItem {
        id: factor.id.to_string(),
        name: factor.name.clone().unwrap_or_else(|| kind.to_owned()),
        kind,
        created_at: factor.created_at.rfc3339(),
        created_shown: pages::moment(factor.created_at),
        last_used_shown: factor.last_used_at.map(pages::moment),
    }
}

/// `GET /account/security/confirm`: begins a login of the same account that leads back here.
pub(super) async fn confirm(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
    RequestOrigin(origin): RequestOrigin,
    browser: Browser,
) -> Result<Response, PublicError> {
    let session = &signed_in.session;
    let request = app.broker.reauthentication(session, CONTINUATION).await?;
    login::begin(&app, request, Some(&session.record().connector), &browser, &origin).await
}

/// The proof of a fresh login, or the way to one.
async fn fresh<'a>(app: &App, signed_in: &'a SignedIn) -> Result<FreshSession<'a>, Response> {
    match app.broker.fresh_session(&signed_in.session).await {
        Ok(Some(fresh)) => Ok(fresh),
        Ok(None) => Err(Redirect::to("/account/security/confirm").into_response()),
        Err(error) => Err(PublicError::from(error).into_response()),
    }
}

/// `GET /account/security/totp`: the seed of a new authenticator app.
pub(super) async fn new_totp(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
) -> Result<Response, PublicError> {
    let fresh = match fresh(&app, &signed_in).await {
        Ok(fresh) => fresh,
        Err(response) => return Ok(response),
    };
    let (handle, shown) = app.broker.begin_totp(fresh).await?;
    Ok(totp_page(&signed_in, &handle, &shown, None))
}

fn totp_page(
    signed_in: &SignedIn,
    handle: &Token,
    shown: &Enrolment,
    notice: Option<&'static str>,
) -> Response {
    let page = pages::render(&pages::Enrol {
        notice,
        form_token: &signed_in.csrf,
        action: "/account/security/totp",
        secret: shown.secret_in_groups().expose(),
        qr: shown.qr_svg().expose(),
        handle: Some(handle.expose()),
        later: None,
        back: Some("/account/security"),
        passkey: None,
    });
    if notice.is_some() { refused(page) } else { page }
}

/// `POST /account/security/totp`: its first code.
pub(super) async fn add_totp(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    signed_in: SignedIn,
    Form(form): Form<TotpForm>,
) -> Result<Response, PublicError> {
    signed_in.check_form(&form.csrf)?;
    let fresh = match fresh(&app, &signed_in).await {
        Ok(fresh) => fresh,
        Err(response) => return Ok(response),
    };
    let handle = Token::parse(&form.handle).ok_or(PublicError::FormExpired)?;
    let code = Secret::new(form.code);
    match app.broker.confirm_totp(fresh, &handle, &code, &origin).await? {
        Confirmation::Added { recovery_codes } => Ok(added(&recovery_codes)),
        Confirmation::Over => Err(PublicError::FormExpired),
        Confirmation::Refused => match app.broker.show_totp(fresh, &handle).await? {
            Some(shown) => {
                Ok(totp_page(&signed_in, &handle, &shown, Some("This code is not right.")))
            }
            None => Err(PublicError::FormExpired),
        },
    }
}

/// `GET /account/security/passkey`: the form that the passkey script fills in.
pub(super) async fn new_passkey(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
) -> Result<Response, PublicError> {
    let fresh = match fresh(&app, &signed_in).await {
        Ok(fresh) => fresh,
        Err(response) => return Ok(response),
    };
    passkey_page(&app, &signed_in, fresh, None).await
}

async fn passkey_page(
    app: &App,
    signed_in: &SignedIn,
    fresh: FreshSession<'_>,
    notice: Option<&'static str>,
) -> Result<Response, PublicError> {
    let begun = app.broker.begin_passkey(fresh).await?;
    let passkey = begun.as_ref().map(|(handle, options)| pages::PasskeyForm {
        action: "/account/security/passkey",
        form_token: &signed_in.csrf,
        handle: Some(handle.expose()),
        ceremony: "create",
        options,
        label: "Add a passkey",
        lead: Some("This device, another one, or a security key confirms that it is you."),
        quiet: false,
        ask_name: true,
        remember_days: None,
    });
    let page = pages::render(&pages::AddPasskey { notice, passkey });
    let page = if notice.is_some() { refused(page) } else { page };
    Ok(content_policy::with_script(page))
}

/// `POST /account/security/passkey`: the authenticator's answer.
pub(super) async fn add_passkey(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    signed_in: SignedIn,
    Form(form): Form<PasskeyAnswer>,
) -> Result<Response, PublicError> {
    signed_in.check_form(&form.csrf)?;
    let fresh = match fresh(&app, &signed_in).await {
        Ok(fresh) => fresh,
        Err(response) => return Ok(response),
    };
    let handle = Token::parse(&form.handle).ok_or(PublicError::FormExpired)?;
    let (answer, name) = (&form.credential, &form.name);
    match app.broker.confirm_passkey(fresh, &handle, answer, name, &origin).await? {
        Confirmation::Added { recovery_codes } => Ok(added(&recovery_codes)),
        Confirmation::Over => Err(PublicError::FormExpired),
        Confirmation::Refused => {
            let notice = "This passkey could not be added. It may be in use already.";
            passkey_page(&app, &signed_in, fresh, Some(notice)).await
        }
    }
}

/// `POST /account/security/factors`: another name for a factor, or its end.
pub(super) async fn change_factor(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    signed_in: SignedIn,
    device: DeviceCookies,
    Form(form): Form<FactorForm>,
) -> Result<Response, PublicError> {
    signed_in.check_form(&form.csrf)?;
    let fresh = match fresh(&app, &signed_in).await {
        Ok(fresh) => fresh,
        Err(response) => return Ok(response),
    };
    let id = form.factor.parse().map(FactorId).map_err(|_| PublicError::BadRequest)?;
    match form.action.as_str() {
        "rename" if app.broker.rename_factor(fresh, id, &form.name, &origin).await? => Ok(back()),
        "rename" => Err(PublicError::NotFound),
        "remove" => match app.broker.remove_factor(fresh, id, &origin).await? {
            FactorRemoval::Removed => Ok(back()),
            FactorRemoval::Unknown => Err(PublicError::NotFound),
            FactorRemoval::Last => {
                let notice = "You need a second step here, so the last one stays. Add another one \
                              first.";
                overview(&app, &signed_in, &device, Some(notice)).await
            }
        },
        _ => Err(PublicError::BadRequest),
    }
}

/// `POST /account/security/recovery-codes`: fresh ones; the old ones are dead.
pub(super) async fn replace_codes(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    signed_in: SignedIn,
    Form(form): Form<DeviceForm>,
) -> Result<Response, PublicError> {
    signed_in.check_form(&form.csrf)?;
    let fresh = match fresh(&app, &signed_in).await {
        Ok(fresh) => fresh,
        Err(response) => return Ok(response),
    };
    match app.broker.replace_recovery_codes(fresh, &origin).await? {
        Some(codes) => Ok(added(&codes)),
        None => Err(PublicError::BadRequest),
    }
}

/// `POST /account/security/devices`: forgets one device, or all.
pub(super) async fn forget_devices(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    signed_in: SignedIn,
    Form(form): Form<DeviceForm>,
) -> Result<Response, PublicError> {
    signed_in.check_form(&form.csrf)?;
    let fresh = match fresh(&app, &signed_in).await {
        Ok(fresh) => fresh,
        Err(response) => return Ok(response),
    };
    let id = match form.device.as_str() {
        "all" => None,
        one => Some(one.parse().map(DeviceId).map_err(|_| PublicError::BadRequest)?),
    };
    app.broker.forget_devices(fresh, id, &origin).await?;
    Ok(back())
}

/// `GET /account/security/password`.
pub(super) async fn new_password(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
) -> Result<Response, PublicError> {
    match fresh(&app, &signed_in).await {
        Ok(_) => Ok(password_page(&signed_in, None)),
        Err(response) => Ok(response),
    }
}

fn password_page(signed_in: &SignedIn, notice: Option<&str>) -> Response {
    let username = &signed_in.session.account().username;
    let page = pages::ChangePassword { notice, csrf: &signed_in.csrf, username };
    let page = pages::render(&page);
    if notice.is_some() { refused(page) } else { page }
}

/// `POST /account/security/password`.
pub(super) async fn change_password(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    signed_in: SignedIn,
    Form(form): Form<PasswordForm>,
) -> Result<Response, PublicError> {
    signed_in.check_form(&form.csrf)?;
    let fresh = match fresh(&app, &signed_in).await {
        Ok(fresh) => fresh,
        Err(response) => return Ok(response),
    };
    let (old, new) = (Secret::new(form.old_password), Secret::new(form.new_password));
    let same = new.matches(&form.repeated);
    drop(Secret::new(form.repeated));
    if !same {
        return Ok(password_page(&signed_in, Some("The two new passwords differ.")));
    }
    let rules = &app.password_rules;
    match app.broker.change_own_password(fresh, old, new, rules, &origin).await? {
        PasswordChange::Changed => {
            let page = pages::Message {
                title: "Your password is changed",
                text: "You are signed out everywhere.",
                link: Some(("/login", "Sign in")),
                reference: None,
            };
            Ok(pages::render(&page))
        }
        PasswordChange::WrongPassword => {
            Ok(password_page(&signed_in, Some("The present password is not right.")))
        }
        PasswordChange::NotAcceptable(problem) => {
            Ok(password_page(&signed_in, Some(&format!("The new password {problem}."))))
        }
    }
}

/// After something was added: its recovery codes once, else back to the list.
fn added(recovery_codes: &[Secret]) -> Response {
    if recovery_codes.is_empty() {
        return back();
    }
    let codes: Vec<String> = recovery_codes.iter().map(|code| code.expose().to_owned()).collect();
    pages::render(&pages::RecoveryCodes { codes: &codes, next: "/account/security" })
}

fn back() -> Response {
    Redirect::to("/account/security").into_response()
}

/// A form that is shown again with what was wrong in it.
fn refused(mut page: Response) -> Response {
    *page.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    page
}
