//! From a step of the login to its page.

use std::time::Duration;

use auth_core::broker::{ConnectorKind, CredentialsPrompt, Notice, Step};
use auth_core::factor::Postponement;
use auth_core::login::LoginRequest;
use auth_core::secret::Token;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::super::content_policy;
use super::{DAY, see_continue};
use crate::app::App;
use crate::error::PublicError;
use crate::extract::browser::Browser;
use crate::pages;

pub(super) fn page_of(
    app: &App,
    step: Step,
    handle: &Token,
    connector: Option<&str>,
    browser: &Browser,
) -> Result<Response, PublicError> {
    match step {
        Step::AskCredentials(prompt) => {
            let page = credentials_page(app, &prompt, handle, connector, browser);
            Ok(finished(page, &prompt.request, prompt.passkey.is_some()))
        }
        other => step_page(app, other, handle),
    }
}

pub(super) fn step_page(app: &App, step: Step, handle: &Token) -> Result<Response, PublicError> {
    match step {
        Step::AskFactor { form_token, methods, notice, request } => {
            let remember_days = methods.remember.map(|lasts| (lasts.as_secs() / DAY).max(1));
            let options = methods.passkey.as_deref();
            let page = pages::Factor {
                notice: notice.map(text),
                form_token: &form_token,
                totp: methods.totp,
                remember_days,
                passkey: options.map(|options| pages::PasskeyForm {
                    remember_days,
                    ..passkey_form(&form_token, options, "get", "Use your passkey")
                }),
            };
            let scripted = page.passkey.is_some();
            let page = with_status(pages::render(&page), notice);
            Ok(finished(page, &request, scripted))
        }
        Step::AskEnrolment { form_token, seed, notice, request } => {
            let passkey = seed.passkey_options().map(|options| pages::PasskeyForm {
                ask_name: true,
                lead: Some(
                    "Use a passkey of this device or a security key, or an authenticator app.",
                ),
                ..passkey_form(&form_token, options, "create", "Set up a passkey")
            });
            let page = pages::Enrol {
                notice: notice.map(text),
                form_token: &form_token,
                action: "/login/enrol",
                secret: seed.secret_in_groups().expose(),
                qr: seed.qr_svg().expose(),
                handle: None,
                later: seed.postponement().map(later),
                back: None,
                passkey,
            };
            let scripted = page.passkey.is_some();
            let page = with_status(pages::render(&page), notice);
            Ok(finished(page, &request, scripted))
        }
        Step::Redirect { url, .. } => {
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, url.to_string())]).into_response())
        }
        Step::PostForm { action, fields, .. } => {
            let page = pages::FormPost {
                text: "Sign in at your organisation.",
                action: action.as_str(),
                fields: &fields,
            };
            Ok(content_policy::with_form_target(pages::render(&page), action.as_str()))
        }
        Step::Refused { .. } => Err(PublicError::SignInRefused),
        Step::Wait { retry_after } => Err(PublicError::TooManyRequests(retry_after)),
        Step::Unavailable { .. } => Err(PublicError::Unavailable(Duration::from_secs(30))),
        Step::AlreadyCompleted { .. } => Ok(see_continue(handle)),
        // `Completed` is answered where the cookie is at hand; further steps are not shown yet.
        _ => {
            tracing::error!(site = %app.site.public_url, "a step has no page");
            Err(PublicError::Internal)
        }
    }
}

fn credentials_page(
    app: &App,
    prompt: &CredentialsPrompt,
    handle: &Token,
    connector: Option<&str>,
    browser: &Browser,
) -> Response {
    let last_used = browser.last_used.as_deref();
    let mut connectors: Vec<pages::Choice> = prompt
        .connectors
        .iter()
        .map(|choice| pages::Choice {
            redirect: choice.kind == ConnectorKind::Redirect,
            last_used: last_used == Some(choice.id.as_str()),
            logo: app.site.logos.contains_key(&choice.id),
            ..pages::Choice::plain(&choice.id, &choice.label)
        })
        .collect();
    let wanted = prompt.selected.as_deref().or(connector).or(last_used);
    let with_form = |choice: &pages::Choice| !choice.redirect;
    let selected = wanted
        .and_then(|id| connectors.iter().position(|choice| with_form(choice) && choice.id == id))
        .or_else(|| connectors.iter().position(with_form))
        .and_then(|index| connectors.get_mut(index));
    let selected = selected.map(|choice| {
        choice.current = true;
        choice.clone()
    });
    let page = pages::Login {
        client: prompt.request.client_name.as_deref(),
        notice: prompt.notice.map(text),
        connectors: &connectors,
        selected,
        home_realms: app.broker.has_home_realms(),
        handle: handle.expose(),
        form_token: &prompt.form_token,
        username: prompt.username.as_deref().unwrap_or_default(),
        passkey: prompt.passkey.as_deref().map(|options| pages::PasskeyForm {
            quiet: true,
            ..passkey_form(&prompt.form_token, options, "get", "Sign in with a passkey")
        }),
    };
    with_status(pages::render(&page), prompt.notice)
}

fn passkey_form<'a>(
    form_token: &'a str,
    options: &'a str,
    ceremony: &'static str,
    label: &'static str,
) -> pages::PasskeyForm<'a> {
    pages::PasskeyForm {
        action: "/login/passkey",
        form_token,
        handle: None,
        ceremony,
        options,
        label,
        lead: None,
        quiet: false,
        ask_name: false,
        remember_days: None,
    }
}

/// What a person may read beside the button that puts the enrolment off.
fn later(left: Postponement) -> String {
    let logins = left.logins_left.map(|left| match left {
        1 => "once more".to_owned(),
        left => format!("{left} more times"),
    });
    let until = left.ends_at.map(|end| format!("until {}", pages::moment(end)));
    let limits: Vec<String> = logins.into_iter().chain(until).collect();
    format!("You can sign in without it {}.", limits.join(", "))
}

fn finished(page: Response, request: &LoginRequest, scripted: bool) -> Response {
    let page = content_policy::with_form_targets(page, request);
    if scripted { content_policy::with_script(page) } else { page }
}

fn with_status(mut response: Response, notice: Option<Notice>) -> Response {
    if notice.is_some() {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        // RFC 9110 section 11.6.1 wants a challenge with 401; browsers pass over a scheme that
        // they do not know and show the page.
        let challenge = HeaderValue::from_static("Form realm=\"sign-in\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

const fn text(notice: Notice) -> &'static str {
    match notice {
        Notice::ClockDrift => {
            "This code is not valid now. Check that the clock of your device is right, then enter \
             the next code."
        }
        Notice::PasswordExpired => {
            "Your password has expired. Change it in your organisation's directory, then sign in."
        }
        Notice::PasswordMustChange => {
            "You have to change your password in your organisation's directory before you can \
             sign in."
        }
        _ => "What you entered is not right, or you may not sign in here. Please try again.",
    }
}
