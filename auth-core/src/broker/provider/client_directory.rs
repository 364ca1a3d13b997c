//! All clients: those of the configuration file, and those that the command line put into the
//! store, read again when the copy is older than two seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::{Provider, ProviderError};
use crate::clock::Timestamp;
use crate::handoff::client::{Client, ClientSettings};
use crate::key_ring::{KeyRing, SealContext};
use crate::secret::Secret;
use crate::store::ClientRecord;

const RELOAD_AFTER: Duration = Duration::from_secs(2);
/// No client has a longer id, so the store is not asked for one.
const LONGEST_ID: usize = 32;

pub(super) struct ClientDirectory {
    configured: BTreeMap<String, Arc<Client>>,
    stored: RwLock<StoredClients>,
    /// Held by the one task that reads anew; the others go on with what is there.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct StoredClients {
    by_id: BTreeMap<String, StoredClient>,
    read_at: Option<Timestamp>,
}

#[derive(Clone)]
struct StoredClient {
    client: Arc<Client>,
    record: ClientRecord,
}

impl ClientDirectory {
    pub(super) fn new(clients: Vec<Client>) -> Result<Self, ProviderError> {
        let mut configured = BTreeMap::new();
        for client in clients {
            let id = client.id().to_owned();
            if configured.insert(id.clone(), Arc::new(client)).is_some() {
                return Err(ProviderError::ClientTwice { id, places: "both in the configuration" });
            }
        }
        Ok(Self { configured, stored: RwLock::default(), reading: tokio::sync::Mutex::default() })
    }

    pub(super) const fn configured(&self) -> &BTreeMap<String, Arc<Client>> {
        &self.configured
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        self.stored.read().read_at.is_none_or(|read_at| now.since(read_at) >= RELOAD_AFTER)
    }

    fn stored(&self, record: &ClientRecord) -> Option<Arc<Client>> {
        let stored = self.stored.read();
        let known = stored.by_id.get(&record.id).filter(|known| known.record == *record)?;
        Some(Arc::clone(&known.client))
    }
}

impl Provider {
    /// The client with this id, as it is now.
    ///
    /// # Errors
    /// When the store fails, or a stored client cannot be opened.
    pub async fn client(&self, id: &str) -> Result<Option<Arc<Client>>, ProviderError> {
        self.find_client(id, self.clock.now()).await
    }

    /// The client with this id, as it is now.
    pub(super) async fn find_client(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<Client>>, ProviderError> {
        if let Some(client) = self.clients.configured.get(id) {
            return Ok(Some(Arc::clone(client)));
        }
        if self.clients.is_stale(now)
            && let Ok(reading) = self.clients.reading.try_lock()
        {
            self.read_clients(now).await?;
            drop(reading);
        }
        if id.len() > LONGEST_ID {
            return Ok(None);
        }
        // The row itself is read every time, so that a new secret or a removal counts at once;
        // the copy only spares opening it anew.
        let Some(record) = self.store.client(id).await? else { return Ok(None) };
        if let Some(client) = self.clients.stored(&record) {
            return Ok(Some(client));
        }
        open(&record, &self.ring).map(Arc::new).map(Some)
    }

    /// Reads the stored clients; at start a client that is in both places is an error.
    pub(super) async fn reload_clients(&self, now: Timestamp) -> Result<(), ProviderError> {
        let _reading = self.clients.reading.lock().await;
        self.read_clients(now).await?;
        let stored = self.clients.stored.read();
        match stored.by_id.keys().find(|id| self.clients.configured.contains_key(*id)) {
            Some(id) => Err(ProviderError::ClientTwice {
                id: id.clone(),
                places: "in the configuration and in the store",
            }),
            None => Ok(()),
        }
    }

    async fn read_clients(&self, now: Timestamp) -> Result<(), ProviderError> {
        let records = self.store.clients().await?;
        let mut by_id = BTreeMap::new();
        for record in records {
            let known = self.clients.stored.read().by_id.get(&record.id).cloned();
            let entry = match known {
                Some(known) if known.record == record => known,
                _ => match open(&record, &self.ring) {
                    Ok(client) => StoredClient { client: Arc::new(client), record },
                    Err(error) => {
                        // One damaged client must not stop the others.
                        tracing::error!(%error, "stored client left out");
                        continue;
                    }
                },
            };
            by_id.insert(entry.record.id.clone(), entry);
        }
        *self.clients.stored.write() = StoredClients { by_id, read_at: Some(now) };
        Ok(())
    }
}

/// Where a client's sealed secret belongs.
pub(super) const fn seal_context(id: &str) -> SealContext<'_> {
    SealContext { table: "client", column: "sealed_secret", row: id }
}

/// Makes a client of its record.
pub(super) fn open(record: &ClientRecord, ring: &KeyRing) -> Result<Client, ProviderError> {
    let damaged = |problem: String| ProviderError::StoredClient { id: record.id.clone(), problem };
    let settings: ClientSettings = serde_json::from_value(record.settings.clone())
        .map_err(|error| damaged(error.to_string()))?;
    if settings.id != record.id {
        return Err(damaged(format!("its settings are those of {:?}", settings.id)));
    }
    let secret = match &record.sealed_secret {
        None => None,
        Some(sealed) => {
            let plain = ring.open(seal_context(&record.id), sealed).map_err(|source| {
                ProviderError::Sealed { what: format!("secret of client {:?}", record.id), source }
            })?;
            let text = std::str::from_utf8(&plain)
                .map_err(|_| damaged("its secret is no text".to_owned()))?;
            Some(Secret::new(text.to_owned()))
        }
    };
    Ok(Client::new(settings, secret)?)
}
