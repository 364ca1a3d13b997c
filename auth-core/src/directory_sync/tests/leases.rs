//! Two nodes and one directory; runs that stop and go on.

use super::*;
use crate::store::LeaseAnswer;

fn people(number: u32) -> Made {
    Made::of((0..number).map(|n| person(&format!("s{n}"), &format!("name{n}"))))
}

#[tokio::test]
async fn a_second_run_is_refused_while_one_is_under_way() {
    let bench = Bench::new();
    let until = bench.clock.now() + Duration::from_secs(3600);
    let held = bench.store.acquire_sync_lease("corp", "node-b", bench.clock.now(), until).await;
    assert!(matches!(held, Ok(LeaseAnswer::Granted(_))));
    let error = bench.fails(&people(1)).await;
    assert!(matches!(&error, SyncError::Busy { holder } if holder == "node-b"), "{error}");
    let (outcome, _) = bench.plan(&people(1)).await;
    assert_eq!(outcome.counts.create, 1, "a plan needs no lease");
}

#[tokio::test]
async fn whoever_waits_takes_over_from_the_dead_and_not_from_the_living() {
    let bench = Bench::new();
    let asked = |holder: &'static str, seconds| {
        let (now, store) = (bench.clock.now(), bench.store.clone());
        async move {
            let until = now + Duration::from_secs(seconds);
            match store.acquire_sync_lease("corp", holder, now, until).await.unwrap() {
                LeaseAnswer::Granted(lease) => lease,
                held => panic!("{held:?}"),
            }
        }
    };
    asked("dead", 1).await;
    let order = RunRequest { wait: true, ..request() };
    bench.pass(Duration::from_millis(999));
    let lines = Lines::default();
    let outcome = bench.sync.run(&people(1), &order, &lines).await.unwrap();
    assert_eq!(outcome.applied, 1);

    let lease = asked("living", 3600).await;
    let store = bench.store.clone();
    let later = bench.clock.now() + Duration::from_secs(7200);
    let renewing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(store.renew_sync_lease(&lease, later).await.unwrap());
    });
    let error = bench.sync.run(&people(1), &order, &Lines::default()).await.unwrap_err();
    assert!(matches!(error, SyncError::Busy { .. }), "{error}");
    renewing.await.unwrap();
}

/// Takes the lease away at the first batch: as if this node had stood still for long.
struct TakenOver {
    store: Arc<dyn Store>,
    at: usize,
    seen: Mutex<usize>,
}

impl Watcher for TakenOver {
    fn progress(&self, progress: Progress) {
        if !matches!(progress, Progress::Applying { .. }) {
            return;
        }
        let mut seen = self.seen.lock();
        *seen += 1;
        if *seen == self.at {
            let far = Timestamp::from_seconds(9_000_000_000);
            let taking = self.store.acquire_sync_lease("corp", "node-b", far, far);
            let mut taking = std::pin::pin!(taking);
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(taking.as_mut().poll(&mut context).is_ready());
        }
    }

    fn change(&self, _: &Change) {}
}

#[tokio::test]
async fn a_run_that_was_taken_over_writes_no_more_and_the_next_one_goes_on() {
    let bench = Bench::new();
    let everybody = people(1200);
    let taken = TakenOver { store: bench.store.clone(), at: 1, seen: Mutex::new(0) };
    let error = bench.sync.run(&everybody, &request(), &taken).await.unwrap_err();
    assert!(matches!(error, SyncError::LeaseLost), "{error}");
    let written = bench.store.count_synced_accounts("corp").await.unwrap();
    assert_eq!(written, 1000, "the batch before, whole");
    let jobs = bench.store.sync_jobs("corp", 9).await.unwrap();
    assert_eq!(
        (jobs[0].state.as_str(), jobs[0].applied),
        ("running", 1000),
        "the old row as it was"
    );

    bench.pass(Duration::from_secs(9_000_000_000 - 1_764_000_000));
    let (outcome, _) = bench.run(&everybody).await;
    assert_eq!((outcome.counts.unchanged, outcome.applied), (1000, 200));
    let jobs = bench.store.sync_jobs("corp", 9).await.unwrap();
    let states: Vec<_> = jobs.iter().map(|job| job.state.as_str()).collect();
    assert_eq!(states, ["succeeded", "abandoned"]);
}

/// Asks for the end at the first batch.
struct Stopping(watch::Sender<bool>);

impl Watcher for Stopping {
    fn progress(&self, progress: Progress) {
        if matches!(progress, Progress::Applying { .. }) {
            self.0.send_replace(true);
        }
    }

    fn change(&self, _: &Change) {}
}

#[tokio::test]
async fn a_stopped_run_leaves_whole_batches_and_its_lease() {
    let bench = Bench::new();
    let (sender, stop) = watch::channel(false);
    let order = RunRequest { stop, ..request() };
    let everybody = people(1200);
    let error = bench.sync.run(&everybody, &order, &Stopping(sender)).await.unwrap_err();
    assert!(matches!(error, SyncError::Stopped { applied: 1000 }), "{error}");
    let status = bench.store.sync_status("corp").await.unwrap();
    assert_eq!((status.lease, status.succeeded_at), (None, None));
    let jobs = bench.store.sync_jobs("corp", 1).await.unwrap();
    assert_eq!((jobs[0].state.as_str(), jobs[0].applied), ("stopped", 1000));
    let (outcome, _) = bench.run(&everybody).await;
    assert_eq!((outcome.counts.unchanged, outcome.applied), (1000, 200));
}

#[tokio::test]
async fn the_second_of_two_nodes_does_not_run_again() {
    let bench = Bench::new();
    let other = synchronisation(&bench.store, &bench.clock, NO_BRAKE, &[], "node-b");
    let due = bench.clock.now();
    let order = RunRequest { unless_started_since: Some(due), ..request() };
    let first = bench.sync.run(&people(2), &order, &Lines::default()).await;
    assert_eq!(first.unwrap().applied, 2);
    let second = other.run(&people(2), &order, &Lines::default()).await.unwrap_err();
    assert!(matches!(second, SyncError::NotDue), "{second}");
    assert_eq!(bench.store.sync_jobs("corp", 9).await.unwrap().len(), 1);
    assert_eq!(bench.store.sync_status("corp").await.unwrap().lease, None, "it is given back");
}
