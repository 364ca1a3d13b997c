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

/// A fetched value with when it was fetched, and when that was last tried.
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

    /// Keeps a new value.
    pub(super) fn keep(&mut self, value: T, now: Timestamp) -> Arc<T> {
        let value = Arc::new(value);
        self.value = Some((Arc::clone(&value), now));
        self.tried = Some(now);
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
        assert!(matches!(kept.need(at(9), |_| false), Need::Use(_)), "paused");
        assert!(matches!(kept.need(at(10), |_| false), Need::Fetch));
        assert!(kept.failed(at(10)).is_some());
        assert!(matches!(kept.need(at(19), |_| false), Need::Use(_)));
        assert!(matches!(kept.need(at(3600), |_| true), Need::Fetch));
        assert!(kept.failed(at(24 * 3600)).is_none());
        assert!(matches!(kept.need(at(24 * 3600 + 1), |_| true), Need::Wait));
        assert!(matches!(kept.need(at(24 * 3600 + 10), |_| true), Need::Fetch));
    }
}
