//! Clients (relying parties): what each may do, how it authenticates, where answers may be sent.
//!
//! A [`Client`] exists only after its settings were checked: redirect URIs are absolute and safe,
//! a confidential client has a secret, a public one has none.

mod assertion;
mod credentials;
mod duration_text;
mod redirect_uri;
mod settings;

use std::time::Duration;

pub use assertion::{AssertionKeys, ExpectedAssertion, OnceOnly};
pub use credentials::{AuthenticationFailure, ClientCredentials};
pub use settings::{
    CLAIMS, ClientKind, ClientSettings, SessionKind, SubjectType, TokenEndpointAuthMethod,
};

use crate::secret::{Secret, SecretDigest};

use super::claim_rule::ClaimRule;
use super::forward_auth;
use super::scope::{self, Scope};
use super::signing_key::SigningAlgorithm;

/// How long an access token lives where the client says nothing.
pub const DEFAULT_ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// The same for a client of kind gitlab: it makes its one call right after it got the token.
pub const GITLAB_ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// How a client proves who it is, RFC 6749 section 2.3.
#[derive(Debug)]
pub enum ClientAuthentication {
    /// It cannot keep a secret; PKCE is required of it.
    Public,
    /// By secret. Without a method, header and form are both accepted.
    Secret {
        /// The secret.
        secret: SecretDigest,
        /// The only method accepted.
        method: Option<TokenEndpointAuthMethod>,
    },
    /// By a JWT signed with one of these keys.
    Keys(AssertionKeys),
}

/// Why settings make no client; the text names the key and says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("client {client:?}: {key}: {problem}")]
pub struct ClientError {
    /// Client id, as far as it is known.
    pub client: String,
    /// Key of the configuration's `[[client]]`.
    pub key: &'static str,
    /// What is wrong and how to mend it.
    pub problem: String,
}

/// A checked client.
#[derive(Debug)]
pub struct Client {
    settings: ClientSettings,
    authentication: ClientAuthentication,
    claim_rules: Vec<ClaimRule>,
}

impl Client {
    /// Checks the settings and makes a client of them.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub fn new(settings: ClientSettings, secret: Option<Secret>) -> Result<Self, ClientError> {
        settings::check(&settings)?;
        let error = |key, problem: &str| ClientError {
            client: settings.id.clone(),
            key,
            problem: problem.to_owned(),
        };
        let authentication = match (settings.is_public(), secret) {
            (false, None) if settings.has_keys() => {
                let jwks = settings.jwks.as_ref().ok_or_else(|| {
                    error("jwks", "is missing: private_key_jwt needs the client's public keys")
                })?;
                let keys = AssertionKeys::read(jwks).map_err(|problem| error("jwks", &problem))?;
                ClientAuthentication::Keys(keys)
            }
            (false, Some(_)) if settings.has_keys() => {
                return Err(error("secret", "a client with private_key_jwt has none: remove it"));
            }
            (_, _) if settings.jwks.is_some() => {
                return Err(error(
                    "jwks",
                    "is for token_endpoint_auth_method = \"private_key_jwt\": set it, or remove \
                     the keys",
                ));
            }
            (true, None) => ClientAuthentication::Public,
            (true, Some(_)) => {
                return Err(error("secret", "a public client has none: remove it, or `public`"));
            }
            (false, Some(secret)) if !secret.expose().is_empty() => {
                let method = match settings.kind {
                    ClientKind::Gitlab => Some(TokenEndpointAuthMethod::ClientSecretPost),
                    _ => settings.token_endpoint_auth_method,
                };
                let secret = SecretDigest::of(&secret);
                ClientAuthentication::Secret { secret, method }
            }
            (false, _) => {
                return Err(error(
                    "secret",
                    "is missing: give secret or secret_file, or public = true for a client that \
                     cannot keep one",
                ));
            }
        };
        Ok(Self { settings, authentication, claim_rules: Vec::new() })
    }

    /// The same client, told what these rules say beside the usual claims.
    #[must_use]
    pub fn with_claim_rules(self, claim_rules: Vec<ClaimRule>) -> Self {
        Self { claim_rules, ..self }
    }

    /// What it is told beside the usual claims.
    #[must_use]
    pub fn claim_rules(&self) -> &[ClaimRule] {
        &self.claim_rules
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.settings.id
    }

    /// Its settings.
    #[must_use]
    pub const fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// Which protocol it speaks; each has endpoints of its own.
    #[must_use]
    pub const fn kind(&self) -> ClientKind {
        self.settings.kind
    }

    /// Whether it cannot keep a secret.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(self.authentication, ClientAuthentication::Public)
    }

    /// Whether answers may be sent to `uri`: it equals a registered one, character by character.
    /// For a public client a registered loopback URI stands for all ports (RFC 8252 section 7.3).
    #[must_use]
    pub fn allows_redirect_uri(&self, uri: &str) -> bool {
        if self.kind() == ClientKind::ForwardAuth {
            return forward_auth::ProtectedUrl::parse(uri).is_some_and(|url| {
                forward_auth::is_listed(&self.settings.hosts, &url) && url.callback() == uri
            });
        }
        self.settings.redirect_uris.iter().any(|registered| {
            registered == uri
                || (self.is_public() && redirect_uri::same_but_loopback_port(registered, uri))
        })
    }

    /// Whether people may come in through this connector.
    #[must_use]
    pub fn allows_connector(&self, connector: &str) -> bool {
        self.settings
            .connectors
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(|one| one == connector))
    }

    /// Whether somebody with these groups may sign in to it. Groups compare as directories do,
    /// without case.
    #[must_use]
    pub fn allows_groups(&self, groups: &[String]) -> bool {
        let Some(allowed) = &self.settings.allowed_groups else { return true };
        groups
            .iter()
            .any(|held| allowed.iter().any(|one| one.to_lowercase() == held.to_lowercase()))
    }

    /// Whether answers after logout may be sent to `uri`: it equals a registered one.
    #[must_use]
    pub fn allows_post_logout_redirect_uri(&self, uri: &str) -> bool {
        self.settings.post_logout_redirect_uris.iter().any(|registered| registered == uri)
    }

    /// Where a sign-in at it begins, for a browser that did not come from there: the registered
    /// address, with `iss` for OpenID Connect (Core section 4), or the first host behind the
    /// reverse proxy. `None` where nothing is registered.
    #[must_use]
    pub fn start_url(&self, issuer: &str) -> Option<url::Url> {
        let Some(registered) = &self.settings.initiate_login_uri else {
            let host = self.settings.hosts.first()?;
            return url::Url::parse(&format!("https://{host}/")).ok();
        };
        let mut url = url::Url::parse(registered).ok()?;
        if self.settings.kind == ClientKind::Oidc {
            url.query_pairs_mut().append_pair("iss", issuer);
        }
        Some(url)
    }

    /// Whether it is told this claim, where the scope grants it.
    #[must_use]
    pub fn is_told(&self, claim: &str) -> bool {
        self.settings.claims.as_ref().is_none_or(|told| told.iter().any(|one| one == claim))
    }

    /// The only claims that it is told; `None` for all.
    pub(super) fn told_claims(&self) -> Option<&[String]> {
        self.settings.claims.as_deref()
    }

    /// Whom its subject identifiers are made for; `None` for everybody.
    #[must_use]
    pub fn sector(&self) -> Option<String> {
        match self.settings.subject_type {
            SubjectType::Public => None,
            SubjectType::Pairwise => settings::sector(&self.settings.redirect_uris),
        }
    }

    /// Whether a refreshed answer holds an ID token.
    #[must_use]
    pub fn wants_id_token_on_refresh(&self) -> bool {
        self.settings.id_token_on_refresh.unwrap_or(true)
    }

    /// Whether it may use the device authorization grant.
    #[must_use]
    pub fn allows_device_authorization(&self) -> bool {
        self.kind() == ClientKind::Oidc
            && self.settings.device_authorization.unwrap_or_else(|| self.is_public())
    }

    /// Whether it may be granted this scope value.
    #[must_use]
    pub fn allows_scope(&self, value: &str) -> bool {
        if self.kind() == ClientKind::Gitlab {
            return value == scope::READ_USER;
        }
        match &self.settings.scopes {
            Some(allowed) => allowed.iter().any(|one| one == value),
            None => scope::SUPPORTED.contains(&value),
        }
    }

    /// What of `scope` it may have.
    #[must_use]
    pub fn narrow_scope(&self, scope: &Scope) -> Scope {
        scope.narrowed(|value| self.allows_scope(value))
    }

    /// Whether it is told of this group.
    #[must_use]
    pub fn is_told_group(&self, group: &str) -> bool {
        self.settings.groups.as_ref().is_none_or(|told| told.iter().any(|one| one == group))
    }

    /// The algorithm of its ID tokens.
    #[must_use]
    pub fn id_token_algorithm(&self) -> SigningAlgorithm {
        self.settings.id_token_signed_response_alg.unwrap_or(SigningAlgorithm::Rs256)
    }

    /// How long its access and ID tokens live.
    #[must_use]
    pub fn access_token_lifetime(&self) -> Duration {
        self.settings.access_token_lifetime.unwrap_or(match self.kind() {
            ClientKind::Gitlab => GITLAB_ACCESS_TOKEN_LIFETIME,
            _ => DEFAULT_ACCESS_TOKEN_LIFETIME,
        })
    }

    /// Judges what a caller presented as this client. `Some` is a mark that has to be seen for the
    /// first time: only then is it this client.
    ///
    /// # Errors
    /// Says for the audit trail why it is not this client.
    pub fn authenticate(
        &self,
        credentials: &ClientCredentials,
        expected: ExpectedAssertion<'_>,
    ) -> Result<Option<OnceOnly>, AuthenticationFailure> {
        match &self.authentication {
            ClientAuthentication::Keys(keys) => {
                let assertion = credentials.assertion()?;
                keys.judge(assertion, self.id(), expected).map(Some)
            }
            other => credentials.judge(other).map(|()| None),
        }
    }

    /// Judges what a caller presented as this client at an API for clients, which takes a secret
    /// by header whatever the way to the token endpoint is. A public client has no secret, so
    /// nobody can prove to be it.
    ///
    /// # Errors
    /// Says for the audit trail why it is not this client.
    pub fn authenticate_for_api(
        &self,
        credentials: &ClientCredentials,
    ) -> Result<(), AuthenticationFailure> {
        match &self.authentication {
            ClientAuthentication::Public => Err(AuthenticationFailure::MissingSecret),
            ClientAuthentication::Secret { secret, .. } => credentials.judge_secret(secret),
            _ => Err(AuthenticationFailure::WrongMethod),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
