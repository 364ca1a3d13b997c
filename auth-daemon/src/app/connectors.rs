//! From the configuration's sections to the core's settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use auth_core::broker::Connectors;
use auth_core::broker::provider::ProviderSettings;
use auth_core::connector::ldap::{
    AttributeMap, LdapConnector, LdapSettings, Preset, SearchScope,
};
use auth_core::connector::password::{
    Argon2Parameters, HashPool, HashPoolSettings, PasswordConnector, PasswordRules,
};
use auth_core::factor::{MfaPolicy, MfaRule, MfaSettings};
use auth_core::handoff::client::Client;
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
        let id = directory.id.clone();
        let connector = LdapConnector::new(ldap_settings(directory), Arc::clone(random))
            .with_context(|| format!("directory {id:?}"))?;
        directories.push(connector);
    }
    Ok(Connectors { local, directories })
}
