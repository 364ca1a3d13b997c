//! `[[oidc]]`: connections to OpenID providers that people sign in with.

mod attributes;
mod raw;

use std::time::Duration;

use auth_core::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::accounts::Accounts;
use super::logo::Logo;
pub(crate) use attributes::ClaimNames;
pub(in crate::config) use raw::RawOidc;

/// Kind of provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OidcPreset {
    /// Any provider that follows OpenID Connect Discovery.
    #[default]
    Generic,
    /// Microsoft Entra ID. `issuer` is `https://login.microsoftonline.com/TENANT/v2.0`.
    Entra,
    /// GitHub or GitHub Enterprise Server (plain OAuth 2.0).
    Github,
    /// GitLab.
    Gitlab,
    /// Google Workspace and Google accounts.
    Google,
    /// Keycloak. `issuer` is `https://HOST/realms/REALM`.
    Keycloak,
    /// Okta. `issuer` is `https://ORG.okta.com` or that of an authorization server.
    Okta,
    /// `OneLogin`. `issuer` is `https://ORG.onelogin.com/oidc/2`.
    Onelogin,
}

/// How the client secret is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SecretMethod {
    /// HTTP Basic.
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
}

/// When the userinfo endpoint is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UserinfoUse {
    /// When the ID token lacks user name, address or groups.
    #[default]
    WhenNeeded,
    /// At every sign-in.
    Always,
    /// Never.
    Never,
}

/// A connection to an OpenID provider.
#[derive(Debug)]
pub(crate) struct Oidc {
    /// Id of the connector.
    pub(crate) id: String,
    /// Name on the sign-in page.
    pub(crate) label: String,
    /// Picture on its button.
    pub(crate) logo: Option<Logo>,
    /// Kind of provider.
    pub(crate) preset: OidcPreset,
    /// Issuer; `None`: the preset's.
    pub(crate) issuer: Option<Url>,
    /// Our client id there.
    pub(crate) client_id: String,
    /// Our client secret there.
    pub(crate) client_secret: Option<Secret>,
    /// How it is sent; `None` goes by the provider's metadata.
    pub(crate) secret_method: Option<SecretMethod>,
    /// Scopes; `None`: the preset's.
    pub(crate) scopes: Option<Vec<String>>,
    /// Further parameters of the authorization request.
    pub(crate) authorization_parameters: Vec<(String, String)>,
    /// Tenants that may sign in.
    pub(crate) tenants: Vec<String>,
    /// Hosted domains that may sign in.
    pub(crate) hosted_domains: Vec<String>,
    /// Mail domains whose people are led here.
    pub(crate) domains: Vec<String>,
    /// Which claim becomes what.
    pub(crate) attributes: ClaimNames,
    /// When the userinfo endpoint is asked.
    pub(crate) userinfo: UserinfoUse,
    /// Difference of clocks.
    pub(crate) clock_skew: Duration,
    /// Limit of one request.
    pub(crate) timeout: Duration,
    /// Authorities to trust, as PEM.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// Whether signing out leads to the provider.
    pub(crate) sign_out_upstream: bool,
    /// Who gets an account.
    pub(crate) accounts: Accounts,
}
