//! The error answer of the token, userinfo, introspection and revocation endpoints: RFC 6749
//! section 5.2, and RFC 6750 section 3 for bearer tokens.
//!
//! The description is for the client's developer and never says more than the client may know;
//! the exact reason is in the audit trail.

use serde_json::{Value, json};

/// The closed list of error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthErrorCode {
    /// Malformed, or a parameter is missing or repeated.
    InvalidRequest,
    /// The client did not authenticate.
    InvalidClient,
    /// The code or refresh token is not good (any more).
    InvalidGrant,
    /// This client may not do that.
    UnauthorizedClient,
    /// No such grant.
    UnsupportedGrantType,
    /// The scope is malformed or exceeds what was granted.
    InvalidScope,
    /// The access token is not good (any more).
    InvalidToken,
    /// The access token was not granted the scope for this.
    InsufficientScope,
    /// Something broke here.
    ServerError,
    /// Cannot answer just now; a retry may succeed.
    TemporarilyUnavailable,
    /// A pushed request asks for another flow than the code flow.
    UnsupportedResponseType,
    /// A device's person has not answered yet, RFC 8628 section 3.5.
    AuthorizationPending,
    /// A device asks too often.
    SlowDown,
    /// A device's person refused.
    AccessDenied,
    /// A device's person did not answer in time.
    ExpiredToken,
}

impl OAuthErrorCode {
    /// The value of `error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::AccessDenied => "access_denied",
            Self::ExpiredToken => "expired_token",
        }
    }
}

/// The authentication scheme that a 401 answer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer,
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct OAuthError {
    code: OAuthErrorCode,
    description: &'static str,
    challenge: Option<Challenge>,
}

impl OAuthError {
    /// An error with a description of printable ASCII without `"` and `\` (RFC 6749 section 5.2).
    #[must_use]
    pub const fn new(code: OAuthErrorCode, description: &'static str) -> Self {
        Self { code, description, challenge: None }
    }

    /// `invalid_request`.
    #[must_use]
    pub const fn invalid_request(description: &'static str) -> Self {
        Self::new(OAuthErrorCode::InvalidRequest, description)
    }

    /// `invalid_grant`, the same text whatever is wrong with it.
    #[must_use]
    pub const fn invalid_grant() -> Self {
        Self::new(OAuthErrorCode::InvalidGrant, "the grant is invalid, expired or was revoked")
    }

    /// `invalid_client`. After an attempt by `Authorization: Basic` the answer names that scheme.
    #[must_use]
    pub const fn invalid_client(tried_basic: bool) -> Self {
        let mut error = Self::new(OAuthErrorCode::InvalidClient, "client authentication failed");
        if tried_basic {
            error.challenge = Some(Challenge::Basic);
        }
        error
    }

    /// `invalid_token` for a bearer token, RFC 6750 section 3.1.
    #[must_use]
    pub const fn invalid_token() -> Self {
        let mut error = Self::new(
            OAuthErrorCode::InvalidToken,
            "the access token is missing, invalid, expired or was revoked",
        );
        error.challenge = Some(Challenge::Bearer);
        error
    }

    /// `insufficient_scope` for a bearer token, RFC 6750 section 3.1.
    #[must_use]
    pub const fn insufficient_scope(description: &'static str) -> Self {
        let mut error = Self::new(OAuthErrorCode::InsufficientScope, description);
        error.challenge = Some(Challenge::Bearer);
        error
    }

    /// The error code.
    #[must_use]
    pub const fn code(&self) -> OAuthErrorCode {
        self.code
    }

    /// The text for the client's developer.
    #[must_use]
    pub const fn description(&self) -> &'static str {
        self.description
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self.code {
            OAuthErrorCode::InvalidClient | OAuthErrorCode::InvalidToken => 401,
            OAuthErrorCode::InsufficientScope => 403,
            OAuthErrorCode::ServerError => 500,
            OAuthErrorCode::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }

    /// The value of the header `WWW-Authenticate`, where the answer has one.
    #[must_use]
    pub fn www_authenticate(&self) -> Option<String> {
        let scheme = match self.challenge? {
            Challenge::Basic => return Some("Basic realm=\"token endpoint\"".to_owned()),
            Challenge::Bearer => "Bearer",
        };
        let (code, description) = (self.code.as_str(), self.description);
        Some(format!("{scheme} error=\"{code}\", error_description=\"{description}\""))
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({ "error": self.code.as_str(), "error_description": self.description })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_challenge() {
        assert_eq!(OAuthError::invalid_grant().status(), 400);
        assert_eq!(OAuthError::invalid_client(false).www_authenticate(), None);
        let basic = OAuthError::invalid_client(true);
        assert_eq!((basic.status(), basic.www_authenticate().is_some()), (401, true));
        let bearer = OAuthError::invalid_token().www_authenticate().unwrap();
        assert!(bearer.starts_with("Bearer error=\"invalid_token\""), "{bearer}");
        assert_eq!(OAuthError::insufficient_scope("x").status(), 403);
        assert_eq!(OAuthError::invalid_grant().body()["error"], "invalid_grant");
    }
}
