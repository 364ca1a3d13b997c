//! Pushed authorization requests, RFC 9126: a client sends the parameters by itself and the
//! browser carries a reference, so that nobody in between can read or change them.

use std::time::Duration;

use serde_json::{Value, json};

use super::authorization::{AuthorizationErrorCode, AuthorizationRefusal, PageError};
use super::oauth_error::{OAuthError, OAuthErrorCode};
use super::parameters::Parameters;
use crate::secret::Token;

/// How long a request may wait for its browser.
pub const LIFETIME: Duration = Duration::from_secs(90);

const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// Names that stand for the client's authentication and not for the request (section 2.1).
const CREDENTIALS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// The reference to a pushed request.
#[must_use]
pub fn reference(token: &Token) -> String {
    format!("{PREFIX}{}", token.expose())
}

/// The token of a reference of ours.
#[must_use]
pub fn token_of(request_uri: &str) -> Option<Token> {
    request_uri.strip_prefix(PREFIX).and_then(Token::parse)
}

/// The answer to a pushed request.
#[must_use]
pub fn answer(token: &Token) -> Value {
    json!({ "request_uri": reference(token), "expires_in": LIFETIME.as_secs() })
}

/// What of a form is the authorization request.
///
/// # Errors
/// `invalid_request` when it refers to another one (section 2.1).
pub fn parameters(
    pairs: &[(String, String)],
    client: &str,
) -> Result<Vec<(String, String)>, OAuthError> {
    if Parameters::new(pairs).get("request_uri").is_some() {
        return Err(OAuthError::invalid_request("request_uri cannot be pushed"));
    }
    let mut kept: Vec<(String, String)> = pairs
        .iter()
        .filter(|(name, _)| !CREDENTIALS.contains(&name.as_str()) && name != "client_id")
        .cloned()
        .collect();
    // It may have stood in the header or the assertion alone.
    kept.push(("client_id".to_owned(), client.to_owned()));
    Ok(kept)
}

/// What the client is told of a request that the browser would be refused with (section 2.3).
#[must_use]
pub fn refusal(refusal: &AuthorizationRefusal) -> OAuthError {
    match refusal {
        AuthorizationRefusal::Page(PageError::NoRedirectUri) => {
            OAuthError::invalid_request("redirect_uri is missing or repeated")
        }
        AuthorizationRefusal::Page(PageError::WrongRedirectUri) => {
            OAuthError::invalid_request("redirect_uri is not one of the client's")
        }
        AuthorizationRefusal::Page(_) => OAuthError::invalid_request("the request is malformed"),
        AuthorizationRefusal::Client { error, .. } => {
            let code = match error.code {
                AuthorizationErrorCode::InvalidScope => OAuthErrorCode::InvalidScope,
                AuthorizationErrorCode::UnsupportedResponseType => {
                    OAuthErrorCode::UnsupportedResponseType
                }
                _ => OAuthErrorCode::InvalidRequest,
            };
            OAuthError::new(code, error.description)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn a_reference_leads_back_to_its_token() {
        let token = Token::generate(&SystemRandom::new());
        let found = token_of(&reference(&token)).map(|found| found.hash());
        assert_eq!(found, Some(token.hash()));
        for other in ["", "https://x.example/r", PREFIX, &format!("{PREFIX}x"), token.expose()] {
            assert!(token_of(other).is_none(), "{other}");
        }
    }

    #[test]
    fn credentials_are_not_kept_and_references_not_taken() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let form = pairs(&[("client_secret", "s"), ("client_assertion", "a"), ("scope", "openid")]);
        let kept = parameters(&form, "chat").unwrap();
        assert_eq!(kept, pairs(&[("scope", "openid"), ("client_id", "chat")]));
        let form = pairs(&[("request_uri", "urn:x")]);
        assert!(parameters(&form, "chat").is_err());
    }
}
