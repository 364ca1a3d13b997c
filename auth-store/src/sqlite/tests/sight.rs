//! No answer of the cache is older than a commit that has ended, of this process or another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use auth_core::secret::TokenHash;
use auth_core::store::TokenStore as _;
use rusqlite::Connection;

use super::{SqliteStore, account, fresh_file, in_memory, open};
use crate::sqlite::error::failure;

/// Account 1 with a session and an access token, and the token's hash.
async fn with_token(store: &SqliteStore) -> TokenHash {
    use auth_core::store::AccountStore as _;
    store.create_account(account(1), vec![]).await.unwrap();
    let hash = TokenHash::of(b"token");
    store
        .write(move |c| {
            c.execute(
                "INSERT INTO session SELECT zeroblob(16), id, NULL, NULL, 'browser', 'local', \
                 '[]', '', '', 1, 1, 0, 0, 9, NULL, NULL, NULL, NULL FROM account",
                [],
            )
            .and_then(|_| {
                c.execute(
                    "INSERT INTO access_token VALUES (?1, zeroblob(16), '', 1, 9)",
                    [hash.as_bytes()],
                )
            })
            .map_err(failure)
        })
        .await
        .unwrap();
    hash
}

async fn seen(store: &SqliteStore, hash: TokenHash) -> i64 {
    store.access_token(hash).await.unwrap().unwrap().session.last_seen_at.millis()
}

#[tokio::test]
async fn another_connection_s_commit_shows_in_the_very_next_look_up() {
    let (_folder, file) = fresh_file();
    let store = open(&file);
    let hash = with_token(&store).await;
    let other = Connection::open(&file).unwrap();
    for n in 1..100 {
        assert_eq!(seen(&store, hash).await, n - 1);
        assert_eq!(seen(&store, hash).await, n - 1, "from the cache");
        other.execute("UPDATE session SET last_seen_at = ?1", [n]).unwrap();
        assert_eq!(seen(&store, hash).await, n, "after another's commit");
    }
}

#[tokio::test]
async fn a_purge_counts_the_tokens_that_go_with_their_session() {
    use auth_core::clock::Timestamp;
    use auth_core::store::Store as _;
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let store = in_memory();
    let hash = with_token(&store).await;
    let sql = "UPDATE access_token SET expires_at = expires_at + 1000 * 24 * 60 * 60 * 1000";
    store.write(|c| c.execute(sql, []).map(drop).map_err(failure)).await.unwrap();
    assert_eq!(store.purge(Timestamp::from_millis(8 + DAY)).await.unwrap(), 0);
    assert_eq!(store.purge(Timestamp::from_millis(9 + DAY)).await.unwrap(), 2);
    assert_eq!(store.access_token(hash).await.unwrap(), None);
}

#[tokio::test]
async fn the_cache_is_used_as_long_as_nothing_is_committed() {
    for store in [in_memory(), open(&fresh_file().1)] {
        // The files are gone by name, but stay open.
        let hash = with_token(&store).await;
        seen(&store, hash).await;
        let epoch = store.readers.look_up(|lookup| lookup.epoch()).unwrap();
        seen(&store, hash).await;
        assert_eq!(store.tokens.kept_under(hash), Some(epoch));
        store.write(|_| Ok(())).await.unwrap();
        seen(&store, hash).await;
        assert_ne!(store.tokens.kept_under(hash), Some(epoch), "read afresh after a commit");
    }
}

/// Commits go on in both processes' ways while many threads look up: nobody may ever see less
/// than what had been committed when the look-up began.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_look_up_is_older_than_a_commit_that_ended_before_it() {
    const ROUNDS: i64 = 300;
    let (_folder, file) = fresh_file();
    for store in [Arc::new(open(&file)), Arc::new(in_memory())] {
        let hash = with_token(&store).await;
        let committed = Arc::new(AtomicU64::new(0));
        let done = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (store, committed, done) =
                    (Arc::clone(&store), Arc::clone(&committed), Arc::clone(&done));
                tokio::spawn(async move {
                    let mut look_ups = 0_u64;
                    while !done.load(Ordering::SeqCst) {
                        let floor = i64::try_from(committed.load(Ordering::SeqCst)).unwrap();
                        let seen = seen(&store, hash).await;
                        assert!(seen >= floor, "saw {seen} after {floor} was committed");
                        look_ups += 1;
                        tokio::task::yield_now().await;
                    }
                    look_ups
                })
            })
            .collect();
        let other = (store.readers.lanes() > 1).then(|| Connection::open(&file).unwrap());
        for n in 1..=ROUNDS {
            let sql = "UPDATE session SET last_seen_at = ?1";
            match &other {
                Some(other) if n % 2 == 0 => {
                    other.execute(sql, [n]).unwrap();
                }
                _ => {
                    store
                        .write(move |c| c.execute(sql, [n]).map(drop).map_err(failure))
                        .await
                        .unwrap();
                }
            }
            committed.store(u64::try_from(n).unwrap(), Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.await.unwrap() > 0, "it looked at least once");
        }
    }
}
