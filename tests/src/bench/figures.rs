//! Medians, percentiles by exact sorting, and the window in which a rate is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The middle value; the mean of the two middle ones of an even number.
///
/// # Errors
/// There are no values.
pub(super) fn median(values: &[f64]) -> Result<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle).context("a median of nothing")?;
    if values.len() % 2 == 1 {
        return Ok(upper);
    }
    let lower = *values.get(middle - 1).context("a median of nothing")?;
    Ok(f64::midpoint(lower, upper))
}

/// The smallest value that `share` (0 to 1) of all values do not exceed.
///
/// # Errors
/// There are no values.
pub(super) fn percentile(values: &[Duration], share: f64) -> Result<Duration> {
    let mut values = values.to_vec();
    values.sort_unstable();
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.max(1) - 1).copied().context("a percentile of nothing")
}

/// Counts what several clients complete, and tells them when to stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Window(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    completed: AtomicU64,
    closed: AtomicBool,
}

impl Window {
    /// Counts one completed request.
    pub(super) fn completed(&self) {
        self.0.completed.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether clients have to stop.
    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Relaxed)
    }

    /// Completed requests per second while the clients run, after `warm_up`; then closes.
    pub(super) async fn rate(&self, warm_up: Duration, length: Duration) -> f64 {
        tokio::time::sleep(warm_up).await;
        let before = self.0.completed.load(Ordering::Relaxed);
        let begun = Instant::now();
        tokio::time::sleep(length).await;
        let after = self.0.completed.load(Ordering::Relaxed);
        let rate = (after - before) as f64 / begun.elapsed().as_secs_f64();
        self.close();
        rate
    }

    /// Tells the clients to stop.
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).unwrap(), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]).unwrap(), 2.5);
        assert!(median(&[]).is_err());
    }

    #[test]
    fn percentiles() {
        let values: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        for (share, expected) in [(0.0, 1), (0.5, 100), (0.99, 198), (1.0, 200)] {
            assert_eq!(percentile(&values, share).unwrap(), Duration::from_millis(expected));
        }
        assert!(percentile(&[], 0.5).is_err());
    }
}
