//! From claims to a profile: the ID token's claims, filled up by the userinfo answer of the same
//! subject.
//!
//! What the ID token says stands; userinfo only adds. Whether an address is verified is believed
//! from the same place as the address itself, and a missing word means no.

use serde_json::{Map, Value};

use super::refusal::{OidcRefusal, Rejection};
use super::settings::{ClaimMap, OidcSettings, UserInfoUse};
use crate::connector::Profile;

/// Claims about the token and not about the person: userinfo never adds one.
const OF_THE_TOKEN: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "nonce",
    "azp",
    "at_hash",
    "c_hash",
    "acr",
    "amr",
    "auth_time",
    "sid",
    "tid",
    "hd",
    "jti",
];
const LONGEST: usize = 1024;
const MOST_VALUES: usize = 2000;

/// Whether the userinfo endpoint has to be asked.
pub(super) fn wants_userinfo(settings: &OidcSettings, claims: &Map<String, Value>) -> bool {
    let map = &settings.claims;
    let lacks = |name: &str| !claims.contains_key(name);
    match settings.userinfo {
        UserInfoUse::Never => false,
        UserInfoUse::Always => true,
        UserInfoUse::WhenNeeded => {
            lacks(&map.username)
                || lacks(&map.email)
                || (lacks("email_verified") && map.email == "email")
                || lacks(&map.groups)
                || map.claims.iter().any(|(_, claim)| lacks(claim))
        }
    }
}

/// Adds what userinfo says to the claims of the ID token.
///
/// # Errors
/// When it speaks of another subject (OpenID Connect Core 1.0 section 5.3.2).
pub(super) fn merge(
    claims: &mut Map<String, Value>,
    userinfo: Map<String, Value>,
    sub: &str,
    map: &ClaimMap,
) -> Result<(), Rejection> {
    if userinfo.get("sub").and_then(Value::as_str) != Some(sub) {
        return Err(OidcRefusal::SubjectMismatch.into());
    }
    let same_address = match (text(claims, &map.email), text(&userinfo, &map.email)) {
        (Some(mine), Some(theirs)) => mine == theirs,
        (Some(_), None) => false,
        (None, _) => true,
    };
    for (name, value) in userinfo {
        let foreign = OF_THE_TOKEN.contains(&name.as_str())
            || (name == "email_verified" && !same_address)
            || claims.contains_key(&name);
        if !foreign {
            claims.insert(name, value);
        }
    }
    Ok(())
}

/// The person as the claims say.
///
/// # Errors
/// When there is neither a user name nor an address in its place.
pub(super) fn profile(claims: &Map<String, Value>, map: &ClaimMap) -> Result<Profile, Rejection> {
    let email = text(claims, &map.email);
    let username = text(claims, &map.username).or_else(|| email.clone()).ok_or_else(|| {
        Rejection::because(
            OidcRefusal::MissingClaim,
            format!("neither {} nor {}", map.username, map.email),
        )
    })?;
    // A claim under another name than `email` has nobody's word that it was verified.
    let email_verified =
        email.is_some() && map.email == "email" && is_yes(claims, "email_verified");
    let further = map.claims.iter().filter_map(|(kept_as, claim)| {
        let values = texts(claims, claim);
        (!values.is_empty()).then(|| (kept_as.clone(), values))
    });
    Ok(Profile {
        username,
        email_verified,
        email,
        first_name: text(claims, &map.first_name),
        last_name: text(claims, &map.last_name),
        nickname: text(claims, &map.nickname),
        position: map.position.as_deref().and_then(|name| text(claims, name)),
        locale: text(claims, &map.locale),
        groups: texts(claims, &map.groups),
        roles: Vec::new(),
        claims: further.collect(),
    })
}

/// How the provider says that the person proved who they are: `amr` and `acr`.
pub(super) fn methods(claims: &Map<String, Value>) -> Vec<String> {
    let mut methods = texts(claims, "amr");
    methods.extend(text(claims, "acr"));
    methods.truncate(32);
    methods
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match value(claims, name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    is_keepable(&text).then_some(text)
}

fn texts(claims: &Map<String, Value>, name: &str) -> Vec<String> {
    match value(claims, name) {
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_str)
            .filter(|text| is_keepable(text))
            .take(MOST_VALUES)
            .map(str::to_owned)
            .collect(),
        Some(_) => text(claims, name).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A claim by its name, or by a path with dots into objects (`realm_access.roles`).
fn value<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    value(claims.get(first)?.as_object()?, rest)
}

fn is_yes(claims: &Map<String, Value>, name: &str) -> bool {
    // Some providers write the boolean as a text.
    matches!(claims.get(name), Some(Value::Bool(true)))
        || claims.get(name).and_then(Value::as_str) == Some("true")
}

fn is_keepable(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control)
}
