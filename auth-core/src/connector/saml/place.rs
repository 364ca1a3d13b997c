//! A connection while the program runs: its metadata and our keys change, and it may be incomplete
//! for a time. Whoever works with it takes it as it is at that moment.

use std::sync::Arc;

use parking_lot::RwLock;

use super::connection::SamlConnection;

/// Where a connection is found. Its id and label are those of the configuration.
#[derive(Debug)]
pub struct SamlPlace {
    id: String,
    label: String,
    current: RwLock<Option<Arc<SamlConnection>>>,
}

impl SamlPlace {
    /// A place for the connection `id`, which is not complete yet.
    #[must_use]
    pub fn new(id: &str, label: &str) -> Self {
        Self { id: id.to_owned(), label: label.to_owned(), current: RwLock::new(None) }
    }

    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What people read on the sign-in page.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The connection as it is now; `None` while there is no metadata that counts.
    #[must_use]
    pub fn connection(&self) -> Option<Arc<SamlConnection>> {
        self.current.read().clone()
    }

    /// Puts another connection in its place, from the next request on.
    pub fn replace(&self, connection: Option<SamlConnection>) {
        *self.current.write() = connection.map(Arc::new);
    }
}
