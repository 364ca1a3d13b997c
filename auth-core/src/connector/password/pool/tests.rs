use std::sync::mpsc;

use super::*;
use crate::random::SystemRandom;

const PATIENCE: Duration = Duration::from_secs(20);

fn start(settings: HashPoolSettings) -> Arc<HashPool> {
    Arc::new(HashPool::start(settings, Arc::new(SystemRandom::new())).unwrap())
}

fn one_thread() -> HashPoolSettings {
    HashPoolSettings {
        parameters: Argon2Parameters { memory_kib: 64, iterations: 1, parallelism: 1 },
        threads: NonZeroUsize::MIN,
        ..HashPoolSettings::default()
    }
}

fn secret() -> Secret {
    Secret::new("kelp otter violin".to_owned())
}

/// Occupies a thread until the sender is dropped. Returns once the thread is at it.
async fn occupy(pool: &Arc<HashPool>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, wait) = mpsc::channel::<()>();
    let (started, begun) = oneshot::channel();
    let pool = Arc::clone(pool);
    let task = tokio::spawn(async move {
        let held = pool.run(move |_| {
            let _ = started.send(());
            let _ = wait.recv();
        });
        let _ = held.await;
    });
    begun.await.unwrap();
    (release, task)
}

async fn until(mut condition: impl FnMut() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.expect("the condition never came true");
}

#[tokio::test]
async fn a_full_queue_says_busy_at_once() {
    let pool = start(HashPoolSettings { queue_length: 2, ..one_thread() });
    let (release, _task) = occupy(&pool).await;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { pool.hash(secret()).await })
        })
        .collect();
    until(|| pool.queue_length() == 2).await;
    assert_eq!(pool.hash(secret()).await, Err(PoolError::Busy));
    drop(release);
    for task in waiting {
        assert!(task.await.unwrap().is_ok());
    }
    assert_eq!(pool.queue_length(), 0);
}

#[tokio::test]
async fn the_wait_is_bounded() {
    let pool = start(HashPoolSettings { longest_wait: Duration::from_millis(20), ..one_thread() });
    let (release, _task) = occupy(&pool).await;
    assert_eq!(pool.verify_dummy(secret()).await, Err(PoolError::Busy));
    drop(release);
}

#[tokio::test]
async fn work_of_a_caller_that_went_away_is_skipped() {
    let pool = start(HashPoolSettings { queue_length: 1, ..one_thread() });
    let (release, _task) = occupy(&pool).await;
    let done = Arc::new(AtomicUsize::new(0));
    let abandoned = {
        let (pool, done) = (Arc::clone(&pool), Arc::clone(&done));
        tokio::spawn(async move { pool.run(move |_| done.fetch_add(1, Ordering::SeqCst)).await })
    };
    until(|| pool.queue_length() == 1).await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    // Its place in the full queue is free again.
    let (reply, answer) = oneshot::channel::<String>();
    let caller = Arc::new(());
    let work = Box::new(move |_: &mut HashMemory| drop(reply.send(String::new())));
    let next = Job { caller: Arc::downgrade(&caller), work };
    assert_eq!(pool.shared.submit(next), Ok(()));
    drop(release);
    assert!(answer.await.is_ok());
    assert_eq!(done.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_panic_costs_its_caller_an_error_and_the_pool_nothing() {
    let pool = start(one_thread());
    let failed = pool.run(|_| -> () { panic!("on purpose") }).await;
    assert!(matches!(failed, Err(PoolError::Failed(_))), "{failed:?}");
    assert!(pool.hash(secret()).await.is_ok());
}

#[tokio::test]
async fn memory_is_kept_between_hashes_and_freed_when_it_is_quiet() {
    let pool = start(one_thread());
    assert_eq!(pool.held_memory(), 0);
    pool.hash(secret()).await.unwrap();
    until(|| pool.held_memory() == 64 * 1024).await;

    let quick = start(HashPoolSettings { keep_memory: Duration::from_millis(1), ..one_thread() });
    quick.hash(secret()).await.unwrap();
    until(|| quick.held_memory() == 0).await;
    assert!(quick.hash(secret()).await.is_ok());
}

#[tokio::test]
async fn a_costlier_stored_hash_leaves_no_larger_memory_behind() {
    let pool = start(one_thread());
    let dear = Argon2Parameters { memory_kib: 512, iterations: 1, parallelism: 1 };
    pool.set_parameters(dear).unwrap();
    let stored = pool.hash(secret()).await.unwrap();
    pool.set_parameters(one_thread().parameters).unwrap();
    let verified = pool.verify(secret(), stored).await.unwrap();
    assert!(matches!(verified, Verification::Right { rehashed: Some(_) }));
    until(|| pool.held_memory() <= 64 * 1024).await;
}

#[tokio::test]
async fn dropping_the_pool_ends_its_threads_and_tells_who_waits() {
    let pool = start(one_thread());
    let shared = Arc::clone(&pool.shared);
    let (release, task) = occupy(&pool).await;
    let (reply, answer) = oneshot::channel::<String>();
    let caller = Arc::new(());
    let job = Job {
        caller: Arc::downgrade(&caller),
        work: Box::new(move |_| drop(reply.send(String::new()))),
    };
    shared.submit(job).unwrap();
    task.abort();
    let _ = task.await;
    drop(release);
    let pool = Arc::into_inner(pool).unwrap();
    tokio::task::spawn_blocking(move || drop(pool)).await.unwrap();
    // Either it was done just before, or it was dropped; it does not wait for ever.
    let _ = tokio::time::timeout(PATIENCE, answer).await.unwrap();
    assert_eq!(Arc::strong_count(&shared), 1);
    let late = Job { caller: Arc::downgrade(&caller), work: Box::new(|_| ()) };
    assert_eq!(shared.submit(late).err(), Some(PoolError::Closed));
}

#[tokio::test]
async fn many_at_once_share_the_threads() {
    let pool = start(HashPoolSettings { threads: NonZeroUsize::new(2).unwrap(), ..one_thread() });
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                let stored = pool.hash(secret()).await?;
                pool.verify(secret(), stored).await
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(Verification::Right { rehashed: None }));
    }
    assert!(pool.held_memory() <= 2 * 64 * 1024);
}

#[test]
fn bad_parameters_do_not_start() {
    let settings = HashPoolSettings {
        parameters: Argon2Parameters { memory_kib: 0, iterations: 1, parallelism: 1 },
        ..HashPoolSettings::default()
    };
    let error = HashPool::start(settings, Arc::new(SystemRandom::new())).err().unwrap();
    assert!(error.to_string().contains("memory_kib"), "{error}");
}
