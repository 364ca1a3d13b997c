//! Connections that are kept up to date: metadata and keys change in the store, by this node's job,
//! by another node, or by the command line, and count without a restart.

use std::sync::Arc;

use auth_core::broker::saml_cabinet::{SamlCabinet, Takeover};
use auth_core::clock::{Clock as _, SystemClock, Timestamp};
use auth_core::connector::saml::SamlPlace;

use super::trust;
use crate::app::StartRefused;
use crate::config::{MetadataSource, PublicUrl, Saml};

/// The connections of a configuration.
pub(crate) struct Connections {
    public_url: PublicUrl,
    each: Vec<(Saml, Arc<SamlPlace>)>,
}

impl Connections {
    /// None of them is complete yet.
    pub(crate) fn new(connections: Vec<Saml>, public_url: &PublicUrl) -> Self {
        let place = |saml: &Saml| Arc::new(SamlPlace::new(&saml.id, &saml.label));
        let each = connections.into_iter().map(|saml| (place(&saml), saml));
        Self {
            public_url: public_url.clone(),
            each: each.map(|(place, saml)| (saml, place)).collect(),
        }
    }

    /// Where each is found.
    pub(crate) fn places(&self) -> impl Iterator<Item = Arc<SamlPlace>> {
        self.each.iter().map(|(_, place)| Arc::clone(place))
    }

    /// Makes our keys where there are none, reads the metadata, and puts the connections that are
    /// complete into their places. One that is not is told in the log, and the others work all the
    /// same.
    ///
    /// # Errors
    /// [`StartRefused`] when store and configuration contradict each other.
    pub(crate) async fn prepare(self, cabinet: SamlCabinet) -> anyhow::Result<Vec<KeptConnection>> {
        let mut kept = Vec::new();
        for (saml, place) in self.each {
            let public_url = self.public_url.clone();
            let cabinet = cabinet.clone();
            let mut one = KeptConnection { saml, place, public_url, cabinet, seen: None };
            one.begin().await?;
            kept.push(one);
        }
        Ok(kept)
    }
}

/// A connection with all that it takes to make it anew.
pub(crate) struct KeptConnection {
    saml: Saml,
    place: Arc<SamlPlace>,
    public_url: PublicUrl,
    cabinet: SamlCabinet,
    seen: Option<Seen>,
}

/// What a connection was made of.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    metadata: Option<i64>,
    keys: Vec<String>,
    /// Whether the metadata's time was over.
    expired: bool,
}

impl KeptConnection {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.saml.id
    }

    /// When its URL is to be read again; `None` when it has none.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn due_at(&self) -> anyhow::Result<Option<Timestamp>> {
        if !matches!(self.saml.metadata, MetadataSource::Url(_)) {
            return Ok(None);
        }
        let stored = self.cabinet.metadata(&self.saml.id).await?;
        // Never read: overdue, so that no share of the period is waited for.
        let overdue = Timestamp::from_seconds(0);
        Ok(Some(stored.map_or(overdue, |it| it.checked_at + self.saml.metadata_refresh)))
    }

    /// Reads its URL again and takes over by the rules what is there.
    ///
    /// # Errors
    /// When it cannot be fetched, or is no good; what was there before stays.
    pub(crate) async fn refresh(&self) -> anyhow::Result<Option<Takeover>> {
        trust::refresh(&self.saml, &self.cabinet).await
    }

    /// How often its URL is read.
    pub(crate) const fn period(&self) -> std::time::Duration {
        self.saml.metadata_refresh
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        match trust::ready(&self.saml, &self.public_url, &self.cabinet, SystemClock.now()).await {
            Ok(Some(connection)) => {
                tracing::info!(
                    event = "saml.connection_ready",
                    connection = connection.id(),
                    entity_id = connection.identity_provider().entity_id(),
                    allow_sha1 = self.saml.allow_sha1,
                    "SAML connection is complete"
                );
                self.place.replace(Some(connection));
            }
            Ok(None) => tracing::warn!(
                event = "saml.connection_waits",
                connection = self.saml.id,
                "SAML connection has no metadata yet: run `saml import`"
            ),
            Err(error) if error.is::<StartRefused>() => return Err(error),
            Err(error) => tracing::error!(
                event = "saml.connection_failed",
                connection = self.saml.id,
                error = format!("{error:#}"),
                "SAML connection cannot be used"
            ),
        }
        self.seen = self.look().await.ok();
        Ok(())
    }

    /// Makes the connection anew if what it is made of has changed.
    ///
    /// # Errors
    /// When the store fails, or what changed is no good; then the connection is as it was, unless
    /// the time of its metadata is over.
    pub(crate) async fn follow(&mut self) -> anyhow::Result<()> {
        let found = self.look().await?;
        if self.seen.as_ref() == Some(&found) {
            return Ok(());
        }
        let expired = found.expired;
        self.seen = Some(found);
        let now = SystemClock.now();
        match trust::assembled(&self.saml, &self.public_url, &self.cabinet, now).await {
            Ok(connection) => {
                tracing::info!(
                    event = "saml.connection_changed",
                    connection = self.saml.id,
                    complete = connection.is_some(),
                    "SAML connection follows its metadata and keys"
                );
                self.place.replace(connection);
                Ok(())
            }
            Err(error) => {
                if expired {
                    // Metadata past its validUntil vouches for nobody (metadata section 2.3.1).
                    self.place.replace(None);
                }
                Err(error)
            }
        }
    }

    async fn look(&self) -> anyhow::Result<Seen> {
        let stored = self.cabinet.metadata(&self.saml.id).await?;
        let keys = self.cabinet.list_keys(&self.saml.id).await?;
        let now = SystemClock.now();
        let until = self.place.connection().and_then(|it| it.identity_provider().valid_until());
        Ok(Seen {
            metadata: stored.map(|it| it.accepted_at.millis()),
            keys: keys
                .into_iter()
                .filter(|key| key.retired_at.is_none())
                .map(|key| format!("{} {}", key.id, key.active_from <= now))
                .collect(),
            expired: until.is_some_and(|until| until <= now),
        })
    }

    /// When its metadata says that it ends, as seconds since 1970.
    pub(crate) fn valid_until(&self) -> Option<Timestamp> {
        self.place.connection()?.identity_provider().valid_until()
    }
}
