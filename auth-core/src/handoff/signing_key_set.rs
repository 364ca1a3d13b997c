//! The published signing keys: which one signs now, and when a key comes and goes.
//!
//! Relying parties cache the JWKS, so a new key is published at least a day before it signs, and
//! a replaced one stays published until nothing that it signed can still be valid.

use std::sync::Arc;
use std::time::Duration;

use openidconnect::JsonWebKeySet;
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet};

use super::signing_key::{SigningAlgorithm, SigningKey};
use crate::clock::Timestamp;

/// Shortest time between the publication of a key and its first signature.
pub const SHORTEST_LEAD: Duration = Duration::from_secs(24 * 3600);
/// How long a replaced key stays published: longer than any token lives and any JWKS is cached.
pub const OVERLAP: Duration = Duration::from_secs(48 * 3600);

/// When keys are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    every: Duration,
}

impl RotationPolicy {
    /// Each key signs for `every`, two days at least.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self { every: every.max(SHORTEST_LEAD * 2) }
    }
}

impl Default for RotationPolicy {
    /// Every 90 days.
    fn default() -> Self {
        Self::new(Duration::from_secs(90 * 24 * 3600))
    }
}

/// What is known of a key without its private part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySchedule {
    /// Its id.
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// When it was made, and published from then on.
    pub created_at: Timestamp,
    /// From when it signs.
    pub active_from: Timestamp,
}

/// A key that signs or will sign.
#[derive(Clone, Debug)]
pub struct PublishedKey {
    /// The key.
    pub key: Arc<SigningKey>,
    /// Its dates.
    pub schedule: KeySchedule,
}

/// All published keys.
#[derive(Clone, Debug, Default)]
pub struct SigningKeySet {
    keys: Vec<PublishedKey>,
}

impl SigningKeySet {
    /// The set of these keys.
    #[must_use]
    pub const fn new(keys: Vec<PublishedKey>) -> Self {
        Self { keys }
    }

    /// The published keys.
    #[must_use]
    pub fn keys(&self) -> &[PublishedKey] {
        &self.keys
    }

    /// The key that signs at `now`: the newest one whose time has come.
    #[must_use]
    pub fn signer(&self, algorithm: SigningAlgorithm, now: Timestamp) -> Option<&Arc<SigningKey>> {
        self.keys
            .iter()
            .filter(|published| published.schedule.algorithm == algorithm)
            .filter(|published| published.schedule.active_from <= now)
            .max_by(|a, b| order(&a.schedule).cmp(&order(&b.schedule)))
            .map(|published| &published.key)
    }

    /// The published key with this id.
    #[must_use]
    pub fn key(&self, kid: &str) -> Option<&Arc<SigningKey>> {
        self.keys.iter().find(|published| published.schedule.kid == kid).map(|found| &found.key)
    }

    /// The JWKS, RFC 7517 section 5.
    #[must_use]
    pub fn jwks(&self) -> CoreJsonWebKeySet {
        let keys: Vec<CoreJsonWebKey> =
            self.keys.iter().map(|published| published.key.public_jwk().clone()).collect();
        JsonWebKeySet::new(keys)
    }
}

/// Newest last. The id decides between keys of one moment, so that all nodes choose alike.
fn order(schedule: &KeySchedule) -> (Timestamp, Timestamp, &str) {
    (schedule.active_from, schedule.created_at, &schedule.kid)
}

/// Why keys are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationCause {
    /// The clock: replace what is due.
    Schedule,
    /// An administrator: replace now, as fast as relying parties allow.
    Demand,
}

/// A key to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// From when it signs.
    pub active_from: Timestamp,
}

/// What is to be done with the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotationPlan {
    /// Keys to make.
    pub create: Vec<NewKey>,
    /// Ids of keys to withdraw from the JWKS.
    pub retire: Vec<String>,
}

/// Plans what is due at `now` for the unretired `keys`.
///
/// The first key of an algorithm signs at once: nobody can have cached a JWKS without it. A key
/// that waits for its time is never joined by a second one.
#[must_use]
pub fn plan_rotation(
    keys: &[KeySchedule],
    policy: RotationPolicy,
    cause: RotationCause,
    now: Timestamp,
) -> RotationPlan {
    let mut plan = RotationPlan::default();
    for algorithm in SigningAlgorithm::ALL {
        let mut own: Vec<&KeySchedule> =
            keys.iter().filter(|key| key.algorithm == algorithm).collect();
        own.sort_by(|a, b| order(a).cmp(&order(b)));
        let Some(newest) = own.last() else {
            plan.create.push(NewKey { algorithm, active_from: now });
            continue;
        };
        let waits = newest.active_from > now;
        let due = now + SHORTEST_LEAD >= newest.active_from + policy.every;
        if !waits && (due || cause == RotationCause::Demand) {
            plan.create.push(NewKey { algorithm, active_from: now + SHORTEST_LEAD });
        }
        let replaced = own.windows(2).filter_map(|pair| match pair {
            [older, newer] if newer.active_from + OVERLAP <= now => Some(older.kid.clone()),
            _ => None,
        });
        plan.retire.extend(replaced);
    }
    plan
}

/// Whether a signing key of its algorithm is left at `now` when `kid` is withdrawn.
#[must_use]
pub fn may_retire(keys: &[KeySchedule], kid: &str, now: Timestamp) -> bool {
    keys.iter().find(|key| key.kid == kid).is_some_and(|retired| {
        keys.iter().any(|other| {
            other.kid != kid && other.algorithm == retired.algorithm && other.active_from <= now
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn key(kid: &str, algorithm: SigningAlgorithm, active_from: Timestamp) -> KeySchedule {
        KeySchedule { kid: kid.to_owned(), algorithm, created_at: active_from - DAY, active_from }
    }

    fn fresh(algorithm: SigningAlgorithm) -> KeySchedule {
        key("fresh", algorithm, NOW)
    }

    fn plan(keys: &[KeySchedule], cause: RotationCause) -> RotationPlan {
        plan_rotation(keys, RotationPolicy::new(DAY * 30), cause, NOW)
    }

    #[test]
    fn the_first_keys_sign_at_once() {
        let plan = plan(&[], RotationCause::Schedule);
        let expected =
            SigningAlgorithm::ALL.map(|algorithm| NewKey { algorithm, active_from: NOW });
        assert_eq!(plan.create, expected);
    }

    #[test]
    fn a_replacement_is_published_a_day_before_it_signs() {
        let other = fresh(SigningAlgorithm::EdDsa);
        let rs256 = |from| key("old", SigningAlgorithm::Rs256, from);
        let due = plan(&[rs256(NOW - DAY * 29), other.clone()], RotationCause::Schedule);
        let new = NewKey { algorithm: SigningAlgorithm::Rs256, active_from: NOW + DAY };
        assert_eq!(due.create, [new]);
        let early = [rs256(NOW - DAY * 28), other.clone()];
        assert_eq!(plan(&early, RotationCause::Schedule), RotationPlan::default());
        let demanded = plan(&early, RotationCause::Demand).create;
        assert_eq!(demanded.len(), 2);
        assert!(demanded.iter().all(|new| new.active_from == NOW + DAY));
    }

    #[test]
    fn a_waiting_key_is_not_joined_by_another() {
        let keys = [
            key("old", SigningAlgorithm::Rs256, NOW - DAY * 40),
            key("waits", SigningAlgorithm::Rs256, NOW + DAY),
            key("waits2", SigningAlgorithm::EdDsa, NOW + DAY),
        ];
        for cause in [RotationCause::Schedule, RotationCause::Demand] {
            assert_eq!(plan(&keys, cause), RotationPlan::default());
        }
    }

    #[test]
    fn replaced_keys_go_after_the_overlap() {
        let keys = |replaced: Timestamp| {
            [
                key("oldest", SigningAlgorithm::Rs256, NOW - DAY * 90),
                key("old", SigningAlgorithm::Rs256, NOW - DAY * 60),
                key("new", SigningAlgorithm::Rs256, replaced),
                fresh(SigningAlgorithm::EdDsa),
            ]
        };
        let recent = plan(&keys(NOW - DAY), RotationCause::Schedule);
        assert_eq!(recent.retire, ["oldest"]);
        let past = plan(&keys(NOW - OVERLAP), RotationCause::Schedule);
        assert_eq!(past.retire, ["oldest", "old"]);
    }

    #[test]
    fn the_last_signing_key_stays() {
        let keys = [
            key("a", SigningAlgorithm::Rs256, NOW - DAY),
            key("waits", SigningAlgorithm::Rs256, NOW + DAY),
            key("b", SigningAlgorithm::EdDsa, NOW - DAY),
        ];
        assert!(!may_retire(&keys, "a", NOW), "the other one does not sign yet");
        assert!(may_retire(&keys, "a", NOW + DAY));
        assert!(may_retire(&keys, "waits", NOW));
        assert!(!may_retire(&keys, "b", NOW) && !may_retire(&keys, "unknown", NOW));
    }

    #[test]
    fn the_newest_key_whose_time_has_come_signs() {
        let published = |schedule: KeySchedule| PublishedKey {
            key: Arc::new(SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()),
            schedule,
        };
        let set = SigningKeySet::new(vec![
            published(key("waits", SigningAlgorithm::EdDsa, NOW + DAY)),
            published(key("new", SigningAlgorithm::EdDsa, NOW - DAY)),
            published(key("old", SigningAlgorithm::EdDsa, NOW - DAY * 2)),
        ]);
        let signs = |at| set.signer(SigningAlgorithm::EdDsa, at).map(|key| key.kid().to_owned());
        let kid = |name| set.key(name).map(|key| key.kid().to_owned());
        assert_eq!(signs(NOW), kid("new"));
        assert_eq!(signs(NOW + DAY), kid("waits"));
        assert_eq!(signs(NOW - DAY * 3), None);
        assert!(set.signer(SigningAlgorithm::Rs256, NOW).is_none());
        assert_eq!(set.jwks().keys().len(), 3);
    }
}
