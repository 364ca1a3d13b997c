//! Why an identity provider's answer was refused: one word per rule, for the audit trail.

use crate::connector::{ConnectorError, Refusal};

/// A rule that an answer of an OpenID provider broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OidcRefusal {
    /// The person (or the provider for them) declined: `error=access_denied` and its kin.
    DeniedUpstream,
    /// The provider answered with another `error` (RFC 6749 section 4.1.2.1).
    ErrorUpstream,
    /// The parameters of the answer have no shape that the protocol knows.
    MalformedResponse,
    /// The answer came from another provider than the browser was sent to (RFC 9207).
    ResponseIssuer,
    /// The token endpoint refused the code.
    CodeRefused,
    /// The token endpoint's answer has no ID token.
    NoIdToken,
    /// A token cannot be read.
    MalformedToken,
    /// A token is signed with an algorithm that is not on the list: `none`, `HS256`.
    AlgorithmNotAllowed,
    /// No key of the provider has the token's key id.
    UnknownKey,
    /// The signature does not fit, or its key is too weak.
    BadSignature,
    /// The token's issuer is not the connection's.
    WrongIssuer,
    /// The token is of a tenant or hosted domain that may not sign in here.
    WrongTenant,
    /// The token is for somebody else.
    WrongAudience,
    /// The token was issued to another client (`azp`).
    WrongAuthorizedParty,
    /// The token's time is over.
    TokenExpired,
    /// The token is from the future, or not valid yet.
    TokenNotYetValid,
    /// The token was issued before the browser was sent to the provider.
    TokenTooOld,
    /// The token answers another request.
    NonceMismatch,
    /// The access token is not the one that the ID token names (`at_hash`).
    AccessTokenMismatch,
    /// The token names no subject, or one that cannot be kept.
    NoSubject,
    /// The userinfo endpoint speaks of somebody else.
    SubjectMismatch,
    /// A new sign-in was asked for and the provider did not say that there was one.
    NotFresh,
    /// A claim that the mapping needs is missing.
    MissingClaim,
    /// A logout token is no logout token, or was used before.
    NoLogoutToken,
}

impl OidcRefusal {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeniedUpstream => "denied_upstream",
            Self::ErrorUpstream => "error_upstream",
            Self::MalformedResponse => "malformed_response",
            Self::ResponseIssuer => "response_issuer",
            Self::CodeRefused => "code_refused",
            Self::NoIdToken => "no_id_token",
            Self::MalformedToken => "malformed_token",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongTenant => "wrong_tenant",
            Self::WrongAudience => "wrong_audience",
            Self::WrongAuthorizedParty => "wrong_authorized_party",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenTooOld => "token_too_old",
            Self::NonceMismatch => "nonce_mismatch",
            Self::AccessTokenMismatch => "access_token_mismatch",
            Self::NoSubject => "no_subject",
            Self::SubjectMismatch => "subject_mismatch",
            Self::NotFresh => "not_fresh",
            Self::MissingClaim => "missing_claim",
            Self::NoLogoutToken => "no_logout_token",
        }
    }
}

/// A broken rule with what exactly was found. Never a token or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The rule.
    pub rule: OidcRefusal,
    /// What was found, for the audit event.
    pub detail: Option<String>,
}

impl Rejection {
    /// With what was found; cut, because a stranger may have written it.
    pub(super) fn because(rule: OidcRefusal, detail: impl Into<String>) -> Self {
        let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        let detail = detail.into().chars().take(300).map(shown).collect();
        Self { rule, detail: Some(detail) }
    }
}

impl From<OidcRefusal> for Rejection {
    fn from(rule: OidcRefusal) -> Self {
        Self { rule, detail: None }
    }
}

impl From<Rejection> for ConnectorError {
    fn from(rejection: Rejection) -> Self {
        Self::Refused { reason: Refusal::Oidc(rejection.rule), detail: rejection.detail }
    }
}
