//! What an ID token has to say (OpenID Connect Core 1.0 section 3.1.3.7), after its signature was
//! verified.
//!
//! Beyond the letter of that section: several audiences need an `azp`, `iat` must not lie before
//! the moment when the browser was sent off, and the tenant rules of the connection hold.

use std::time::Duration;

use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::discovery::{Provider, same_issuer};
use super::jwks::SignedClaims;
use super::refusal::{OidcRefusal, Rejection};
use super::settings::OidcSettings;
use crate::clock::Timestamp;

/// What the token is judged against.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// The nonce of this departure.
    pub(super) nonce: &'a str,
    /// When the browser was sent off.
    pub(super) departed_at: Timestamp,
    /// Whether the person had to prove anew who they are.
    pub(super) fresh: bool,
    /// The access token that came with it.
    pub(super) access_token: Option<&'a str>,
}

/// An ID token that passed every rule.
#[derive(Debug)]
pub(super) struct VerifiedIdToken {
    /// The stable subject; with the tenant before it where the issuer has many.
    pub(super) subject: String,
    /// The subject as the token says it, for comparing with the userinfo answer.
    pub(super) sub: String,
    /// The provider's session, for its sign-outs.
    pub(super) sid: Option<String>,
    /// All claims.
    pub(super) claims: serde_json::Map<String, Value>,
}

/// Judges the claims of an ID token.
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn verify(
    token: SignedClaims,
    provider: &Provider,
    settings: &OidcSettings,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<VerifiedIdToken, Rejection> {
    let skew = settings.clock_skew;
    let tenant = check_origin(&token, provider, settings)?;
    check_audience(&token, &settings.client_id)?;
    let issued_at = check_times(&token, skew, now)?;
    if issued_at + skew < expected.departed_at {
        return Err(Rejection::because(
            OidcRefusal::TokenTooOld,
            format!("issued {issued_at}, asked for {}", expected.departed_at),
        ));
    }
    let nonce = token.text("nonce").unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(OidcRefusal::NonceMismatch.into());
    }
    if let Some(claimed) = token.claims.get("at_hash") {
        let access_token = expected.access_token.unwrap_or_default();
        let right = token.hash_of(access_token);
        if claimed.as_str().is_none() || claimed.as_str() != right.as_deref() {
            return Err(OidcRefusal::AccessTokenMismatch.into());
        }
    }
    if expected.fresh {
        check_fresh(&token, skew, expected.departed_at)?;
    }
    let sub = subject(&token)?;
    Ok(VerifiedIdToken {
        // The subject of one tenant means nothing in another.
        subject: match tenant {
            Some(tenant) if provider.has_tenants() => format!("{tenant}/{sub}"),
            _ => sub.clone(),
        },
        sub,
        sid: token.text("sid").map(str::to_owned),
        claims: token.claims,
    })
}

/// Issuer, tenant and hosted domain. Returns the tenant.
pub(super) fn check_origin(
    token: &SignedClaims,
    provider: &Provider,
    settings: &OidcSettings,
) -> Result<Option<String>, Rejection> {
    let tenant = token.text("tid").filter(|tid| is_tenant_id(tid)).map(str::to_owned);
    let issuer = token.text("iss").unwrap_or_default();
    let right = provider.issuer_of(tenant.as_deref());
    // An issuer that a URL's parser gave a slash is the same; nothing else is.
    if !right.is_some_and(|right| same_issuer(issuer, &right)) {
        return Err(Rejection::because(OidcRefusal::WrongIssuer, issuer));
    }
    let allowed = |list: &[String], value: Option<&str>| {
        list.is_empty()
            || value.is_some_and(|value| list.iter().any(|one| one.eq_ignore_ascii_case(value)))
    };
    if !allowed(&settings.tenants, tenant.as_deref()) {
        let found = tenant.unwrap_or_else(|| "no tid".to_owned());
        return Err(Rejection::because(OidcRefusal::WrongTenant, found));
    }
    let hosted = token.text("hd");
    if !allowed(&settings.hosted_domains, hosted) {
        return Err(Rejection::because(OidcRefusal::WrongTenant, hosted.unwrap_or("no hd")));
    }
    Ok(tenant)
}

/// The token is for us, and was issued to us.
pub(super) fn check_audience(token: &SignedClaims, client_id: &str) -> Result<(), Rejection> {
    let audiences: Vec<&str> = match token.claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audiences.contains(&client_id) {
        return Err(Rejection::because(OidcRefusal::WrongAudience, audiences.join(" ")));
    }
    match token.claims.get("azp") {
        Some(party) if party.as_str() != Some(client_id) => {
            Err(Rejection::because(OidcRefusal::WrongAuthorizedParty, party.to_string()))
        }
        None if audiences.len() > 1 => Err(Rejection::because(
            OidcRefusal::WrongAuthorizedParty,
            "several audiences and no azp",
        )),
        _ => Ok(()),
    }
}

/// `exp`, `nbf` and `iat`. Returns `iat`.
pub(super) fn check_times(
    token: &SignedClaims,
    skew: Duration,
    now: Timestamp,
) -> Result<Timestamp, Rejection> {
    let moment = |name: &str| token.seconds(name).map(Timestamp::from_seconds);
    let missing =
        |name: &str| Rejection::because(OidcRefusal::MalformedToken, format!("no {name}"));
    let expires = moment("exp").ok_or_else(|| missing("exp"))?;
    if now >= expires + skew {
        return Err(Rejection::because(
            OidcRefusal::TokenExpired,
            format!("expired {expires}, now {now}"),
        ));
    }
    let issued = moment("iat").ok_or_else(|| missing("iat"))?;
    let latest = moment("nbf").map_or(issued, |not_before| not_before.max(issued));
    if latest > now + skew {
        return Err(Rejection::because(
            OidcRefusal::TokenNotYetValid,
            format!("valid from {latest}, now {now}; are the clocks right?"),
        ));
    }
    if token.claims.contains_key("nbf") && moment("nbf").is_none() {
        return Err(missing("nbf that is a number"));
    }
    Ok(issued)
}

fn check_fresh(
    token: &SignedClaims,
    skew: Duration,
    departed_at: Timestamp,
) -> Result<(), Rejection> {
    let proved = token.seconds("auth_time").map(Timestamp::from_seconds);
    match proved {
        Some(proved) if proved + skew >= departed_at => Ok(()),
        Some(proved) => Err(Rejection::because(
            OidcRefusal::NotFresh,
            format!("signed in {proved}, asked for {departed_at}"),
        )),
        None => Err(Rejection::because(OidcRefusal::NotFresh, "no auth_time")),
    }
}

/// The subject: at most 255 characters of ASCII (Core 1.0 section 2).
pub(super) fn subject(token: &SignedClaims) -> Result<String, Rejection> {
    let sub = token.text("sub").unwrap_or_default();
    let good = !sub.trim().is_empty() && sub.len() <= 255 && !sub.chars().any(char::is_control);
    if good { Ok(sub.to_owned()) } else { Err(OidcRefusal::NoSubject.into()) }
}

fn is_tenant_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
