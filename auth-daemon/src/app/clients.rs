//! From `[[client]]` and `[session.kinds]` to the provider's settings.

use auth_core::broker::provider::ProviderSettings;
use auth_core::handoff::claim_rule::ClaimRule;
use auth_core::handoff::client::{
    Client, ClientError, ClientKind, ClientSettings, SessionKind, SubjectType,
    TokenEndpointAuthMethod,
};
use auth_core::handoff::client_session::SessionLengths;
use auth_core::handoff::signing_key::SigningAlgorithm;

use crate::config::{self, Config};

/// The provider's settings; takes the clients, with their secrets, out of the configuration.
pub(super) fn provider_settings(config: &mut Config) -> Result<ProviderSettings, ClientError> {
    let clients = std::mem::take(&mut config.clients)
        .into_iter()
        .map(client)
        .collect::<Result<Vec<_>, _>>()?;
    let mut settings = ProviderSettings::new(config.public_url.url().clone(), clients);
    let rules = config.claims.clients.iter().cloned();
    settings.claim_rules = rules
        .map(|rule| ClaimRule {
            client: rule.client,
            group: rule.group,
            role: rule.role,
            claim: rule.claim,
            set: rule.set,
        })
        .collect();
    settings.further_claims = keeps_further_claims(config);
    settings.session_lengths = SessionLengths {
        web: config.session.web,
        mobile: config.session.mobile,
        desktop: config.session.desktop,
        sso: config.session.sso,
    };
    Ok(settings)
}

/// Whether any connector brings claims beside those that every account has.
fn keeps_further_claims(config: &Config) -> bool {
    config.directories.iter().any(|directory| {
        let map = &directory.attributes;
        !map.claims.is_empty() || map.picture.is_some() || !directory.group_map.is_empty()
    }) || config.saml.iter().any(|connection| !connection.attributes.claims.is_empty())
        || config.oidc.iter().any(|connection| !connection.attributes.claims.is_empty())
}

fn client(client: config::Client) -> Result<Client, ClientError> {
    let settings = ClientSettings {
        id: client.id,
        name: Some(client.name),
        kind: match client.kind {
            config::ClientKind::ForwardAuth => ClientKind::ForwardAuth,
            config::ClientKind::Gitlab => ClientKind::Gitlab,
            config::ClientKind::Oidc => ClientKind::Oidc,
            config::ClientKind::SessionApi => ClientKind::SessionApi,
        },
        redirect_uris: client.redirect_uris,
        post_logout_redirect_uris: client.post_logout_redirect_uris,
        initiate_login_uri: client.initiate_login_uri,
        public: client.public,
        token_endpoint_auth_method: client.token_endpoint_auth_method.map(method),
        jwks: client.jwks,
        hosts: client.hosts,
        connectors: client.connectors,
        scopes: client.scopes,
        groups: client.groups,
        allowed_groups: client.allowed_groups,
        claims: client.claims,
        subject_type: match client.subject_type {
            config::SubjectType::Pairwise => SubjectType::Pairwise,
            config::SubjectType::Public => SubjectType::Public,
        },
        id_token_on_refresh: client.id_token_on_refresh,
        device_authorization: client.device_authorization,
        id_token_signed_response_alg: Some(match client.id_token_algorithm {
            config::IdTokenAlgorithm::Rs256 => SigningAlgorithm::Rs256,
            config::IdTokenAlgorithm::EdDsa => SigningAlgorithm::EdDsa,
        }),
        access_token_lifetime: client.access_token_lifetime,
        refresh_token_lifetime: client.refresh_token_lifetime,
        session_kind: match client.session_kind {
            config::SessionKind::Web => SessionKind::Web,
            config::SessionKind::Mobile => SessionKind::Mobile,
            config::SessionKind::Desktop => SessionKind::Desktop,
            config::SessionKind::Sso => SessionKind::Sso,
        },
        session_lifetime: client.session_lifetime,
        session_idle_timeout: client.session_idle_timeout,
        backchannel_logout_uri: client.backchannel_logout_uri,
    };
    Client::new(settings, client.secret)
}

const fn method(method: config::TokenEndpointAuthMethod) -> TokenEndpointAuthMethod {
    match method {
        config::TokenEndpointAuthMethod::ClientSecretBasic => {
            TokenEndpointAuthMethod::ClientSecretBasic
        }
        config::TokenEndpointAuthMethod::ClientSecretPost => {
            TokenEndpointAuthMethod::ClientSecretPost
        }
        config::TokenEndpointAuthMethod::PrivateKeyJwt => TokenEndpointAuthMethod::PrivateKeyJwt,
        config::TokenEndpointAuthMethod::None => TokenEndpointAuthMethod::None,
    }
}
