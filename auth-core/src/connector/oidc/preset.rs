//! What is the same for everybody at one kind of provider: issuer, scopes, names of claims.

use url::Url;

use super::settings::{ClaimMap, PlainEndpoints};

/// Kind of provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// Any provider that follows OpenID Connect Discovery.
    #[default]
    Generic,
    /// Microsoft Entra ID.
    Entra,
    /// GitHub and GitHub Enterprise Server: plain OAuth 2.0.
    Github,
    /// GitLab, hosted or one's own.
    Gitlab,
    /// Google Workspace and Google accounts.
    Google,
    /// Keycloak.
    Keycloak,
    /// Okta.
    Okta,
    /// OneLogin.
    Onelogin,
}

impl Preset {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Entra => "entra",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Google => "google",
            Self::Keycloak => "keycloak",
            Self::Okta => "okta",
            Self::Onelogin => "onelogin",
        }
    }

    /// The issuer where it is the same for everybody.
    #[must_use]
    pub fn issuer(self) -> Option<Url> {
        let text = match self {
            Self::Google => "https://accounts.google.com",
            Self::Gitlab => "https://gitlab.com",
            Self::Github => "https://github.com",
            Self::Generic | Self::Entra | Self::Keycloak | Self::Okta | Self::Onelogin => {
                return None;
            }
        };
        Url::parse(text).ok()
    }

    /// Scopes to ask for.
    #[must_use]
    pub fn scopes(self) -> Vec<String> {
        let scopes: &[&str] = match self {
            Self::Github => &["read:user", "user:email"],
            Self::Okta | Self::Onelogin => &["openid", "profile", "email", "groups"],
            _ => &["openid", "profile", "email"],
        };
        scopes.iter().map(|&scope| scope.to_owned()).collect()
    }

    /// Which claim becomes what.
    #[must_use]
    pub fn claims(self) -> ClaimMap {
        let mut map = ClaimMap {
            username: "preferred_username".to_owned(),
            email: "email".to_owned(),
            first_name: "given_name".to_owned(),
            last_name: "family_name".to_owned(),
            nickname: "nickname".to_owned(),
            position: None,
            locale: "locale".to_owned(),
            groups: "groups".to_owned(),
            claims: Vec::new(),
        };
        match self {
            // Google has neither user names nor groups in its tokens.
            Self::Google => map.username = "email".to_owned(),
            Self::Github => {
                map.username = "login".to_owned();
                map.nickname = "name".to_owned();
            }
            Self::Gitlab => map.groups = "groups_direct".to_owned(),
            _ => {}
        }
        map
    }

    /// The endpoints of a provider that has no metadata.
    #[must_use]
    pub fn plain_endpoints(self, issuer: &Url) -> Option<PlainEndpoints> {
        if self != Self::Github {
            return None;
        }
        // GitHub's own API has a host of its own, an enterprise server's does not.
        let api = if issuer.host_str() == Some("github.com") {
            "https://api.github.com/user".to_owned()
        } else {
            issuer.join("/api/v3/user").ok()?.to_string()
        };
        Some(PlainEndpoints {
            authorization: issuer.join("/login/oauth/authorize").ok()?,
            token: issuer.join("/login/oauth/access_token").ok()?,
            user: Url::parse(&api).ok()?,
            emails: Url::parse(&format!("{api}/emails")).ok()?,
        })
    }
}
