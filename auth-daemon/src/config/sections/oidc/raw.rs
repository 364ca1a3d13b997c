//! What may be written in `[[oidc]]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use auth_core::connector::oidc::is_own_parameter;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::attributes::RawClaimNames;
use super::{Oidc, OidcPreset, SecretMethod, UserinfoUse};
use crate::config::finding::{KeyPath, Problems};
use crate::config::sections::accounts::RawAccounts;
use crate::config::values::{DurationText, MINUTE, SecretText};

/// An OpenID provider that people sign in with. Register there the redirect URI
/// `PUBLIC_URL/oidc/ID/callback`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawOidc {
    /// Id of the connection, `[a-z0-9-]{1,32}`; part of the redirect URI and of every account's
    /// identity, so never change it.
    #[schemars(extend("x-required" = true))]
    id: Option<String>,
    /// Name on the sign-in page. Default: the id.
    label: Option<String>,
    /// Picture on its button: an SVG or PNG file of 64 KiB at most.
    logo_file: Option<PathBuf>,
    /// Kind of provider; gives issuer, scopes and names of claims that are not set here.
    preset: OidcPreset,
    /// Issuer URL of the provider; needed unless the preset gives it.
    issuer: Option<String>,
    /// Our client id at the provider.
    #[schemars(extend("x-required" = true))]
    client_id: Option<String>,
    /// Our client secret at the provider. None makes us a public client.
    client_secret: Option<SecretText>,
    /// A file that holds `client_secret`.
    client_secret_file: Option<PathBuf>,
    /// How the secret is sent. Default: as the provider's metadata says.
    token_endpoint_auth_method: Option<SecretMethod>,
    /// Scopes to ask for, `openid` among them. Default: the preset's.
    scopes: Vec<String>,
    /// Further parameters of the authorization request, for example `domain_hint` or `acr_values`.
    authorization_parameters: BTreeMap<String, String>,
    /// Entra: ids of the tenants that may sign in. Needed with an issuer of many tenants.
    tenants: Vec<String>,
    /// Google: Workspace domains (`hd`) that may sign in. Empty: every Google account.
    hosted_domains: Vec<String>,
    /// Mail domains whose people are led to this provider when they type their address on the
    /// sign-in page.
    domains: Vec<String>,
    /// Which claim becomes what.
    attributes: RawClaimNames,
    /// When the userinfo endpoint is asked.
    userinfo: UserinfoUse,
    /// Difference of clocks that is tolerated, at most `300s`.
    clock_skew: DurationText,
    /// Limit of one request to the provider.
    timeout: DurationText,
    /// PEM file with the certificate authorities to trust instead of the system's.
    ca_file: Option<PathBuf>,
    /// Whether signing out here leads on to the provider's sign-out, where it has one.
    sign_out_upstream: bool,
    /// Who gets an account through this provider, and whose.
    accounts: RawAccounts,
}

impl Default for RawOidc {
    fn default() -> Self {
        Self {
            id: None,
            label: None,
            logo_file: None,
            preset: OidcPreset::default(),
            issuer: None,
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            token_endpoint_auth_method: None,
            scopes: Vec::new(),
            authorization_parameters: BTreeMap::new(),
            tenants: Vec::new(),
            hosted_domains: Vec::new(),
            domains: Vec::new(),
            attributes: RawClaimNames::default(),
            userinfo: UserinfoUse::default(),
            clock_skew: "60s".into(),
            timeout: "10s".into(),
            ca_file: None,
            sign_out_upstream: false,
            accounts: RawAccounts::default(),
        }
    }
}

impl RawOidc {
    /// The id as written, for the checks of uniqueness.
    pub(in crate::config) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(in crate::config) fn resolve(
        mut self,
        at: &KeyPath,
        directories: &[String],
        problems: &mut Problems,
    ) -> Oidc {
        let at = &at.clone().named(self.id.as_deref());
        let id = problems.id(at, self.id.take()).unwrap_or_default();
        if let Some(label) = &self.label {
            problems.label(&at.key("label"), label);
        }
        if self.client_id.as_deref().is_none_or(str::is_empty) {
            problems.missing(&at.key("client_id"), "the provider gives it when you register");
        }
        let issuer = self.issuer(at, problems);
        self.check_scopes(at, problems);
        self.check_parameters(at, problems);
        let client_secret = problems.secret(
            at,
            "client_secret",
            self.client_secret.take(),
            self.client_secret_file.as_deref(),
        );
        if self.preset == OidcPreset::Github && client_secret.is_none() {
            problems.missing(&at.key("client_secret"), "GitHub knows no clients without one");
        }
        let clock_skew =
            problems.duration(&at.key("clock_skew"), &self.clock_skew, Duration::ZERO..=MINUTE * 5);
        let limits = Duration::from_millis(100)..=MINUTE;
        let timeout = problems.duration(&at.key("timeout"), &self.timeout, limits);
        let kept: Vec<String> = self.attributes_kept();
        let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
        let accounts = self.accounts.resolve(&at.key("accounts"), directories, &kept, problems);
        Oidc {
            logo: self
                .logo_file
                .as_deref()
                .and_then(|file| problems.logo(&at.key("logo_file"), file)),
            label: self.label.unwrap_or_else(|| id.clone()),
            id,
            preset: self.preset,
            issuer,
            client_id: self.client_id.unwrap_or_default(),
            client_secret,
            secret_method: self.token_endpoint_auth_method,
            scopes: (!self.scopes.is_empty()).then_some(self.scopes),
            authorization_parameters: self.authorization_parameters.into_iter().collect(),
            tenants: self.tenants,
            hosted_domains: problems.domains(&at.key("hosted_domains"), self.hosted_domains),
            domains: problems.domains(&at.key("domains"), self.domains),
            attributes: self.attributes.resolve(&at.key("attributes"), problems),
            userinfo: self.userinfo,
            clock_skew: clock_skew.unwrap_or_default(),
            timeout: timeout.unwrap_or_default(),
            ca_pem: self
                .ca_file
                .as_deref()
                .and_then(|file| pem(&at.key("ca_file"), file, problems)),
            sign_out_upstream: self.sign_out_upstream,
            accounts,
        }
    }

    fn attributes_kept(&self) -> Vec<String> {
        self.attributes.kept().map(str::to_owned).collect()
    }

    fn issuer(&self, at: &KeyPath, problems: &mut Problems) -> Option<Url> {
        let at = &at.key("issuer");
        let given =
            matches!(self.preset, OidcPreset::Google | OidcPreset::Gitlab | OidcPreset::Github);
        let Some(text) = &self.issuer else {
            if !given {
                problems
                    .missing(at, "write the provider's issuer URL; the preset does not give it");
            }
            return None;
        };
        let url = problems.endpoint(at, text)?;
        if url.query().is_some() {
            problems.error(at, "has a query", "an issuer has none");
            return None;
        }
        let shared = ["/common/", "/organizations/", "/consumers/"];
        if self.preset == OidcPreset::Entra
            && self.tenants.is_empty()
            && shared.iter().any(|part| url.path().contains(part))
        {
            problems.error(
                at,
                "lets the people of every tenant in",
                "write your tenant's id into it, or name the tenants in `tenants`",
            );
        }
        Some(url)
    }

    fn check_scopes(&self, at: &KeyPath, problems: &mut Problems) {
        let at = &at.key("scopes");
        if self.scopes.is_empty() {
            return;
        }
        let has_openid = self.scopes.iter().any(|scope| scope == "openid");
        if self.preset != OidcPreset::Github && !has_openid {
            problems.error(at, "lacks `openid`", "add it: without it there is no ID token");
        }
        if self.scopes.iter().any(|s| s.is_empty() || s.contains(char::is_whitespace)) {
            problems.error(at, "has an entry that is no scope", "write one scope an entry");
        }
    }

    fn check_parameters(&self, at: &KeyPath, problems: &mut Problems) {
        for name in self.authorization_parameters.keys() {
            if is_own_parameter(name) {
                problems.error(
                    &at.key("authorization_parameters").key(name),
                    "is a parameter that the broker sets itself",
                    "take it away",
                );
            }
        }
    }
}

fn pem(at: &KeyPath, file: &Path, problems: &mut Problems) -> Option<Vec<u8>> {
    problems.readable_file(at, file);
    std::fs::read(file).ok()
}
