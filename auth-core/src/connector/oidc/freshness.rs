//! When something that was fetched is fetched again: metadata and keys of a provider.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;

/// How long a fetched value counts as fresh.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long an old one is still used while there is no new one.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// No more than one attempt in this time, whatever anybody posts to us.
const PAUSE: Duration = Duration::from_secs(10);

/// A fetched value with when it was fetched, and when a further attempt was last made in spite of a
/// fresh value, or failed.
#[derive(Debug)]
pub(super) struct Kept<T> {
    value: Option<(Arc<T>, Timestamp)>,
    tried: Option<Timestamp>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { value: None, tried: None }
    }
}

/// What is to be done for somebody who needs the value.
#[derive(Debug)]
pub(super) enum Need<T> {
    /// Use this one.
    Use(Arc<T>),
    /// Fetch a new one.
    Fetch,
    /// There is none, and the last attempt was a moment ago.
    Wait,
}

impl<T> Kept<T> {
    /// What to do at `now`; `fits` says whether the kept value serves the purpose.
    pub(super) fn need(&self, now: Timestamp, fits: impl Fn(&T) -> bool) -> Need<T> {
        let paused = self.tried.is_some_and(|tried| now.since(tried) < PAUSE);
        match &self.value {
            Some((value, at)) if now.since(*at) < FRESH && fits(value) => {
                Need::Use(Arc::clone(value))
            }
            Some((value, at)) if paused && now.since(*at) < STALE => Need::Use(Arc::clone(value)),
            _ if paused => Need::Wait,
            _ => Need::Fetch,
        }
    }

    /// Keeps a new value. One that replaces a fresh one was fetched because that one did not fit:
    /// the next such attempt has to wait.
    pub(super) fn keep(&mut self, value: T, now: Timestamp) -> Arc<T> {
        let replaces_fresh = self.value.as_ref().is_some_and(|(_, at)| now.since(*at) < FRESH);
        self.tried = replaces_fresh.then_some(now);
        let value = Arc::new(value);
        self.value = Some((Arc::clone(&value), now));
        value
    }

    /// Notes a failed attempt. Returns the old value if it can still be used.
    pub(super) fn failed(&mut self, now: Timestamp) -> Option<Arc<T>> {
        self.tried = Some(now);
        let kept = self.value.as_ref().filter(|(_, at)| now.since(*at) < STALE);
        kept.map(|(value, _)| Arc::clone(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_makes_one_attempt_in_ten_seconds() {
        let at = |seconds: i64| Timestamp::from_seconds(1_000_000 + seconds);
        let mut kept = Kept::default();
        assert!(matches!(kept.need(at(0), |_: &u8| true), Need::Fetch));
        kept.keep(1u8, at(0));
        assert!(matches!(kept.need(at(1), |_| true), Need::Use(_)));
        assert!(matches!(kept.need(at(2), |_| false), Need::Fetch), "the first one goes at once");
        kept.keep(2, at(2));
        assert!(matches!(kept.need(at(11), |_| false), Need::Use(_)), "paused");
        assert!(matches!(kept.need(at(12), |_| false), Need::Fetch));
        assert!(kept.failed(at(12)).is_some());
        assert!(matches!(kept.need(at(21), |_| false), Need::Use(_)), "paused after a failure");
        kept.keep(3, at(22));
        assert!(matches!(kept.need(at(22 + 3600), |_| true), Need::Fetch));
        let day = 24 * 3600 + 22;
        assert!(kept.failed(at(day)).is_none());
        assert!(matches!(kept.need(at(day + 1), |_| true), Need::Wait));
        assert!(matches!(kept.need(at(day + 10), |_| true), Need::Fetch));
    }
}
