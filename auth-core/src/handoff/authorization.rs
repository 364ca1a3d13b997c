//! The authorization endpoint: what was asked for, and whether the browser's session answers it.
//!
//! OpenID Connect Core 1.0 section 3.1.2, RFC 6749 section 4.1. A request is read once by
//! [`AuthorizationRequest::read`] and kept, while the person signs in, with the moment it began:
//! a login later than that was made for it and satisfies `prompt=login` and `max_age`.

mod request;
mod response;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use request::{AuthorizationRefusal, requested_client};
pub use response::{AuthorizationError, AuthorizationErrorCode, AuthorizationResponse, PageError};

use super::acr::AuthenticationContext;
use super::client::Client;
use super::scope::Scope;
use crate::clock::Timestamp;
use crate::session::Session;
use crate::store::AccountId;

/// How the answer travels to the client, OAuth 2.0 Multiple Response Type Encoding Practices and
/// Form Post Response Mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of a redirect.
    #[default]
    Query,
    /// In a form that the browser posts.
    FormPost,
}

/// A value of `prompt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// No page may be shown.
    None,
    /// The person must sign in anew.
    Login,
    /// The person must agree; there is no such page here, the administrator agreed for all.
    Consent,
    /// The person must be able to choose another account.
    SelectAccount,
}

/// Whose session `id_token_hint` wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountHint {
    /// This account's.
    Account(AccountId),
    /// The hint is no ID token of ours, or its key is not published any more.
    Unreadable,
}

/// A checked authorization request. Its redirect URI is one of its client's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) response_mode: ResponseMode,
    pub(super) scope: Scope,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) code_challenge: Option<String>,
    pub(super) prompt: Vec<Prompt>,
    pub(super) max_age: Option<u32>,
    pub(super) minimum_acr: Option<AuthenticationContext>,
    pub(super) login_hint: Option<String>,
    pub(super) ui_locales: Vec<String>,
    pub(super) account_hint: Option<AccountHint>,
    pub(super) started_at: Timestamp,
}

/// What is to be done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizationDecision {
    /// The session answers it: make a code.
    IssueCode,
    /// The person has to sign in (again) first.
    SignIn(SignInDemand),
    /// It is refused.
    Refuse(AuthorizationError),
}

/// Why, and how, the person has to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignInDemand {
    /// Why.
    pub reason: SignInReason,
    /// Whether a live session does not spare the first factor.
    pub reauthenticate: bool,
    /// What the login must reach at least.
    pub minimum_acr: AuthenticationContext,
}

/// Why the person has to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignInReason {
    /// There is no session.
    NoSession,
    /// `prompt=login`.
    PromptLogin,
    /// `prompt=select_account`.
    SelectAccount,
    /// The last login is longer ago than `max_age`.
    MaxAge,
    /// The client's people may not come in through the session's connector.
    Connector,
    /// `id_token_hint` names somebody else.
    OtherAccount,
    /// The client or the policy asks for a stronger login.
    StepUp,
}

impl AuthorizationRequest {
    /// The client's id.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Where the answer goes.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// How the answer travels.
    #[must_use]
    pub const fn response_mode(&self) -> ResponseMode {
        self.response_mode
    }

    /// The scope asked for, narrowed to what the client may have.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The `S256` challenge.
    #[must_use]
    pub fn code_challenge(&self) -> Option<&str> {
        self.code_challenge.as_deref()
    }

    /// The nonce for the ID token.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// What the client says the person will type as a name.
    #[must_use]
    pub fn login_hint(&self) -> Option<&str> {
        self.login_hint.as_deref()
    }

    /// Whether an identity provider must not answer from a session of its own: the client asked
    /// for a login (`prompt=login`) or for a young one (`max_age`).
    #[must_use]
    pub fn wants_fresh_login(&self) -> bool {
        self.max_age.is_some() || self.prompt.contains(&Prompt::Login)
    }

    /// Languages in the order of preference, BCP 47.
    #[must_use]
    pub fn ui_locales(&self) -> &[String] {
        &self.ui_locales
    }

    /// When it arrived.
    #[must_use]
    pub const fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// What the client demands of the login by `acr_values`.
    #[must_use]
    pub const fn minimum_acr(&self) -> Option<AuthenticationContext> {
        self.minimum_acr
    }

    /// Whose session the client wants.
    #[must_use]
    pub fn with_account_hint(mut self, hint: AccountHint) -> Self {
        self.account_hint = Some(hint);
        self
    }

    /// Whether no page may be shown.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.prompt.contains(&Prompt::None)
    }

    /// Whether the session's person proved who they are since the request came, or recently
    /// enough for `max_age`.
    fn is_recent(&self, session: &Session, now: Timestamp) -> bool {
        let authenticated_at = session.record().authenticated_at;
        let age = now.since(authenticated_at);
        authenticated_at >= self.started_at
            || self.max_age.is_none_or(|seconds| age <= Duration::from_secs(seconds.into()))
    }

    /// Why `session` does not answer the request, and whether the first factor is wanted anew.
    fn missing(
        &self,
        client: &Client,
        session: Option<&Session>,
        minimum_acr: AuthenticationContext,
        now: Timestamp,
    ) -> Option<(SignInReason, bool)> {
        let Some(session) = session else { return Some((SignInReason::NoSession, false)) };
        let record = session.record();
        let since_request = record.authenticated_at >= self.started_at;
        let hinted_other = match self.account_hint {
            Some(AccountHint::Account(hinted)) => hinted != record.account,
            // Without pages nobody could choose: better to ask than to answer for another.
            Some(AccountHint::Unreadable) => self.is_silent(),
            None => false,
        };
        if !client.allows_connector(&record.connector) {
            Some((SignInReason::Connector, true))
        } else if hinted_other && (self.is_silent() || !since_request) {
            Some((SignInReason::OtherAccount, true))
        } else if self.prompt.contains(&Prompt::Login) && !since_request {
            Some((SignInReason::PromptLogin, true))
        } else if self.prompt.contains(&Prompt::SelectAccount) && !since_request {
            Some((SignInReason::SelectAccount, true))
        } else if !self.is_recent(session, now) {
            Some((SignInReason::MaxAge, true))
        } else if AuthenticationContext::of_session(&record.acr) < minimum_acr {
            Some((SignInReason::StepUp, false))
        } else {
            None
        }
    }
}

/// What a client is told of a person whom it does not let in by its groups.
const GROUPS_REFUSED: &str = "the person is in none of the groups that may sign in here";

/// Decides whether the browser's session answers the request.
///
/// `policy_acr` is what the policy demands of this person for this client here and now; it and
/// `acr_values` hold together, so neither can weaken the other.
#[must_use]
pub fn decide(
    request: &AuthorizationRequest,
    client: &Client,
    session: Option<&Session>,
    policy_acr: AuthenticationContext,
    now: Timestamp,
) -> AuthorizationDecision {
    if session.is_some_and(|session| !session.account().active) {
        return AuthorizationDecision::Refuse(AuthorizationError::new(
            AuthorizationErrorCode::AccessDenied,
            "the account may not sign in",
        ));
    }
    if let Some(session) = session
        && !client.allows_groups(&session.account().groups)
    {
        return AuthorizationDecision::Refuse(AuthorizationError::new(
            AuthorizationErrorCode::AccessDenied,
            GROUPS_REFUSED,
        ));
    }
    let minimum_acr = request.minimum_acr.map_or(policy_acr, |asked| asked.max(policy_acr));
    match request.missing(client, session, minimum_acr, now) {
        None => AuthorizationDecision::IssueCode,
        Some(_) if request.is_silent() => AuthorizationDecision::Refuse(AuthorizationError::new(
            AuthorizationErrorCode::LoginRequired,
            "the person has to sign in, which needs a page",
        )),
        Some((reason, reauthenticate)) => {
            AuthorizationDecision::SignIn(SignInDemand { reason, reauthenticate, minimum_acr })
        }
    }
}

#[cfg(test)]
mod tests;
