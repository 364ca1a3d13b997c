//! The token of a login form: `HANDLE.MAC`, good for one login, one step and one version.
//!
//! The MAC is HMAC-SHA256 under the secret in the browser's login cookie, which the server keeps
//! as a hash only. So a page of another site cannot make one, a token of one browser is nothing
//! in another, and there is no server key to rotate. The handle stands in it, so that a form has
//! one hidden field and two tabs of one browser do not disturb each other.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::Token;

/// Name of a step, bound into its form's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepName {
    /// User name and password.
    Credentials,
    /// A second factor's code.
    Factor,
    /// Confirmation of a second factor being set up.
    Enrolment,
    /// The answer of an identity provider that the browser was sent to.
    Away,
    /// Whether to go on with what an identity provider sent unasked.
    Offer,
    /// Nothing is left to answer.
    Completed,
}

impl StepName {
    const fn label(self) -> &'static str {
        match self {
            Self::Credentials => "login:credentials",
            Self::Factor => "login:factor",
            Self::Enrolment => "login:enrolment",
            Self::Away => "login:away",
            Self::Offer => "login:offer",
            Self::Completed => "login:completed",
        }
    }
}

/// Makes the hidden field's value.
#[must_use]
pub fn form_token(handle: &Token, browser: &Token, step: StepName, version: i64) -> String {
    let tag = hmac::sign(&key(browser), &message(handle, step, version));
    format!("{}.{}", handle.expose(), URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// The login that a presented value names; nothing is checked yet.
#[must_use]
pub fn handle_of(presented: &str) -> Option<Token> {
    presented.split_once('.').and_then(|(handle, _)| Token::parse(handle))
}

/// Whether a presented value is the token of exactly this login, step and version, made for
/// this browser. Constant time.
#[must_use]
pub fn verify(presented: &str, browser: &Token, step: StepName, version: i64) -> bool {
    let Some((handle, tag)) = presented.split_once('.') else { return false };
    let (Some(handle), Ok(tag)) = (Token::parse(handle), URL_SAFE_NO_PAD.decode(tag)) else {
        return false;
    };
    hmac::verify(&key(browser), &message(&handle, step, version), &tag).is_ok()
}

fn key(browser: &Token) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, browser.expose().as_bytes())
}

fn message(handle: &Token, step: StepName, version: i64) -> Vec<u8> {
    format!("{}|{}|{version}", handle.expose(), step.label()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn a_token_is_good_for_one_login_step_version_and_browser() {
        let random = SystemRandom::new();
        let (handle, browser, other) =
            (Token::generate(&random), Token::generate(&random), Token::generate(&random));
        let token = form_token(&handle, &browser, StepName::Factor, 3);
        assert!(verify(&token, &browser, StepName::Factor, 3));
        assert!(!verify(&token, &browser, StepName::Factor, 4));
        assert!(!verify(&token, &browser, StepName::Credentials, 3));
        assert!(!verify(&token, &other, StepName::Factor, 3));
        let moved = token.replace(handle.expose(), other.expose());
        assert!(!verify(&moved, &browser, StepName::Factor, 3));
        for junk in ["", ".", "a.b", &token[..token.len() - 1]] {
            assert!(!verify(junk, &browser, StepName::Factor, 3), "{junk:?}");
        }
        assert_eq!(handle_of(&token).map(|h| h.hash()), Some(handle.hash()));
    }
}
