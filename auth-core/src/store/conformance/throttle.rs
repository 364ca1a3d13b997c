//! Attempt counters.

use std::sync::Arc;
use std::time::Duration;

use super::{Outcome, cases, sample};
use crate::store::{Attempt, Store, StoreError, ThrottleRule};
use sample::at;

cases!(
    "throttle",
    Case: the_last_allowed_attempt_shuts_the_door,
    attempts_on_a_shut_door_change_nothing,
    the_door_opens_by_itself,
    a_quiet_counter_starts_anew,
    a_limit_of_one_shuts_at_once,
    forgiving_takes_back_one_attempt,
    forgiving_opens_the_door,
    clearing_forgets_the_counters,
);

const RULE: ThrottleRule = ThrottleRule { limit: 3, lockout: Duration::from_secs(600) };

async fn count(store: &dyn Store, key: &str, seconds: u64) -> Result<Attempt, StoreError> {
    store.count_attempt(key, RULE, at(seconds)).await
}

const fn allowed(count: i64) -> Attempt {
    Attempt::Allowed { count }
}

fn locked(seconds: u64) -> Attempt {
    Attempt::Locked { until: at(seconds) }
}

async fn the_last_allowed_attempt_shuts_the_door(store: Arc<dyn Store>) -> Outcome {
    for (seconds, expected) in
        [(0, allowed(1)), (1, allowed(2)), (500, allowed(3)), (500, locked(1100))]
    {
        assert_eq!(count(&*store, "k", seconds).await?, expected, "at {seconds} s");
    }
    assert_eq!(count(&*store, "K", 500).await?, allowed(1), "keys are compared exactly");
    assert_eq!(count(&*store, "k ", 500).await?, allowed(1), "keys are compared exactly");
    Ok(())
}

async fn attempts_on_a_shut_door_change_nothing(store: Arc<dyn Store>) -> Outcome {
    for expected in [1, 2, 3] {
        assert_eq!(count(&*store, "k", 0).await?, allowed(expected));
    }
    for seconds in [1, 2, 300, 598, 599] {
        let attempt = count(&*store, "k", seconds).await?;
        assert_eq!(attempt, locked(600), "an attempt at {seconds} s does not lock it for longer");
    }
    assert_eq!(count(&*store, "k", 600).await?, allowed(1), "released at the promised moment");
    Ok(())
}

async fn the_door_opens_by_itself(store: Arc<dyn Store>) -> Outcome {
    for round in [0, 600, 5000] {
        for expected in [1, 2, 3] {
            assert_eq!(count(&*store, "k", round).await?, allowed(expected), "round at {round} s");
        }
        assert_eq!(count(&*store, "k", round + 1).await?, locked(round + 600));
    }
    Ok(())
}

async fn a_quiet_counter_starts_anew(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(count(&*store, "k", 0).await?, allowed(1));
    assert_eq!(count(&*store, "k", 599).await?, allowed(2), "touched within the lockout time");
    assert_eq!(count(&*store, "k", 1199).await?, allowed(1), "600 s after the last attempt");
    assert_eq!(count(&*store, "k", 1200).await?, allowed(2));
    Ok(())
}

async fn a_limit_of_one_shuts_at_once(store: Arc<dyn Store>) -> Outcome {
    let rule = ThrottleRule { limit: 1, lockout: Duration::from_millis(1500) };
    let start = at(10);
    assert_eq!(store.count_attempt("k", rule, start).await?, allowed(1));
    let until = start + rule.lockout;
    let just_before = start + Duration::from_millis(1499);
    assert_eq!(store.count_attempt("k", rule, just_before).await?, Attempt::Locked { until });
    assert_eq!(store.count_attempt("k", rule, until).await?, allowed(1), "to the millisecond");
    Ok(())
}

async fn forgiving_takes_back_one_attempt(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(count(&*store, "k", 0).await?, allowed(1));
    assert_eq!(count(&*store, "k", 1).await?, allowed(2));
    store.forgive_attempt("k").await?;
    assert_eq!(count(&*store, "k", 2).await?, allowed(2));
    for _ in 0..5 {
        store.forgive_attempt("k").await?;
    }
    assert_eq!(count(&*store, "k", 3).await?, allowed(1), "a counter never falls below zero");
    store.forgive_attempt("unknown").await?;
    assert_eq!(count(&*store, "unknown", 3).await?, allowed(1), "nothing was there to forgive");
    Ok(())
}

async fn forgiving_opens_the_door(store: Arc<dyn Store>) -> Outcome {
    for expected in [1, 2, 3] {
        assert_eq!(count(&*store, "k", 0).await?, allowed(expected));
    }
    assert_eq!(count(&*store, "k", 1).await?, locked(600));
    store.forgive_attempt("k").await?;
    assert_eq!(count(&*store, "k", 100).await?, allowed(3), "open for the attempt taken back");
    assert_eq!(count(&*store, "k", 101).await?, locked(700), "which shuts it again");
    Ok(())
}

async fn clearing_forgets_the_counters(store: Arc<dyn Store>) -> Outcome {
    for key in ["a", "b", "c"] {
        for expected in [1, 2, 3] {
            assert_eq!(count(&*store, key, 0).await?, allowed(expected));
        }
    }
    store.clear_attempts(&["a".to_owned(), "unknown".to_owned(), "c".to_owned()]).await?;
    assert_eq!(count(&*store, "a", 1).await?, allowed(1));
    assert_eq!(count(&*store, "b", 1).await?, locked(600), "not cleared");
    assert_eq!(count(&*store, "c", 1).await?, allowed(1));
    store.clear_attempts(&[]).await?;
    assert_eq!(count(&*store, "a", 2).await?, allowed(2));
    Ok(())
}
