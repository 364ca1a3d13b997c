//! Adding, changing, removing and listing clients for an administrator.

use super::client_directory::{open, seal_context};
use super::{Provider, ProviderError};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::{Client, ClientError, ClientSettings};
use crate::secret::{Secret, Token};
use crate::store::{ClientRecord, StoreError};

/// Where a client is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientSource {
    /// In the configuration file; changed there.
    Configuration,
    /// In the store; changed on the command line.
    Store,
}

/// A client as `client list` and `client show` tell of it. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientListing {
    /// Its settings.
    pub settings: ClientSettings,
    /// Where it is kept.
    pub source: ClientSource,
    /// When it was added to the store.
    pub created_at: Option<Timestamp>,
    /// When it was last changed there.
    pub updated_at: Option<Timestamp>,
}

/// Why a client command was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientCommandError {
    /// The settings make no client.
    #[error(transparent)]
    Invalid(#[from] ClientError),
    /// The id is taken.
    #[error("client {id:?} exists already: choose another id, or remove it first")]
    Taken {
        /// The id.
        id: String,
    },
    /// There is no such client.
    #[error("there is no client {id:?}")]
    Unknown {
        /// The id.
        id: String,
    },
    /// It stands in the configuration file, which no command changes.
    #[error("client {id:?} stands in the configuration file: change it there and reload")]
    Configured {
        /// The id.
        id: String,
    },
    /// A public client has no secret.
    #[error("client {id:?} is public and has no secret")]
    Public {
        /// The id.
        id: String,
    },
    /// Something broke.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl From<StoreError> for ClientCommandError {
    fn from(error: StoreError) -> Self {
        Self::Provider(error.into())
    }
}

impl Provider {
    /// Adds a client. A confidential one gets a secret of 256 random bits, which is shown this
    /// once and kept sealed.
    ///
    /// # Errors
    /// When the settings are wrong or the id is taken.
    pub async fn add_client(
        &self,
        settings: ClientSettings,
        origin: &Origin,
    ) -> Result<Option<Token>, ClientCommandError> {
        let now = self.clock.now();
        let id = settings.id.clone();
        if self.clients.configured().contains_key(&id) {
            return Err(ClientCommandError::Taken { id });
        }
        let secret = (!settings.is_public()).then(|| Token::generate(self.random.as_ref()));
        let as_secret = secret.as_ref().map(|token| Secret::new(token.expose().to_owned()));
        let client = Client::new(settings, as_secret)?;
        let record = ClientRecord {
            settings: to_json(client.settings())?,
            sealed_secret: secret.as_ref().map(|secret| self.seal_secret(&id, secret)),
            created_at: now,
            updated_at: now,
            id: id.clone(),
        };
        let event = event("client.added", &id, origin, now);
        match self.store.add_client(record, vec![event.clone()]).await {
            Ok(()) => event.log(),
            Err(StoreError::Conflict { .. }) => return Err(ClientCommandError::Taken { id }),
            Err(error) => return Err(error.into()),
        }
        Ok(secret)
    }

    /// Gives a client of the store a new secret; the old one stops working at once here and
    /// at once on other nodes too.
    ///
    /// # Errors
    /// When there is no such client in the store, or it is public.
    pub async fn rotate_client_secret(
        &self,
        id: &str,
        origin: &Origin,
    ) -> Result<Token, ClientCommandError> {
        let now = self.clock.now();
        let record = self.stored_client(id).await?;
        if record.sealed_secret.is_none() {
            return Err(ClientCommandError::Public { id: id.to_owned() });
        }
        let secret = Token::generate(self.random.as_ref());
        let sealed_secret = Some(self.seal_secret(id, &secret));
        let changed = ClientRecord { sealed_secret, updated_at: now, ..record };
        let event = event("client.secret_rotated", id, origin, now);
        if !self.store.update_client(changed, vec![event.clone()]).await? {
            return Err(ClientCommandError::Unknown { id: id.to_owned() });
        }
        event.log();
        Ok(secret)
    }

    /// Removes a client of the store and ends its sessions.
    ///
    /// # Errors
    /// When there is no such client in the store.
    pub async fn remove_client(&self, id: &str, origin: &Origin) -> Result<(), ClientCommandError> {
        let now = self.clock.now();
        self.stored_client(id).await?;
        let event = event("client.removed", id, origin, now);
        if !self.store.remove_client(id, now, vec![event.clone()]).await? {
            return Err(ClientCommandError::Unknown { id: id.to_owned() });
        }
        event.log();
        Ok(())
    }

    /// All clients, by id.
    ///
    /// # Errors
    /// When the store fails, or a stored client cannot be read.
    pub async fn list_clients(&self) -> Result<Vec<ClientListing>, ProviderError> {
        let mut listings: Vec<ClientListing> = self
            .clients
            .configured()
            .values()
            .map(|client| ClientListing {
                settings: client.settings().clone(),
                source: ClientSource::Configuration,
                created_at: None,
                updated_at: None,
            })
            .collect();
        for record in self.store.clients().await? {
            listings.push(ClientListing {
                settings: open(&record, &self.ring)?.settings().clone(),
                source: ClientSource::Store,
                created_at: Some(record.created_at),
                updated_at: Some(record.updated_at),
            });
        }
        listings.sort_by(|a, b| a.settings.id.cmp(&b.settings.id));
        Ok(listings)
    }

    /// One client.
    ///
    /// # Errors
    /// When there is none.
    pub async fn show_client(&self, id: &str) -> Result<ClientListing, ClientCommandError> {
        self.list_clients()
            .await?
            .into_iter()
            .find(|listing| listing.settings.id == id)
            .ok_or_else(|| ClientCommandError::Unknown { id: id.to_owned() })
    }

    async fn stored_client(&self, id: &str) -> Result<ClientRecord, ClientCommandError> {
        if self.clients.configured().contains_key(id) {
            return Err(ClientCommandError::Configured { id: id.to_owned() });
        }
        let unknown = || ClientCommandError::Unknown { id: id.to_owned() };
        self.store.client(id).await?.ok_or_else(unknown)
    }

    fn seal_secret(&self, id: &str, secret: &Token) -> Vec<u8> {
        self.ring.seal(seal_context(id), secret.expose().as_bytes(), self.random.as_ref())
    }
}

fn to_json(settings: &ClientSettings) -> Result<serde_json::Value, ProviderError> {
    serde_json::to_value(settings).map_err(|error| ProviderError::StoredClient {
        id: settings.id.clone(),
        problem: error.to_string(),
    })
}

fn event(name: &str, id: &str, origin: &Origin, now: Timestamp) -> AuditRecord {
    AuditRecord::new(now, name).client(id).from_request(origin)
}
