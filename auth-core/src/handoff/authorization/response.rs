//! Answers of the authorization endpoint: to the client through the browser, or to the person.

use url::form_urlencoded;

use super::{AuthorizationRequest, ResponseMode};
use crate::handoff::gitlab::EmailProblem;
use crate::handoff::issuer::Issuer;
use crate::secret::Token;

/// The closed list of errors that a client may be sent: RFC 6749 section 4.1.2.1, OpenID Connect
/// Core 1.0 section 3.1.2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorizationErrorCode {
    /// Malformed, or a parameter is missing or repeated.
    InvalidRequest,
    /// The scope is malformed or holds nothing that the client may have.
    InvalidScope,
    /// Refused by a rule or by the person.
    AccessDenied,
    /// Only the code flow exists.
    UnsupportedResponseType,
    /// `prompt=none`, but the person has to sign in.
    LoginRequired,
    /// Request objects are not supported.
    RequestNotSupported,
    /// Request objects by reference are not supported.
    RequestUriNotSupported,
    /// Registration in the request is not supported.
    RegistrationNotSupported,
}

impl AuthorizationErrorCode {
    /// The value of `error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::LoginRequired => "login_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
        }
    }
}

/// An error that is sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorizationError {
    /// What kind.
    pub code: AuthorizationErrorCode,
    /// A text for the client's developer, printable ASCII without `"` and `\`.
    pub description: &'static str,
}

impl AuthorizationError {
    /// An error with its description.
    #[must_use]
    pub const fn new(code: AuthorizationErrorCode, description: &'static str) -> Self {
        Self { code, description }
    }
}

/// Why a request can be answered to nobody but the person in front of the browser: who asks, or
/// where the answer would go, is not known for sure (RFC 6749 section 4.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// `client_id` is missing or repeated.
    #[error("the request does not say which application it comes from")]
    NoClient,
    /// No client has this id.
    #[error("the application is not known here")]
    UnknownClient,
    /// `redirect_uri` is missing or repeated.
    #[error("the request does not say where to return to")]
    NoRedirectUri,
    /// It is none of the client's redirect URIs.
    #[error("the address to return to is not one of the application's")]
    WrongRedirectUri,
    /// `request_uri` names a pushed request that is of another client, used or expired.
    #[error("the request was used already or has expired")]
    NoPushedRequest,
    /// `state` is repeated or longer than 4 KiB, so it cannot be returned as it came.
    #[error("the request is malformed")]
    BadState,
    /// The client needs an e-mail address, and the person's account has none that will do.
    #[error("the account has no e-mail address that the application can use")]
    Email(EmailProblem),
}

impl PageError {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoClient => "client_id_missing",
            Self::UnknownClient => "client_unknown",
            Self::NoRedirectUri => "redirect_uri_missing",
            Self::WrongRedirectUri => "redirect_uri_mismatch",
            Self::NoPushedRequest => "pushed_request_unknown",
            Self::BadState => "state_malformed",
            Self::Email(problem) => problem.as_str(),
        }
    }
}

/// What the browser carries to the client.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorizationResponse {
    /// Where to.
    pub redirect_uri: String,
    /// How.
    pub response_mode: ResponseMode,
    /// Names and values, in order.
    pub parameters: Vec<(&'static str, String)>,
}

impl AuthorizationResponse {
    /// The answer with a code. `issuer` is left out for a client whose protocol does not know it.
    #[must_use]
    pub fn code(request: &AuthorizationRequest, code: &Token, issuer: Option<&Issuer>) -> Self {
        Self::assemble(
            &request.redirect_uri,
            request.response_mode,
            vec![("code", code.expose().to_owned())],
            request.state.as_deref(),
            issuer,
        )
    }

    /// The answer with an error.
    #[must_use]
    pub fn error(
        request: &AuthorizationRequest,
        error: AuthorizationError,
        issuer: Option<&Issuer>,
    ) -> Self {
        Self::early_error(
            &request.redirect_uri,
            request.response_mode,
            request.state.as_deref(),
            error,
            issuer,
        )
    }

    pub(super) fn early_error(
        redirect_uri: &str,
        response_mode: ResponseMode,
        state: Option<&str>,
        error: AuthorizationError,
        issuer: Option<&Issuer>,
    ) -> Self {
        let parameters = vec![
            ("error", error.code.as_str().to_owned()),
            ("error_description", error.description.to_owned()),
        ];
        Self::assemble(redirect_uri, response_mode, parameters, state, issuer)
    }

    fn assemble(
        redirect_uri: &str,
        response_mode: ResponseMode,
        mut parameters: Vec<(&'static str, String)>,
        state: Option<&str>,
        issuer: Option<&Issuer>,
    ) -> Self {
        if let Some(state) = state {
            parameters.push(("state", state.to_owned()));
        }
        // RFC 9207: the client sees whose answer it is, errors included.
        if let Some(issuer) = issuer {
            parameters.push(("iss", issuer.as_str().to_owned()));
        }
        Self { redirect_uri: redirect_uri.to_owned(), response_mode, parameters }
    }

    /// The URL to redirect to in response mode `query`. The registered text stays as it is; the
    /// parameters are appended to its query.
    #[must_use]
    pub fn location(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.parameters);
        let separator = match self.redirect_uri.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some((_, existing)) if existing.ends_with('&') => "",
            Some(_) => "&",
        };
        format!("{}{separator}{}", self.redirect_uri, query.finish())
    }
}

impl std::fmt::Debug for AuthorizationResponse {
    /// Without the values: one of them is the code.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationResponse")
            .field("redirect_uri", &self.redirect_uri)
            .field("response_mode", &self.response_mode)
            .finish_non_exhaustive()
    }
}
