//! Where a connection's keys and metadata come from: files, the store, a URL.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use auth_core::broker::saml_cabinet::{IMPORTED, SamlCabinet, Takeover};
use auth_core::clock::{Clock as _, SystemClock, Timestamp};
use auth_core::connector::saml::engine::PrivateKey;
use auth_core::connector::saml::{MetadataChoice, SamlConnection};
use auth_core::key_ring::KeyRing;
use auth_core::random::SystemRandom;
use auth_core::store::Store;
use auth_store::Found;

use super::{connection, engine, identity_provider, keys_of_files, settings};
use crate::app::keys::{self, StartRefused, StorePlace};
use crate::config::{Config, MetadataSource, PublicUrl, Saml, Severity};
use crate::metadata_fetch::{MAX_METADATA, fetch};

/// The cabinet of the configured store, which is opened (and made, where there is none).
///
/// # Errors
/// As for `serve`.
pub(crate) async fn open_cabinet(config: &Config) -> anyhow::Result<(SamlCabinet, Arc<dyn Store>)> {
    let random = SystemRandom::new();
    let place = StorePlace::of(config);
    let (store, ring) = keys::open_store(place, &random, SystemClock.now()).await?;
    Ok((cabinet(Arc::clone(&store), ring), store))
}

/// The cabinet of a store that is open.
pub(crate) fn cabinet(store: Arc<dyn Store>, ring: Arc<KeyRing>) -> SamlCabinet {
    let random = Arc::new(SystemRandom::new());
    SamlCabinet::new(store, ring, Arc::new(SystemClock), random, engine())
}

/// The cabinet, when there is a store already; nothing is made.
///
/// # Errors
/// When there is one that cannot be opened.
pub(crate) async fn existing_cabinet(
    config: &Config,
) -> anyhow::Result<Option<(SamlCabinet, Arc<dyn Store>)>> {
    match keys::found(config).await {
        Some(Found::Initialised) => open_cabinet(config).await.map(Some),
        Some(Found::Empty) | None => Ok(None),
    }
}

/// What the configuration says about believing metadata.
pub(crate) fn choice(saml: &Saml) -> MetadataChoice<'_> {
    MetadataChoice {
        entity_id: saml.entity_id.as_deref(),
        signed_by: &saml.metadata_signature_certificates,
        allow_weak: saml.allow_sha1,
    }
}

/// Our keys: those of the files, else those of the store, made at the first use.
///
/// # Errors
/// Names the file that cannot be used.
pub(crate) async fn own_keys(
    saml: &Saml,
    public_url: &PublicUrl,
    cabinet: &SamlCabinet,
) -> anyhow::Result<Vec<Arc<dyn PrivateKey>>> {
    if !saml.sp_key_files.is_empty() {
        return keys_of_files(saml);
    }
    Ok(cabinet.ensure_keys(&saml.id, public_url.host()).await?)
}

/// The metadata document that the connection goes by; `None` when there is none yet.
///
/// # Errors
/// When the file or the store cannot be read, or the store holds an import while the
/// configuration names another source.
pub(crate) async fn document(
    saml: &Saml,
    cabinet: Option<&SamlCabinet>,
) -> anyhow::Result<Option<Vec<u8>>> {
    if let MetadataSource::File(file) = &saml.metadata {
        return read_file(file).map(Some);
    }
    let Some(cabinet) = cabinet else { return Ok(None) };
    let Some(stored) = cabinet.metadata(&saml.id).await? else { return Ok(None) };
    if let MetadataSource::Url(url) = &saml.metadata
        && stored.source == IMPORTED
    {
        return Err(StartRefused(format!(
            "saml {:?}: its metadata was imported into the store, and the configuration names \
             metadata_url {url} too: keep one of them",
            saml.id
        ))
        .into());
    }
    Ok(Some(stored.document))
}

/// Reads the metadata of a URL again and takes it over by the rules. `None` for other sources.
///
/// # Errors
/// When it cannot be fetched, or is no good; what was there before stays.
pub(crate) async fn refresh(
    saml: &Saml,
    cabinet: &SamlCabinet,
) -> anyhow::Result<Option<Takeover>> {
    let MetadataSource::Url(url) = &saml.metadata else { return Ok(None) };
    let document = fetch(url).await.with_context(|| url.to_string())?;
    let origin = crate::app::command_line_origin();
    let taken = cabinet.take_over(&saml.id, url.as_str(), document, choice(saml), &origin).await?;
    Ok(Some(taken))
}

/// The connection, ready to use; `None` when its metadata is not there yet.
///
/// # Errors
/// Names what is wrong with keys, metadata or settings.
pub(crate) async fn ready(
    saml: &Saml,
    public_url: &PublicUrl,
    cabinet: &SamlCabinet,
    now: Timestamp,
) -> anyhow::Result<Option<SamlConnection>> {
    // Also without metadata: ours wants the keys.
    own_keys(saml, public_url, cabinet).await?;
    let missing = document(saml, Some(cabinet)).await?.is_none();
    if missing && matches!(saml.metadata, MetadataSource::Url(_)) {
        refresh(saml, cabinet).await?;
    }
    assembled(saml, public_url, cabinet, now).await
}

/// The connection of what is at hand; nothing is made or fetched. `None` without metadata.
///
/// # Errors
/// Names what is wrong with keys, metadata or settings.
pub(crate) async fn assembled(
    saml: &Saml,
    public_url: &PublicUrl,
    cabinet: &SamlCabinet,
    now: Timestamp,
) -> anyhow::Result<Option<SamlConnection>> {
    let Some(found) = document(saml, Some(cabinet)).await? else { return Ok(None) };
    let keys = own_keys(saml, public_url, cabinet).await?;
    let settings = settings(saml, public_url);
    let ready =
        identity_provider(saml, &found, now).and_then(|idp| connection(settings, idp, keys));
    Ok(Some(ready?))
}

/// Reads a metadata file, not beyond the limit.
///
/// # Errors
/// Names the file.
pub(crate) fn read_file(file: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || format!("metadata {}", file.display());
    let size = std::fs::metadata(file).with_context(named)?.len();
    anyhow::ensure!(
        size <= MAX_METADATA as u64,
        "metadata {}: {size} bytes, at most {MAX_METADATA}",
        file.display()
    );
    std::fs::read(file).with_context(named)
}

/// Refuses a start with a connection that cannot work, before anything is opened.
///
/// # Errors
/// [`StartRefused`] names the connection and what is wrong with it.
pub(crate) fn refuse_errors(config: &Config) -> anyhow::Result<()> {
    for finding in super::findings(config, SystemClock.now()) {
        match finding.severity {
            Severity::Error => return Err(StartRefused(finding.to_string()).into()),
            Severity::Warning => {
                tracing::warn!(event = "config.warning", warning = %finding, "configuration");
            }
        }
    }
    Ok(())
}
