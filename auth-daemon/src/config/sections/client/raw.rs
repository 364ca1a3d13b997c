//! What may be written in `[[client]]`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::delivery::{RawMattermost, RawWebhook};
use super::kind::{ClientKind, IdTokenAlgorithm, SubjectType, TokenEndpointAuthMethod};
use super::{Client, protocol};
use crate::config::finding::{KeyPath, Problems};
use crate::config::sections::session::SessionKind;
use crate::config::values::{DAY, DurationText, MINUTE, SecretText};

/// A chat server or other relying party. Clients may also live in the store (`client add`), never
/// under one id in both.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawClient {
    /// Its id (`client_id`), `[a-z0-9-]{1,32}`.
    #[schemars(extend("x-required" = true))]
    id: Option<String>,
    /// Its name for people. Default: the id.
    name: Option<String>,
    /// By which protocol it is served.
    pub(super) kind: ClientKind,
    /// Where browsers are sent back to with a code; compared exactly. https, or http to a
    /// loopback address (any port for a public client), or for a public client a scheme of its
    /// own with a period in it.
    pub(super) redirect_uris: Vec<String>,
    /// Where a sign-out may return to; the same rules.
    post_logout_redirect_uris: Vec<String>,
    /// Where a sign-in at it begins (OpenID Connect Core section 4), such as
    /// `https://chat.example.com/oauth/gitlab/login`: there goes who came from an identity
    /// provider's own page with this client's id as `RelayState`.
    initiate_login_uri: Option<String>,
    /// Its secret.
    secret: Option<SecretText>,
    /// A file that holds `secret`.
    secret_file: Option<PathBuf>,
    /// An application on people's own machines, which can keep no secret: it has none, and PKCE
    /// binds its codes.
    pub(super) public: bool,
    /// How it proves who it is. Default: `client_secret_basic` and `client_secret_post` are both
    /// taken.
    pub(super) token_endpoint_auth_method: Option<TokenEndpointAuthMethod>,
    /// A file with its public keys as a JWK set (RFC 7517), for `private_key_jwt`.
    pub(super) jwks_file: Option<PathBuf>,
    /// Algorithm of its ID tokens.
    id_token_signed_response_alg: IdTokenAlgorithm,
    /// Scopes that it may be granted. Default: all that have a meaning.
    scopes: Option<Vec<String>>,
    /// Groups that it is told of. Default: all.
    groups: Option<Vec<String>>,
    /// Only people of one of these groups may sign in to it, and stay signed in. Default: all.
    pub(super) allowed_groups: Option<Vec<String>>,
    /// Claims about people that it is told of, beside `sub`, such as `name` and `email`. Default:
    /// all that the scope grants.
    pub(super) claims: Option<Vec<String>>,
    /// Only people of these connectors may sign in to it: `local` and ids of directories.
    /// Default: all.
    connectors: Option<Vec<String>>,
    /// What `sub` is.
    pub(super) subject_type: SubjectType,
    /// Whether the answer to a refresh holds an ID token. Default: true.
    id_token_on_refresh: Option<bool>,
    /// Whether it may use the device authorization grant (RFC 8628), for programs without a
    /// browser. Default: true for a public client of kind `oidc`, else false.
    pub(super) device_authorization: Option<bool>,
    /// Lifetime of access tokens and ID tokens, `30s` to `24h`. Default: `10m`, and `60s` for kind
    /// `gitlab`, which calls once.
    access_token_lifetime: Option<DurationText>,
    /// How long a refresh token is good while nobody uses it. Default: as long as the session.
    refresh_token_lifetime: Option<DurationText>,
    /// What sort of session it gets: which length of `session.kinds`.
    session_kind: SessionKind,
    /// How long its sessions last. Default: by `session_kind`.
    session_lifetime: Option<DurationText>,
    /// Its sessions end after so long without use. Default: never.
    session_idle_timeout: Option<DurationText>,
    /// Where logout tokens are posted (OpenID Connect Back-Channel Logout), for kind `oidc`.
    pub(super) backchannel_logout_uri: Option<String>,
    /// Where events are posted.
    pub(super) webhook: Option<RawWebhook>,
    /// The API of the Mattermost server, for pushing account changes, for kind `gitlab`.
    pub(super) mattermost: Option<RawMattermost>,
    /// Hosts behind the reverse proxy, for `forward-auth`: `wiki.example.com`, or with a port that
    /// is not 443.
    pub(super) hosts: Vec<String>,
}

impl RawClient {
    /// The hosts as written, for the checks of uniqueness.
    pub(in crate::config) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// The id as written, for the checks of uniqueness.
    pub(in crate::config) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(in crate::config) fn resolve(
        mut self,
        at: &KeyPath,
        connectors: &[String],
        problems: &mut Problems,
    ) -> Client {
        let at = &at.clone().named(self.id.as_deref());
        self.public |= self.token_endpoint_auth_method == Some(TokenEndpointAuthMethod::None)
            || self.kind == ClientKind::ForwardAuth;
        let id = problems.id(at, self.id.take()).unwrap_or_default();
        if let Some(name) = &self.name {
            problems.label(&at.key("name"), name);
        }
        self.check_uris(at, problems);
        self.check_scopes(at, problems);
        self.check_connectors(at, connectors, problems);
        self.check_endpoints(at, problems);
        self.check_gitlab(at, problems);
        let webhook =
            self.webhook.take().and_then(|hook| hook.resolve(&at.key("webhook"), problems));
        let mattermost = self
            .mattermost
            .take()
            .and_then(|server| server.resolve(&at.key("mattermost"), problems));
        protocol::check(&self, at, problems);
        let jwks = protocol::jwks(&self, at, problems);
        let secret = self.secret(at, problems);
        let access = self.access_token_lifetime.as_ref().and_then(|text| {
            let at = at.key("access_token_lifetime");
            problems.duration(&at, text, Duration::from_secs(30)..=DAY)
        });
        let mut lifetime = |name: &str, text: &Option<DurationText>| {
            let text = text.as_ref()?;
            problems.duration(&at.key(name), text, MINUTE..=DAY * 400)
        };
        let refresh = lifetime("refresh_token_lifetime", &self.refresh_token_lifetime);
        let session = lifetime("session_lifetime", &self.session_lifetime);
        let idle = lifetime("session_idle_timeout", &self.session_idle_timeout);
        if let (Some(idle), Some(session)) = (idle, session)
            && idle > session
        {
            problems.error(
                &at.key("session_idle_timeout"),
                "is longer than session_lifetime",
                "make it shorter, or session_lifetime longer",
            );
        }
        Client {
            name: self.name.unwrap_or_else(|| id.clone()),
            id,
            kind: self.kind,
            redirect_uris: self.redirect_uris,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            initiate_login_uri: self.initiate_login_uri,
            public: self.public,
            secret,
            jwks,
            hosts: self.hosts,
            token_endpoint_auth_method: if self.public {
                Some(TokenEndpointAuthMethod::None)
            } else {
                self.token_endpoint_auth_method
            },
            id_token_algorithm: self.id_token_signed_response_alg,
            scopes: self.scopes,
            groups: self.groups,
            allowed_groups: self.allowed_groups,
            claims: self.claims,
            subject_type: self.subject_type,
            id_token_on_refresh: self.id_token_on_refresh,
            device_authorization: self.device_authorization,
            connectors: self.connectors,
            access_token_lifetime: access,
            refresh_token_lifetime: refresh,
            session_kind: self.session_kind,
            session_lifetime: session,
            session_idle_timeout: idle,
            backchannel_logout_uri: self.backchannel_logout_uri,
            webhook,
            mattermost,
        }
    }

    fn check_uris(&self, at: &KeyPath, problems: &mut Problems) {
        let redirects = at.key("redirect_uris");
        if self.kind.has_redirect_uris() && self.redirect_uris.is_empty() {
            problems.missing(&redirects, "list where browsers return to with a code");
        }
        problems.redirect_uris(&redirects, &self.redirect_uris, self.public);
        let start = self.initiate_login_uri.as_slice();
        problems.redirect_uris(&at.key("initiate_login_uri"), start, self.public);
        problems.redirect_uris(
            &at.key("post_logout_redirect_uris"),
            &self.post_logout_redirect_uris,
            self.public,
        );
    }

    fn check_scopes(&self, at: &KeyPath, problems: &mut Problems) {
        let at = at.key("scopes");
        let Some(scopes) = &self.scopes else { return };
        for (index, scope) in scopes.iter().enumerate() {
            // RFC 6749 section 3.3.
            let sound = !scope.is_empty()
                && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
            if !sound {
                problems.error(&at.index(index), "is no scope", "give one word without quotes");
            }
        }
        if self.kind == ClientKind::Oidc && !scopes.iter().any(|scope| scope == "openid") {
            problems.error(&at, "lacks openid, without which no ID token is made", "add it");
        }
    }

    fn check_connectors(&self, at: &KeyPath, known: &[String], problems: &mut Problems) {
        let at = at.key("connectors");
        let Some(connectors) = &self.connectors else { return };
        if connectors.is_empty() {
            problems.error(&at, "is empty: nobody could sign in", "leave it out to allow all");
        }
        for (index, connector) in connectors.iter().enumerate() {
            if !known.contains(connector) {
                problems.error(
                    &at.index(index),
                    format!("there is no connector `{connector}`"),
                    format!("known are {}", known.join(", ")),
                );
            }
        }
    }

    /// What goes with one protocol only.
    fn check_gitlab(&self, at: &KeyPath, problems: &mut Problems) {
        let is_gitlab = self.kind == ClientKind::Gitlab;
        if self.mattermost.is_some() && !is_gitlab {
            problems.error(
                &at.key("mattermost"),
                "is for clients of kind \"gitlab\"",
                "set the kind, or remove it",
            );
        }
        if !is_gitlab {
            return;
        }
        let method = self.token_endpoint_auth_method;
        let other_method =
            method.is_some_and(|method| method != TokenEndpointAuthMethod::ClientSecretPost);
        for (key, is_set) in [
            ("public", self.public),
            ("token_endpoint_auth_method", other_method),
            ("scopes", self.scopes.is_some()),
            ("backchannel_logout_uri", self.backchannel_logout_uri.is_some()),
        ] {
            if is_set {
                problems.error(
                    &at.key(key),
                    "does not go with kind \"gitlab\", which sends its secret in the form, is \
                     granted read_user and knows no logout token",
                    "remove it",
                );
            }
        }
    }

    fn check_endpoints(&self, at: &KeyPath, problems: &mut Problems) {
        if let Some(uri) = &self.backchannel_logout_uri {
            problems.endpoint(&at.key("backchannel_logout_uri"), uri);
        }
    }

    /// A public client has no secret; any other has one, and both agree with the method.
    fn secret(
        &mut self,
        at: &KeyPath,
        problems: &mut Problems,
    ) -> Option<auth_core::secret::Secret> {
        let method = self.token_endpoint_auth_method;
        let given = self.secret.is_some() || self.secret_file.is_some();
        let at_secret = at.key(if self.secret_file.is_some() { "secret_file" } else { "secret" });
        let secret = problems.secret(at, "secret", self.secret.take(), self.secret_file.as_deref());
        if let Some(secret) = &secret
            && secret.expose().chars().count() < 16
        {
            problems.warning(
                &at_secret,
                "is shorter than 16 characters and may be guessed",
                "make one with `openssl rand -base64 32`",
            );
        }
        if self.kind == ClientKind::ForwardAuth && given {
            problems.error(&at_secret, "is set, but a reverse proxy sends none", "remove it");
        } else if self.public && given {
            problems.error(
                &at_secret,
                "is set, but a public client has none",
                "remove it, or set public = false (and no method \"none\")",
            );
        }
        if method == Some(TokenEndpointAuthMethod::PrivateKeyJwt) && given {
            problems.error(&at_secret, "is set beside private_key_jwt", "remove one of the two");
        }
        let method_is_wrong = match method {
            None | Some(TokenEndpointAuthMethod::None) => false,
            Some(_) => self.public,
        };
        if method_is_wrong {
            problems.error(
                &at.key("token_endpoint_auth_method"),
                "does not go with `public`",
                "a public client has \"none\": remove one of the two",
            );
        }
        let needs_secret = !self.public && method != Some(TokenEndpointAuthMethod::PrivateKeyJwt);
        if needs_secret && !given {
            problems.missing(
                &at.key("secret_file"),
                "a client with `public = false` proves who it is by a secret",
            );
        }
        secret
    }
}
