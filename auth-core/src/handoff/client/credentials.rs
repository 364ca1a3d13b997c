//! Client authentication, RFC 6749 section 2.3: by header or by form, never by both.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::{ClientAuthentication, TokenEndpointAuthMethod, assertion};
use crate::handoff::oauth_error::OAuthError;
use crate::handoff::parameters::Parameters;
use crate::secret::{Secret, SecretDigest};

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a caller is not the client that it says it is; the word goes into the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthenticationFailure {
    /// The client is confidential, and no secret came.
    MissingSecret,
    /// The secret is not the client's.
    WrongSecret,
    /// The secret came in the way that is not this client's.
    WrongMethod,
    /// The client is public, yet a secret came.
    UnexpectedSecret,
    /// The client signs assertions, and none came.
    MissingAssertion,
    /// The assertion is malformed, or signed by none of the client's keys.
    BadAssertion,
    /// The assertion is for somebody else.
    AssertionAudience,
    /// The assertion is not valid now, or for too long.
    AssertionTime,
    /// The assertion was used before.
    AssertionReplayed,
}

impl AuthenticationFailure {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingSecret => "client_secret_missing",
            Self::WrongSecret => "client_secret_wrong",
            Self::WrongMethod => "client_authentication_method",
            Self::UnexpectedSecret => "client_is_public",
            Self::MissingAssertion => "client_assertion_missing",
            Self::BadAssertion => "client_assertion_bad",
            Self::AssertionAudience => "client_assertion_audience",
            Self::AssertionTime => "client_assertion_time",
            Self::AssertionReplayed => "client_assertion_replayed",
        }
    }
}

/// What a caller presented as client authentication.
#[derive(Debug)]
pub struct ClientCredentials {
    id: String,
    secret: Option<Secret>,
    /// The header's secret as it stood there, where that is another one: RFC 6749 wants it
    /// form-encoded inside, and many clients do not do it.
    verbatim: Option<Secret>,
    /// The signed JWT, as long as nothing of it was checked.
    assertion: Option<Secret>,
    by_header: bool,
}

impl ClientCredentials {
    /// Reads them from the header `Authorization` and the form.
    ///
    /// # Errors
    /// `invalid_client` when there are none or they are malformed, `invalid_request` when there
    /// are two.
    pub fn read(authorization: Option<&str>, form: &Parameters<'_>) -> Result<Self, OAuthError> {
        let names = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];
        if names.into_iter().any(|name| form.is_repeated(name)) {
            return Err(OAuthError::invalid_request("a client credential is repeated"));
        }
        let form_id = form.get("client_id");
        let form_secret = form.get("client_secret");
        if form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some() {
            if authorization.is_some() || form_secret.is_some() {
                return Err(OAuthError::invalid_request("two kinds of client credentials"));
            }
            return Self::from_assertion(form).ok_or(OAuthError::invalid_client(false));
        }
        let Some(header) = authorization else {
            let id = form_id.ok_or(OAuthError::invalid_client(false))?.to_owned();
            let secret = form_secret.map(|secret| Secret::new(secret.to_owned()));
            return Ok(Self { id, secret, verbatim: None, assertion: None, by_header: false });
        };
        if form_secret.is_some() {
            return Err(OAuthError::invalid_request(
                "client credentials in both the header and the form",
            ));
        }
        let credentials = Self::from_header(header).ok_or(OAuthError::invalid_client(true))?;
        if form_id.is_some_and(|id| id != credentials.id) {
            return Err(OAuthError::invalid_request("client_id differs from the header's"));
        }
        Ok(credentials)
    }

    fn from_header(header: &str) -> Option<Self> {
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = Zeroizing::new(BASE64.decode(encoded.trim()).ok()?);
        let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        let id = String::from_utf8(form_decode(id)?).ok()?;
        let plain = String::from_utf8(form_decode(secret).unwrap_or_default()).unwrap_or_default();
        let some = |text: String| (!text.is_empty()).then(|| Secret::new(text));
        let verbatim = (plain != secret).then(|| secret.to_owned()).and_then(some);
        Some(Self { id, secret: some(plain), verbatim, assertion: None, by_header: true })
    }

    /// RFC 7521 section 4.2: who it claims to be stands in the assertion, and may stand beside it.
    fn from_assertion(form: &Parameters<'_>) -> Option<Self> {
        if form.get("client_assertion_type") != Some(assertion::TYPE) {
            return None;
        }
        let text = form.get("client_assertion")?;
        let id = assertion::claimed_client(text)?;
        if form.get("client_id").is_some_and(|beside| beside != id) {
            return None;
        }
        let assertion = Some(Secret::new(text.to_owned()));
        Some(Self { id, secret: None, verbatim: None, assertion, by_header: false })
    }

    /// Whether they came in the header `Authorization`.
    #[must_use]
    pub const fn are_by_header(&self) -> bool {
        self.by_header
    }

    pub(super) fn assertion(&self) -> Result<&str, AuthenticationFailure> {
        let assertion = self.assertion.as_ref().ok_or(AuthenticationFailure::MissingAssertion)?;
        Ok(assertion.expose())
    }

    /// The client id that the caller claims.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The error answer for these credentials.
    #[must_use]
    pub const fn refusal(&self) -> OAuthError {
        OAuthError::invalid_client(self.by_header)
    }

    /// Judges the secret alone, of a header.
    pub(super) fn judge_secret(
        &self,
        expected: &SecretDigest,
    ) -> Result<(), AuthenticationFailure> {
        if self.secret.is_none() && self.verbatim.is_none() {
            return Err(AuthenticationFailure::MissingSecret);
        }
        // No short cut: both comparisons always run.
        let secret_is_right = [&self.secret, &self.verbatim]
            .into_iter()
            .flatten()
            .fold(false, |right, secret| right | expected.matches(secret.expose()));
        match (secret_is_right, self.by_header) {
            (true, true) => Ok(()),
            (true, false) => Err(AuthenticationFailure::WrongMethod),
            (false, _) => Err(AuthenticationFailure::WrongSecret),
        }
    }

    pub(super) fn judge(
        &self,
        authentication: &ClientAuthentication,
    ) -> Result<(), AuthenticationFailure> {
        if self.assertion.is_some() {
            return Err(AuthenticationFailure::WrongMethod);
        }
        let presented = self.secret.as_ref().or(self.verbatim.as_ref());
        let (expected, method) = match (authentication, presented) {
            (ClientAuthentication::Public, None) => return Ok(()),
            (ClientAuthentication::Public, Some(_)) => {
                return Err(AuthenticationFailure::UnexpectedSecret);
            }
            (ClientAuthentication::Secret { .. }, None) => {
                return Err(AuthenticationFailure::MissingSecret);
            }
            (ClientAuthentication::Secret { secret, method }, Some(_)) => (secret, *method),
            (ClientAuthentication::Keys(_), _) => {
                return Err(AuthenticationFailure::MissingAssertion);
            }
        };
        let method_is_right = match method {
            None => true,
            Some(TokenEndpointAuthMethod::ClientSecretBasic) => self.by_header,
            Some(TokenEndpointAuthMethod::ClientSecretPost) => !self.by_header,
            Some(TokenEndpointAuthMethod::None | TokenEndpointAuthMethod::PrivateKeyJwt) => false,
        };
        // No short cut: what came is compared in every reading that it has.
        let secret_is_right = [&self.secret, &self.verbatim]
            .into_iter()
            .flatten()
            .fold(false, |right, secret| right | expected.matches(secret.expose()));
        match (secret_is_right, method_is_right) {
            (true, true) => Ok(()),
            (true, false) => Err(AuthenticationFailure::WrongMethod),
            (false, _) => Err(AuthenticationFailure::WrongSecret),
        }
    }
}

/// Decodes `application/x-www-form-urlencoded` text of one value. `None` for a broken escape.
fn form_decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}
