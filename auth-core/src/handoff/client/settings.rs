//! A client's settings, in the form of the configuration's `[[client]]`.
//!
//! The same form is kept as JSON for clients that were added on the command line.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ClientError, duration_text, redirect_uri};
use crate::handoff::scope::is_scope_character;
use crate::handoff::signing_key::SigningAlgorithm;

const SHORTEST_ACCESS_TOKEN: Duration = Duration::from_secs(30);
/// Signing keys stay published for longer than this after they were replaced.
const LONGEST_ACCESS_TOKEN: Duration = Duration::from_secs(86_400);

/// Which protocol the client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ClientKind {
    /// OpenID Connect.
    #[default]
    Oidc,
    /// The OAuth provider of GitLab, as Mattermost and others speak it.
    Gitlab,
}

impl ClientKind {
    /// The word in settings and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Gitlab => "gitlab",
        }
    }
}

/// How a confidential client presents its secret, as registered with IANA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenEndpointAuthMethod {
    /// In the header `Authorization: Basic`.
    ClientSecretBasic,
    /// In the form, as `client_id` and `client_secret`.
    ClientSecretPost,
    /// Not at all: the client is public.
    None,
}

/// What kind of session the client holds for a person; each has a length of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A chat server's web session.
    #[default]
    Web,
    /// A mobile app.
    Mobile,
    /// A desktop app.
    Desktop,
    /// A program that only wants to know who somebody is.
    Sso,
}

impl SessionKind {
    /// The word in listings and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Mobile => "mobile",
            Self::Desktop => "desktop",
            Self::Sso => "sso",
        }
    }
}

/// A client's settings without its secret. What is left out has the default of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// Client id: 1 to 32 of `a-z`, `0-9` and `-`.
    pub id: String,
    /// Name shown to people; default the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which protocol it speaks.
    #[serde(default)]
    pub kind: ClientKind,
    /// Where answers may be sent.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where people may be sent after logout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<String>,
    /// Whether it cannot keep a secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
    /// The only way in which it may authenticate; default header or form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<TokenEndpointAuthMethod>,
    /// Connectors through which its people may come in; default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connectors: Option<Vec<String>>,
    /// Scope values that it may be granted; default all that have a meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Groups that it is told of; default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Algorithm of its ID tokens; default `RS256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token_signed_response_alg: Option<SigningAlgorithm>,
    /// Life of access and ID tokens, `30s` to `24h`; default `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "duration_text")]
    pub access_token_lifetime: Option<Duration>,
    /// Life of a refresh token that is not used; default as long as the session.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "duration_text")]
    pub refresh_token_lifetime: Option<Duration>,
    /// Kind of its sessions.
    #[serde(default)]
    pub session_kind: SessionKind,
    /// Length of its sessions; default that of their kind.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "duration_text")]
    pub session_lifetime: Option<Duration>,
    /// A session ends after so long without use; default never.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "duration_text")]
    pub session_idle_timeout: Option<Duration>,
    /// Where logout tokens are posted, OpenID Connect Back-Channel Logout 1.0 section 2.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
}

impl ClientSettings {
    /// Whether the settings are those of a public client.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.public || self.token_endpoint_auth_method == Some(TokenEndpointAuthMethod::None)
    }
}

pub(super) fn check(settings: &ClientSettings) -> Result<(), ClientError> {
    let fail = |key: &'static str, problem: String| {
        Err(ClientError { client: settings.id.clone(), key, problem })
    };
    let id = &settings.id;
    let id_is_good = (1..=32).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !id_is_good {
        return fail("id", "must be 1 to 32 characters of a-z, 0-9 and -".to_owned());
    }
    let method = settings.token_endpoint_auth_method;
    if settings.public && method.is_some_and(|method| method != TokenEndpointAuthMethod::None) {
        return fail(
            "token_endpoint_auth_method",
            "a public client authenticates by `none`: remove the line, or `public`".to_owned(),
        );
    }
    if settings.redirect_uris.is_empty() {
        return fail("redirect_uris", "give at least one".to_owned());
    }
    if settings.kind == ClientKind::Gitlab {
        check_gitlab(settings)?;
    }
    if let Some(uri) = &settings.backchannel_logout_uri
        && let Err(problem) = redirect_uri::check(uri, false)
    {
        return fail("backchannel_logout_uri", format!("{uri:?} {problem}"));
    }
    for (key, uris) in [
        ("redirect_uris", &settings.redirect_uris),
        ("post_logout_redirect_uris", &settings.post_logout_redirect_uris),
    ] {
        for uri in uris {
            if let Err(problem) = redirect_uri::check(uri, settings.is_public()) {
                return fail(key, format!("{uri:?} {problem}"));
            }
        }
    }
    for value in settings.scopes.iter().flatten() {
        if value.is_empty() || !value.chars().all(is_scope_character) {
            return fail("scopes", format!("{value:?} is no scope value"));
        }
    }
    if settings.connectors.as_ref().is_some_and(Vec::is_empty) {
        return fail("connectors", "lets nobody in: name one, or remove the line".to_owned());
    }
    check_lifetimes(settings)
}

/// GitLab's protocol has one way to authenticate, one scope of use here, and no logout token.
fn check_gitlab(settings: &ClientSettings) -> Result<(), ClientError> {
    let fail = |key: &'static str, problem: &str| {
        Err(ClientError { client: settings.id.clone(), key, problem: problem.to_owned() })
    };
    if settings.is_public() {
        return fail("public", "a client of kind gitlab has a secret: remove the line");
    }
    let method = settings.token_endpoint_auth_method;
    if method.is_some_and(|method| method != TokenEndpointAuthMethod::ClientSecretPost) {
        return fail(
            "token_endpoint_auth_method",
            "a client of kind gitlab sends its secret in the form: remove the line",
        );
    }
    if settings.scopes.is_some() {
        return fail("scopes", "a client of kind gitlab is granted read_user: remove the line");
    }
    if settings.backchannel_logout_uri.is_some() {
        return fail(
            "backchannel_logout_uri",
            "is for clients of kind oidc: a client of kind gitlab knows no logout token",
        );
    }
    Ok(())
}

fn check_lifetimes(settings: &ClientSettings) -> Result<(), ClientError> {
    let fail = |key: &'static str, problem: &str| {
        Err(ClientError { client: settings.id.clone(), key, problem: problem.to_owned() })
    };
    if settings
        .access_token_lifetime
        .is_some_and(|life| !(SHORTEST_ACCESS_TOKEN..=LONGEST_ACCESS_TOKEN).contains(&life))
    {
        return fail("access_token_lifetime", "must be 30s to 24h");
    }
    for (key, lifetime) in [
        ("refresh_token_lifetime", settings.refresh_token_lifetime),
        ("session_lifetime", settings.session_lifetime),
        ("session_idle_timeout", settings.session_idle_timeout),
    ] {
        if lifetime.is_some_and(|life| life < Duration::from_secs(60)) {
            return fail(key, "must be at least 1m");
        }
    }
    Ok(())
}
