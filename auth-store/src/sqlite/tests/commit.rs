//! The writing thread: one commit for all that wait, and what happens when something fails.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use auth_core::clock::Timestamp;
use auth_core::store::{AccountPage, AccountStore as _, AuditStore as _, Store as _, StoreError};
use auth_core::{audit::AuditRecord, store::KeyStore as _};
use tokio::task::JoinHandle;

use super::{SqliteStore, account, fresh_file, in_memory, open};
use crate::sqlite::error::failure;

/// Keeps the writing thread busy until the sender is dropped, so that what is asked for in the
/// meantime waits together and is committed together.
async fn held_up(store: &Arc<SqliteStore>) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (release, released) = mpsc::channel::<()>();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let store = Arc::clone(store);
    let holder = tokio::spawn(async move {
        store
            .write(move |_| {
                started.send(()).unwrap();
                // Ends when the sender is dropped.
                let _ = released.recv();
                Ok(())
            })
            .await
            .unwrap();
    });
    has_started.await.unwrap();
    (release, holder)
}

fn create(store: &Arc<SqliteStore>, n: u128, name: &str) -> JoinHandle<Result<(), StoreError>> {
    let store = Arc::clone(store);
    let mut new = account(n);
    new.account.username_key = name.to_owned();
    let event = AuditRecord::new(Timestamp::from_millis(1), &format!("made.{n}"));
    tokio::spawn(async move { store.create_account(new, vec![event]).await.map(drop) })
}

fn epoch(store: &SqliteStore) -> u64 {
    store.readers.look_up(|lookup| lookup.epoch()).unwrap()
}

async fn queued(store: &SqliteStore, requests: usize) {
    while store.writer.waiting() < requests {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_waits_is_committed_together_and_a_failure_undoes_only_itself() {
    let store = Arc::new(in_memory());
    let (release, holder) = held_up(&store).await;
    let answers = [
        create(&store, 1, "alice"),
        create(&store, 2, "bob"),
        // The conflict is with a neighbour of the same transaction.
        create(&store, 3, "alice"),
        create(&store, 4, "carol"),
    ];
    queued(&store, 4).await;
    drop(release);
    holder.await.unwrap();
    let mut failed = Vec::new();
    for (n, answer) in (1..).zip(answers) {
        match answer.await.unwrap() {
            Ok(()) => {}
            Err(StoreError::Conflict { field: "username" }) => failed.push(n),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failed == [3] || failed == [1], "one of the two alices lost: {failed:?}");
    // One commit for the holder, one for the four.
    assert_eq!(epoch(&store), 2 + 1, "plus the first look at data_version");

    let page = AccountPage { after: None, limit: 10 };
    let names: Vec<_> =
        store.accounts(page).await.unwrap().into_iter().map(|a| a.username_key).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
    let query = auth_core::store::AuditQuery { limit: 10, ..Default::default() };
    assert_eq!(store.audit(query).await.unwrap().len(), 3, "no event of the one that failed");
}

#[tokio::test]
async fn a_large_request_is_committed_by_itself_and_undone_by_itself() {
    let store = Arc::new(in_memory());
    let (release, holder) = held_up(&store).await;
    let before = create(&store, 1, "alice");
    queued(&store, 1).await;
    let large = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let work = |c: &rusqlite::Connection| {
                c.execute("DELETE FROM account", []).map_err(failure)?;
                Err::<(), _>(StoreError::Conflict { field: "username" })
            };
            store.writer.run_alone(work).await
        })
    };
    queued(&store, 2).await;
    let after = create(&store, 2, "bob");
    queued(&store, 3).await;
    drop(release);
    holder.await.unwrap();
    before.await.unwrap().unwrap();
    assert!(matches!(large.await.unwrap(), Err(StoreError::Conflict { .. })));
    after.await.unwrap().unwrap();
    // The holder's, and one for each of the three.
    assert_eq!(epoch(&store), 4 + 1, "plus the first look at data_version");
    let page = AccountPage { after: None, limit: 10 };
    assert_eq!(store.accounts(page).await.unwrap().len(), 2, "nobody was deleted");
}

#[tokio::test]
async fn a_full_disk_fails_the_whole_batch_and_the_store_recovers() {
    let (_folder, file) = fresh_file();
    let store = Arc::new(open(&file));
    store.create_account(account(1), vec![]).await.unwrap();
    let pages = store.write(|c| pragma(c, "page_count")).await.unwrap();
    limit_pages(&store, pages).await;

    let (release, holder) = held_up(&store).await;
    let small = create(&store, 2, "bob");
    let large = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.set_named_value("large", &[7; 1 << 20]).await })
    };
    queued(&store, 2).await;
    drop(release);
    holder.await.unwrap();
    for answer in [small.await.unwrap(), large.await.unwrap()] {
        let Err(StoreError::Unavailable { message }) = answer else {
            panic!("expected Unavailable, got {answer:?}")
        };
        assert!(message.contains("full"), "{message}");
    }
    assert_eq!(store.account_by_username("bob").await.unwrap(), None);
    assert_eq!(store.named_value("large").await.unwrap(), None);
    assert!(store.account_by_username("person 1").await.unwrap().is_some(), "what was there");

    limit_pages(&store, 1_000_000).await;
    store.set_named_value("large", &[7; 1 << 20]).await.unwrap();
    store.ping().await.unwrap();
    assert_eq!(store.named_value("large").await.unwrap().map(|v| v.len()), Some(1 << 20));
}

async fn limit_pages(store: &SqliteStore, pages: i64) {
    store.write(move |c| pragma(c, &format!("max_page_count = {pages}"))).await.unwrap();
}

fn pragma(c: &rusqlite::Connection, pragma: &str) -> Result<i64, StoreError> {
    c.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).map_err(failure)
}

#[tokio::test]
async fn a_panic_fails_only_its_own_request() {
    let store = in_memory();
    let answer = store
        .write(|c| -> Result<(), StoreError> {
            crate::sqlite::keys::set_named_value(c, "half", b"done")?;
            panic!("on purpose");
        })
        .await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    assert_eq!(store.named_value("half").await.unwrap(), None, "what it had done is undone");
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_lock_held_by_another_process_is_unavailable_until_it_is_gone() {
    let (_folder, file) = fresh_file();
    let store = open(&file);
    store.write(|c| c.busy_timeout(Duration::from_millis(20)).map_err(failure)).await.unwrap();
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let Err(StoreError::Unavailable { message }) = store.create_account(account(1), vec![]).await
    else {
        panic!("expected Unavailable")
    };
    assert!(message.contains("locked"), "{message}");
    assert!(store.ping().await.is_err(), "readiness writes");
    store.account_by_username("x").await.expect("reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    store.create_account(account(1), vec![]).await.unwrap();
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_unavailable() {
    let (_folder, file) = fresh_file();
    let store = open(&file);
    store.write(|c| c.execute_batch("PRAGMA query_only = ON").map_err(failure)).await.unwrap();
    let Err(StoreError::Unavailable { message }) = store.create_account(account(1), vec![]).await
    else {
        panic!("expected Unavailable")
    };
    assert!(message.contains("readonly"), "{message}");
}

#[tokio::test]
async fn closing_finishes_what_waits_and_leaves_one_file() {
    let (folder, file) = fresh_file();
    let store = Arc::new(open(&file));
    let (release, holder) = held_up(&store).await;
    let answers = [create(&store, 1, "alice"), create(&store, 2, "bob")];
    queued(&store, 2).await;
    let closing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.close().await })
    };
    queued(&store, 3).await;
    drop(release);
    holder.await.unwrap();
    closing.await.unwrap();
    for answer in answers {
        answer.await.unwrap().expect("it waited before the store was closed");
    }
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(names, ["auth.db"], "the write-ahead log is folded into the file");
    assert!(open(&file).account_by_username("bob").await.unwrap().is_some());
}

#[tokio::test]
async fn a_purge_takes_more_than_one_slice() {
    let store = in_memory();
    store
        .write(|c| {
            c.execute_batch(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 4500)
                 INSERT INTO throttle SELECT 'key ' || i, 1, 10 FROM n",
            )
            .map_err(failure)
        })
        .await
        .unwrap();
    assert_eq!(store.purge(Timestamp::from_millis(11)).await.unwrap(), 4500);
}
