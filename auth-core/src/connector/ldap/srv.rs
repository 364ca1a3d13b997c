//! Servers of a domain by DNS: SRV records (RFC 2782), in the order in which they are asked.
//!
//! An answer of the DNS is no proof. A target counts only if it lies within the domain that the
//! settings name: a forged answer can name a host of a stranger, whose certificate is good for that
//! host, but no certificate for a name of this domain can be had by strangers.

use crate::random::Random;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Lower ones come first.
    pub(super) priority: u16,
    /// The chance of coming first among those of one priority.
    pub(super) weight: u16,
    /// Port.
    pub(super) port: u16,
    /// Host name, with or without the dot at its end.
    pub(super) host: String,
}

/// The targets within `domain` in an order by RFC 2782, as host and port, and the hosts that lie
/// elsewhere.
pub(super) fn order(
    targets: Vec<Target>,
    domain: &str,
    random: &dyn Random,
) -> (Vec<(String, u16)>, Vec<String>) {
    let (mut within, elsewhere): (Vec<Target>, Vec<Target>) = targets
        .into_iter()
        .map(|target| Target { host: plain(&target.host), ..target })
        // A single dot says that the service does not exist here.
        .filter(|target| !target.host.is_empty())
        .partition(|target| is_within(&target.host, &plain(domain)));
    within.sort_by_key(|target| (target.priority, target.weight));
    let mut ordered = Vec::new();
    while let Some(first) = within.first() {
        let equal = within.iter().take_while(|target| target.priority == first.priority).count();
        let sum: u32 = within.iter().take(equal).map(|target| u32::from(target.weight)).sum();
        let wanted = below(sum.saturating_add(1), random);
        let mut running = 0;
        let chosen = within.iter().take(equal).position(|target| {
            running += u32::from(target.weight);
            running >= wanted
        });
        let target = within.remove(chosen.unwrap_or(0));
        ordered.push((target.host, target.port));
    }
    (ordered, elsewhere.into_iter().map(|target| target.host).collect())
}

fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn is_within(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// A number below `limit`; evenly enough for the choice of a server.
fn below(limit: u32, random: &dyn Random) -> u32 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    let value = u64::from_le_bytes(bytes) % u64::from(limit.max(1));
    u32::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::random::SystemRandom;

    fn target(priority: u16, weight: u16, host: &str) -> Target {
        Target { priority, weight, port: 389, host: host.to_owned() }
    }

    fn hosts(targets: &[Target]) -> Vec<String> {
        let (ordered, _) = order(targets.to_vec(), "example.com", &SystemRandom::new());
        ordered.into_iter().map(|(host, _)| host).collect()
    }

    #[test]
    fn priorities_come_first() {
        let targets = [
            target(20, 0, "c.example.com."),
            target(10, 0, "a.example.com"),
            target(30, 65_535, "D.Example.com."),
        ];
        let expected = ["a.example.com", "c.example.com", "d.example.com"];
        assert_eq!(hosts(&targets), expected);
    }

    #[test]
    fn weights_are_chances() {
        let targets = [target(0, 90, "a.example.com"), target(0, 10, "b.example.com")];
        let mut first: HashMap<String, u32> = HashMap::new();
        for _ in 0..2000 {
            let found = hosts(&targets);
            assert_eq!(found.len(), 2);
            *first.entry(found[0].clone()).or_default() += 1;
        }
        // A tenth, and far from both none and half.
        let rare = first["b.example.com"];
        assert!((100..400).contains(&rare), "{rare}");
    }

    #[test]
    fn hosts_elsewhere_do_not_count() {
        let targets = vec![
            target(0, 0, "dc1.example.com"),
            target(0, 0, "dc1.example.com.evil.test"),
            target(0, 0, "evilexample.com"),
            target(0, 0, "."),
            target(0, 0, "example.com"),
        ];
        let (ordered, elsewhere) = order(targets, "Example.com.", &SystemRandom::new());
        let mut hosts: Vec<_> = ordered.into_iter().map(|(host, _)| host).collect();
        hosts.sort_unstable();
        assert_eq!(hosts, ["dc1.example.com", "example.com"]);
        assert_eq!(elsewhere, ["dc1.example.com.evil.test", "evilexample.com"]);
    }
}
