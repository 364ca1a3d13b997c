//! What the store keeps for SAML connections: our keys, made at the first start and sealed, and
//! the identity provider's metadata, taken over by rules.
//!
//! Another node may do the same at the same moment: keys are added only where there are none, and
//! metadata is written only over what was read.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{AuditRecord, Origin};
use crate::clock::{Clock, Timestamp};
use crate::connector::saml::engine::{EngineError, PrivateKey, XmlSecurity};
use crate::connector::saml::metadata::judge_change;
use crate::connector::saml::{IdentityProvider, MetadataChoice, SamlCode, SamlRefusal};
use crate::key_ring::{KeyRing, OpenError, SealContext};
use crate::random::Random;
use crate::secret::sha256;
use crate::store::{PendingMetadata, SamlKeyRecord, SamlMetadataRecord, Store, StoreError};

/// How long a certificate of ours says that it is good. Identity providers do not renew by
/// themselves, so it is long; a key is replaced by a command, not by its date.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// A replacement is published for so long before it signs.
const PUBLISHED_BEFORE: Duration = Duration::from_secs(7 * 24 * 3600);
/// The source of metadata that an administrator imported.
pub const IMPORTED: &str = "import";

/// Why the cabinet gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamlCabinetError {
    /// The engine cannot make or read a key.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A sealed key does not open.
    #[error("SAML key {id} of connection {connection:?}: {source}")]
    Sealed {
        /// The connection.
        connection: String,
        /// The key.
        id: String,
        /// Why.
        source: OpenError,
    },
    /// A rule refused.
    #[error(transparent)]
    Refused(#[from] SamlRefusal),
    /// Somebody else changed the same thing meanwhile.
    #[error("somebody else changed the connection {0:?} meanwhile; try again")]
    Overtaken(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a metadata document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// It is the one that the connection goes by now.
    Accepted,
    /// It waits for approval; what was there before stays.
    Pending(SamlRefusal),
    /// It is the same as before.
    Unchanged,
}

/// Keys and metadata of SAML connections.
#[derive(Clone)]
pub struct SamlCabinet {
    store: Arc<dyn Store>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    engine: Arc<dyn XmlSecurity>,
}

impl SamlCabinet {
    /// A cabinet over a store.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        engine: Arc<dyn XmlSecurity>,
    ) -> Self {
        Self { store, ring, clock, random, engine }
    }

    /// Our unretired keys of a connection: the one that signs first, then the others, newest
    /// first.
    ///
    /// # Errors
    /// When the store fails or a key does not open.
    pub async fn keys(
        &self,
        connection: &str,
    ) -> Result<Vec<Arc<dyn PrivateKey>>, SamlCabinetError> {
        let now = self.clock.now();
        let mut records = self.store.saml_keys(connection).await?;
        records.retain(|record| record.retired_at.is_none());
        records.sort_by_key(|record| {
            let waits = record.active_from > now;
            (waits, std::cmp::Reverse((record.active_from, record.created_at)))
        });
        records.iter().map(|record| self.open(record)).collect()
    }

    /// As [`SamlCabinet::keys`], after making the first key where there is none. `common_name`
    /// stands in its certificate.
    ///
    /// # Errors
    /// When the store or the engine fails.
    pub async fn ensure_keys(
        &self,
        connection: &str,
        common_name: &str,
    ) -> Result<Vec<Arc<dyn PrivateKey>>, SamlCabinetError> {
        let keys = self.keys(connection).await?;
        if !keys.is_empty() {
            return Ok(keys);
        }
        let now = self.clock.now();
        let record = self.make_key(connection, common_name, now, now).await?;
        let event = AuditRecord::new(now, "saml.key_created")
            .connector(connection)
            .with("key", record.id.as_str());
        if self.store.add_saml_key(record, true, vec![event.clone()]).await? {
            event.log();
        }
        self.keys(connection).await
    }

    /// Makes a further key: it stands in our metadata at once and decrypts at once, and signs a
    /// week later, when the identity provider has had time to learn of it.
    ///
    /// # Errors
    /// When the store or the engine fails.
    pub async fn add_key(
        &self,
        connection: &str,
        common_name: &str,
        origin: &Origin,
    ) -> Result<SamlKeyRecord, SamlCabinetError> {
        let now = self.clock.now();
        let from = now + PUBLISHED_BEFORE;
        let record = self.make_key(connection, common_name, now, from).await?;
        let event = AuditRecord::new(now, "saml.key_added")
            .from_request(origin)
            .connector(connection)
            .with("key", record.id.as_str())
            .with("active_from", from.rfc3339());
        self.store.add_saml_key(record.clone(), false, vec![event.clone()]).await?;
        event.log();
        Ok(record)
    }

    /// Withdraws a key; what is encrypted to it is not read any more.
    ///
    /// # Errors
    /// `no_such_key` by way of [`SamlCabinetError::Overtaken`] when it is not there; a refusal when
    /// it is the only one that signs.
    pub async fn retire_key(
        &self,
        connection: &str,
        id: &str,
        origin: &Origin,
    ) -> Result<(), SamlCabinetError> {
        let now = self.clock.now();
        let records = self.store.saml_keys(connection).await?;
        let signs = |record: &&SamlKeyRecord| {
            record.retired_at.is_none() && record.active_from <= now && record.id != id
        };
        if !records.iter().any(|record| signs(&record)) {
            return Err(SamlCode::EngineFailed
                .because("no other key of this connection signs yet: nothing was changed")
                .into());
        }
        let event = AuditRecord::new(now, "saml.key_retired")
            .from_request(origin)
            .connector(connection)
            .with("key", id);
        if !self.store.retire_saml_key(connection, id, now, vec![event.clone()]).await? {
            return Err(SamlCabinetError::Overtaken(connection.to_owned()));
        }
        event.log();
        Ok(())
    }

    /// All keys of a connection, oldest first, retired ones included.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_keys(
        &self,
        connection: &str,
    ) -> Result<Vec<SamlKeyRecord>, SamlCabinetError> {
        Ok(self.store.saml_keys(connection).await?)
    }

    /// The metadata that a connection goes by, where the store keeps it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn metadata(
        &self,
        connection: &str,
    ) -> Result<Option<SamlMetadataRecord>, SamlCabinetError> {
        Ok(self.store.saml_metadata(connection).await?)
    }

    /// Takes a document over, or lays it aside for approval. `source` is [`IMPORTED`] or the URL;
    /// an import is an administrator's doing, so it needs no further approval.
    ///
    /// # Errors
    /// A refusal when the document is no good at all: then nothing is changed.
    pub async fn take_over(
        &self,
        connection: &str,
        source: &str,
        document: Vec<u8>,
        choice: MetadataChoice<'_>,
        origin: &Origin,
    ) -> Result<Takeover, SamlCabinetError> {
        let now = self.clock.now();
        let fetched = self.read(&document, choice, now)?;
        let stored = self.store.saml_metadata(connection).await?;
        let Some(stored) = stored else {
            let record = accepted(connection, source, document, now);
            self.write(record, None, "saml.metadata_accepted", &fetched, origin).await?;
            return Ok(Takeover::Accepted);
        };
        let version = Some(stored.version);
        if stored.document == document && stored.source == source {
            let record = SamlMetadataRecord { checked_at: now, pending: None, ..stored };
            // Whoever was faster looked just as well.
            self.store.put_saml_metadata(record, version, vec![]).await?;
            return Ok(Takeover::Unchanged);
        }
        let verdict = if source == IMPORTED {
            Ok(())
        } else {
            // What was good when it was taken over may have passed its validUntil since: its keys
            // are still the ones to compare with.
            let known = self.read(&stored.document, choice, stored.accepted_at)?;
            judge_change(&known, &fetched, !choice.signed_by.is_empty())
        };
        match verdict {
            Ok(()) => {
                let record = accepted(connection, source, document, now);
                self.write(record, version, "saml.metadata_accepted", &fetched, origin).await?;
                Ok(Takeover::Accepted)
            }
            Err(refusal) => {
                let known = stored.pending.as_ref().is_some_and(|it| it.document == document);
                let found_at = match &stored.pending {
                    Some(pending) if known => pending.found_at,
                    _ => now,
                };
                let pending = Some(PendingMetadata { document, found_at });
                let record = SamlMetadataRecord { checked_at: now, pending, ..stored };
                if known {
                    self.store.put_saml_metadata(record, version, vec![]).await?;
                } else {
                    let event = "saml.metadata_pending";
                    self.write(record, version, event, &fetched, origin).await?;
                }
                Ok(Takeover::Pending(refusal))
            }
        }
    }

    /// Takes over the document that waits. Returns what it describes.
    ///
    /// # Errors
    /// A refusal when none waits, or it is no good any more.
    pub async fn approve(
        &self,
        connection: &str,
        choice: MetadataChoice<'_>,
        origin: &Origin,
    ) -> Result<IdentityProvider, SamlCabinetError> {
        let now = self.clock.now();
        let stored = self.store.saml_metadata(connection).await?;
        let waiting =
            stored.and_then(|stored| Some((stored.version, stored.source, stored.pending?)));
        let Some((version, source, pending)) = waiting else {
            return Err(SamlCode::MetadataStructure.because("no changed metadata waits").into());
        };
        let idp = self.read(&pending.document, choice, now)?;
        let record = accepted(connection, &source, pending.document, now);
        self.write(record, Some(version), "saml.metadata_approved", &idp, origin).await?;
        Ok(idp)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// The refusals of metadata.
    pub fn read(
        &self,
        document: &[u8],
        choice: MetadataChoice<'_>,
        now: Timestamp,
    ) -> Result<IdentityProvider, SamlRefusal> {
        IdentityProvider::from_metadata(document, choice, self.engine.as_ref(), now)
    }

    async fn write(
        &self,
        record: SamlMetadataRecord,
        expected: Option<i64>,
        event: &str,
        idp: &IdentityProvider,
        origin: &Origin,
    ) -> Result<(), SamlCabinetError> {
        let connection = record.connection.clone();
        let event = AuditRecord::new(self.clock.now(), event)
            .from_request(origin)
            .connector(&connection)
            .with("source", record.source.as_str())
            .with("entity_id", idp.entity_id())
            .with("keys", idp.fingerprints());
        if !self.store.put_saml_metadata(record, expected, vec![event.clone()]).await? {
            return Err(SamlCabinetError::Overtaken(connection));
        }
        event.log();
        Ok(())
    }

    async fn make_key(
        &self,
        connection: &str,
        common_name: &str,
        now: Timestamp,
        active_from: Timestamp,
    ) -> Result<SamlKeyRecord, SamlCabinetError> {
        let (engine, name) = (Arc::clone(&self.engine), common_name.to_owned());
        // A key of 3072 bits takes long enough to hold up other requests.
        let made = tokio::task::spawn_blocking(move || {
            engine.generate_key(&name, now, now + CERTIFICATE_LIFETIME)
        });
        let made = made.await.map_err(|error| EngineError::Failed(error.to_string()))??;
        let digest = sha256(&made.certificate);
        let id: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let row = row(connection, &id);
        let sealed = self.ring.seal(place(&row), &made.pkcs8, self.random.as_ref());
        Ok(SamlKeyRecord {
            id,
            connection: connection.to_owned(),
            certificate: made.certificate,
            sealed,
            created_at: now,
            active_from,
            retired_at: None,
        })
    }

    fn open(&self, record: &SamlKeyRecord) -> Result<Arc<dyn PrivateKey>, SamlCabinetError> {
        let row = row(&record.connection, &record.id);
        let pkcs8 = self.ring.open(place(&row), &record.sealed).map_err(|source| {
            SamlCabinetError::Sealed {
                connection: record.connection.clone(),
                id: record.id.clone(),
                source,
            }
        })?;
        Ok(self.engine.load_der(&pkcs8, &record.certificate)?)
    }
}

fn accepted(
    connection: &str,
    source: &str,
    document: Vec<u8>,
    now: Timestamp,
) -> SamlMetadataRecord {
    SamlMetadataRecord {
        connection: connection.to_owned(),
        source: source.to_owned(),
        document,
        accepted_at: now,
        checked_at: now,
        pending: None,
        version: 0,
    }
}

/// Ids of connections have no blank in them.
fn row(connection: &str, id: &str) -> String {
    format!("{connection} {id}")
}

const fn place(row: &str) -> SealContext<'_> {
    SealContext { table: "saml_key", column: "sealed", row }
}
