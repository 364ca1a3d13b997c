//! From the configuration's sections to the connectors and their settings.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use auth_core::broker::{Connectors, RecheckTimes};
use auth_core::connector::ldap::{
    GroupMapping, GroupNames, GroupRole, GroupSource, LdapConnector, LdapSettings, Preset,
    SearchScope,
};
use auth_core::connector::password::{
    Argon2Parameters, HashPool, HashPoolSettings, PasswordConnector, PasswordRules,
};
use auth_core::factor::passkey::Passkeys;
use auth_core::factor::{MfaPolicy, MfaRule, MfaSettings};
use auth_core::random::Random;

use crate::config::{self, Config};

/// The connectors of the sign-in page.
pub(super) fn connectors(config: Config, random: &Arc<dyn Random>) -> anyhow::Result<Connectors> {
    let local = if config.password.enabled {
        let cost = config.password.argon2;
        let settings = HashPoolSettings {
            parameters: Argon2Parameters {
                memory_kib: cost.memory_kib,
                iterations: cost.iterations,
                parallelism: cost.parallelism,
            },
            ..HashPoolSettings::default()
        };
        let pool = HashPool::start(settings, Arc::clone(random))?;
        Some(PasswordConnector::new(Arc::new(pool)))
    } else {
        None
    };
    let mut directories = Vec::new();
    for directory in config.directories {
        directories.push(directory_connector(directory, random)?);
    }
    let redirects = super::upstream::connectors(config.oidc, config.public_url.url())?;
    Ok(Connectors { local, directories, redirects, order: config.login_order })
}

/// One directory's connector.
pub(super) fn directory_connector(
    directory: config::Directory,
    random: &Arc<dyn Random>,
) -> anyhow::Result<LdapConnector> {
    let id = directory.id.clone();
    LdapConnector::new(ldap_settings(directory), Arc::clone(random))
        .with_context(|| format!("directory {id:?}"))
}

/// When each directory is asked again about somebody.
pub(super) fn recheck_times(config: &Config) -> HashMap<String, RecheckTimes> {
    let times = |directory: &config::Directory| RecheckTimes {
        after: directory.recheck_after,
        grace: directory.recheck_grace,
    };
    config.directories.iter().map(|one| (one.id.clone(), times(one))).collect()
}

/// Rules for new local passwords.
pub(super) fn password_rules(config: &Config) -> anyhow::Result<PasswordRules> {
    let length = usize::try_from(config.password.minimum_length).unwrap_or(usize::MAX);
    let required = config.mfa.policy == config::MfaPolicy::Required && config.mfa.grace.is_none();
    Ok(PasswordRules::new(length, required)?)
}

/// How second factors are handled.
pub(super) fn mfa_settings(config: &Config) -> MfaSettings {
    let rules = config
        .mfa
        .rules
        .iter()
        .map(|rule| MfaRule {
            connector: rule.connector.clone(),
            role: rule.role.clone(),
            group: rule.group.clone(),
            client: rule.client.clone(),
            network: rule.network,
            policy: policy(rule.policy),
        })
        .collect();
    MfaSettings {
        policy: policy(config.mfa.policy),
        rules,
        totp: config.mfa.totp,
        issuer: config.mfa.issuer.clone(),
        upstream: config.mfa.upstream.iter().cloned().collect(),
        grace: config.mfa.grace,
        remember_device: config.mfa.remember_device,
    }
}

/// Passkeys of this site, where they are offered.
pub(super) fn passkeys(config: &Config) -> anyhow::Result<Option<Passkeys>> {
    let mfa = &config.mfa;
    let offered = mfa.passkeys.then(|| config.public_url.url());
    let passkeys = offered.map(|url| Passkeys::new(url, &mfa.issuer, mfa.passwordless));
    passkeys.transpose().context("mfa.passkeys")
}

const fn policy(policy: config::MfaPolicy) -> MfaPolicy {
    match policy {
        config::MfaPolicy::Off => MfaPolicy::Off,
        config::MfaPolicy::Optional => MfaPolicy::Optional,
        config::MfaPolicy::Required => MfaPolicy::Required,
    }
}

fn ldap_settings(directory: config::Directory) -> LdapSettings {
    let preset = match directory.preset {
        config::Preset::ActiveDirectory => Preset::ActiveDirectory,
        config::Preset::ThreeEightNineDs => Preset::Ds389,
        config::Preset::FreeIpa => Preset::FreeIpa,
        config::Preset::Generic => Preset::Generic,
        config::Preset::OpenLdap => Preset::OpenLdap,
    };
    let starttls = directory.servers.iter().any(|server| server.starttls);
    let servers = directory.servers.into_iter().map(|server| server.url).collect();
    let defaults = LdapSettings::new(&directory.id, preset, servers, &directory.base_dn);
    let (bind_dn, bind_password) = directory.service_identity.unzip();
    let (certificate, key): (Option<PathBuf>, Option<PathBuf>) =
        directory.tls.client_certificate.unzip();
    let pinned = directory.tls.pinned_certificate_sha256;
    let mut settings = LdapSettings {
        label: directory.label,
        starttls,
        bind_dn,
        bind_password,
        scope: match directory.scope {
            config::Scope::One => SearchScope::OneLevel,
            config::Scope::Sub => SearchScope::Subtree,
        },
        guest_filter: directory.guest_filter,
        admin_filter: directory.admin_filter,
        user_dn_template: directory.user_dn_template,
        ca_file: directory.tls.ca_file,
        pinned_certificate_sha256: pinned,
        client_certificate_file: certificate,
        client_key_file: key,
        connect_timeout: directory.connect_timeout,
        operation_timeout: directory.operation_timeout,
        total_timeout: directory.total_timeout,
        pool_size: usize::try_from(directory.pool_size).unwrap_or(16),
        page_size: directory.page_size,
        ..defaults
    };
    if let Some(filter) = directory.user_filter {
        settings.user_filter = filter;
    }
    if !directory.login_attributes.is_empty() {
        settings.login_attributes = directory.login_attributes;
    }
    set_attributes(&mut settings, directory.attributes);
    set_groups(&mut settings, directory.groups);
    settings.group_map = directory.group_map.into_iter().map(group_mapping).collect();
    settings
}

fn set_attributes(settings: &mut LdapSettings, wanted: config::AttributeMap) {
    let map = &mut settings.attributes;
    if let Some(id) = wanted.id {
        map.id = id;
    }
    if let Some(username) = wanted.username {
        map.username = username;
    }
    for (field, value) in [
        (&mut map.email, wanted.email),
        (&mut map.first_name, wanted.first_name),
        (&mut map.last_name, wanted.last_name),
        (&mut map.nickname, wanted.nickname),
        (&mut map.position, wanted.position),
        (&mut map.locale, wanted.locale),
        (&mut map.picture, wanted.picture),
    ] {
        if value.is_some() {
            *field = value;
        }
    }
    map.claims.extend(wanted.claims);
}

fn group_mapping(wanted: config::GroupMapping) -> GroupMapping {
    GroupMapping {
        group: wanted.group,
        role: wanted.role.map(|role| match role {
            config::MappedRole::Administrator => GroupRole::Administrator,
            config::MappedRole::Guest => GroupRole::Guest,
        }),
        teams: wanted.teams,
        channels: wanted.channels,
    }
}

fn set_groups(settings: &mut LdapSettings, wanted: config::Groups) {
    let groups = &mut settings.groups;
    if let Some(source) = wanted.source {
        groups.source = match source {
            config::GroupSource::InChain => GroupSource::InChain,
            config::GroupSource::MemberOf => GroupSource::MemberOf,
            config::GroupSource::None => GroupSource::None,
            config::GroupSource::Search => GroupSource::Search,
        };
    }
    if wanted.base_dn.is_some() {
        groups.base_dn = wanted.base_dn;
    }
    if let Some(filter) = wanted.filter {
        groups.filter = filter;
    }
    if let Some(attributes) = wanted.member_attributes {
        groups.member_attributes = attributes;
    }
    if wanted.member_uid_attribute.is_some() {
        groups.member_uid_attribute = wanted.member_uid_attribute;
    }
    if let Some(attribute) = wanted.uid_attribute {
        groups.uid_attribute = attribute;
    }
    if let Some(attribute) = wanted.name_attribute {
        groups.name_attribute = attribute;
    }
    groups.names = match wanted.names {
        config::GroupNames::Dn => GroupNames::Dn,
        config::GroupNames::Name => GroupNames::Name,
    };
    groups.nested = wanted.nested;
    groups.max_depth = usize::try_from(wanted.max_depth).unwrap_or(16);
    groups.max_groups = usize::try_from(wanted.max_groups).unwrap_or(10_000);
}
