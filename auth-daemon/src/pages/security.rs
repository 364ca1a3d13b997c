//! Pages about a person's own factors, and the form that a passkey is used through.

use askama::Template;

/// The form that the passkey script fills in. It stays hidden without script.
pub(crate) struct PasskeyForm<'a> {
    /// Where it is sent.
    pub(crate) action: &'static str,
    pub(crate) form_token: &'a str,
    /// Of an enrolment that is no login's.
    pub(crate) handle: Option<&'a str>,
    /// `get` or `create`.
    pub(crate) ceremony: &'static str,
    /// What the browser is asked, as JSON.
    pub(crate) options: &'a str,
    pub(crate) label: &'static str,
    /// What is said above it.
    pub(crate) lead: Option<&'static str>,
    /// Whether another form of the page is the usual one.
    pub(crate) quiet: bool,
    pub(crate) ask_name: bool,
    pub(crate) remember_days: Option<u64>,
}

/// One factor of the list.
pub(crate) struct FactorItem {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) created_at: String,
    pub(crate) created_shown: String,
    pub(crate) last_used_shown: Option<String>,
}

/// One remembered device of the list.
pub(crate) struct DeviceItem {
    pub(crate) id: String,
    pub(crate) current: bool,
    pub(crate) user_agent: String,
    pub(crate) ip: String,
    pub(crate) created_shown: String,
    pub(crate) expires_shown: String,
}

/// What guards an account.
#[derive(Template)]
#[template(path = "security.html")]
pub(crate) struct Security<'a> {
    pub(crate) notice: Option<&'static str>,
    pub(crate) csrf: &'a str,
    pub(crate) is_fresh: bool,
    pub(crate) factors: &'a [FactorItem],
    pub(crate) passkeys_offered: bool,
    pub(crate) recovery_codes_left: u64,
    pub(crate) devices: &'a [DeviceItem],
    pub(crate) has_local_password: bool,
}

/// A passkey being added.
#[derive(Template)]
#[template(path = "add_passkey.html")]
pub(crate) struct AddPasskey<'a> {
    pub(crate) notice: Option<&'static str>,
    pub(crate) passkey: Option<PasskeyForm<'a>>,
}

/// A new local password.
#[derive(Template)]
#[template(path = "change_password.html")]
pub(crate) struct ChangePassword<'a> {
    pub(crate) notice: Option<&'a str>,
    pub(crate) csrf: &'a str,
    pub(crate) username: &'a str,
}
