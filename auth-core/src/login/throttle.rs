//! Which counters an attempt is counted under, and how long a busy account is slowed.
//!
//! The hard stop belongs to (name, source network), so that a stranger elsewhere cannot lock a
//! person out; over all sources there is only a growing delay. A browser on which the person
//! signed in before is counted apart from both: its hard stop is its own, and its delay grows with
//! the failures of such browsers only.

use std::net::IpAddr;
use std::time::Duration;

use super::{KnownBrowser, TypedName};

/// The counters of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Hard stop, of one source or of one known browser.
    pub by_source: String,
    /// Growing delay.
    pub over_all: String,
}

/// Counters for a password attempt on `name`, from a browser that is perhaps known for it.
#[must_use]
pub fn password(
    name: &TypedName,
    source: Option<IpAddr>,
    known: Option<&KnownBrowser>,
) -> Counters {
    let subject = name.as_str();
    match known {
        Some(browser) => Counters {
            by_source: format!("password-known:{subject}:{}", browser.id()),
            over_all: format!("password-known-all:{subject}"),
        },
        None => Counters {
            by_source: format!("password:{subject}:{}", source_network(source)),
            over_all: format!("password-all:{subject}"),
        },
    }
}

/// Counters for a second factor of an account.
#[must_use]
pub fn factor(account: &str) -> String {
    // Over all sources: the first factor is known to be right, so nobody else can lock it.
    format!("factor:{account}")
}

/// Wrong codes of an account since its last success, which no waiting clears.
#[must_use]
pub fn factor_total(account: &str) -> String {
    format!("factor-total:{account}")
}

/// The network that counts as one source: an IPv4 address, or an IPv6 /64.
#[must_use]
pub fn source_network(source: Option<IpAddr>) -> String {
    match source {
        None => "local".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.to_string(),
            None => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        },
    }
}

/// How long to wait before judging the `count`-th attempt in a row over all sources: nothing up
/// to `limit`, then a quarter of a second, doubling, at most five seconds.
#[must_use]
pub fn delay(count: i64, limit: i64) -> Duration {
    let over = count.saturating_sub(limit);
    if over <= 0 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(over - 1).unwrap_or(u32::MAX).min(5);
    Duration::from_millis(250 * (1 << doublings)).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_name_share_a_counter() {
        let source = Some("192.0.2.7".parse().unwrap());
        let of = |connector, name| password(&TypedName::new(connector, name), source, None);
        let reference = of("corp", "alice");
        for spelling in ["ALICE", " alice ", "CORP\\alice", "corp\\Alice"] {
            assert_eq!(of("corp", spelling), reference, "{spelling:?}");
        }
        assert_ne!(of("corp", "bob"), reference);
        assert_ne!(of("other", "alice"), reference);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let network = |text: &str| source_network(text.parse().ok());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
    }

    #[test]
    fn the_delay_grows_and_is_bounded() {
        assert_eq!(delay(10, 10), Duration::ZERO);
        assert_eq!(delay(11, 10), Duration::from_millis(250));
        assert_eq!(delay(12, 10), Duration::from_millis(500));
        assert_eq!(delay(1_000_000, 10), Duration::from_secs(5));
    }
}
