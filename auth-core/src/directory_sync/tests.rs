//! The whole way on the memory store, with people that a test makes up.

mod against_a_model;
mod brake;
mod conflicts;
mod leases;
mod lifecycle;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::*;
use crate::account::{apply_profile, new_account};
use crate::audit::Origin;
use crate::clock::{Clock, Timestamp};
use crate::connector::ldap::{DirectoryPerson, PersonState, PopulationItem};
use crate::connector::{ConnectorError, Profile};
use crate::random::SystemRandom;
use crate::store::memory::MemoryStore;
use crate::store::{AccountRecord, AuditQuery, Store};

/// Somebody with a name, an address made of it, and nothing else.
pub(super) fn person(subject: &str, username: &str) -> DirectoryPerson {
    DirectoryPerson {
        subject: subject.to_owned(),
        dn: format!("uid={username},ou=people,dc=example,dc=org"),
        profile: Profile {
            username: username.to_owned(),
            email: Some(format!("{username}@example.org")),
            email_verified: true,
            ..Profile::default()
        },
        state: PersonState::Active,
        changed_password_at: None,
    }
}

/// An account with this user name and no address; the id follows from the name.
pub(super) fn account(username: &str) -> AccountRecord {
    let id = crate::secret::sha256(username.as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&id[..16]);
    let profile = Profile { username: username.to_owned(), ..Profile::default() };
    let at = Timestamp::from_seconds(1);
    let mut account = new_account("local", username, &profile, Uuid::from_bytes(half), at).account;
    apply_profile(&mut account, &profile);
    account
}

/// A directory that says what it is told to.
#[derive(Clone, Debug, Default)]
struct Made {
    items: Vec<PopulationItem>,
    incremental: bool,
    position: Option<serde_json::Value>,
    error: Option<(&'static str, usize)>,
}

impl Made {
    fn of(people: impl IntoIterator<Item = DirectoryPerson>) -> Self {
        let items = people.into_iter().map(|person| PopulationItem::Person(Box::new(person)));
        Self { items: items.collect(), ..Self::default() }
    }

    /// Fails for `reason` after so many items.
    fn failing(mut self, reason: &'static str, after: usize) -> Self {
        self.error = Some((reason, after));
        self
    }

    fn and(mut self, item: PopulationItem) -> Self {
        self.items.push(item);
        self
    }
}

#[async_trait]
impl Population for Made {
    fn directory(&self) -> &str {
        "corp"
    }

    async fn read(
        &self,
        since: Option<&serde_json::Value>,
        _: Timestamp,
        items: mpsc::Sender<Vec<PopulationItem>>,
    ) -> Result<PopulationSummary, ConnectorError> {
        let until = self.error.map_or(self.items.len(), |(_, after)| after);
        for page in self.items[..until].chunks(3) {
            let sent = items.send(page.to_vec()).await;
            assert!(sent.is_ok(), "nobody takes the items");
        }
        if let Some((reason, _)) = self.error {
            return Err(ConnectorError::Unavailable { reason, message: "scripted".to_owned() });
        }
        let gone = |item: &&PopulationItem| !matches!(item, PopulationItem::Gone { .. });
        Ok(PopulationSummary {
            incremental: self.incremental && since.is_some(),
            entries: self.items.iter().filter(gone).count() as u64,
            searches: 1,
            position: self.position.clone(),
            server: "made".to_owned(),
        })
    }
}

/// A clock that goes on by a second whenever somebody looks.
#[derive(Debug)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[derive(Default)]
struct Lines {
    changes: Mutex<Vec<Change>>,
    progress: Mutex<Vec<Progress>>,
}

impl Watcher for Lines {
    fn progress(&self, progress: Progress) {
        self.progress.lock().push(progress);
    }

    fn change(&self, change: &Change) {
        self.changes.lock().push(change.clone());
    }
}

struct Bench {
    store: Arc<dyn Store>,
    clock: Arc<Ticking>,
    sync: DirectorySync,
}

const NO_BRAKE: Brake = Brake { share: 100, people: u32::MAX, window: Duration::from_secs(86_400) };

impl Bench {
    fn new() -> Self {
        Self::with(NO_BRAKE, &[])
    }

    fn with(brake: Brake, administrators: &[&str]) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let clock = Arc::new(Ticking(AtomicI64::new(1_764_000_000_000)));
        let sync = synchronisation(&store, &clock, brake, administrators, "node-a");
        Self { store, clock, sync }
    }

    async fn plan(&self, people: &Made) -> (SyncOutcome, Vec<Change>) {
        let lines = Lines::default();
        let outcome = self.sync.plan(people, ReadWish::Full, &lines).await.unwrap();
        (outcome, lines.changes.into_inner())
    }

    async fn run(&self, people: &Made) -> (SyncOutcome, Vec<Change>) {
        let lines = Lines::default();
        let outcome = self.sync.run(people, &request(), &lines).await.unwrap();
        (outcome, lines.changes.into_inner())
    }

    async fn fails(&self, people: &Made) -> SyncError {
        self.sync.run(people, &request(), &Lines::default()).await.unwrap_err()
    }

    async fn account(&self, username: &str) -> AccountRecord {
        self.store.account_by_username(username).await.unwrap().unwrap()
    }

    /// Names of the events, without those of the runs themselves.
    async fn events(&self) -> Vec<String> {
        let query = AuditQuery { limit: 10_000, ..AuditQuery::default() };
        let entries = self.store.audit(query).await.unwrap();
        let names = entries.into_iter().map(|entry| entry.record.event);
        names.filter(|name| !name.starts_with("sync.")).collect()
    }

    fn pass(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap();
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }
}

fn synchronisation(
    store: &Arc<dyn Store>,
    clock: &Arc<Ticking>,
    brake: Brake,
    administrators: &[&str],
    holder: &str,
) -> DirectorySync {
    let settings = SyncSettings {
        directory: "corp".to_owned(),
        brake,
        administrators: administrators.iter().map(|&name| name.to_owned()).collect(),
        full_every: Duration::from_secs(86_400),
        holder: holder.to_owned(),
    };
    let clock: Arc<dyn Clock> = clock.clone();
    DirectorySync::new(store.clone(), clock, Arc::new(SystemRandom::new()), settings)
}

fn request() -> RunRequest {
    RunRequest {
        wish: ReadWish::Full,
        override_brake: false,
        trigger: "command",
        origin: Origin::command_line("test".to_owned()),
        unless_started_since: None,
        wait: false,
        stop: watch::channel(false).1,
    }
}

fn ops(changes: &[Change]) -> Vec<(Operation, &str)> {
    let mut found: Vec<_> = changes.iter().map(|change| (change.op, change.id.as_str())).collect();
    found.sort_unstable();
    found
}
