//! The login's state machine, without HTTP, store or clock.

use crate::clock::Timestamp;
use crate::store::AccountRecord;

/// Proof that every step that the policy asks of this login was passed. Only [`flow`](self) makes one;
/// a session can be issued from nothing else.
#[derive(Debug)]
pub struct CompletedLogin {
    account: AccountRecord,
    connector: String,
    amr: Vec<String>,
    acr: &'static str,
    authenticated_at: Timestamp,
}

impl CompletedLogin {
    /// Whose login it was.
    #[must_use]
    pub const fn account(&self) -> &AccountRecord {
        &self.account
    }

    /// Connector of the first factor.
    #[must_use]
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// Authentication methods used, RFC 8176.
    #[must_use]
    pub fn amr(&self) -> Vec<String> {
        self.amr.clone()
    }

    /// Authentication context class reached.
    #[must_use]
    pub const fn acr(&self) -> &'static str {
        self.acr
    }

    /// When the person proved who they are.
    #[must_use]
    pub const fn authenticated_at(&self) -> Timestamp {
        self.authenticated_at
    }
}
