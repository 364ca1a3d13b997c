//! What one connection to an OpenID provider is told: who the provider is, who we are there, which
//! claims become what.

use std::time::Duration;

use url::Url;

use super::preset::Preset;
use crate::secret::Secret;

/// How we prove who we are at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// HTTP Basic (RFC 6749 section 2.3.1).
    Basic,
    /// In the form.
    Post,
}

/// Which claim becomes what; names of claims of the ID token or the userinfo answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimMap {
    /// User name; where it is missing the e-mail address takes its place.
    pub username: String,
    /// E-mail address.
    pub email: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Nickname or display name.
    pub nickname: String,
    /// Position, e.g. a job title.
    pub position: Option<String>,
    /// Language tag.
    pub locale: String,
    /// Groups: a list of texts, or one text.
    pub groups: String,
    /// Further claims to keep, by the name under which they are kept.
    pub claims: Vec<(String, String)>,
}

/// When the userinfo endpoint is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserInfoUse {
    /// When the ID token lacks the user name, the address or the groups.
    #[default]
    WhenNeeded,
    /// At every sign-in.
    Always,
    /// Never.
    Never,
}

/// The endpoints of a provider without discovery (plain OAuth 2.0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainEndpoints {
    /// Where the browser goes.
    pub authorization: Url,
    /// Where the code is redeemed.
    pub token: Url,
    /// Who the person is, as JSON.
    pub user: Url,
    /// The person's e-mail addresses with `primary` and `verified`, as JSON.
    pub emails: Url,
}

/// One connection.
#[derive(Debug)]
pub struct OidcSettings {
    /// Its id.
    pub id: String,
    /// What people read on its button.
    pub label: String,
    /// Kind of provider.
    pub preset: Preset,
    /// The provider's issuer; its metadata is below it.
    pub issuer: Url,
    /// Endpoints of a provider that is not asked for metadata.
    pub plain: Option<PlainEndpoints>,
    /// Who we are there.
    pub client_id: String,
    /// Our secret; none for a public client.
    pub client_secret: Option<Secret>,
    /// How the secret is sent; `None` goes by the metadata.
    pub authentication: Option<ClientAuthentication>,
    /// Where the provider sends the browser back to.
    pub redirect_uri: Url,
    /// Where the provider sends the browser after a sign-out.
    pub post_logout_redirect_uri: Option<Url>,
    /// Scopes to ask for; `openid` is among them unless the provider is plain OAuth 2.0.
    pub scopes: Vec<String>,
    /// Further parameters of the authorization request, e.g. `domain_hint`.
    pub authorization_parameters: Vec<(String, String)>,
    /// Tenants (`tid`) that may sign in; for an issuer of many tenants never empty.
    pub tenants: Vec<String>,
    /// Hosted domains (`hd`) that may sign in; empty for no such rule.
    pub hosted_domains: Vec<String>,
    /// Which claim becomes what.
    pub claims: ClaimMap,
    /// When the userinfo endpoint is asked.
    pub userinfo: UserInfoUse,
    /// Difference of clocks that is tolerated.
    pub clock_skew: Duration,
    /// Limit of one request to the provider, its body included.
    pub timeout: Duration,
    /// Certificates to trust instead of the system's, as PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Whether signing out here leads to the provider's sign-out where it has one.
    pub sign_out_upstream: bool,
}

impl OidcSettings {
    /// The defaults of `preset`.
    ///
    /// # Errors
    /// Says what the preset needs.
    pub fn new(
        id: &str,
        preset: Preset,
        issuer: Option<Url>,
        client_id: &str,
        redirect_uri: Url,
    ) -> Result<Self, String> {
        let issuer = issuer
            .or_else(|| preset.issuer())
            .ok_or_else(|| format!("preset {} needs an issuer", preset.as_str()))?;
        Ok(Self {
            id: id.to_owned(),
            label: id.to_owned(),
            plain: preset.plain_endpoints(&issuer),
            preset,
            issuer,
            client_id: client_id.to_owned(),
            client_secret: None,
            authentication: None,
            redirect_uri,
            post_logout_redirect_uri: None,
            scopes: preset.scopes(),
            authorization_parameters: Vec::new(),
            tenants: Vec::new(),
            hosted_domains: Vec::new(),
            claims: preset.claims(),
            userinfo: UserInfoUse::default(),
            clock_skew: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            ca_pem: None,
            sign_out_upstream: false,
        })
    }
}
