//! Sign-outs: the provider's word that somebody's session is over (Back-Channel Logout 1.0), and
//! the way to the provider's own sign-out (RP-Initiated Logout 1.0).

use serde_json::Value;
use url::Url;

use super::discovery::Provider;
use super::id_token::{check_audience, check_origin, check_times, subject};
use super::jwks::SignedClaims;
use super::refusal::{OidcRefusal, Rejection};
use super::settings::OidcSettings;
use crate::clock::Timestamp;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Whose sessions are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutNotice {
    /// The stable subject as accounts are linked to it.
    pub subject: Option<String>,
    /// The provider's session.
    pub session: Option<String>,
    /// The token's own id, to be used once.
    pub token_id: String,
    /// When the token is over; its id is kept until then.
    pub expires_at: Timestamp,
}

/// Judges the claims of a logout token (Back-Channel Logout 1.0 section 2.6).
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn verify(
    token: &SignedClaims,
    provider: &Provider,
    settings: &OidcSettings,
    now: Timestamp,
) -> Result<LogoutNotice, Rejection> {
    let no_logout = |what: &str| Rejection::because(OidcRefusal::NoLogoutToken, what);
    if token.typ.as_deref().is_some_and(|typ| !matches!(typ, "logout+jwt" | "jwt")) {
        return Err(no_logout("typ is neither logout+jwt nor jwt"));
    }
    let tenant = check_logout_origin(token, provider, settings)?;
    check_audience(token, &settings.client_id)?;
    check_times(token, settings.clock_skew, now)?;
    let is_event = token.claims.get("events").and_then(|events| events.get(EVENT));
    if !is_event.is_some_and(Value::is_object) {
        return Err(no_logout("no backchannel-logout event"));
    }
    // An ID token must not pass for a logout token.
    if token.claims.contains_key("nonce") {
        return Err(no_logout("has a nonce"));
    }
    let token_id = token.text("jti").filter(|jti| !jti.is_empty() && jti.len() <= 512);
    let token_id = token_id.ok_or_else(|| no_logout("no jti"))?.to_owned();
    let sub = match token.claims.get("sub") {
        Some(_) => Some(subject(token)?),
        None => None,
    };
    let session = token.text("sid").filter(|sid| !sid.is_empty()).map(str::to_owned);
    if sub.is_none() && session.is_none() {
        return Err(no_logout("neither sub nor sid"));
    }
    let subject = match tenant {
        Some(tenant) if provider.has_tenants() => sub.map(|sub| format!("{tenant}/{sub}")),
        _ => sub,
    };
    let expires_at = Timestamp::from_seconds(token.seconds("exp").unwrap_or_default());
    Ok(LogoutNotice { subject, session, token_id, expires_at: expires_at + settings.clock_skew })
}

/// Issuer and tenant; a logout token has no hosted domain.
fn check_logout_origin(
    token: &SignedClaims,
    provider: &Provider,
    settings: &OidcSettings,
) -> Result<Option<String>, Rejection> {
    if settings.hosted_domains.is_empty() {
        return check_origin(token, provider, settings);
    }
    let issuer = token.text("iss").unwrap_or_default();
    let right = provider.issuer_of(token.text("tid"));
    if right.is_some_and(|right| super::discovery::same_issuer(issuer, &right)) {
        Ok(None)
    } else {
        Err(Rejection::because(OidcRefusal::WrongIssuer, issuer))
    }
}

/// The provider's sign-out page; `None` when it has none.
pub(super) fn end_session_url(
    provider: &Provider,
    settings: &OidcSettings,
    id_token: Option<&str>,
) -> Option<Url> {
    let mut url = provider.end_session.clone()?;
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("client_id", &settings.client_id);
        if let Some(id_token) = id_token {
            query.append_pair("id_token_hint", id_token);
        }
        if let Some(back) = &settings.post_logout_redirect_uri {
            query.append_pair("post_logout_redirect_uri", back.as_str());
        }
    }
    Some(url)
}
