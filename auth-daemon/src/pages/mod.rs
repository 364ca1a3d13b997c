//! The pages: one context struct for each template. They work without script; where a passkey may
//! be used, a small one offers it.

mod security;

use askama::Template;
use auth_core::clock::Timestamp;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Changes with the style sheet, so that browsers fetch a new one.
pub(crate) const STYLE_VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) use security::{
    AddPasskey, ChangePassword, DeviceItem, FactorItem, PasskeyForm, Security,
};

/// A way to sign in.
#[derive(Clone)]
pub(crate) struct Choice {
    pub(crate) id: String,
    pub(crate) label: String,
    /// Whether it leads to an identity provider's own pages.
    pub(crate) redirect: bool,
    /// Whether its form is on this page.
    pub(crate) current: bool,
    /// Whether this browser signed in this way the last time.
    pub(crate) last_used: bool,
    /// Whether it has a picture.
    pub(crate) logo: bool,
}

impl Choice {
    /// A choice with nothing special about it.
    pub(crate) fn plain(id: &str, label: &str) -> Self {
        Self {
            id: id.to_owned(),
            label: label.to_owned(),
            redirect: false,
            current: false,
            last_used: false,
            logo: false,
        }
    }
}

/// User name and password.
#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct Login<'a> {
    pub(crate) client: Option<&'a str>,
    pub(crate) notice: Option<&'static str>,
    pub(crate) connectors: &'a [Choice],
    pub(crate) selected: Option<Choice>,
    /// Whether a typed address can lead to a provider.
    pub(crate) home_realms: bool,
    pub(crate) handle: &'a str,
    pub(crate) form_token: &'a str,
    pub(crate) username: &'a str,
    pub(crate) passkey: Option<PasskeyForm<'a>>,
}

/// Whether to go on as whom an identity provider named unasked.
#[derive(Template)]
#[template(path = "offer.html")]
pub(crate) struct Offer<'a> {
    pub(crate) name: &'a str,
    pub(crate) connector: &'a str,
    pub(crate) form_token: &'a str,
    /// Who is signed in in this browser already.
    pub(crate) signed_in_as: Option<&'a str>,
}

/// The second factor's code.
#[derive(Template)]
#[template(path = "factor.html")]
pub(crate) struct Factor<'a> {
    pub(crate) notice: Option<&'static str>,
    pub(crate) form_token: &'a str,
    pub(crate) totp: bool,
    pub(crate) remember_days: Option<u64>,
    pub(crate) passkey: Option<PasskeyForm<'a>>,
}

/// A second factor being set up.
#[derive(Template)]
#[template(path = "enrol.html")]
pub(crate) struct Enrol<'a> {
    pub(crate) notice: Option<&'static str>,
    pub(crate) form_token: &'a str,
    pub(crate) action: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) qr: &'a str,
    /// Of an enrolment that is no login's.
    pub(crate) handle: Option<&'a str>,
    /// What is said beside the button that puts it off.
    pub(crate) later: Option<String>,
    /// Where to without it.
    pub(crate) back: Option<&'static str>,
    pub(crate) passkey: Option<PasskeyForm<'a>>,
}

/// Recovery codes, shown once.
#[derive(Template)]
#[template(path = "recovery_codes.html")]
pub(crate) struct RecoveryCodes<'a> {
    pub(crate) codes: &'a [String],
    pub(crate) next: &'a str,
}

/// Who is signed in.
#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct Account<'a> {
    pub(crate) username: &'a str,
    pub(crate) name: &'a str,
    pub(crate) email: &'a str,
    pub(crate) connector: &'a str,
    pub(crate) since: &'a str,
    pub(crate) since_shown: &'a str,
    pub(crate) csrf: &'a str,
}

/// One session of the list.
pub(crate) struct SessionItem {
    pub(crate) id: String,
    pub(crate) what: String,
    pub(crate) current: bool,
    pub(crate) last_seen_at: String,
    pub(crate) last_seen_shown: String,
    pub(crate) ip: String,
    pub(crate) user_agent: String,
}

/// Where somebody is signed in.
#[derive(Template)]
#[template(path = "sessions.html")]
pub(crate) struct Sessions<'a> {
    pub(crate) sessions: &'a [SessionItem],
    pub(crate) csrf: &'a str,
}

/// One way to sign in of a person.
pub(crate) struct IdentityItem {
    pub(crate) connector: String,
    pub(crate) label: String,
    pub(crate) subject: String,
    pub(crate) shown_subject: String,
    pub(crate) since: String,
    pub(crate) since_shown: String,
    pub(crate) can_unlink: bool,
}

/// How somebody can sign in.
#[derive(Template)]
#[template(path = "identities.html")]
pub(crate) struct Identities<'a> {
    pub(crate) identities: &'a [IdentityItem],
    pub(crate) linkable: &'a [Choice],
    /// Whether changes are possible without another proof.
    pub(crate) fresh: bool,
    pub(crate) csrf: &'a str,
}

/// Asks before signing out.
#[derive(Template)]
#[template(path = "confirm_logout.html")]
pub(crate) struct ConfirmLogout<'a> {
    pub(crate) username: &'a str,
    pub(crate) csrf: &'a str,
    /// Where the browser goes afterwards.
    pub(crate) fields: &'a [(&'a str, &'a str)],
}

/// Asks for the code that a device shows.
#[derive(Template)]
#[template(path = "device.html")]
pub(crate) struct Device<'a> {
    pub(crate) notice: Option<&'static str>,
    pub(crate) csrf: &'a str,
    pub(crate) user_code: &'a str,
}

/// Asks whether a device may come in.
#[derive(Template)]
#[template(path = "confirm_device.html")]
pub(crate) struct ConfirmDevice<'a> {
    pub(crate) csrf: &'a str,
    pub(crate) username: &'a str,
    pub(crate) client: &'a str,
    pub(crate) user_code: &'a str,
    pub(crate) ip: &'a str,
    pub(crate) user_agent: &'a str,
    pub(crate) asked_at: &'a str,
    pub(crate) asked_at_shown: &'a str,
}

/// Something to tell.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message<'a> {
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    pub(crate) link: Option<(&'a str, &'a str)>,
    pub(crate) reference: Option<String>,
}

/// An answer or a request by form: an authorization response (`response_mode=form_post`), or the way to
/// an identity provider.
#[derive(Template)]
#[template(path = "form_post.html")]
pub(crate) struct FormPost<'a> {
    pub(crate) text: &'a str,
    pub(crate) action: &'a str,
    pub(crate) fields: &'a [(String, String)],
}

/// A moment as people read it, in UTC to the minute.
pub(crate) fn moment(at: Timestamp) -> String {
    let text = at.rfc3339();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute} UTC"),
        _ => text,
    }
}

/// Renders a page with status 200.
pub(crate) fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => {
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            ([(header::CONTENT_TYPE, kind)], html).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "page not rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
