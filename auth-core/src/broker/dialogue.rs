//! What a login and a person say to each other: a web server turns each [`Step`] into a page or a
//! redirect, and a form's fields into an [`Event`].

use std::time::Duration;

use super::{ConnectorChoice, FactorMethods, RememberedDevice};
use crate::login::LoginRequest;
use crate::secret::Secret;
use crate::session::Session;
use crate::store::SessionId;

/// What a person answered.
#[derive(Debug)]
pub enum Event {
    /// User name and password at a connector.
    Credentials {
        /// The connector.
        connector: String,
        /// The name as typed.
        username: String,
        /// The password as typed.
        password: Secret,
    },
    /// A code of the second factor, or a recovery code; also confirms a factor being set up.
    Code(Secret),
    /// What the browser's script got from an authenticator: instead of the password where that is
    /// allowed, as the second factor, or to set one up.
    Passkey {
        /// The credential as JSON (WebAuthn level 3 section 5.1).
        answer: String,
        /// What its owner calls a new one.
        name: Option<String>,
    },
    /// The enrolment that the policy asks for is put off, where that is still allowed.
    PostponeEnrolment,
    /// The person goes on with what an identity provider sent unasked.
    Continue,
}

/// What comes next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// Ask for user name and password.
    AskCredentials(CredentialsPrompt),
    /// Ask for the code of the second factor.
    AskFactor {
        /// Hidden field of the form.
        form_token: String,
        /// What may be answered.
        methods: Box<FactorMethods>,
        /// What to say of the last answer.
        notice: Option<Notice>,
        /// What the login was begun with.
        request: Box<LoginRequest>,
    },
    /// Show the seed of a new second factor and ask for its first code.
    AskEnrolment {
        /// Hidden field of the form.
        form_token: String,
        /// What to show.
        seed: Box<super::Enrolment>,
        /// What to say of the last answer.
        notice: Option<Notice>,
        /// What the login was begun with.
        request: Box<LoginRequest>,
    },
    /// Send the browser to an identity provider.
    Redirect {
        /// Where to.
        url: url::Url,
        /// What the login was begun with.
        request: Box<LoginRequest>,
    },
    /// Send the browser to an identity provider by a form.
    PostForm {
        /// Where to.
        action: url::Url,
        /// Its fields, unescaped.
        fields: Vec<(String, String)>,
        /// What the login was begun with.
        request: Box<LoginRequest>,
    },
    /// An identity provider began by itself: ask the person whether to go on as whom it names.
    AskContinue {
        /// Hidden field of the form.
        form_token: String,
        /// Whom it names.
        name: String,
        /// The identity provider, for people.
        connector_label: String,
        /// What the login was begun with.
        request: Box<LoginRequest>,
    },
    /// An identity was linked to the account of the browser's session; nobody was signed in.
    Linked {
        /// What the login was begun with.
        request: Box<LoginRequest>,
    },
    /// An identity provider's answer, or the person that it named, was refused. The person may
    /// begin anew.
    Refused {
        /// The exact reason, for metrics; the person sees a neutral text.
        reason: &'static str,
        /// What the login was begun with.
        request: Box<LoginRequest>,
    },
    /// This source has to wait before it may try again.
    Wait {
        /// At least so long.
        retry_after: Duration,
    },
    /// The connector cannot judge right now; nobody's fault.
    Unavailable {
        /// The exact reason, for metrics; the person sees a neutral text.
        reason: &'static str,
    },
    /// Signed in.
    Completed(Box<Completed>),
    /// The login had made its session before; go on with the browser's session.
    AlreadyCompleted {
        /// The session that it made.
        session: SessionId,
        /// What was to happen afterwards.
        request: Box<LoginRequest>,
    },
}

/// A login's end.
#[derive(Debug)]
pub struct Completed {
    /// The browser's session.
    pub session: Session,
    /// What the login was begun with.
    pub request: LoginRequest,
    /// Recovery codes to be shown once, after a second factor was set up.
    pub recovery_codes: Vec<Secret>,
    /// The device that is remembered from now on.
    pub device: Option<RememberedDevice>,
    /// What the browser is to keep for [`Device::known`](super::Device::known), after a password.
    pub known_browser: Option<String>,
}

/// What the sign-in form shows.
#[derive(Debug)]
pub struct CredentialsPrompt {
    /// Hidden field of the form.
    pub form_token: String,
    /// Connectors to choose from.
    pub connectors: Vec<ConnectorChoice>,
    /// The one that was used last in this login.
    pub selected: Option<String>,
    /// What to put into the user name field.
    pub username: Option<String>,
    /// What the script is given to ask for a passkey instead, as JSON; none where that is not
    /// allowed.
    pub passkey: Option<String>,
    /// What to say of the last answer.
    pub notice: Option<Notice>,
    /// What the login was begun with.
    pub request: Box<LoginRequest>,
}

/// What to say of the last answer. `Refused` is one text for every cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The code fits a moment a few minutes off: the device's clock is probably wrong.
    ClockDrift,
    /// Name or password is wrong, or the person may not sign in.
    Refused,
    /// The password was right but has expired; change it at the connector.
    PasswordExpired,
    /// The password was right but must be changed at the connector first.
    PasswordMustChange,
}
