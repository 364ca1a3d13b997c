//! The other side of a connection: `saml import`, `saml approve-keys`.

use std::path::Path;

use auth_core::broker::saml_cabinet::{IMPORTED, SamlCabinet, SamlCabinetError, Takeover};
use auth_core::clock::{Clock as _, SystemClock};
use auth_core::connector::saml::{Binding, IdentityProvider};
use serde_json::{Value, json};
use url::Url;

use super::Chosen;
use crate::app::{StartRefused, command_line_origin, saml};
use crate::config::MetadataSource;
use crate::exit::Exit;
use crate::metadata_fetch::fetch;
use crate::output;

/// `saml import SOURCE`: puts metadata into the store.
pub(super) async fn import(
    chosen: &Chosen,
    source: &str,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let configured = chosen.saml();
    let named = match &configured.metadata {
        MetadataSource::Imported => None,
        MetadataSource::File(_) => Some("metadata_file"),
        MetadataSource::Url(_) => Some("metadata_url"),
    };
    if let Some(setting) = named {
        return Err(StartRefused(format!(
            "saml {:?}: the configuration names {setting}, so the store takes no metadata for it: \
             change that, or take it out first",
            configured.id
        ))
        .into());
    }
    let document = match Url::parse(source) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => fetch(&url).await?,
        _ => saml::read_file(Path::new(source))?,
    };
    let now = SystemClock.now();
    let idp = saml::identity_provider(configured, &document, now)?;
    let outcome = if dry_run {
        None
    } else {
        let origin = command_line_origin();
        let choice = saml::choice(configured);
        let taken = chosen
            .with_cabinet(async |cabinet| {
                Ok(cabinet.take_over(&configured.id, IMPORTED, document, choice, &origin).await?)
            })
            .await?;
        Some(taken)
    };
    let word = match &outcome {
        None => "would be taken over",
        Some(Takeover::Unchanged) => "is the same as before",
        Some(Takeover::Accepted | Takeover::Pending(_)) => "is taken over",
    };
    show(&configured.id, &idp, word, as_json);
    Ok(Exit::Done)
}

/// `saml approve-keys`: takes over metadata with changed keys that waits.
pub(super) async fn approve(chosen: &Chosen, dry_run: bool, as_json: bool) -> anyhow::Result<Exit> {
    let configured = chosen.saml();
    let choice = saml::choice(configured);
    chosen
        .with_cabinet(async |cabinet| {
            let waits = waiting(cabinet, chosen).await?;
            let Some((known, found)) = waits else {
                output::message("no changed metadata waits for approval");
                return Ok(Exit::Failed);
            };
            tell_changes(&known, &found);
            if dry_run {
                show(&configured.id, &found, "would be taken over", as_json);
                return Ok(Exit::Done);
            }
            match cabinet.approve(&configured.id, choice, &command_line_origin()).await {
                Ok(idp) => {
                    show(&configured.id, &idp, "is taken over", as_json);
                    Ok(Exit::Done)
                }
                Err(SamlCabinetError::Refused(refusal)) => {
                    output::message(&format!("{}: {refusal}", configured.id));
                    Ok(Exit::Refused)
                }
                Err(error) => Err(error.into()),
            }
        })
        .await
}

/// What the connection goes by, and what waits.
async fn waiting(
    cabinet: &SamlCabinet,
    chosen: &Chosen,
) -> anyhow::Result<Option<(IdentityProvider, IdentityProvider)>> {
    let configured = chosen.saml();
    let Some(stored) = cabinet.metadata(&configured.id).await? else { return Ok(None) };
    let Some(pending) = &stored.pending else { return Ok(None) };
    let choice = saml::choice(configured);
    let known = cabinet.read(&stored.document, choice, stored.accepted_at)?;
    Ok(Some((known, cabinet.read(&pending.document, choice, SystemClock.now())?)))
}

fn tell_changes(known: &IdentityProvider, found: &IdentityProvider) {
    let (before, after) = (known.fingerprints(), found.fingerprints());
    for key in after.iter().filter(|key| !before.contains(key)) {
        output::message(&format!("+ signing key {key}"));
    }
    for key in before.iter().filter(|key| !after.contains(key)) {
        output::message(&format!("- signing key {key}"));
    }
    for binding in [Binding::Redirect, Binding::Post] {
        for (name, before, after) in [
            ("single sign-on", known.single_sign_on(binding), found.single_sign_on(binding)),
            ("single logout", known.single_logout(binding), found.single_logout(binding)),
        ] {
            let address = |it: Option<&auth_core::connector::saml::Endpoint>| {
                it.map_or_else(|| "none".to_owned(), |it| it.location.to_string())
            };
            if before != after {
                output::message(&format!("  {name}: {} -> {}", address(before), address(after)));
            }
        }
    }
}

fn show(connection: &str, idp: &IdentityProvider, outcome: &str, as_json: bool) {
    let addresses = |find: &dyn Fn(Binding) -> Option<String>| {
        [Binding::Redirect, Binding::Post].into_iter().filter_map(find).collect::<Vec<_>>()
    };
    let keys: Vec<Value> = idp
        .keys()
        .iter()
        .map(|key| {
            json!({
                "sha256": key.fingerprint(),
                "kind": format!("{:?}", key.kind()),
                "not_after": key.not_after().rfc3339(),
            })
        })
        .collect();
    let object = json!({
        "connection": connection,
        "outcome": outcome,
        "entity_id": idp.entity_id(),
        "keys": keys,
        "single_sign_on": addresses(&|it| idp.single_sign_on(it).map(|e| e.location.to_string())),
        "single_logout": addresses(&|it| idp.single_logout(it).map(|e| e.location.to_string())),
        "wants_signed_requests": idp.wants_signed_requests(),
        "valid_until": idp.valid_until().map(|at| at.rfc3339()),
        "unusable_keys": idp.unusable_keys(),
    });
    if as_json {
        output::json(&object);
    } else {
        output::facts(&object);
    }
}
