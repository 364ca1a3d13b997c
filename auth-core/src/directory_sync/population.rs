//! Where the people come from, as the synchronisation sees it.

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::clock::Timestamp;
use crate::connector::ConnectorError;
use crate::connector::ldap::{LdapConnector, PopulationItem, ReadPosition, Reading};

/// A read that counts: every page and every further search ended with success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PopulationSummary {
    /// Whether only what changed was read.
    pub incremental: bool,
    /// Entries that were read.
    pub entries: u64,
    /// Searches that were made, pages included.
    pub searches: u64,
    /// Where the next incremental read goes on, if it can.
    pub position: Option<serde_json::Value>,
    /// Which server was read.
    pub server: String,
}

/// Gives all people of a directory, or what changed of them. [`LdapConnector`] is one.
#[async_trait]
pub trait Population: Send + Sync {
    /// Id of the directory.
    fn directory(&self) -> &str;

    /// Sends pages of items; nothing of them is true before this answered `Ok`. `since` is the
    /// position of an earlier read; one that does not fit any more makes the read a full one.
    ///
    /// # Errors
    /// When any part of the read failed or was incomplete.
    async fn read(
        &self,
        since: Option<&serde_json::Value>,
        now: Timestamp,
        items: mpsc::Sender<Vec<PopulationItem>>,
    ) -> Result<PopulationSummary, ConnectorError>;
}

#[async_trait]
impl Population for LdapConnector {
    fn directory(&self) -> &str {
        self.id()
    }

    async fn read(
        &self,
        since: Option<&serde_json::Value>,
        now: Timestamp,
        items: mpsc::Sender<Vec<PopulationItem>>,
    ) -> Result<PopulationSummary, ConnectorError> {
        // A position that this version cannot read is none.
        let position: Option<ReadPosition> =
            since.and_then(|value| serde_json::from_value(value.clone()).ok());
        let reading = position.as_ref().map_or(Reading::Full, Reading::Since);
        let read = self.read_people(reading, now, items).await?;
        let position = read.position.as_ref().map(serde_json::to_value).transpose();
        Ok(PopulationSummary {
            incremental: read.incremental,
            entries: read.entries,
            searches: read.searches,
            position: position.unwrap_or_default(),
            server: read.server,
        })
    }
}
