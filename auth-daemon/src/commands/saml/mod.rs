//! `saml …`: connections to identity providers.

mod identity_provider;
mod inspect;
mod service_provider;

use std::path::Path;

use auth_core::broker::saml_cabinet::SamlCabinet;

use super::load;
use crate::app::saml;
use crate::cli::SamlCommand;
use crate::config::{Loaded, Saml};
use crate::exit::Exit;
use crate::output;

/// Runs `saml …`.
pub(crate) async fn run(command: SamlCommand, file: Option<&Path>) -> anyhow::Result<Exit> {
    crate::telemetry::start_log("error");
    let (SamlCommand::Metadata { connection }
    | SamlCommand::Import { connection, .. }
    | SamlCommand::Inspect { connection, .. }
    | SamlCommand::ApproveKeys { connection, .. }
    | SamlCommand::RotateKey { connection, .. }
    | SamlCommand::Setup { connection, .. }) = &command;
    let chosen = match Chosen::find(file, &connection.connection) {
        Ok(chosen) => chosen,
        Err(exit) => return Ok(exit),
    };
    match command {
        SamlCommand::Inspect { at, in_response_to, file: response, json, .. } => {
            let arguments = inspect::Arguments { at, in_response_to, response, json };
            inspect::run(&chosen, arguments).await
        }
        SamlCommand::Metadata { .. } => service_provider::metadata(&chosen).await,
        SamlCommand::Setup { json, .. } => service_provider::setup(&chosen, json).await,
        SamlCommand::RotateKey { retire, dry_run, json, .. } => {
            service_provider::rotate_key(&chosen, retire, dry_run, json).await
        }
        SamlCommand::Import { source, dry_run, json, .. } => {
            identity_provider::import(&chosen, &source, dry_run, json).await
        }
        SamlCommand::ApproveKeys { dry_run, json, .. } => {
            identity_provider::approve(&chosen, dry_run, json).await
        }
    }
}

/// A configuration, and the connection in it that a command is about.
struct Chosen {
    loaded: Loaded,
    index: usize,
}

impl Chosen {
    fn find(file: Option<&Path>, id: &str) -> Result<Self, Exit> {
        let loaded = load(file)?;
        let connections = &loaded.config.saml;
        if let Some(index) = connections.iter().position(|connection| connection.id == id) {
            return Ok(Self { loaded, index });
        }
        let known: Vec<&str> = connections.iter().map(|it| it.id.as_str()).collect();
        output::message(&format!(
            "there is no SAML connection {id:?} in the configuration; it names: {}",
            known.join(", ")
        ));
        Err(Exit::Configuration)
    }

    #[expect(clippy::indexing_slicing, reason = "the index was found in this very list")]
    fn saml(&self) -> &Saml {
        &self.loaded.config.saml[self.index]
    }

    /// Opens the store, runs `command` on the cabinet and closes it again.
    async fn with_cabinet<T>(
        &self,
        command: impl AsyncFnOnce(&SamlCabinet) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (cabinet, store) = saml::open_cabinet(&self.loaded.config).await?;
        let outcome = command(&cabinet).await;
        store.close().await;
        outcome
    }
}
