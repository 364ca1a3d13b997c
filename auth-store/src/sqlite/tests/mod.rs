//! What only SQLite has: the file, group commit, the epoch; and the conformance suite.

mod commit;
mod damage;
mod plans;
mod schema;
mod sight;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_core::clock::Timestamp;
use auth_core::store::conformance;
use auth_core::store::{AccountId, AccountRecord, NewAccount, Store};
use tempfile::TempDir;
use uuid::Uuid;

use super::SqliteStore;
use super::file::Place;
use super::schema::MIGRATIONS;

/// A folder that goes with the test, and a database file in it that is not there yet.
fn fresh_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.db");
    (folder, file)
}

fn open(file: &Path) -> SqliteStore {
    SqliteStore::open(&Place::File(file.to_owned()), MIGRATIONS, &[], 2).unwrap()
}

fn in_memory() -> SqliteStore {
    SqliteStore::open(&Place::Memory, MIGRATIONS, &[], 1).unwrap()
}

fn account(n: u128) -> NewAccount {
    let at = Timestamp::from_millis(1_764_000_000_123);
    let account = AccountRecord {
        id: AccountId(Uuid::from_u128(n)),
        numeric_id: 0,
        username: format!("Person {n}"),
        username_key: format!("person {n}"),
        email: None,
        email_key: None,
        email_verified: false,
        first_name: None,
        last_name: None,
        nickname: None,
        position: None,
        locale: None,
        active: true,
        inactive_reason: None,
        roles: vec!["member".to_owned()],
        groups: vec![],
        created_at: at,
        updated_at: at,
        last_login_at: None,
        checked_at: None,
        version: 0,
    };
    NewAccount { account, identity: None, password: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicU32::new(0);
    conformance::run(async || {
        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::new(open(&folder.path().join(format!("{n}.db")))) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_in_memory_conforms() {
    conformance::run(async || Arc::new(in_memory()) as Arc<dyn Store>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_on_one_file_conform() {
    let (_folder, file) = fresh_file();
    conformance::run_across_nodes(Arc::new(open(&file)), Arc::new(open(&file))).await;
}
