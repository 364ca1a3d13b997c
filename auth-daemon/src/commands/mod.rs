//! The commands: one module per group, one function that runs the group.

mod audit;
mod bulk;
mod claims;
mod client;
mod client_accounts;
mod config;
mod identity;
mod key;
mod ldap;
mod ldap_ids;
mod migrate;
mod reachability;
mod saml;
mod serve;
mod session;
mod sync;
mod user;

use std::path::Path;
use std::sync::Arc;

use auth_core::audit::Origin;
use auth_core::broker::Broker;
use auth_core::broker::provider::Provider;
use auth_core::connector::password::PasswordRules;
use auth_core::key_ring::KeyRing;

use crate::app::{self, StartRefused, SyncPlan};
use crate::cli::{Cli, Command};
use crate::config::{Config, Loaded};
use crate::exit::Exit;
use crate::outbox::Targets;
use crate::output;

/// What a command works on.
pub(crate) struct Context {
    pub(crate) broker: Arc<Broker>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) password_rules: PasswordRules,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) targets: Arc<Targets>,
    pub(crate) origin: Origin,
    pub(crate) syncs: Vec<SyncPlan>,
}

/// Runs the command line.
pub(crate) async fn run(cli: Cli) -> Exit {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Config(command) => config::run(command, file).await,
        Command::Serve => report(serve::run(file).await),
        Command::Ldap(command) => report(ldap::run(command, file).await),
        Command::User(command) => report(user::run(command, file).await),
        Command::Session(command) => report(session::run(command, file).await),
        Command::Client(command) => report(client::run(command, file).await),
        Command::Key(command) => report(key::run(command, file).await),
        Command::Audit(command) => report(audit::run(command, file).await),
        Command::Sync(command) => report(sync::run(command, file).await),
        Command::Saml(command) => report(saml::run(command, file).await),
        Command::Claims(command) => report(claims::run(command, file).await),
        Command::Token(_) => not_available("token"),
        Command::Backup { .. } => not_available("backup"),
        Command::Restore { .. } => not_available("restore"),
        Command::Console => not_available("console"),
    }
}

/// A command of the contract that this version does not have.
pub(crate) fn not_available(command: &str) -> Exit {
    output::message(&format!("auth-daemon {command}: not available yet"));
    Exit::Usage
}

/// Reads the configuration, and says what is wrong with it or worth knowing.
pub(crate) fn load(file: Option<&Path>) -> Result<Loaded, Exit> {
    match Config::load(file) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                output::message(&format!("warning: {warning}"));
            }
            Ok(loaded)
        }
        Err(errors) => {
            output::message(&errors.to_string());
            Err(Exit::Configuration)
        }
    }
}

/// Opens what the configuration names, runs `command` on it and closes it again.
pub(crate) async fn with_context<F>(file: Option<&Path>, command: F) -> anyhow::Result<Exit>
where
    F: AsyncFnOnce(&Context) -> anyhow::Result<Exit>,
{
    crate::telemetry::start_log("warn");
    let loaded = match load(file) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    let parts = app::open(loaded.config, false).await?;
    let context = Context {
        broker: parts.broker,
        provider: parts.provider,
        password_rules: parts.password_rules,
        ring: parts.ring,
        targets: parts.targets,
        origin: app::command_line_origin(),
        syncs: parts.syncs,
    };
    let outcome = command(&context).await;
    context.broker.store().close().await;
    outcome
}

fn report(outcome: anyhow::Result<Exit>) -> Exit {
    match outcome {
        Ok(exit) => exit,
        Err(error) => {
            output::message(&format!("auth-daemon: {error:#}"));
            if error.downcast_ref::<StartRefused>().is_some() {
                Exit::Configuration
            } else {
                Exit::Failed
            }
        }
    }
}
