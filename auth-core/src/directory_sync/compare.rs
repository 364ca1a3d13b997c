//! Who changed: people as they stream past, against what was last seen of them.
//!
//! One entry of 33 bytes for every known person, sorted; a bit says who streamed past. So a
//! million people fit into little memory, and only those who changed go on.

use std::collections::{HashMap, HashSet};

use super::digest::key;
use crate::hash_buckets::HashBuckets;
use crate::store::{SyncDigest, SyncTrace};

/// Stands for a subject, a name or a DN: the first half of its SHA-256.
pub(super) type Key = [u8; 16];

/// What comparing a person showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// As last seen.
    Unchanged,
    /// Known, and different.
    Changed,
    /// Nobody with this subject has an account, as far as was loaded.
    New,
}

/// What was last seen of everybody, and who streamed past.
#[derive(Debug, Default)]
pub(super) struct Traces {
    known: Vec<Trace>,
    /// Made when all are loaded and sorted.
    places: Option<HashBuckets>,
    /// Position in the stream of those who go on, so that a second one of the same subject
    /// replaces the first.
    passed: HashMap<Key, u32>,
}

/// Entries that could not be mapped.
#[derive(Debug, Default)]
pub(super) struct Unmappable {
    /// DNs in lower case.
    dns: HashSet<Key>,
}

#[derive(Debug)]
struct Trace {
    subject: Key,
    digest: SyncDigest,
    flags: u8,
}

const HAS_DIGEST: u8 = 1;
const SHUT_OUT: u8 = 2;
const SEEN: u8 = 4;

impl Traces {
    /// Adds what was last seen of some people.
    pub(super) fn load(&mut self, page: &[SyncTrace]) {
        self.places = None;
        self.known.extend(page.iter().map(|trace| Trace {
            subject: key(&trace.subject),
            digest: trace.digest.unwrap_or_default(),
            flags: if trace.digest.is_some() { HAS_DIGEST } else { 0 }
                | if trace.shut_out { SHUT_OUT } else { 0 },
        }));
    }

    /// Compares a person who streams past.
    pub(super) fn compare(&mut self, subject: &str, digest: &SyncDigest) -> Comparison {
        let subject = key(subject);
        match self.find(&subject) {
            None => Comparison::New,
            Some(trace) => {
                trace.flags |= SEEN;
                if trace.flags & HAS_DIGEST != 0 && trace.digest == *digest {
                    Comparison::Unchanged
                } else {
                    Comparison::Changed
                }
            }
        }
    }

    /// Notes that the person goes on as number `index`; gives the number of an earlier entry of
    /// the same subject, which does not count any more.
    pub(super) fn pass(&mut self, subject: &str, index: u32) -> Option<u32> {
        self.passed.insert(key(subject), index)
    }

    /// Whether the person streamed past.
    pub(super) fn was_seen(&mut self, subject: &str) -> bool {
        let subject = key(subject);
        self.passed.contains_key(&subject)
            || self.find(&subject).is_some_and(|trace| trace.flags & SEEN != 0)
    }

    /// How many known people did not stream past and may still come in.
    pub(super) fn unseen(&self) -> usize {
        self.known.iter().filter(|trace| trace.flags & (SEEN | SHUT_OUT) == 0).count()
    }

    fn find(&mut self, subject: &Key) -> Option<&mut Trace> {
        let places = self.places.get_or_insert_with(|| {
            self.known.sort_unstable_by_key(|trace| trace.subject);
            HashBuckets::of(self.known.iter().map(|trace| &trace.subject))
        });
        let near = self.known.get_mut(places.around(subject))?;
        near.iter_mut().find(|trace| trace.subject == *subject)
    }
}

impl Unmappable {
    /// Notes an entry that could not be mapped.
    pub(super) fn note(&mut self, dn: &str) {
        self.dns.insert(key(&dn.to_lowercase()));
    }

    /// Whether an entry that could not be mapped may be this person's: it has the DN that was last
    /// seen, or no DN is known.
    pub(super) fn may_be(&self, dn: Option<&str>) -> bool {
        !self.dns.is_empty() && dn.is_none_or(|dn| self.dns.contains(&key(&dn.to_lowercase())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(subject: &str, digest: Option<u8>) -> SyncTrace {
        SyncTrace {
            subject: subject.to_owned(),
            digest: digest.map(|byte| [byte; 16]),
            shut_out: false,
        }
    }

    #[test]
    fn who_has_the_same_digest_is_unchanged() {
        let mut traces = Traces::default();
        traces.load(&[trace("b", Some(1)), trace("a", None)]);
        traces.load(&[trace("c", Some(0))]);
        assert_eq!(traces.compare("b", &[1; 16]), Comparison::Unchanged);
        assert_eq!(traces.compare("b", &[2; 16]), Comparison::Changed);
        assert_eq!(traces.compare("a", &[0; 16]), Comparison::Changed, "never wholly applied");
        assert_eq!(traces.compare("c", &[0; 16]), Comparison::Unchanged);
        assert_eq!(traces.compare("d", &[0; 16]), Comparison::New);
        assert_eq!(traces.compare("B", &[1; 16]), Comparison::New, "ids compare exactly");
    }

    #[test]
    fn who_did_not_stream_past_was_not_seen() {
        let mut traces = Traces::default();
        traces.load(&[trace("a", Some(1)), trace("b", Some(1))]);
        traces.compare("a", &[1; 16]);
        assert_eq!(traces.pass("n", 7), None);
        assert_eq!(traces.pass("n", 9), Some(7), "the later entry counts");
        assert_eq!(traces.unseen(), 1);
        assert!(traces.was_seen("a") && traces.was_seen("n") && !traces.was_seen("b"));
    }

    #[test]
    fn an_unmappable_entry_is_whoever_had_its_dn() {
        let mut unmappable = Unmappable::default();
        assert!(!unmappable.may_be(None));
        unmappable.note("uid=A,dc=x");
        assert!(unmappable.may_be(Some("UID=a,DC=x")));
        assert!(!unmappable.may_be(Some("uid=b,dc=x")));
        assert!(unmappable.may_be(None), "a DN that was never seen may be any");
    }
}
