//! A client's settings, in the form of the configuration's `[[client]]`.
//!
//! The same form is kept as JSON for clients that were added on the command line.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ClientError, duration_text, redirect_uri};
use crate::handoff::claims::is_own_claim;
use crate::handoff::forward_auth;
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
    /// A reverse proxy that asks `/forward-auth` about every request.
    ForwardAuth,
    /// OpenID Connect.
    #[default]
    Oidc,
    /// A chat server that exchanges its code at the sessions API.
    SessionApi,
    /// The OAuth provider of GitLab, as Mattermost and others speak it.
    Gitlab,
}

impl ClientKind {
    /// The word in settings and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForwardAuth => "forward-auth",
            Self::Gitlab => "gitlab",
            Self::Oidc => "oidc",
            Self::SessionApi => "session-api",
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
    /// By a JWT that it signed with a key of its own, RFC 7523 section 2.2.
    PrivateKeyJwt,
}

/// What `sub` is, OpenID Connect Core 1.0 section 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectType {
    /// The same for all clients.
    #[default]
    Public,
    /// Another one for each sector (the host of the client's redirect URIs), so that two clients
    /// cannot find out that they have the same person.
    Pairwise,
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
    /// Where a sign-in at it begins (OpenID Connect Core section 4), for people whom an identity
    /// provider sends here by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiate_login_uri: Option<String>,
    /// Whether it cannot keep a secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
    /// The only way in which it may authenticate; default header or form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<TokenEndpointAuthMethod>,
    /// Its public keys as a JWK set (RFC 7517), for `private_key_jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<serde_json::Value>,
    /// Hosts behind the reverse proxy, with a port that is not the scheme's own; for
    /// `forward-auth`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Connectors through which its people may come in; default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connectors: Option<Vec<String>>,
    /// Scope values that it may be granted; default all that have a meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Groups that it is told of; default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Groups of which somebody has to be in one to sign in to it; default everybody may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_groups: Option<Vec<String>>,
    /// Claims about people that it is told of, beside `sub`; default all that the scope grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Vec<String>>,
    /// What `sub` is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subject_type: SubjectType,
    /// Whether a refreshed answer holds an ID token; default it does (OpenID Connect Core 1.0
    /// section 12.2 lets it be left out).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token_on_refresh: Option<bool>,
    /// Whether it may use the device authorization grant (RFC 8628); default public clients of
    /// kind `oidc` may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_authorization: Option<bool>,
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
    /// Whether the settings are those of a public client. A reverse proxy is one too: its codes
    /// are redeemed here, bound to the browser by PKCE.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.public
            || self.kind == ClientKind::ForwardAuth
            || self.token_endpoint_auth_method == Some(TokenEndpointAuthMethod::None)
    }

    /// Whether it proves who it is by a signed JWT, and so has no secret.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.token_endpoint_auth_method == Some(TokenEndpointAuthMethod::PrivateKeyJwt)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
    if settings.kind == ClientKind::ForwardAuth {
        check_forward_auth(settings)?;
    } else if settings.redirect_uris.is_empty() {
        return fail("redirect_uris", "give at least one".to_owned());
    } else if !settings.hosts.is_empty() {
        return fail("hosts", "is for clients of kind forward-auth: remove the line".to_owned());
    }
    if settings.kind == ClientKind::SessionApi {
        check_session_api(settings)?;
    }
    if settings.kind == ClientKind::Gitlab {
        check_gitlab(settings)?;
    }
    if let Some(uri) = &settings.backchannel_logout_uri
        && let Err(problem) = redirect_uri::check(uri, false)
    {
        return fail("backchannel_logout_uri", format!("{uri:?} {problem}"));
    }
    if let Some(uri) = &settings.initiate_login_uri
        && let Err(problem) = redirect_uri::check(uri, settings.is_public())
    {
        return fail("initiate_login_uri", format!("{uri:?} {problem}"));
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
    for (key, list) in [("allowed_groups", &settings.allowed_groups), ("claims", &settings.claims)]
    {
        if list.as_ref().is_some_and(Vec::is_empty) {
            return fail(key, "is empty: name one, or remove the line".to_owned());
        }
    }
    let tellable = |name: &&String| {
        let mapped = !name.is_empty() && name.chars().all(is_scope_character);
        CLAIMS.contains(&name.as_str()) || mapped && !is_own_claim(name)
    };
    if let Some(unknown) = settings.claims.iter().flatten().find(|name| !tellable(name)) {
        let known = CLAIMS.join(", ");
        let problem = "is no claim that can be left out";
        let repair = "and what connectors map";
        return fail("claims", format!("{unknown:?} {problem}; known are {known} {repair}"));
    }
    if settings.subject_type == SubjectType::Pairwise && sector(&settings.redirect_uris).is_none() {
        return fail(
            "subject_type",
            "pairwise needs redirect URIs of one https host, which the subject is made for"
                .to_owned(),
        );
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

/// Claims about people that the provider knows, beside `sub`.
pub const CLAIMS: [&str; 11] = [
    "preferred_username",
    "name",
    "given_name",
    "family_name",
    "nickname",
    "locale",
    "updated_at",
    "email",
    "email_verified",
    "groups",
    "roles",
];

/// The sector identifier of a client: the host that all its redirect URIs have (OpenID Connect
/// Core 1.0 section 8.1).
pub(super) fn sector(redirect_uris: &[String]) -> Option<String> {
    let mut hosts = redirect_uris
        .iter()
        .map(|uri| url::Url::parse(uri).ok().and_then(|url| url.host_str().map(str::to_owned)));
    let first = hosts.next()??;
    hosts.all(|host| host.as_ref() == Some(&first)).then_some(first)
}

fn check_forward_auth(settings: &ClientSettings) -> Result<(), ClientError> {
    let fail = |key: &'static str, problem: String| {
        Err(ClientError { client: settings.id.clone(), key, problem })
    };
    if settings.hosts.is_empty() {
        return fail("hosts", "list the hosts behind the reverse proxy".to_owned());
    }
    for host in &settings.hosts {
        if !forward_auth::is_host(host) {
            return fail(
                "hosts",
                format!(
                    "{host:?} is no host: write it as in wiki.example.com or \
                         wiki.example.com:8443, in lower case, without scheme and path"
                ),
            );
        }
    }
    if !settings.redirect_uris.is_empty() {
        return fail(
            "redirect_uris",
            "follow from `hosts` for a client of kind forward-auth: remove the line".to_owned(),
        );
    }
    plain(settings, "forward-auth")
}

fn check_session_api(settings: &ClientSettings) -> Result<(), ClientError> {
    let method = settings.token_endpoint_auth_method;
    if settings.public || method.is_some_and(|m| m != TokenEndpointAuthMethod::ClientSecretBasic) {
        return Err(ClientError {
            client: settings.id.clone(),
            key: "token_endpoint_auth_method",
            problem: "a client of kind session-api has a secret and sends it by HTTP Basic"
                .to_owned(),
        });
    }
    plain(settings, "session-api")
}

/// Refuses what only OpenID Connect knows.
fn plain(settings: &ClientSettings, kind: &str) -> Result<(), ClientError> {
    let used = [
        ("jwks", settings.jwks.is_some()),
        ("subject_type", settings.subject_type != SubjectType::Public),
        ("device_authorization", settings.device_authorization == Some(true)),
    ];
    match used.into_iter().find(|(_, used)| *used) {
        None => Ok(()),
        Some((key, _)) => Err(ClientError {
            client: settings.id.clone(),
            key,
            problem: format!("is not for clients of kind {kind}: remove the line"),
        }),
    }
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
