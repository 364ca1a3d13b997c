//! All clients: those of the configuration file, and those that the command line put into the
//! store. A stored one's row is read at every use; its opened form is kept as long as the row is the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::{Provider, ProviderError};
use crate::handoff::claim_rule::ClaimRule;
use crate::handoff::client::{Client, ClientSettings};
use crate::key_ring::{KeyRing, SealContext};
use crate::secret::Secret;
use crate::store::ClientRecord;

/// No client has a longer id, so the store is not asked for one.
const LONGEST_ID: usize = 32;

pub(super) struct ClientDirectory {
    configured: BTreeMap<String, Arc<Client>>,
    /// Opened clients by id.
    stored: RwLock<BTreeMap<String, StoredClient>>,
    rules: Vec<ClaimRule>,
}

struct StoredClient {
    client: Arc<Client>,
    record: ClientRecord,
}

impl ClientDirectory {
    pub(super) fn new(clients: Vec<Client>, rules: Vec<ClaimRule>) -> Result<Self, ProviderError> {
        let mut configured = BTreeMap::new();
        for client in clients {
            let id = client.id().to_owned();
            let client = with_rules(client, &rules);
            if configured.insert(id.clone(), Arc::new(client)).is_some() {
                return Err(ProviderError::ClientTwice { id, places: "both in the configuration" });
            }
        }
        Ok(Self { configured, stored: RwLock::default(), rules })
    }

    pub(super) const fn configured(&self) -> &BTreeMap<String, Arc<Client>> {
        &self.configured
    }

    /// The client of a row, opened anew only if the row changed.
    fn opened(&self, record: ClientRecord, ring: &KeyRing) -> Result<Arc<Client>, ProviderError> {
        if let Some(known) = self.stored.read().get(&record.id)
            && known.record == record
        {
            return Ok(Arc::clone(&known.client));
        }
        let client = Arc::new(with_rules(open(&record, ring)?, &self.rules));
        let entry = StoredClient { client: Arc::clone(&client), record };
        self.stored.write().insert(entry.record.id.clone(), entry);
        Ok(client)
    }

    /// Lets go of a client that is not in the store any more, and of its secret.
    fn forget(&self, id: &str) {
        if self.stored.read().contains_key(id) {
            self.stored.write().remove(id);
        }
    }
}

impl Provider {
    /// The client with this id, as it is now.
    ///
    /// # Errors
    /// When the store fails, or a stored client cannot be opened.
    pub async fn client(&self, id: &str) -> Result<Option<Arc<Client>>, ProviderError> {
        self.find_client(id).await
    }

    /// The client with this id, as it is now: a new secret or a removal counts at once.
    pub(super) async fn find_client(&self, id: &str) -> Result<Option<Arc<Client>>, ProviderError> {
        if let Some(client) = self.clients.configured.get(id) {
            return Ok(Some(Arc::clone(client)));
        }
        if id.len() > LONGEST_ID {
            return Ok(None);
        }
        match self.store.client(id).await? {
            Some(record) => self.clients.opened(record, &self.ring).map(Some),
            None => {
                self.clients.forget(id);
                Ok(None)
            }
        }
    }

    /// Reads the stored clients; a client that is in both places is an error.
    pub(super) async fn check_stored_clients(&self) -> Result<(), ProviderError> {
        for record in self.store.clients().await? {
            if self.clients.configured.contains_key(&record.id) {
                return Err(ProviderError::ClientTwice {
                    id: record.id,
                    places: "in the configuration and in the store",
                });
            }
            // One damaged client must not stop the others.
            if let Err(error) = self.clients.opened(record, &self.ring) {
                tracing::error!(%error, "stored client left out");
            }
        }
        Ok(())
    }
}

fn with_rules(client: Client, rules: &[ClaimRule]) -> Client {
    let own = rules.iter().filter(|rule| rule.client == client.id()).cloned().collect();
    client.with_claim_rules(own)
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
