//! `claims preview`: what a client would be told of a person. Nobody is asked and nothing is sent.

use std::path::Path;

use serde_json::{Value, json};

use super::{Context, with_context};
use crate::cli::ClaimsCommand;
use crate::exit::Exit;
use crate::output;

/// Runs `claims …`.
pub(crate) async fn run(command: ClaimsCommand, file: Option<&Path>) -> anyhow::Result<Exit> {
    let ClaimsCommand::Preview { user, client, json } = command;
    with_context(file, async |context| preview(context, &user, &client, json).await).await
}

async fn preview(
    context: &Context,
    name: &str,
    client: &str,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let account = context.broker.find_account(name).await?;
    let Some(preview) = context.provider.preview_claims(&account, client).await? else {
        output::message(&format!("client {client:?}: there is none; `client list` shows them"));
        return Ok(Exit::Failed);
    };
    let claims: Value = serde_json::to_value(&preview.claims)?;
    if !account.active {
        output::message(&format!(
            "{} is not active: a client would be told nothing",
            account.username
        ));
    }
    if as_json {
        output::json(&json!({
            "account": account.id,
            "client": client,
            "scope": preview.scope.to_string(),
            "active": account.active,
            "claims": claims,
        }));
    } else {
        output::facts(&claims);
    }
    Ok(Exit::Done)
}
