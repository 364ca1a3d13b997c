//! The signing keys in memory: opened once, the list read again every few seconds.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::{Provider, ProviderError};
use crate::clock::Timestamp;
use crate::handoff::signing_key::{SigningAlgorithm, SigningKey};
use crate::handoff::signing_key_set::{KeySchedule, PublishedKey, SigningKeySet};
use crate::key_ring::SealContext;
use crate::store::SigningKeyRecord;

/// A new key waits a day before it signs, so this need not be quick.
const RELOAD_AFTER: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct KeyCabinet {
    current: RwLock<Option<Snapshot>>,
    /// Held by the one task that reads anew; the others go on with what is there.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Snapshot {
    set: Arc<SigningKeySet>,
    read_at: Timestamp,
}

impl KeyCabinet {
    fn snapshot(&self) -> Option<Snapshot> {
        self.current.read().clone()
    }
}

impl Provider {
    /// The published keys, a few seconds old at most. When the store does not answer, those that
    /// were read last: what they verify or sign does not depend on the store.
    pub(super) async fn signing_keys(
        &self,
        now: Timestamp,
    ) -> Result<Arc<SigningKeySet>, ProviderError> {
        if let Some(snapshot) = self.keys.snapshot() {
            if now.since(snapshot.read_at) < RELOAD_AFTER {
                return Ok(snapshot.set);
            }
            let Ok(_reading) = self.keys.reading.try_lock() else { return Ok(snapshot.set) };
            return match self.read_signing_keys(now).await {
                Ok(set) => Ok(set),
                Err(ProviderError::Store(error)) => {
                    tracing::warn!(%error, "signing keys not read again");
                    Ok(snapshot.set)
                }
                Err(error) => Err(error),
            };
        }
        self.reload_signing_keys(now).await
    }

    /// Reads the keys now, whatever is in memory.
    pub(super) async fn reload_signing_keys(
        &self,
        now: Timestamp,
    ) -> Result<Arc<SigningKeySet>, ProviderError> {
        let _reading = self.keys.reading.lock().await;
        self.read_signing_keys(now).await
    }

    /// The key that signs with `algorithm` at `now`.
    pub(super) async fn signer(
        &self,
        algorithm: SigningAlgorithm,
        now: Timestamp,
    ) -> Result<Arc<SigningKey>, ProviderError> {
        let keys = self.signing_keys(now).await?;
        keys.signer(algorithm, now)
            .cloned()
            .ok_or(ProviderError::NoSigningKey { algorithm: algorithm.as_str() })
    }

    async fn read_signing_keys(&self, now: Timestamp) -> Result<Arc<SigningKeySet>, ProviderError> {
        let known = self.keys.snapshot();
        let mut published = Vec::new();
        for record in self.store.signing_keys().await? {
            if record.retired_at.is_some() {
                continue;
            }
            let Some(schedule) = schedule(&record) else {
                tracing::warn!(kid = %record.kid, algorithm = %record.algorithm,
                    "signing key of an unknown algorithm left out");
                continue;
            };
            let opened = known.as_ref().and_then(|known| known.set.key(&record.kid)).cloned();
            let key = match opened {
                Some(key) => key,
                None => Arc::new(self.open_signing_key(&record, schedule.algorithm)?),
            };
            published.push(PublishedKey { key, schedule });
        }
        let set = Arc::new(SigningKeySet::new(published));
        *self.keys.current.write() = Some(Snapshot { set: Arc::clone(&set), read_at: now });
        Ok(set)
    }

    fn open_signing_key(
        &self,
        record: &SigningKeyRecord,
        algorithm: SigningAlgorithm,
    ) -> Result<SigningKey, ProviderError> {
        let plain =
            self.ring.open(seal_context(&record.kid), &record.sealed).map_err(|source| {
                ProviderError::Sealed { what: format!("signing key {}", record.kid), source }
            })?;
        Ok(SigningKey::from_pkcs8(algorithm, &plain)?)
    }
}

/// Where a sealed signing key belongs.
pub(super) const fn seal_context(kid: &str) -> SealContext<'_> {
    SealContext { table: "signing_key", column: "sealed", row: kid }
}

/// The dates of a key; `None` when its algorithm is unknown here.
pub(super) fn schedule(record: &SigningKeyRecord) -> Option<KeySchedule> {
    Some(KeySchedule {
        kid: record.kid.clone(),
        algorithm: SigningAlgorithm::parse(&record.algorithm)?,
        created_at: record.created_at,
        active_from: record.active_from,
    })
}
