//! Identities of a connector that get other subjects: for an administrator who changes the id
//! attribute of a directory.

use super::{Broker, BrokerError};
use crate::audit::{AuditRecord, Origin};
use crate::store::{IdentityMove, IdentityRecord};

/// Identities of one look at the store.
const PAGE: usize = 5000;

impl Broker {
    /// All identities of a connector, by subject.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn identities_of(&self, connector: &str) -> Result<Vec<IdentityRecord>, BrokerError> {
        let mut all: Vec<IdentityRecord> = Vec::new();
        loop {
            let after = all.last().map(|identity| identity.subject.clone());
            let page =
                self.store.identities_of_connector(connector, after.as_deref(), PAGE).await?;
            let full = page.len() == PAGE;
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }

    /// Gives all these identities their new subjects, in one transaction with its audit event.
    /// `false`, with nothing changed: one of them is no longer there.
    ///
    /// # Errors
    /// When the store fails, or a new subject is taken.
    pub async fn move_identities(
        &self,
        connector: &str,
        moves: Vec<IdentityMove>,
        attributes: (&str, &str),
        origin: &Origin,
    ) -> Result<bool, BrokerError> {
        let event = AuditRecord::new(self.now(), "identity.migrated")
            .connector(connector)
            .from_request(origin)
            .with("from", attributes.0)
            .with("to", attributes.1)
            .with("identities", moves.len());
        let moved = self.store.move_identities(connector, moves, vec![event.clone()]).await?;
        if moved {
            event.log();
        }
        Ok(moved)
    }
}
