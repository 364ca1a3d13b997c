//! Our side of a connection: `saml metadata`, `saml setup`, `saml rotate-key`.

use std::sync::Arc;

use auth_core::broker::saml_cabinet::SamlCabinet;
use auth_core::clock::{Clock as _, SystemClock};
use auth_core::connector::saml::engine::PrivateKey;
use auth_core::connector::saml::{service_provider_metadata, setup_values};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Chosen;
use crate::app::{command_line_origin, saml};
use crate::exit::Exit;
use crate::output;

/// `saml metadata`: our metadata, for the identity provider.
pub(super) async fn metadata(chosen: &Chosen) -> anyhow::Result<Exit> {
    let now = SystemClock.now();
    let configured = chosen.saml();
    let settings = saml::settings(configured, &chosen.loaded.config.public_url);
    let (keys, document) = own(chosen).await?;
    let wants_signed = document
        .and_then(|document| saml::identity_provider(configured, &document, now).ok())
        .is_some_and(|idp| idp.wants_signed_requests());
    output::line(&service_provider_metadata(&settings, &keys, wants_signed, now)?);
    Ok(Exit::Done)
}

/// `saml setup`: the values to paste, under the names that they have there.
pub(super) async fn setup(chosen: &Chosen, as_json: bool) -> anyhow::Result<Exit> {
    let config = &chosen.loaded.config;
    let settings = saml::settings(chosen.saml(), &config.public_url);
    let metadata_url = format!("{}saml/{}/metadata", config.public_url.url(), settings.id);
    let (keys, _) = own(chosen).await?;
    let mut values: Vec<(String, String)> = setup_values(&settings, &metadata_url)
        .into_iter()
        .map(|it| (it.field.to_owned(), it.value))
        .collect();
    if let Some(key) = keys.first() {
        let name = "Certificate (assertion encryption, request signature)";
        values.push((name.to_owned(), pem(key.certificate())));
    }
    if as_json {
        let rows: Vec<Value> =
            values.iter().map(|(field, value)| json!({ "field": field, "value": value })).collect();
        output::json(&json!({
            "connection": settings.id,
            "preset": settings.preset.as_str(),
            "values": rows,
        }));
    } else {
        for (field, value) in values {
            output::line(&format!("{field}:"));
            for line in value.lines() {
                output::line(&format!("    {line}"));
            }
        }
    }
    Ok(Exit::Done)
}

/// `saml rotate-key`: another key of ours, or one less.
pub(super) async fn rotate_key(
    chosen: &Chosen,
    retire: Option<String>,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let configured = chosen.saml();
    if !configured.sp_key_files.is_empty() {
        output::message(
            "the keys of this connection are those of sp_key_files: put the new file first, and \
             take the old one out when the identity provider has the new metadata",
        );
        return Ok(Exit::Refused);
    }
    let name = chosen.loaded.config.public_url.host().to_owned();
    chosen
        .with_cabinet(async |cabinet| {
            let origin = command_line_origin();
            match (retire, dry_run) {
                (Some(id), true) => output::message(&format!("key {id} would be withdrawn")),
                (None, true) => output::message("a key would be made; it signs a week later"),
                (Some(id), false) => {
                    cabinet.retire_key(&configured.id, &id, &origin).await?;
                    output::message(&format!("key {id} is withdrawn"));
                }
                (None, false) => {
                    let made = cabinet.add_key(&configured.id, &name, &origin).await?;
                    output::message(&format!(
                        "key {} stands in our metadata now and signs from {}; give the identity \
                         provider the new metadata",
                        made.id, made.active_from
                    ));
                }
            }
            if as_json {
                output::json(&listing(cabinet, &configured.id).await?);
            }
            Ok(Exit::Done)
        })
        .await
}

async fn listing(cabinet: &SamlCabinet, connection: &str) -> anyhow::Result<Value> {
    let keys = cabinet.list_keys(connection).await?;
    let rows = keys.iter().map(|key| {
        json!({
            "id": key.id,
            "created_at": key.created_at.rfc3339(),
            "active_from": key.active_from.rfc3339(),
            "retired_at": key.retired_at.map(|at| at.rfc3339()),
        })
    });
    Ok(json!({ "connection": connection, "keys": rows.collect::<Vec<_>>() }))
}

type Own = (Vec<Arc<dyn PrivateKey>>, Option<Vec<u8>>);

/// Our keys and the identity provider's metadata. With keys in files no store is needed.
async fn own(chosen: &Chosen) -> anyhow::Result<Own> {
    let configured = chosen.saml();
    if !configured.sp_key_files.is_empty() {
        let keys = saml::keys_of_files(configured)?;
        return Ok((keys, saml::document(configured, None).await.unwrap_or_default()));
    }
    chosen
        .with_cabinet(async |cabinet| {
            let keys =
                saml::own_keys(configured, &chosen.loaded.config.public_url, cabinet).await?;
            Ok((keys, saml::document(configured, Some(cabinet)).await.unwrap_or_default()))
        })
        .await
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----");
    pem
}
