//! A store in memory, for tests and for embedding without a database. Nothing is durable.
//!
//! One lock guards one plain state, so every call is one atomic step: it first checks all that
//! could refuse it and only then changes anything. No clock is read. Look-ups use maps; ending
//! sessions and purging walk over all rows, which is fine for some ten thousand of them.

mod accounts;
mod audit;
mod client_accounts;
mod devices;
mod enrolments;
mod factors;
mod grants;
mod identities;
mod keys;
mod linking;
mod logins;
mod outbox;
mod purge;
mod replay;
mod saml;
mod sessions;
mod sync;
mod throttle;
mod tokens;
mod upstream;

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};

use super::{
    AccessTokenRecord, AccountId, AccountRecord, AuditEntry, ClaimMap, ClientAccountRecord,
    ClientRecord, CodeRecord, CookieRecord, DeviceGrantRecord, DeviceRecord, EnrolmentRecord,
    FactorId, FactorRecord, IdentityRecord, LoginRecord, PasswordRecord, PostponementRecord,
    PushedRequestRecord, SamlKeyRecord, SamlMetadataRecord, SessionId, SessionRecord,
    SigningKeyRecord, Store, StoreError, SyncJobId, SyncJobRecord, SyncMark, UpstreamSessionRecord,
};
use crate::clock::Timestamp;
use crate::secret::TokenHash;
use outbox::Outbox;
use sync::SyncDirectory;
use throttle::Counter;
use tokens::RefreshRow;

/// A store that lives as long as the process.
#[derive(Default)]
pub struct MemoryStore {
    /// `None` once the store is closed.
    state: Mutex<Lifetime>,
}

enum Lifetime {
    Open(Box<State>),
    Closed,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self::Open(Box::default())
    }
}

#[derive(Clone, Default)]
struct State {
    accounts: HashMap<AccountId, AccountRecord>,
    by_username: BTreeMap<String, AccountId>,
    by_email: HashMap<String, AccountId>,
    last_numeric_id: i64,
    /// By connector and subject.
    identities: BTreeMap<(String, String), IdentityRecord>,
    /// What was last noted of a change of the password, by connector and subject.
    password_changes: HashMap<(String, String), String>,
    /// Further claims.
    claims: HashMap<AccountId, ClaimMap>,
    passwords: HashMap<AccountId, PasswordRecord>,
    logins: HashMap<TokenHash, LoginRecord>,
    sessions: BTreeMap<SessionId, SessionRecord>,
    upstream_sessions: BTreeMap<SessionId, UpstreamSessionRecord>,
    cookies: HashMap<TokenHash, CookieRecord>,
    codes: HashMap<TokenHash, CodeRecord>,
    access_tokens: HashMap<TokenHash, AccessTokenRecord>,
    refresh_tokens: HashMap<TokenHash, RefreshRow>,
    pushed_requests: HashMap<TokenHash, PushedRequestRecord>,
    device_grants: HashMap<TokenHash, DeviceGrantRecord>,
    factors: BTreeMap<FactorId, FactorRecord>,
    recovery_codes: HashMap<AccountId, HashSet<[u8; 32]>>,
    enrolments: HashMap<TokenHash, EnrolmentRecord>,
    postponements: Vec<PostponementRecord>,
    devices: HashMap<TokenHash, DeviceRecord>,
    signing_keys: Vec<SigningKeyRecord>,
    clients: BTreeMap<String, ClientRecord>,
    saml_metadata: BTreeMap<String, SamlMetadataRecord>,
    saml_keys: Vec<SamlKeyRecord>,
    named_values: HashMap<String, Vec<u8>>,
    counters: HashMap<String, Counter>,
    /// When the mark of (scope, key) expires.
    seen: HashMap<(String, TokenHash), Timestamp>,
    /// What was last seen, by connector and subject.
    sync_marks: HashMap<(String, String), SyncMark>,
    sync_directories: HashMap<String, SyncDirectory>,
    sync_jobs: BTreeMap<SyncJobId, SyncJobRecord>,
    trail: Vec<AuditEntry>,
    last_sequence: i64,
    /// By client and account.
    client_accounts: BTreeMap<(String, AccountId), ClientAccountRecord>,
    outbox: Outbox,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Locks the state for one step.
    fn open(&self) -> Result<parking_lot::MappedMutexGuard<'_, State>, StoreError> {
        MutexGuard::try_map(self.state.lock(), |lifetime| match lifetime {
            Lifetime::Open(state) => Some(&mut **state),
            Lifetime::Closed => None,
        })
        .map_err(|_| StoreError::Unavailable { message: "the store is closed".to_owned() })
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore")
    }
}

impl State {
    /// Refuses a row that would belong to nobody.
    fn require_account(&self, id: AccountId) -> Result<(), StoreError> {
        if self.accounts.contains_key(&id) {
            Ok(())
        } else {
            Err(StoreError::Corrupt {
                message: format!("a row names account {id}, which is not there"),
            })
        }
    }

    fn is_active(&self, id: AccountId) -> bool {
        self.accounts.get(&id).is_some_and(|account| account.active)
    }
}

/// The error of a value that has to be unique and is not.
const fn conflict(field: &'static str) -> StoreError {
    StoreError::Conflict { field }
}

#[async_trait]
impl Store for MemoryStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.open().map(|_| ())
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        Ok(self.open()?.purge(now))
    }

    async fn close(&self) {
        *self.state.lock() = Lifetime::Closed;
    }

    fn backend(&self) -> &'static str {
        "memory"
    }
}
