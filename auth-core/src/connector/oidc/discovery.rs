//! The provider's metadata (OpenID Connect Discovery 1.0): read, and judged against the issuer that
//! the connection names.
//!
//! The issuer must be the very text that was configured. One exception: the metadata of an Entra
//! authority of many tenants announces a template with `{tenantid}`; then the tenant that a token
//! names takes its place, and must be one of the configured ones. All endpoints use https; an
//! issuer on a loopback address may have them on loopback addresses by http.

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata};
use serde::{Deserialize, Serialize};
use url::Url;

use super::settings::{ClientAuthentication, OidcSettings};
use crate::reach::is_loopback;

/// Where the tenant stands in an issuer of many tenants.
const TENANT: &str = "{tenantid}";

/// Members of the metadata beyond those of the core specification.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct FurtherMetadata {
    /// RP-Initiated Logout 1.0.
    #[serde(default)]
    end_session_endpoint: Option<Url>,
    /// RFC 9207 section 3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for FurtherMetadata {}

type Metadata = ProviderMetadata<
    FurtherMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What is used of a provider's metadata.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    /// The issuer as announced, maybe with a place for the tenant.
    pub(super) issuer: String,
    /// Where the browser goes.
    pub(super) authorization: Url,
    /// Where the code is redeemed.
    pub(super) token: Url,
    /// Where the keys are.
    pub(super) jwks: Url,
    /// Who the person is.
    pub(super) userinfo: Option<Url>,
    /// Where the browser goes to sign out.
    pub(super) end_session: Option<Url>,
    /// Whether answers name their issuer, so that one without a name is refused.
    pub(super) names_itself: bool,
    /// How the client secret is sent.
    pub(super) authentication: ClientAuthentication,
}

impl Provider {
    /// Reads the metadata of the connection's issuer.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn read(body: &[u8], settings: &OidcSettings) -> Result<Self, String> {
        let metadata: Metadata = serde_json::from_slice(body)
            .map_err(|error| format!("the metadata cannot be read: {error}"))?;
        let issuer = metadata.issuer().as_str().to_owned();
        let wanted = settings.issuer.as_str().trim_end_matches('/');
        if !same_issuer(&issuer, wanted) && !is_template_of(&issuer, wanted, settings) {
            return Err(format!(
                "the metadata below {wanted:?} is of the issuer {issuer:?}; set issuer to that if \
                 it is the right one"
            ));
        }
        let endpoint = |name: &str, url: Option<&Url>| -> Result<Url, String> {
            let url = url.ok_or_else(|| format!("the metadata has no {name}"))?;
            check_endpoint(url, &settings.issuer).map_err(|problem| format!("{name} {problem}"))?;
            Ok(url.clone())
        };
        let optional =
            |name: &str, url: Option<&Url>| url.map(|url| endpoint(name, Some(url))).transpose();
        let further = metadata.additional_metadata();
        let methods = metadata.token_endpoint_auth_methods_supported();
        Ok(Self {
            authorization: endpoint(
                "authorization_endpoint",
                Some(metadata.authorization_endpoint().url()),
            )?,
            token: endpoint("token_endpoint", metadata.token_endpoint().map(|url| url.url()))?,
            jwks: endpoint("jwks_uri", Some(metadata.jwks_uri().url()))?,
            userinfo: optional(
                "userinfo_endpoint",
                metadata.userinfo_endpoint().map(|url| url.url()),
            )?,
            end_session: optional("end_session_endpoint", further.end_session_endpoint.as_ref())?,
            names_itself: further.authorization_response_iss_parameter_supported,
            authentication: settings.authentication.unwrap_or_else(|| preferred(methods)),
            issuer,
        })
    }

    /// Where the metadata of an issuer is (Discovery 1.0 section 4).
    pub(super) fn metadata_url(issuer: &Url) -> Result<Url, String> {
        let text =
            format!("{}/.well-known/openid-configuration", issuer.as_str().trim_end_matches('/'));
        Url::parse(&text).map_err(|error| format!("{text:?} is no URL: {error}"))
    }

    /// The issuer that a token has to name when it is of `tenant`; `None` when the issuer has a
    /// place for a tenant and the token names none.
    pub(super) fn issuer_of(&self, tenant: Option<&str>) -> Option<String> {
        if self.issuer.contains(TENANT) {
            Some(self.issuer.replace(TENANT, tenant?))
        } else {
            Some(self.issuer.clone())
        }
    }

    /// Whether the issuer has a place for a tenant.
    pub(super) fn has_tenants(&self) -> bool {
        self.issuer.contains(TENANT)
    }
}

/// Discovery 1.0 section 4.3: exactly the same. A slash at the end, which a URL's parser adds to a
/// bare host and people forget, does not count.
pub(super) fn same_issuer(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn is_template_of(issuer: &str, wanted: &str, settings: &OidcSettings) -> bool {
    let Some((before, after)) = issuer.split_once(TENANT) else { return false };
    let fits = !settings.tenants.is_empty()
        && !after.contains(TENANT)
        && wanted.len() > before.len() + after.len();
    let between = wanted.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    fits && between.is_some_and(|tenant| !tenant.contains('/'))
}

fn check_endpoint(url: &Url, issuer: &Url) -> Result<(), String> {
    let by_http_here = url.scheme() == "http" && is_loopback(url) && is_loopback(issuer);
    if url.scheme() != "https" && !by_http_here {
        return Err(format!("{url} is no https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!("{url} has a user or a fragment"));
    }
    Ok(())
}

fn preferred(methods: Option<&Vec<CoreClientAuthMethod>>) -> ClientAuthentication {
    // No list means HTTP Basic (Discovery 1.0 section 3).
    let Some(methods) = methods else { return ClientAuthentication::Basic };
    let basic = methods.contains(&CoreClientAuthMethod::ClientSecretBasic);
    if !basic && methods.contains(&CoreClientAuthMethod::ClientSecretPost) {
        ClientAuthentication::Post
    } else {
        ClientAuthentication::Basic
    }
}
