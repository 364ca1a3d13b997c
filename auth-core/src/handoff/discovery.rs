//! The provider's metadata: OpenID Connect Discovery 1.0 section 3 and RFC 8414 section 2. Only
//! what works is announced.

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::url::ParseError;
use openidconnect::{
    AdditionalProviderMetadata, AuthUrl, AuthenticationContextClass, IssuerUrl, JsonWebKeySetUrl,
    LanguageTag, ProviderMetadata, ResponseTypes, Scope, TokenUrl, UserInfoUrl,
};
use serde::{Deserialize, Serialize};

use super::acr::AuthenticationContext;
use super::issuer::Issuer;
use super::scope;
use super::signing_key::SigningAlgorithm;

/// Path of the authorization endpoint.
pub const AUTHORIZATION_PATH: &str = "/oauth2/authorize";
/// Path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth2/token";
/// Path of the userinfo endpoint.
pub const USERINFO_PATH: &str = "/oauth2/userinfo";
/// Path of the JWKS.
pub const JWKS_PATH: &str = "/oauth2/jwks";
/// Path of the introspection endpoint.
pub const INTROSPECTION_PATH: &str = "/oauth2/introspect";
/// Path of the revocation endpoint.
pub const REVOCATION_PATH: &str = "/oauth2/revoke";
/// Path of the endpoint for pushed authorization requests, RFC 9126.
pub const PUSHED_REQUEST_PATH: &str = "/oauth2/par";
/// Path of the device authorization endpoint, RFC 8628.
pub const DEVICE_PATH: &str = "/oauth2/device";
/// Path of the logout endpoint, OpenID Connect RP-Initiated Logout 1.0.
pub const LOGOUT_PATH: &str = "/oauth2/logout";
/// Path of this metadata.
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// Metadata beyond OpenID Connect Discovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OAuthMetadata {
    /// RFC 7662.
    pub introspection_endpoint: String,
    /// How clients authenticate there.
    pub introspection_endpoint_auth_methods_supported: Vec<CoreClientAuthMethod>,
    /// RFC 7009.
    pub revocation_endpoint: String,
    /// How clients authenticate there.
    pub revocation_endpoint_auth_methods_supported: Vec<CoreClientAuthMethod>,
    /// RFC 9126.
    pub pushed_authorization_request_endpoint: String,
    /// RFC 8628.
    pub device_authorization_endpoint: String,
    /// OpenID Connect RP-Initiated Logout 1.0.
    pub end_session_endpoint: String,
    /// RFC 7636.
    pub code_challenge_methods_supported: Vec<String>,
    /// RFC 9207.
    pub authorization_response_iss_parameter_supported: bool,
    /// OpenID Connect Prompt Create 1.0 section 4.2: all values of `prompt` that are understood.
    pub prompt_values_supported: Vec<String>,
    /// OpenID Connect Back-Channel Logout 1.0 section 2.1.
    pub backchannel_logout_supported: bool,
    /// Whether logout tokens carry `sid`.
    pub backchannel_logout_session_supported: bool,
}

impl AdditionalProviderMetadata for OAuthMetadata {}

/// The provider's metadata.
pub type BrokerMetadata = ProviderMetadata<
    OAuthMetadata,
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

/// The metadata of the provider at `issuer`.
///
/// # Errors
/// When the issuer is no URL.
pub fn metadata(issuer: &Issuer) -> Result<BrokerMetadata, ParseError> {
    let by_secret = || {
        vec![
            CoreClientAuthMethod::ClientSecretBasic,
            CoreClientAuthMethod::ClientSecretPost,
            CoreClientAuthMethod::PrivateKeyJwt,
        ]
    };
    let or_public = || [by_secret(), vec![CoreClientAuthMethod::None]].concat();
    let additional = OAuthMetadata {
        introspection_endpoint: issuer.endpoint(INTROSPECTION_PATH),
        introspection_endpoint_auth_methods_supported: by_secret(),
        revocation_endpoint: issuer.endpoint(REVOCATION_PATH),
        revocation_endpoint_auth_methods_supported: or_public(),
        pushed_authorization_request_endpoint: issuer.endpoint(PUSHED_REQUEST_PATH),
        device_authorization_endpoint: issuer.endpoint(DEVICE_PATH),
        end_session_endpoint: issuer.endpoint(LOGOUT_PATH),
        code_challenge_methods_supported: vec!["S256".to_owned()],
        authorization_response_iss_parameter_supported: true,
        prompt_values_supported: ["none", "login", "consent", "select_account"]
            .map(str::to_owned)
            .to_vec(),
        backchannel_logout_supported: true,
        backchannel_logout_session_supported: true,
    };
    let acr_values = AuthenticationContext::ALL
        .map(|class| AuthenticationContextClass::new(class.as_str().to_owned()));
    Ok(ProviderMetadata::new(
        IssuerUrl::new(issuer.as_str().to_owned())?,
        AuthUrl::new(issuer.endpoint(AUTHORIZATION_PATH))?,
        JsonWebKeySetUrl::new(issuer.endpoint(JWKS_PATH))?,
        vec![ResponseTypes::new(vec![CoreResponseType::Code])],
        vec![CoreSubjectIdentifierType::Public, CoreSubjectIdentifierType::Pairwise],
        SigningAlgorithm::ALL.map(SigningAlgorithm::jws).to_vec(),
        additional,
    )
    .set_token_endpoint(Some(TokenUrl::new(issuer.endpoint(TOKEN_PATH))?))
    .set_userinfo_endpoint(Some(UserInfoUrl::new(issuer.endpoint(USERINFO_PATH))?))
    .set_scopes_supported(Some(
        scope::SUPPORTED.iter().map(|value| Scope::new((*value).to_owned())).collect(),
    ))
    .set_response_modes_supported(Some(vec![CoreResponseMode::Query, CoreResponseMode::FormPost]))
    .set_grant_types_supported(Some(vec![
        CoreGrantType::AuthorizationCode,
        CoreGrantType::RefreshToken,
        CoreGrantType::DeviceCode,
    ]))
    .set_acr_values_supported(Some(acr_values.to_vec()))
    .set_token_endpoint_auth_methods_supported(Some(or_public()))
    .set_token_endpoint_auth_signing_alg_values_supported(Some(vec![
        CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        CoreJwsSigningAlgorithm::RsaSsaPssSha256,
        CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        CoreJwsSigningAlgorithm::EdDsa,
    ]))
    .set_ui_locales_supported(Some(vec![LanguageTag::new("en".to_owned())]))
    .set_claim_types_supported(Some(vec![CoreClaimType::Normal]))
    .set_claims_supported(Some(
        CLAIMS.iter().map(|name| CoreClaimName::new((*name).to_owned())).collect(),
    ))
    .set_claims_parameter_supported(Some(false))
    .set_request_parameter_supported(Some(false))
    .set_request_uri_parameter_supported(Some(false)))
}

const CLAIMS: [&str; 22] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "at_hash",
    "sid",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::device;

    #[test]
    fn the_issuer_agrees_with_itself_whatever_slash_was_configured() {
        for public_url in ["https://sso.example.com", "https://sso.example.com/"] {
            let issuer = Issuer::new(&url::Url::parse(public_url).unwrap());
            let json = serde_json::to_value(metadata(&issuer).unwrap()).unwrap();
            assert_eq!(json["issuer"], "https://sso.example.com");
            assert_eq!(json["authorization_endpoint"], "https://sso.example.com/oauth2/authorize");
            assert_eq!(json["revocation_endpoint"], "https://sso.example.com/oauth2/revoke");
        }
        let below = Issuer::new(&url::Url::parse("https://example.com/sso/").unwrap());
        let json = serde_json::to_value(metadata(&below).unwrap()).unwrap();
        assert_eq!(json["jwks_uri"], "https://example.com/sso/oauth2/jwks");
    }

    #[test]
    fn only_what_works_is_announced() {
        let issuer = Issuer::new(&url::Url::parse("https://sso.example.com").unwrap());
        let json = serde_json::to_value(metadata(&issuer).unwrap()).unwrap();
        for (name, expected) in [
            ("response_types_supported", serde_json::json!(["code"])),
            ("response_modes_supported", serde_json::json!(["query", "form_post"])),
            (
                "grant_types_supported",
                serde_json::json!(["authorization_code", "refresh_token", device::GRANT_TYPE]),
            ),
            ("subject_types_supported", serde_json::json!(["public", "pairwise"])),
            ("end_session_endpoint", serde_json::json!("https://sso.example.com/oauth2/logout")),
            ("code_challenge_methods_supported", serde_json::json!(["S256"])),
            ("id_token_signing_alg_values_supported", serde_json::json!(["RS256", "EdDSA"])),
            ("authorization_response_iss_parameter_supported", serde_json::json!(true)),
            ("request_parameter_supported", serde_json::json!(false)),
            (
                "token_endpoint_auth_methods_supported",
                serde_json::json!([
                    "client_secret_basic",
                    "client_secret_post",
                    "private_key_jwt",
                    "none"
                ]),
            ),
        ] {
            assert_eq!(json[name], expected, "{name}");
        }
        assert!(json.get("registration_endpoint").is_none());
    }
}
