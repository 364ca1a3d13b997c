//! Token revocation, RFC 7009: what ends when a client gives a token back.
//!
//! An access token ends alone, a refresh token with its whole session. A token that is unknown,
//! or another client's, is left alone, and the answer is the same: 200 without content.

use super::client::Client;
use super::oauth_error::OAuthError;
use super::parameters::Parameters;
use crate::secret::Token;
use crate::store::SessionRecord;

/// Which kind of token the caller thinks it is; only the order of look-ups depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTypeHint {
    /// Try access tokens first.
    AccessToken,
    /// Try refresh tokens first.
    RefreshToken,
}

/// The token of a revocation or introspection request. `None` for a text that cannot be one of
/// our tokens.
///
/// # Errors
/// `invalid_request` when the parameter is missing or repeated.
pub fn presented_token(
    form: &Parameters<'_>,
) -> Result<(Option<Token>, TokenTypeHint), OAuthError> {
    if form.any_repeated().is_some() {
        return Err(OAuthError::invalid_request("a parameter is repeated"));
    }
    let text = form.get("token").ok_or(OAuthError::invalid_request("token is missing"))?;
    let hint = match form.get("token_type_hint") {
        Some("refresh_token") => TokenTypeHint::RefreshToken,
        // An unknown hint is ignored (section 2.1).
        _ => TokenTypeHint::AccessToken,
    };
    Ok((Token::parse(text), hint))
}

/// Whether `client` may revoke tokens of this session.
#[must_use]
pub fn may_revoke(session: &SessionRecord, client: &Client) -> bool {
    session.client.as_deref() == Some(client.id())
}
