//! `saml …`: connections to identity providers.

mod inspect;

use std::path::Path;

use super::{load, not_available};
use crate::cli::SamlCommand;
use crate::config::{Loaded, Saml};
use crate::exit::Exit;
use crate::output;

/// Runs `saml …`.
pub(crate) async fn run(command: SamlCommand, file: Option<&Path>) -> anyhow::Result<Exit> {
    crate::telemetry::start_log("error");
    match command {
        SamlCommand::Inspect { connection, at, in_response_to, file: response, json } => {
            let arguments = inspect::Arguments { at, in_response_to, response, json };
            let (loaded, index) = match named(file, &connection.connection) {
                Ok(found) => found,
                Err(exit) => return Ok(exit),
            };
            inspect::run(loaded, index, arguments).await
        }
        SamlCommand::Metadata { .. } => Ok(not_available("saml metadata")),
        SamlCommand::Import { .. } => Ok(not_available("saml import")),
        SamlCommand::ApproveKeys { .. } => Ok(not_available("saml approve-keys")),
        SamlCommand::Setup { .. } => Ok(not_available("saml setup")),
    }
}

/// The configuration, and where in it the connection is.
fn named(file: Option<&Path>, id: &str) -> Result<(Loaded, usize), Exit> {
    let loaded = load(file)?;
    let connections = &loaded.config.saml;
    if let Some(index) = connections.iter().position(|connection| connection.id == id) {
        return Ok((loaded, index));
    }
    let known: Vec<&str> = connections.iter().map(|connection| connection.id.as_str()).collect();
    output::message(&format!(
        "there is no SAML connection {id:?} in the configuration; it names: {}",
        known.join(", ")
    ));
    Err(Exit::Configuration)
}

/// The connection at `index`.
fn at(loaded: &Loaded, index: usize) -> anyhow::Result<&Saml> {
    let found = loaded.config.saml.get(index);
    found.ok_or_else(|| anyhow::anyhow!("the configuration changed while it was read"))
}
