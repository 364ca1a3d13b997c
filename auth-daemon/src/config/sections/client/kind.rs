//! Words of `[[client]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// By which protocol a client is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientKind {
    /// By a reverse proxy that asks `/forward-auth` about every request.
    ForwardAuth,
    /// By the GitLab-compatible provider, as Mattermost speaks it.
    Gitlab,
    /// By OpenID Connect.
    #[default]
    Oidc,
    /// By the sessions API: a chat server that speaks no OpenID Connect exchanges its code there.
    SessionApi,
}

impl ClientKind {
    /// The word in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ForwardAuth => "forward-auth",
            Self::Gitlab => "gitlab",
            Self::Oidc => "oidc",
            Self::SessionApi => "session-api",
        }
    }

    /// Whether browsers are sent back to it with a code.
    pub(super) const fn has_redirect_uris(self) -> bool {
        matches!(self, Self::Gitlab | Self::Oidc | Self::SessionApi)
    }
}

/// How a client proves who it is at the token endpoint (OpenID Connect Core section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenEndpointAuthMethod {
    /// Id and secret by HTTP Basic.
    ClientSecretBasic,
    /// Id and secret in the form.
    ClientSecretPost,
    /// Not at all: a public client.
    None,
    /// By a JWT signed with its own key (RFC 7523); `jwks_file` holds the public ones.
    PrivateKeyJwt,
}

/// Algorithm of ID tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum IdTokenAlgorithm {
    /// EdDSA with Ed25519 (RFC 8037).
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, which every relying party knows.
    #[default]
    #[serde(rename = "RS256")]
    Rs256,
}

/// What `sub` is (OpenID Connect Core section 8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SubjectType {
    /// Another `sub` for each host of redirect URIs, so that two clients cannot find out that they
    /// have the same person.
    Pairwise,
    /// The same `sub` for all clients.
    #[default]
    Public,
}
