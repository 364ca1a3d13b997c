//! How many refused logins one source address, or one known browser, may cause on this node. GCRA by
//! `governor`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::login::KnownBrowser;
use crate::login::throttle::source_network;

/// Whose refusals are counted together.
#[derive(Clone, Copy)]
pub(super) enum Counted<'a> {
    /// Whoever comes from this network.
    Network(Option<IpAddr>),
    /// A browser that is known for the name, wherever it is.
    Browser(&'a KnownBrowser),
}

impl Counted<'_> {
    /// `None`: the command line, which is not counted.
    fn key(self) -> Option<String> {
        match self {
            Self::Network(source) => source.map(|_| source_network(source)),
            Self::Browser(known) => Some(format!("known:{}", known.id())),
        }
    }
}

/// Counts refusals and says who has to wait.
pub(super) struct SourceLimit {
    limiter: DefaultKeyedRateLimiter<String>,
    shut: Mutex<HashMap<String, Instant>>,
    turns: Mutex<HashMap<String, Arc<Semaphore>>>,
    begins: DefaultKeyedRateLimiter<String>,
}

/// Logins that one source may begin a second, and at once: far more than a company behind one
/// address, far less than would fill a store.
const BEGINS: (NonZeroU32, NonZeroU32) =
    (NonZeroU32::new(100).expect("not zero"), NonZeroU32::new(1000).expect("not zero"));

/// How many sign-ins of one source are judged at once.
const TURNS: usize = 64;

impl SourceLimit {
    pub(super) fn new(burst: u32, refill: Duration) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let refill = refill.max(Duration::from_millis(1));
        let quota = Quota::with_period(refill)
            .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
            .allow_burst(burst);
        let begins = RateLimiter::keyed(Quota::per_second(BEGINS.0).allow_burst(BEGINS.1));
        Self {
            begins,
            limiter: RateLimiter::keyed(quota),
            shut: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// Counts a begun login.
    pub(super) fn begin(&self, source: Option<IpAddr>) -> Result<(), Duration> {
        if source.is_none() {
            return Ok(());
        }
        self.begins
            .check_key(&source_network(source))
            .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }

    /// Waits for this source's turn; given back when dropped. The command line needs none.
    pub(super) async fn turn(&self, source: Option<IpAddr>) -> Option<OwnedSemaphorePermit> {
        source?;
        let turns = Arc::clone(
            self.turns
                .lock()
                .entry(source_network(source))
                .or_insert_with(|| Arc::new(Semaphore::new(TURNS))),
        );
        turns.acquire_owned().await.ok()
    }

    /// How long they still have to wait; `None` when they may try. The command line may.
    pub(super) fn wait(&self, counted: Counted<'_>) -> Option<Duration> {
        let key = counted.key()?;
        let mut shut = self.shut.lock();
        let until = *shut.get(&key)?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            shut.remove(&key);
            return None;
        }
        Some(left)
    }

    /// Counts one refusal.
    pub(super) fn refused(&self, counted: Counted<'_>) {
        let Some(key) = counted.key() else { return };
        if let Err(not_until) = self.limiter.check_key(&key) {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            self.shut.lock().insert(key, Instant::now() + wait);
        }
    }

    /// Forgets sources that have won all back, so that memory stays bounded.
    pub(super) fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        self.begins.retain_recent();
        self.begins.shrink_to_fit();
        let now = Instant::now();
        self.shut.lock().retain(|_, until| *until > now);
        self.turns.lock().retain(|_, turns| turns.available_permits() < TURNS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_waits_after_its_burst_and_others_do_not() {
        let limit = SourceLimit::new(3, Duration::from_secs(60));
        let [bad, good] = ["192.0.2.1", "192.0.2.2"].map(|ip| Counted::Network(ip.parse().ok()));
        for _ in 0..3 {
            limit.refused(bad);
            assert_eq!(limit.wait(bad), None);
        }
        limit.refused(bad);
        assert!(limit.wait(bad).is_some());
        assert_eq!(limit.wait(good), None);
        assert_eq!(limit.wait(Counted::Network(None)), None);
    }
}
