//! The token endpoint: a request parsed once, and its answer (RFC 6749 sections 4.1.3, 5.1, 6).

use std::time::Duration;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::device;
use super::oauth_error::{OAuthError, OAuthErrorCode};
use super::parameters::Parameters;
use super::scope::Scope;
use crate::clock::Timestamp;
use crate::secret::Token;

/// What a client wants tokens for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Grant<'a> {
    /// An authorization code.
    AuthorizationCode {
        /// The code.
        code: Token,
        /// The redirect URI of the authorization request.
        redirect_uri: Option<&'a str>,
        /// The PKCE verifier.
        code_verifier: Option<&'a str>,
    },
    /// A refresh token.
    RefreshToken {
        /// The token.
        token: Token,
        /// A narrower scope for the new access token.
        scope: Option<Scope>,
    },
    /// A device code, RFC 8628 section 3.4.
    DeviceCode {
        /// The code.
        code: Token,
    },
}

impl<'a> Grant<'a> {
    /// Reads the grant of a token request.
    ///
    /// # Errors
    /// `invalid_request`, `unsupported_grant_type`, `invalid_scope`, or `invalid_grant` for a code
    /// or token that cannot be one of ours.
    pub fn read(form: &Parameters<'a>) -> Result<Self, OAuthError> {
        if form.any_repeated().is_some() {
            return Err(OAuthError::invalid_request("a parameter is repeated"));
        }
        match form.get("grant_type") {
            Some("authorization_code") => Ok(Self::AuthorizationCode {
                code: required(form, "code", "code is missing")?,
                redirect_uri: form.get("redirect_uri"),
                code_verifier: form.get("code_verifier"),
            }),
            Some("refresh_token") => Ok(Self::RefreshToken {
                token: required(form, "refresh_token", "refresh_token is missing")?,
                scope: form.get("scope").map(scope).transpose()?,
            }),
            Some(device::GRANT_TYPE) => Ok(Self::DeviceCode {
                code: required(form, "device_code", "device_code is missing")?,
            }),
            Some(_) => Err(OAuthError::new(
                OAuthErrorCode::UnsupportedGrantType,
                "grant_type must be authorization_code, refresh_token or that of device codes",
            )),
            None => Err(OAuthError::invalid_request("grant_type is missing")),
        }
    }
}

fn required(form: &Parameters<'_>, name: &str, missing: &'static str) -> Result<Token, OAuthError> {
    let text = form.get(name).ok_or(OAuthError::invalid_request(missing))?;
    Token::parse(text).ok_or(OAuthError::invalid_grant())
}

fn scope(text: &str) -> Result<Scope, OAuthError> {
    Scope::parse(text).ok_or(OAuthError::new(
        OAuthErrorCode::InvalidScope,
        "scope holds a character that is not allowed",
    ))
}

/// The scope of a refreshed access token: what is asked for, or all that was granted
/// (RFC 6749 section 6).
///
/// # Errors
/// `invalid_scope` when more is asked for than was granted.
pub fn refreshed_scope(granted: Scope, asked: Option<Scope>) -> Result<Scope, OAuthError> {
    match asked {
        None => Ok(granted),
        Some(asked) if asked.is_within(&granted) && !asked.is_empty() => Ok(asked),
        Some(_) => {
            Err(OAuthError::new(OAuthErrorCode::InvalidScope, "the scope exceeds what was granted"))
        }
    }
}

/// A good answer. It holds secrets, so it is written out by [`TokenResponse::body`] alone, and
/// must be sent with `Cache-Control: no-store`.
#[derive(Debug)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: Token,
    /// How long it lives.
    pub expires_in: Duration,
    /// The refresh token.
    pub refresh_token: Option<Token>,
    /// The signed ID token, where `openid` was granted.
    pub id_token: Option<Zeroizing<String>>,
    /// What was granted.
    pub scope: Scope,
    /// When it was issued, for clients of kind gitlab, whose provider says so.
    pub created_at: Option<Timestamp>,
}

impl TokenResponse {
    /// The JSON body.
    #[must_use]
    pub fn body(&self) -> Zeroizing<String> {
        let mut body = json!({
            "access_token": self.access_token.expose(),
            "token_type": "Bearer",
            "expires_in": self.expires_in.as_secs(),
            "scope": self.scope.to_string(),
        });
        if let Some(members) = body.as_object_mut() {
            if let Some(token) = &self.refresh_token {
                members.insert("refresh_token".to_owned(), Value::from(token.expose()));
            }
            if let Some(at) = self.created_at {
                members.insert("created_at".to_owned(), Value::from(at.seconds()));
            }
            if let Some(token) = &self.id_token {
                members.insert("id_token".to_owned(), Value::from(token.as_str()));
            }
        }
        Zeroizing::new(body.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn read(pairs: &[(&str, &str)]) -> Result<String, OAuthErrorCode> {
        let owned: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Grant::read(&Parameters::new(&owned))
            .map(|grant| format!("{grant:?}"))
            .map_err(|error| error.code())
    }

    #[test]
    fn grants_are_read_once() {
        let token = Token::generate(&SystemRandom::new());
        let token = token.expose();
        let code = ("grant_type", "authorization_code");
        let refresh = ("grant_type", "refresh_token");
        let read_code = read(&[code, ("code", token), ("redirect_uri", "u")]).unwrap();
        assert!(read_code.starts_with("AuthorizationCode") && !read_code.contains(token));
        assert!(read(&[refresh, ("refresh_token", token), ("scope", "openid")]).is_ok());
        for (pairs, error) in [
            (&[][..], OAuthErrorCode::InvalidRequest),
            (&[code], OAuthErrorCode::InvalidRequest),
            (&[refresh, ("code", token)], OAuthErrorCode::InvalidRequest),
            (&[code, code, ("code", token)], OAuthErrorCode::InvalidRequest),
            (&[code, ("code", token), ("code", token)], OAuthErrorCode::InvalidRequest),
            (&[code, ("code", "junk")], OAuthErrorCode::InvalidGrant),
            (&[("grant_type", "password")], OAuthErrorCode::UnsupportedGrantType),
            (
                &[refresh, ("refresh_token", token), ("scope", "\u{1}")],
                OAuthErrorCode::InvalidScope,
            ),
        ] {
            assert_eq!(read(pairs), Err(error), "{pairs:?}");
        }
    }

    #[test]
    fn a_refresh_never_widens_the_scope() {
        let scope = |text| Scope::parse(text).unwrap();
        let granted = || scope("openid email");
        assert_eq!(refreshed_scope(granted(), None), Ok(granted()));
        assert_eq!(refreshed_scope(granted(), Some(scope("email"))), Ok(scope("email")));
        for asked in ["openid groups", ""] {
            let error = refreshed_scope(granted(), Some(scope(asked))).unwrap_err();
            assert_eq!(error.code(), OAuthErrorCode::InvalidScope, "{asked:?}");
        }
    }

    #[test]
    fn the_body_has_what_the_rfc_wants() {
        let random = SystemRandom::new();
        let mut response = TokenResponse {
            access_token: Token::generate(&random),
            expires_in: Duration::from_millis(599_999),
            refresh_token: Some(Token::generate(&random)),
            id_token: Some(Zeroizing::new("a.b.c".to_owned())),
            scope: Scope::parse("openid").unwrap(),
            created_at: None,
        };
        let body: Value = serde_json::from_str(&response.body()).unwrap();
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(599)));
        assert_eq!(body["refresh_token"], response.refresh_token.as_ref().unwrap().expose());
        response.refresh_token = None;
        response.id_token = None;
        let body: Value = serde_json::from_str(&response.body()).unwrap();
        assert!(body.get("refresh_token").is_none() && body.get("id_token").is_none());
        assert!(body.get("created_at").is_none());
        response.created_at = Some(Timestamp::from_millis(1_764_000_000_999));
        let body: Value = serde_json::from_str(&response.body()).unwrap();
        assert_eq!(body["created_at"], json!(1_764_000_000));
    }
}
