//! The configuration file: found, read, checked and turned into typed values.
//!
//! ```text
//! file + environment -> tree of values -> structural check (schema) -> raw structs
//!                    -> resolve (one module per section) -> Config, or every problem at once
//! ```
//!
//! Nothing else in the workspace knows the file format or reads the environment.

mod environment;
mod finding;
mod raw;
mod reference;
mod resolve;
mod schema;
pub(crate) mod sections;
mod source;
mod starter;
mod structure;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

pub(crate) use finding::{ConfigErrors, Finding, Severity};
pub(crate) use reference::reference;
pub(crate) use schema::schema;
pub(crate) use sections::accounts::{Accounts, Provisioning};
pub(crate) use sections::client::Client;
pub(crate) use sections::client::delivery::{Mattermost, Membership, Webhook};
pub(crate) use sections::client::kind::{
    ClientKind, IdTokenAlgorithm, SubjectType, TokenEndpointAuthMethod,
};
pub(crate) use sections::directory::sync::Schedule;
pub(crate) use sections::directory::{
    AttributeMap, Directory, GroupMapping, GroupNames, GroupSource, Groups, MappedRole, Preset,
    Scope,
};
pub(crate) use sections::logo::Logo;
pub(crate) use sections::mfa::MfaPolicy;
pub(crate) use sections::oidc::{ClaimNames, Oidc, OidcPreset, SecretMethod, UserinfoUse};
pub(crate) use sections::saml::{
    MetadataSource, Saml, SamlAttributes, SamlPreset, SamlRequestBinding,
};
pub(crate) use sections::session::SessionKind;
pub(crate) use sections::storage::StorageBackend;
pub(crate) use source::DEFAULT_FILES;
pub(crate) use starter::STARTER;
pub(crate) use values::PublicUrl;

use sections::admin::Admin;
use sections::claims::Claims;
use sections::keys::Keys;
use sections::listen::Listen;
use sections::mfa::Mfa;
use sections::notices::Notices;
use sections::password::PasswordRules;
use sections::session::SessionLifetimes;
use sections::storage::Storage;
use sections::throttle::Throttle;

use finding::{KeyPath, Problems};

/// A configuration that passed every check.
#[derive(Debug)]
pub(crate) struct Config {
    /// Issuer, and start of every URL that is handed out.
    pub(crate) public_url: PublicUrl,
    /// Where the daemon listens.
    pub(crate) listen: Listen,
    /// Where the state is kept.
    pub(crate) storage: Storage,
    /// The ring of sealing keys.
    pub(crate) keys: Keys,
    /// How long sessions last.
    pub(crate) session: SessionLifetimes,
    /// Accounts with a local password.
    pub(crate) password: PasswordRules,
    /// Connectors in the order of the sign-in page.
    pub(crate) login_order: Vec<String>,
    /// How guesses are slowed down.
    pub(crate) throttle: Throttle,
    /// Who needs a second factor.
    pub(crate) mfa: Mfa,
    /// Directories, in the order of the file.
    pub(crate) directories: Vec<Directory>,
    /// SAML connections, in the order of the file.
    pub(crate) saml: Vec<Saml>,
    /// OpenID providers, in the order of the file.
    pub(crate) oidc: Vec<Oidc>,
    /// Roles and further claims.
    pub(crate) claims: Claims,
    /// Clients, in the order of the file.
    pub(crate) clients: Vec<Client>,
    /// Who tells people of changes of their protection.
    pub(crate) notices: Notices,
    /// Who administers the broker.
    pub(crate) admin: Admin,
}

/// A configuration with what is to be said about it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration.
    pub(crate) config: Config,
    /// The file that it came from.
    pub(crate) path: PathBuf,
    /// What somebody should look at; the daemon starts all the same.
    pub(crate) warnings: Vec<Finding>,
}

impl Config {
    /// Reads the file `named`, else that of `AUTH_DAEMON_CONFIG`, else a default one, with the
    /// settings of the environment over it.
    ///
    /// # Errors
    /// Every problem that was found, none of it acted upon.
    pub(crate) fn load(named: Option<&Path>) -> Result<Loaded, ConfigErrors> {
        let mut problems = Problems::default();
        let Some(path) = source::locate(named) else {
            problems.error(
                &KeyPath::root(),
                format!("no file: neither {} is there", DEFAULT_FILES.join(" nor ")),
                "name one with --config, or write one with `auth-daemon config init`",
            );
            return Err(ConfigErrors { path: None, findings: problems.into_findings() });
        };
        let variables = environment::setting_variables();
        let config = source::read(&path, &mut problems)
            .and_then(|text| from_text(&text, &variables, &mut problems));
        finish(config, path, problems)
    }
}

fn finish(
    config: Option<Config>,
    path: PathBuf,
    problems: Problems,
) -> Result<Loaded, ConfigErrors> {
    let has_errors = problems.has_errors();
    let findings = problems.into_findings();
    match config.filter(|_| !has_errors) {
        Some(config) => Ok(Loaded { config, path, warnings: findings }),
        None => Err(ConfigErrors { path: Some(path), findings }),
    }
}

fn from_text(
    text: &str,
    variables: &[(String, OsString)],
    problems: &mut Problems,
) -> Option<Config> {
    let mut settings: Table = source::parse(text, problems)?;
    let schema = schema();
    environment::overlay(&mut settings, variables, &schema, problems);
    let mut tree = Value::Table(settings);
    structure::prune(&mut tree, &schema, &KeyPath::root(), problems);
    match tree.try_into::<raw::RawConfig>() {
        Ok(raw) => resolve::resolve(raw, problems),
        Err(error) => {
            // The structural check finds what serde would; this is for what it might miss.
            problems.error(&KeyPath::root(), error.message(), "");
            None
        }
    }
}
