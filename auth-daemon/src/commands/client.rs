//! `client …`: chat servers and other relying parties in the store.

use std::path::Path;

use auth_core::broker::provider::{ClientListing, ClientSource};
use auth_core::handoff::client::ClientSettings;
use auth_core::handoff::mattermost::adoption::AdoptionChoices;
use serde_json::{Value, json};

use super::{Context, client_accounts, with_context};
use crate::cli::{AddClient, ClientCommand};
use crate::exit::Exit;
use crate::output;

/// Runs `client …`.
pub(crate) async fn run(command: ClientCommand, file: Option<&Path>) -> anyhow::Result<Exit> {
    with_context(file, async |context| dispatch(command, context).await).await
}

async fn dispatch(command: ClientCommand, context: &Context) -> anyhow::Result<Exit> {
    let provider = &context.provider;
    match command {
        ClientCommand::List { json } => {
            let rows: Vec<Value> = provider.list_clients().await?.iter().map(object).collect();
            if json {
                output::json(&rows);
            } else {
                output::rows(
                    &["id", "name", "kind", "public", "redirect_uris", "hosts", "source"],
                    &rows,
                );
            }
            Ok(Exit::Done)
        }
        ClientCommand::Show { id, json } => {
            let shown = object(&provider.show_client(&id).await?);
            if json {
                output::json(&shown)
            } else {
                output::facts(&shown)
            }
            Ok(Exit::Done)
        }
        ClientCommand::Add(arguments) => add(context, arguments).await,
        ClientCommand::RotateSecret { id, dry_run, json } => {
            changeable(&provider.show_client(&id).await?)?;
            if dry_run {
                output::message(&format!("client {id} would get a new secret"));
                return Ok(Exit::Done);
            }
            let secret = provider.rotate_client_secret(&id, &context.origin).await?;
            tell_secret(&id, Some(secret.expose()), json);
            Ok(Exit::Done)
        }
        ClientCommand::Remove { id, dry_run, json } => {
            let listing = provider.show_client(&id).await?;
            changeable(&listing)?;
            let shown = object(&listing);
            if dry_run {
                output::message(&format!("client {id} would be removed and its sessions ended"));
            } else {
                provider.remove_client(&id, &context.origin).await?;
                output::message(&format!("client {id} is removed, its sessions are ended"));
            }
            if json {
                output::json(&shown);
            }
            Ok(Exit::Done)
        }
        ClientCommand::Check { id, json } => client_accounts::check(context, &id, json).await,
        ClientCommand::Deliveries(arguments) => {
            client_accounts::deliveries(context, arguments).await
        }
        ClientCommand::Adopt { id, plan, apply, include, accept_unverified, dry_run, json } => {
            let choices = AdoptionChoices { include, accept_unverified };
            match (plan, apply) {
                (Some(file), _) => client_accounts::plan(context, &id, &file, choices, json).await,
                (None, Some(file)) => {
                    client_accounts::apply(context, &id, &file, dry_run, json).await
                }
                // The command line asks for one of the two.
                (None, None) => Ok(Exit::Usage),
            }
        }
    }
}

async fn add(context: &Context, arguments: AddClient) -> anyhow::Result<Exit> {
    let mut settings = serde_json::Map::new();
    let mut set = |key: &str, value: Value| {
        settings.insert(key.to_owned(), value);
    };
    set("id", json!(arguments.id));
    set("kind", json!(arguments.kind));
    set("redirect_uris", json!(arguments.redirect_uris));
    set("post_logout_redirect_uris", json!(arguments.post_logout_redirect_uris));
    set("public", json!(arguments.public));
    set("id_token_signed_response_alg", json!(arguments.id_token_alg));
    set("session_kind", json!(arguments.session_kind));
    if let Some(uri) = arguments.backchannel_logout_uri {
        set("backchannel_logout_uri", json!(uri));
    }
    if let Some(name) = arguments.name {
        set("name", json!(name));
    }
    if !arguments.hosts.is_empty() {
        set("hosts", json!(arguments.hosts));
    }
    if !arguments.allowed_groups.is_empty() {
        set("allowed_groups", json!(arguments.allowed_groups));
    }
    if !arguments.scopes.is_empty() {
        set("scopes", json!(arguments.scopes));
    }
    let settings: ClientSettings = serde_json::from_value(Value::Object(settings))
        .map_err(|error| anyhow::anyhow!("client {:?}: {error}", arguments.id))?;
    let id = settings.id.clone();
    let secret = context.provider.add_client(settings, &context.origin).await?;
    tell_secret(&id, secret.as_ref().map(|secret| secret.expose()), arguments.json);
    Ok(Exit::Done)
}

/// A client of the configuration file is changed there, also when it is only asked what would be.
fn changeable(listing: &ClientListing) -> anyhow::Result<()> {
    anyhow::ensure!(
        listing.source == ClientSource::Store,
        "client {:?} stands in the configuration file: change it there and restart the daemon",
        listing.settings.id
    );
    Ok(())
}

/// The secret is data that was asked for: it goes to standard output, this once.
fn tell_secret(id: &str, secret: Option<&str>, as_json: bool) {
    if as_json {
        output::json(&json!({ "id": id, "secret": secret }));
        return;
    }
    match secret {
        Some(secret) => {
            output::message(&format!("the secret of client {id}; it is not shown again:"));
            output::line(secret);
        }
        None => output::message(&format!("client {id} is added; it is public and has no secret")),
    }
}

fn object(listing: &ClientListing) -> Value {
    let mut object = serde_json::to_value(&listing.settings).unwrap_or_else(|_| json!({}));
    if let Value::Object(members) = &mut object {
        let source = match listing.source {
            ClientSource::Configuration => "configuration",
            ClientSource::Store => "store",
        };
        members.insert("source".to_owned(), json!(source));
        members.insert("public".to_owned(), json!(listing.settings.is_public()));
        let time = |at: Option<auth_core::clock::Timestamp>| json!(at.map(|at| at.rfc3339()));
        members.insert("created_at".to_owned(), time(listing.created_at));
        members.insert("updated_at".to_owned(), time(listing.updated_at));
    }
    object
}
