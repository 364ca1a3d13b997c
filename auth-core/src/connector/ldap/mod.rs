//! LDAP and Active Directory: search for the person, bind as the person, map the entry.
//!
//! What a person types is escaped before it reaches a filter (RFC 4515) or a DN (RFC 4514). The
//! entry is read under the service identity on one pool of connections, the password is judged by
//! a bind on another, and nothing is ever read on a connection that a person bound. A search
//! counts only when the server said that it is complete, a bind only by its result code together
//! with the password policy control. The rules stand in the synchronous files (`filter`, `dn`,
//! `entry`, `person`, `subject`, `account_state`, `bind`, `bind_result`, `group`, `group_graph`,
//! `group_map`, `picture`, `position`, `search`, `srv`); `client`, `pool`, `server`, `tls`, `directory`, `recheck`, `population`,
//! `group_search` and `diagnosis` do the I/O.
//!
//! Reading only: nothing here writes to a directory.

mod account_state;
mod ber;
mod bind;
mod bind_result;
mod certificate;
mod client;
mod decode;
mod diagnosis;
mod directory;
mod dn;
mod entry;
mod failure;
mod filter;
mod group;
mod group_graph;
mod group_map;
mod group_search;
mod lookup;
mod person;
mod picture;
mod pool;
mod population;
mod position;
mod preset;
mod recheck;
mod search;
mod server;
mod settings;
mod srv;
mod subject;
mod tls;
mod validate;

use std::sync::Arc;

pub use account_state::AccountState;
pub use diagnosis::{DiagnoseUser, DiagnosisRequest, DiagnosisStep};
pub use directory::ids::IdPair;
pub use group::{GroupNames, GroupSettings, GroupSource};
pub use group_map::{GroupMapping, GroupRole};
pub use picture::MAX_PICTURE;
pub use pool::PoolStatus;
pub use population::{DirectoryPerson, PersonState, PopulationItem, PopulationRead, Reading};
pub use position::ReadPosition;
pub use preset::{Preset, UnknownPreset};
pub use server::ServerStatus;
pub use settings::{AttributeMap, LdapSettings, SearchScope};
pub use validate::LdapConfigError;

use crate::clock::Timestamp;
use crate::connector::{ConnectorError, Recheck, VerifiedIdentity};
use crate::random::Random;
use crate::secret::Secret;
use directory::Directory;

/// A directory as a connector. Cheap to share behind an `Arc`; every call may run concurrently.
pub struct LdapConnector {
    directory: Directory,
}

impl LdapConnector {
    /// Checks the settings and reads the certificate files they name. Opens no connection.
    ///
    /// # Errors
    /// Names the setting that is wrong and how to mend it.
    pub fn new(settings: LdapSettings, random: Arc<dyn Random>) -> Result<Self, LdapConfigError> {
        Ok(Self { directory: Directory::new(settings, random)? })
    }

    /// The directory's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.directory.settings().id
    }

    /// What people see on the sign-in page.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.directory.settings().label
    }

    /// The settings in use.
    #[must_use]
    pub const fn settings(&self) -> &LdapSettings {
        self.directory.settings()
    }

    /// Verifies a name and password. An empty password is refused before any bind (RFC 4513
    /// section 5.1.2: a server would call that bind a success).
    ///
    /// # Errors
    /// `Refused` with the exact reason, or `Unavailable` when no server could judge. Takes at most
    /// `total_timeout`.
    pub async fn authenticate(
        &self,
        username: &str,
        password: &Secret,
        now: Timestamp,
    ) -> Result<VerifiedIdentity, ConnectorError> {
        self.directory.authenticate(username, password, now).await
    }

    /// Reads a person's entry again by the stable id and says whether they may still come in.
    ///
    /// A temporary lockout or a password to be changed leaves a person present: anyone could
    /// cause the first by typing wrong passwords.
    ///
    /// # Errors
    /// `Unavailable` when the directory cannot be asked, or answers in a way that does not prove
    /// that the person is gone.
    pub async fn recheck(&self, subject: &str, now: Timestamp) -> Result<Recheck, ConnectorError> {
        self.directory.recheck(subject, now).await
    }

    /// The stable id of the one person who would sign in with this name; `None` when there is
    /// none.
    ///
    /// # Errors
    /// `Refused` when several have the name or the entry has no id, `Unavailable` when no server
    /// answers.
    pub async fn subject_of(&self, name: &str) -> Result<Option<String>, ConnectorError> {
        self.directory.subject_of(name).await
    }

    /// The subject of the person whose stable id another program writes like this, in whatever
    /// spelling; `None` when it is no id of this directory's kind.
    #[must_use]
    pub fn canonical_subject(&self, written: &str) -> Option<String> {
        self.directory.canonical_subject(written)
    }

    /// Whether some server answers a read of the base entry under the service identity.
    ///
    /// # Errors
    /// `Unavailable` with what each server said.
    pub async fn health(&self) -> Result<(), ConnectorError> {
        self.directory.health().await
    }

    /// Goes through the connection step by step, and looks somebody up, or tries a login, if that
    /// is asked. Stops at the first step that makes the next ones impossible.
    pub async fn diagnose(&self, request: DiagnosisRequest, now: Timestamp) -> Vec<DiagnosisStep> {
        diagnosis::diagnose(&self.directory, request, now).await
    }

    /// Reads all entries below the base with their present id and their value of `attribute`, for a
    /// change of the id attribute.
    ///
    /// # Errors
    /// `Unavailable` when a search did not end with success, or nobody shows an id.
    pub async fn read_ids(&self, attribute: &str) -> Result<Vec<IdPair>, ConnectorError> {
        self.directory.read_ids(attribute).await
    }

    /// Numbers of every server's two pools, in the configured order.
    #[must_use]
    pub fn pool_status(&self) -> Vec<ServerStatus> {
        self.directory.pool_status()
    }
}

impl std::fmt::Debug for LdapConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LdapConnector").field("id", &self.id()).finish_non_exhaustive()
    }
}
