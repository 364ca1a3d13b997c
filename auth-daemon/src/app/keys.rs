//! Store and key ring belong together: which ring this store was sealed with is written in the
//! transaction of its first migration, and no other ring ever opens it.
//!
//! The ring's file is made only for an empty store, and before the store: a crash in between
//! leaves a file that the next start uses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use auth_core::clock::Timestamp;
use auth_core::key_ring::file::{self, RingFileError};
use auth_core::key_ring::{HASH_KEY_NAME, HashKey, KeyRing};
use auth_core::random::Random;
use auth_core::store::{Store, StoreError};
use auth_store::{Found, StoreOptions};

use crate::config::Config;

/// Name of the stored value that tells which ring belongs to the store.
pub(crate) const RING_CHECK: &str = "ring_check";

/// A start that was refused because of the configuration or the key ring, before anything was
/// changed; ends with exit code 78.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StartRefused(pub(crate) String);

/// Where store and ring are.
#[derive(PartialEq, Eq)]
pub(crate) struct StorePlace {
    ring_file: PathBuf,
    options: StoreOptions,
}

impl StorePlace {
    /// As the configuration says.
    pub(crate) fn of(config: &Config) -> Self {
        let storage = &config.storage;
        Self {
            ring_file: config.keys.ring_file.clone(),
            options: StoreOptions {
                url: storage.url.expose().to_owned(),
                read_url: storage.read_url.as_ref().map(|url| url.expose().to_owned()),
                ca_file: storage.ca_file.clone(),
                pool_size: usize::try_from(storage.pool_size).ok(),
            },
        }
    }
}

/// Whether the configured store is there; `None` when it cannot be told.
pub(crate) async fn found(config: &Config) -> Option<Found> {
    let StorePlace { options, .. } = StorePlace::of(config);
    tokio::time::timeout(PATIENCE, auth_store::look(&options)).await.ok()?.ok()
}

/// Looks whether store and ring can be used as they are; changes nothing. Names the setting at
/// fault and says what is wrong.
pub(crate) async fn inspect(config: &Config) -> Result<(), (&'static str, String)> {
    let StorePlace { ring_file, options } = StorePlace::of(config);
    let found = match tokio::time::timeout(PATIENCE, auth_store::look(&options)).await {
        Ok(found) => found.map_err(|error| ("storage.url", error.to_string()))?,
        Err(_) => return Err(("storage.url", format!("no answer within {PATIENCE:?}"))),
    };
    match (file::load(&ring_file), found) {
        (Ok(_), _) | (Err(RingFileError::Missing { .. }), Found::Empty) => Ok(()),
        (Err(RingFileError::Missing { path }), Found::Initialised) => Err((
            "keys.ring_file",
            format!("{} does not exist, but the store was sealed with a key ring", path.display()),
        )),
        (Err(error), _) => Err(("keys.ring_file", error.to_string())),
    }
}

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Opens the ring and the store that belongs to it.
///
/// # Errors
/// [`StartRefused`] when ring and store do not belong together or the schema is not ours; other
/// errors when the store cannot be reached.
pub(crate) async fn open_store(
    place: StorePlace,
    random: &dyn Random,
    now: Timestamp,
) -> anyhow::Result<(Arc<dyn Store>, Arc<KeyRing>)> {
    let StorePlace { ring_file: path, options } = place;
    let found = auth_store::look(&options).await.map_err(store_refused)?;
    let ring = ring(&path, found, random, now)?;
    let first_values = [
        (RING_CHECK, ring.make_check(random)),
        (HASH_KEY_NAME, HashKey::generate(random).seal(&ring, random)),
    ];
    let store = auth_store::open(&options, &first_values).await.map_err(store_refused)?;
    let check = store.named_value(RING_CHECK).await.context("storage.url")?;
    let check = check.ok_or_else(|| {
        StartRefused(
            "storage.url: the store holds no ring check value; it was not made by this program"
                .to_owned(),
        )
    })?;
    if let Err(mismatch) = ring.verify_check(&check) {
        store.close().await;
        return Err(StartRefused(format!("keys.ring_file {}: {mismatch}", path.display())).into());
    }
    Ok((store, Arc::new(ring)))
}

fn ring(path: &Path, found: Found, random: &dyn Random, now: Timestamp) -> anyhow::Result<KeyRing> {
    match (file::load(path), found) {
        (Ok(ring), _) => Ok(ring),
        (Err(RingFileError::Missing { .. }), Found::Empty) => {
            let ring = KeyRing::generate(random, now);
            match file::create_new(path, &ring) {
                Ok(()) => {
                    tracing::info!(event = "key_ring.created", path = %path.display(), key = %ring.active_key_id(), "key ring made");
                    Ok(ring)
                }
                // Another process made it in between; its ring is the one.
                Err(RingFileError::Exists { .. }) => file::load(path).map_err(refused),
                Err(error) => Err(refused(error)),
            }
        }
        (Err(RingFileError::Missing { path }), Found::Initialised) => Err(StartRefused(format!(
            "keys.ring_file: {} does not exist, but the store was sealed with a key ring: put the \
             file back from the backup; nothing was changed",
            path.display()
        ))
        .into()),
        (Err(error), _) => Err(refused(error)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn refused(error: RingFileError) -> anyhow::Error {
    StartRefused(format!("keys.ring_file: {error}")).into()
}

fn store_refused(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Schema { .. } | StoreError::Misconfigured { .. } => {
            StartRefused(format!("storage.url: {error}")).into()
        }
        other => anyhow::Error::new(other).context("storage.url: the store cannot be opened"),
    }
}
