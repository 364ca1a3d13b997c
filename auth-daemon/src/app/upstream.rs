//! From `[[oidc]]` and `[claims]` to connectors and the rules of accounts.

use std::collections::{BTreeMap, HashMap};

use auth_core::account::RoleRule;
use auth_core::account::rules::{ConnectorRules, DirectoryLink, Provisioning};
use auth_core::clock::{Clock as _, SystemClock};
use auth_core::connector::oidc::{
    ClaimMap, ClientAuthentication, OidcConnector, OidcSettings, Preset, UserInfoUse,
};
use auth_core::connector::redirect::RedirectConnector;
use url::Url;

use crate::config::{self, Config};

/// The connectors of OpenID providers.
pub(super) fn connectors(
    connections: Vec<config::Oidc>,
    public_url: &Url,
) -> anyhow::Result<Vec<RedirectConnector>> {
    connections
        .into_iter()
        .map(|connection| {
            let id = connection.id.clone();
            let connector = connector(connection, public_url)
                .map_err(|problem| anyhow::anyhow!("oidc {id:?}: {problem}"))?;
            Ok(RedirectConnector::Oidc(Box::new(connector)))
        })
        .collect()
}

fn connector(connection: config::Oidc, public_url: &Url) -> Result<OidcConnector, String> {
    let url = |path: &str| public_url.join(path).map_err(|error| format!("public_url: {error}"));
    let redirect_uri = url(&format!("/oidc/{}/callback", connection.id))?;
    let defaults = OidcSettings::new(
        &connection.id,
        preset(connection.preset),
        connection.issuer,
        &connection.client_id,
        redirect_uri,
    )?;
    OidcConnector::new(OidcSettings {
        label: connection.label,
        client_secret: connection.client_secret,
        authentication: connection.secret_method.map(|method| match method {
            config::SecretMethod::ClientSecretBasic => ClientAuthentication::Basic,
            config::SecretMethod::ClientSecretPost => ClientAuthentication::Post,
        }),
        post_logout_redirect_uri: Some(url("/login")?),
        scopes: connection.scopes.unwrap_or(defaults.scopes),
        authorization_parameters: connection.authorization_parameters,
        tenants: connection.tenants,
        hosted_domains: connection.hosted_domains,
        claims: claims(defaults.claims, connection.attributes),
        userinfo: match connection.userinfo {
            config::UserinfoUse::WhenNeeded => UserInfoUse::WhenNeeded,
            config::UserinfoUse::Always => UserInfoUse::Always,
            config::UserinfoUse::Never => UserInfoUse::Never,
        },
        clock_skew: connection.clock_skew,
        timeout: connection.timeout,
        ca_pem: connection.ca_pem,
        sign_out_upstream: connection.sign_out_upstream,
        ..defaults
    })
}

/// Asks a connection's provider for metadata and keys; our secret there is not needed for that.
///
/// # Errors
/// What cannot be had.
pub(crate) async fn probe(connection: &config::Oidc, public_url: &Url) -> Result<(), String> {
    let settings = OidcSettings::new(
        &connection.id,
        preset(connection.preset),
        connection.issuer.clone(),
        &connection.client_id,
        public_url.clone(),
    )?;
    let connector = OidcConnector::new(OidcSettings {
        tenants: connection.tenants.clone(),
        timeout: connection.timeout,
        ca_pem: connection.ca_pem.clone(),
        ..settings
    })?;
    connector.check(SystemClock.now()).await.map(drop).map_err(|error| error.to_string())
}

fn claims(mut map: ClaimMap, wanted: config::ClaimNames) -> ClaimMap {
    for (field, value) in [
        (&mut map.username, wanted.username),
        (&mut map.email, wanted.email),
        (&mut map.first_name, wanted.first_name),
        (&mut map.last_name, wanted.last_name),
        (&mut map.nickname, wanted.nickname),
        (&mut map.locale, wanted.locale),
        (&mut map.groups, wanted.groups),
    ] {
        if let Some(value) = value {
            *field = value;
        }
    }
    map.position = wanted.position.or(map.position);
    map.claims.extend(wanted.claims);
    map
}

const fn preset(preset: config::OidcPreset) -> Preset {
    match preset {
        config::OidcPreset::Generic => Preset::Generic,
        config::OidcPreset::Entra => Preset::Entra,
        config::OidcPreset::Github => Preset::Github,
        config::OidcPreset::Gitlab => Preset::Gitlab,
        config::OidcPreset::Google => Preset::Google,
        config::OidcPreset::Keycloak => Preset::Keycloak,
        config::OidcPreset::Okta => Preset::Okta,
        config::OidcPreset::Onelogin => Preset::Onelogin,
    }
}

/// The connectors' pictures.
pub(super) fn logos(config: &mut Config) -> BTreeMap<String, config::Logo> {
    let oidc = config.oidc.iter_mut().map(|one| (&one.id, &mut one.logo));
    let saml = config.saml.iter_mut().map(|one| (&one.id, &mut one.logo));
    let directories = config.directories.iter_mut().map(|one| (&one.id, &mut one.logo));
    let all = oidc.chain(saml).chain(directories);
    all.filter_map(|(id, logo)| Some((id.clone(), logo.take()?))).collect()
}

/// Who gets an account through which connector.
pub(super) fn rules(config: &Config) -> HashMap<String, ConnectorRules> {
    let oidc = config.oidc.iter().map(|one| (&one.id, &one.accounts));
    let saml = config.saml.iter().map(|one| (&one.id, &one.accounts));
    let directories = config.directories.iter().map(|one| (&one.id, &one.accounts));
    let all = oidc.chain(saml).chain(directories);
    all.map(|(id, accounts)| (id.clone(), connector_rules(accounts))).collect()
}

fn connector_rules(accounts: &config::Accounts) -> ConnectorRules {
    ConnectorRules {
        provisioning: match accounts.provisioning {
            config::Provisioning::Create => Provisioning::Create,
            config::Provisioning::Invite => Provisioning::Invite,
            config::Provisioning::Sync => Provisioning::Sync,
        },
        allowed_email_domains: accounts.allowed_email_domains.clone(),
        required_groups: accounts.required_groups.clone(),
        authoritative_domains: accounts.authoritative_domains.clone(),
        directory_link: accounts
            .directory
            .clone()
            .map(|(directory, claim)| DirectoryLink { directory, claim }),
    }
}

/// From groups and attributes to roles.
pub(super) fn role_rules(config: &Config) -> Vec<RoleRule> {
    let rules = config.claims.roles.iter().cloned();
    rules
        .map(|rule| RoleRule {
            connector: rule.connector,
            group: rule.group,
            claim: rule.claim,
            role: rule.role,
        })
        .collect()
}

/// Which mail domain's people sign in through which connector.
pub(super) fn home_realms(config: &Config) -> Vec<(String, String)> {
    let oidc = config.oidc.iter().map(|one| (&one.id, &one.domains));
    let saml = config.saml.iter().map(|one| (&one.id, &one.domains));
    let directories = config.directories.iter().map(|one| (&one.id, &one.domains));
    let all = oidc.chain(saml).chain(directories);
    all.flat_map(|(id, domains)| domains.iter().map(|domain| (domain.clone(), id.clone())))
        .collect()
}
