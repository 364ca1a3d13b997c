//! The file and its schema: made once, judged before it is touched.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use auth_core::store::{KeyStore as _, Store as _, StoreError};
use rusqlite::Connection;

use super::{fresh_file, open};
use crate::sqlite::SqliteStore;
use crate::sqlite::file::Place;
use crate::sqlite::schema::MIGRATIONS;
use crate::{Found, StoreOptions, look};

fn options(file: &Path) -> StoreOptions {
    StoreOptions { url: format!("sqlite://{}", file.display()), ..StoreOptions::default() }
}

#[tokio::test]
async fn looking_makes_no_file() {
    let (folder, file) = fresh_file();
    assert_eq!(look(&options(&file)).await.unwrap(), Found::Empty);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    std::fs::write(&file, "").unwrap();
    assert_eq!(look(&options(&file)).await.unwrap(), Found::Empty, "an empty file");
    let memory = StoreOptions { url: "sqlite::memory:".to_owned(), ..StoreOptions::default() };
    assert_eq!(look(&memory).await.unwrap(), Found::Empty);
}

#[tokio::test]
async fn first_values_are_written_with_the_schema_and_never_again() {
    let (_folder, file) = fresh_file();
    let store = crate::open(&options(&file), &[("ring_check", vec![1, 2])]).await.unwrap();
    assert_eq!(store.named_value("ring_check").await.unwrap(), Some(vec![1, 2]));
    store.close().await;
    assert_eq!(look(&options(&file)).await.unwrap(), Found::Initialised);
    let store =
        crate::open(&options(&file), &[("ring_check", vec![9]), ("x", vec![])]).await.unwrap();
    assert_eq!(store.named_value("ring_check").await.unwrap(), Some(vec![1, 2]));
    assert_eq!(store.named_value("x").await.unwrap(), None);
}

#[tokio::test]
async fn a_schema_that_is_only_in_the_write_ahead_log_is_found() {
    let (folder, file) = fresh_file();
    let store = open(&file);
    // As a crash leaves it: the log is not folded into the file.
    let copy = folder.path().join("copy.db");
    std::fs::copy(&file, &copy).unwrap();
    std::fs::copy(folder.path().join("auth.db-wal"), folder.path().join("copy.db-wal")).unwrap();
    assert_eq!(look(&options(&copy)).await.unwrap(), Found::Initialised);
    drop(store);
}

#[tokio::test]
async fn the_file_and_its_companions_are_for_their_owner_only() {
    let (folder, file) = fresh_file();
    let store = open(&file);
    store.set_named_value("a", b"b").await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert_eq!(seen, 3, "auth.db, auth.db-wal and auth.db-shm");
}

#[test]
fn many_nodes_may_start_at_once() {
    const NODES: u8 = 8;
    for _ in 0..5 {
        let (_folder, file) = fresh_file();
        let barrier = Barrier::new(usize::from(NODES));
        let stores: Vec<SqliteStore> = thread::scope(|scope| {
            let nodes: Vec<_> = (0..NODES)
                .map(|n| {
                    let (file, barrier) = (&file, &barrier);
                    scope.spawn(move || {
                        let first = [("ring_check".to_owned(), vec![n])];
                        barrier.wait();
                        SqliteStore::open(&Place::File(file.clone()), MIGRATIONS, &first, 1)
                    })
                })
                .collect();
            nodes.into_iter().map(|node| node.join().unwrap().unwrap()).collect()
        });
        let c = Connection::open(&file).unwrap();
        let count = |sql: &str| c.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let known = i64::try_from(MIGRATIONS.len()).unwrap();
        assert_eq!(count("SELECT count(*) FROM schema_migration"), known);
        assert_eq!(count("SELECT count(*) FROM named_value"), 1, "the first values of one node");
        drop(stores);
    }
}

/// Expects the file to be refused, and to be byte for byte as it was.
async fn assert_refused(file: &Path, texts: &[&str]) {
    let before = std::fs::read(file).unwrap();
    let error = crate::open(&options(file), &[("ring_check", vec![1])]).await.err();
    let Some(StoreError::Schema { message }) = error else { panic!("not refused: {error:?}") };
    for text in texts {
        assert!(message.contains(text), "{message}");
    }
    assert_eq!(std::fs::read(file).unwrap(), before, "the file was touched");
}

async fn made_and_closed(file: &Path) {
    open(file).close().await;
}

/// Changes the file and folds the log into it.
fn alter(file: &Path, sql: &str) {
    let c = Connection::open(file).unwrap();
    c.execute_batch(sql).unwrap();
    c.close().unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_the_file_untouched() {
    let (_folder, file) = fresh_file();
    made_and_closed(&file).await;
    let newest = MIGRATIONS.last().unwrap().number;
    let future = newest + 1;
    alter(&file, &format!("INSERT INTO schema_migration VALUES ({future}, 'future', 'ab', 0)"));
    let texts = [format!("schema {future}"), format!("schema {newest}")];
    assert_refused(&file, &texts.each_ref().map(String::as_str)).await;
    assert_eq!(look(&options(&file)).await.unwrap(), Found::Initialised);
}

#[tokio::test]
async fn an_altered_checksum_is_refused() {
    let (_folder, file) = fresh_file();
    made_and_closed(&file).await;
    alter(&file, "UPDATE schema_migration SET checksum = 'abc'");
    assert_refused(&file, &["migration 1 (initial)", "checksum abc"]).await;
}

#[tokio::test]
async fn another_program_s_database_is_refused() {
    let (_folder, file) = fresh_file();
    alter(&file, "CREATE TABLE theirs (x)");
    assert_refused(&file, &["storage.url"]).await;
    assert!(matches!(look(&options(&file)).await, Err(StoreError::Schema { .. })));
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    use crate::migration::Migration;
    let (_folder, file) = fresh_file();
    made_and_closed(&file).await;
    let copy = |known: &Migration| Migration { ..*known };
    let mut known: Vec<Migration> = MIGRATIONS.iter().map(copy).collect();
    let number = MIGRATIONS.last().unwrap().number + 1;
    let sql = "CREATE TABLE half (x); CREATE TABLE half (x);";
    known.push(Migration { number, name: "broken", sql });
    let place = Place::File(file.clone());
    let error = SqliteStore::open(&place, &known, &[], 1).err().unwrap().to_string();
    assert!(error.contains(&format!("migration {number} (broken)")), "{error}");
    let c = Connection::open(&file).unwrap();
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'half'";
    assert_eq!(c.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    open(&file).ping().await.unwrap();
}

#[tokio::test]
async fn a_missing_folder_is_named_with_the_setting() {
    let (folder, _) = fresh_file();
    let file = folder.path().join("missing/auth.db");
    assert_eq!(look(&options(&file)).await.unwrap(), Found::Empty);
    let error = crate::open(&options(&file), &[]).await.err().unwrap().to_string();
    assert!(error.contains("missing/auth.db") && error.contains("storage.url"), "{error}");
}
