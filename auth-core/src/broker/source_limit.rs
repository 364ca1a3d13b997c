//! How many refused logins one source address may cause, on this node. GCRA by `governor`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::login::throttle::source_network;

/// Counts refusals by source network and says who has to wait.
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

    /// How long this source still has to wait; `None` when it may try. The command line may.
    pub(super) fn wait(&self, source: Option<IpAddr>) -> Option<Duration> {
        source?;
        let network = source_network(source);
        let mut shut = self.shut.lock();
        let until = *shut.get(&network)?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            shut.remove(&network);
            return None;
        }
        Some(left)
    }

    /// Counts one refusal.
    pub(super) fn refused(&self, source: Option<IpAddr>) {
        if source.is_none() {
            return;
        }
        let network = source_network(source);
        if let Err(not_until) = self.limiter.check_key(&network) {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            self.shut.lock().insert(network, Instant::now() + wait);
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
        let (bad, good) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        for _ in 0..3 {
            limit.refused(bad);
            assert_eq!(limit.wait(bad), None);
        }
        limit.refused(bad);
        assert!(limit.wait(bad).is_some());
        assert_eq!(limit.wait(good), None);
        assert_eq!(limit.wait(None), None);
    }
}
