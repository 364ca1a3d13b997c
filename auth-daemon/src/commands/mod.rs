//! The commands: one module per group, one function that runs the group.

mod config;
mod reachability;

use std::path::Path;

use crate::cli::{Cli, Command};
use crate::config::{Config, Loaded};
use crate::exit::Exit;
use crate::output;

/// Runs the command.
pub(crate) async fn run(cli: Cli) -> Exit {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Config(command) => config::run(command, file).await,
        Command::Serve => not_available("serve"),
        Command::Ldap(_) => not_available("ldap"),
        Command::User(_) => not_available("user"),
        Command::Session(_) => not_available("session"),
        Command::Client(_) => not_available("client"),
        Command::Key(_) => not_available("key"),
        Command::Audit(_) => not_available("audit"),
        Command::Sync(_) => not_available("sync"),
        Command::Saml(_) => not_available("saml"),
        Command::Claims(_) => not_available("claims"),
        Command::Token(_) => not_available("token"),
        Command::Backup { .. } => not_available("backup"),
        Command::Restore { .. } => not_available("restore"),
        Command::Console => not_available("console"),
    }
}

/// Says that no version builds this command yet.
pub(crate) fn not_available(command: &str) -> Exit {
    output::message(&format!("auth-daemon {command}: not available yet"));
    Exit::Usage
}

/// Loads the configuration for a command; prints warnings, or everything that is wrong.
///
/// # Errors
/// The exit code when the configuration cannot be used.
#[expect(dead_code, reason = "for the commands that are not built yet")]
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
