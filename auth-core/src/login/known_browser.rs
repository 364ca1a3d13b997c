//! Browsers from which a person signed in before: their attempts have counters of their own, so
//! that nobody else's guessing slows the person or locks them out.
//!
//! The browser keeps a cookie with an entry for each of the last names that signed in there. An
//! entry is a random number and a keyed hash over it and the name; it says nothing to whoever
//! reads it, is good for no other name, and stands for no factor. (OWASP: *Slow Down Online
//! Guessing Attacks with Device Cookies*.)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::account::normalise;
use crate::key_ring::HashKey;
use crate::random::Random;
use crate::secret::{hex, sha256};

/// The name that somebody types at a connector, as the counters know it: `alice`, `ALICE` and
/// `CORP\alice` are one. Hashed, so that whatever a stranger types gives a key of one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypedName(String);

impl TypedName {
    /// The name typed at a connector.
    #[must_use]
    pub fn new(connector: &str, name: &str) -> Self {
        let plain = name.rsplit_once('\\').map_or(name, |(_, user)| user);
        Self(format!("{connector}:{}", hex(&sha256(normalise(plain).as_bytes()))))
    }

    /// As part of a counter's key.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Proof that somebody once signed in with this name on this browser.
///
/// ```compile_fail
/// let forged = auth_core::login::KnownBrowser { id: String::new() };
/// ```
#[derive(Debug)]
pub struct KnownBrowser {
    id: String,
}

impl KnownBrowser {
    /// Finds the entry of `name` in a browser's cookie. `None` where there is none that we made.
    pub(crate) fn recognise(key: &HashKey, cookie: &str, name: &TypedName) -> Option<Self> {
        entries(cookie)
            .find(|entry| entry.is_of(key, name))
            .map(|entry| Self { id: hex(&sha256(&entry.nonce)) })
    }

    /// As part of a counter's key.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// The cookie of a browser on which `name` signed in just now: the entry that it had, or a new
/// one, before those of other names. The oldest goes when there are too many.
pub(crate) fn remember(
    key: &HashKey,
    cookie: Option<&str>,
    name: &TypedName,
    random: &dyn Random,
) -> String {
    let (own, others): (Vec<_>, Vec<_>) =
        cookie.into_iter().flat_map(entries).partition(|entry| entry.is_of(key, name));
    let first = own.into_iter().next().unwrap_or_else(|| Entry::new(key, name, random));
    let kept = std::iter::once(first).chain(others).take(NAMES);
    kept.map(|entry| entry.encode()).collect::<Vec<_>>().join(SEPARATOR)
}

/// How many names one browser is known by.
const NAMES: usize = 4;
const SEPARATOR: &str = ".";
const NONCE: usize = 16;
const PROOF: usize = 32;

struct Entry {
    nonce: [u8; NONCE],
    proof: [u8; PROOF],
}

impl Entry {
    fn new(key: &HashKey, name: &TypedName, random: &dyn Random) -> Self {
        let mut nonce = [0u8; NONCE];
        random.fill(&mut nonce);
        Self { nonce, proof: proof(key, &nonce, name) }
    }

    fn is_of(&self, key: &HashKey, name: &TypedName) -> bool {
        self.proof.ct_eq(&proof(key, &self.nonce, name)).into()
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode([self.nonce.as_slice(), &self.proof].concat())
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, proof) = bytes.split_at_checked(NONCE)?;
        Some(Self { nonce: nonce.try_into().ok()?, proof: proof.try_into().ok()? })
    }
}

/// What reads as entries; a browser may say anything.
fn entries(cookie: &str) -> impl Iterator<Item = Entry> {
    cookie.split(SEPARATOR).take(NAMES).filter_map(Entry::decode)
}

fn proof(key: &HashKey, nonce: &[u8; NONCE], name: &TypedName) -> [u8; PROOF] {
    key.hash("known browser", &[nonce, name.as_str().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn key() -> HashKey {
        HashKey::generate(&SystemRandom::new())
    }

    #[test]
    fn a_browser_is_known_for_the_name_that_signed_in_there_and_for_no_other() {
        let (key, random) = (key(), SystemRandom::new());
        let alice = TypedName::new("corp", "alice");
        let cookie = remember(&key, None, &alice, &random);
        for spelling in ["ALICE", " alice ", "CORP\\alice"] {
            let typed = TypedName::new("corp", spelling);
            assert!(KnownBrowser::recognise(&key, &cookie, &typed).is_some(), "{spelling:?}");
        }
        for (connector, name) in [("corp", "bob"), ("local", "alice"), ("corp", "")] {
            let typed = TypedName::new(connector, name);
            assert!(KnownBrowser::recognise(&key, &cookie, &typed).is_none(), "{name:?}");
        }
        let foreign = self::key();
        assert!(KnownBrowser::recognise(&foreign, &cookie, &alice).is_none());
    }

    #[test]
    fn a_changed_entry_is_none_of_ours() {
        let (key, random) = (key(), SystemRandom::new());
        let alice = TypedName::new("corp", "alice");
        let cookie = remember(&key, None, &alice, &random);
        let bytes = URL_SAFE_NO_PAD.decode(&cookie).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert!(KnownBrowser::recognise(&key, &changed, &alice).is_none(), "byte {at}");
        }
        for junk in ["", ".", "....", "x", &"A".repeat(64), &"A.".repeat(10_000)] {
            assert!(KnownBrowser::recognise(&key, junk, &alice).is_none(), "{junk:.20}");
        }
    }

    #[test]
    fn the_last_names_of_a_browser_are_kept_and_an_entry_stays_the_same() {
        let (key, random) = (key(), SystemRandom::new());
        let names: Vec<_> =
            ["a", "b", "c", "d", "e"].map(|name| TypedName::new("local", name)).into();
        let mut cookie = None;
        for name in &names {
            cookie = Some(remember(&key, cookie.as_deref(), name, &random));
        }
        let cookie = cookie.unwrap();
        let known = |cookie: &str| -> Vec<Option<String>> {
            names
                .iter()
                .map(|name| KnownBrowser::recognise(&key, cookie, name).map(|it| it.id))
                .collect()
        };
        let before = known(&cookie);
        assert_eq!(
            before.iter().map(Option::is_some).collect::<Vec<_>>(),
            [false, true, true, true, true]
        );
        let again = remember(&key, Some(&cookie), &names[2], &random);
        assert_eq!(known(&again), before);
        assert_eq!(again.len(), cookie.len());
    }
}
