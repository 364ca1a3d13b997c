//! The text form of a ring, version 1. Lines; blank ones and those that begin with `#` are left
//! out; words are separated by blanks:
//!
//! ```text
//! auth-key-ring 1
//! active 3f2a91c0
//! key 3f2a91c0 2026-11-24T10:00:00Z BASE64URL-OF-32-BYTES
//! ```
//!
//! `key` lines may come in any order, at least one; `active` names one of them. Nothing else is
//! allowed, and a key that does not fit its id is refused. Errors name the line, never a key.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::key::{KEY_LEN, RingKey};
use super::{KeyId, KeyRing};
use crate::clock::Timestamp;

/// Why a text is no key ring. The text form, version 1:
///
/// ```text
/// auth-key-ring 1
/// active 3f2a91c0
/// key 3f2a91c0 2026-11-24T10:00:00Z BASE64URL-OF-32-BYTES
/// ```
///
/// Blank lines and lines that begin with `#` are left out. Any number of `key` lines (id, time of
/// making, key); exactly one `active` line, which names one of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The `active` line names a key that is not there.
    #[error("`active` names key {key_id}, but no `key` line has that id")]
    ActiveKeyMissing {
        /// The id named.
        key_id: KeyId,
    },
    /// The key does not fit its id: damaged or edited.
    #[error("line {line}: the key does not fit the id {key_id}; the line was damaged or edited")]
    DamagedKey {
        /// Line number, from 1.
        line: usize,
        /// The id that the line gives.
        key_id: KeyId,
    },
    /// A second line of something that may stand once.
    #[error("line {line}: a second line of this kind or with this id; take one of them out")]
    Duplicate {
        /// Line number, from 1.
        line: usize,
    },
    /// Nothing in it.
    #[error("the key ring is empty")]
    Empty,
    /// The line is not of the form described.
    #[error("line {line}: expected `{expected}`")]
    Malformed {
        /// Line number, from 1.
        line: usize,
        /// The form wanted.
        expected: &'static str,
    },
    /// No `active` line.
    #[error("no `active` line: add `active ID` with the id of the key that seals")]
    NoActiveKey,
    /// Written by a newer version.
    #[error("line {line}: format version {version} is newer than this program, which knows 1")]
    UnknownVersion {
        /// Line number, from 1.
        line: usize,
        /// The version found, cut at 16 characters.
        version: String,
    },
}

impl KeyRing {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`FormatError`], which names the line.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (line, first) = lines.next().ok_or(FormatError::Empty)?;
        check_version(line, first)?;
        let mut active_id = None;
        let mut keys: Vec<RingKey> = Vec::new();
        let mut seen = BTreeSet::new();
        for (line, content) in lines {
            let words: Vec<&str> = content.split_whitespace().collect();
            match words.as_slice() {
                ["active", id] => {
                    let id = KeyId::parse(id)
                        .ok_or(FormatError::Malformed { line, expected: ACTIVE_LINE })?;
                    if active_id.replace(id).is_some() {
                        return Err(FormatError::Duplicate { line });
                    }
                }
                ["active", ..] => {
                    return Err(FormatError::Malformed { line, expected: ACTIVE_LINE });
                }
                ["key", id, created, secret] => {
                    let key = parse_key(line, id, created, secret)?;
                    if !seen.insert(key.id()) {
                        return Err(FormatError::Duplicate { line });
                    }
                    keys.push(key);
                }
                _ => return Err(FormatError::Malformed { line, expected: KEY_LINE }),
            }
        }
        let key_id = active_id.ok_or(FormatError::NoActiveKey)?;
        let at = keys
            .iter()
            .position(|key| key.id() == key_id)
            .ok_or(FormatError::ActiveKeyMissing { key_id })?;
        let active = keys.remove(at);
        Ok(Self { active, others: keys })
    }

    /// Writes the text form, oldest key first.
    #[must_use]
    pub fn render(&self) -> Zeroizing<String> {
        let mut keys: Vec<&RingKey> = self.iter().collect();
        keys.sort_by_key(|key| (key.created_at(), key.id()));
        // Large enough from the start: growing would leave copies of keys in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(HEAD.len() + 64 + keys.len() * 128));
        text.push_str(HEAD);
        text.push_str(&format!("active {}\n", self.active_key_id()));
        for key in keys {
            text.push_str(&format!("key {} {} ", key.id(), key.created_at().rfc3339()));
            let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(key.secret()));
            text.push_str(&secret);
            text.push('\n');
        }
        text
    }
}

fn check_version(line: usize, first: &str) -> Result<(), FormatError> {
    let words: Vec<&str> = first.split_whitespace().collect();
    match words.as_slice() {
        ["auth-key-ring", "1"] => Ok(()),
        ["auth-key-ring", version] if version.parse::<u64>().is_ok() => {
            Err(FormatError::UnknownVersion { line, version: version.chars().take(16).collect() })
        }
        _ => Err(FormatError::Malformed { line, expected: "auth-key-ring 1" }),
    }
}

fn parse_key(line: usize, id: &str, created: &str, secret: &str) -> Result<RingKey, FormatError> {
    let malformed = || FormatError::Malformed { line, expected: KEY_LINE };
    let key_id = KeyId::parse(id).ok_or_else(malformed)?;
    let created_at = Timestamp::parse_rfc3339(created).ok_or_else(malformed)?;
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(secret).map_err(|_| malformed())?);
    let secret = <&[u8; KEY_LEN]>::try_from(bytes.as_slice()).map_err(|_| malformed())?;
    let key = RingKey::new(Zeroizing::new(*secret), created_at);
    if key.id() == key_id { Ok(key) } else { Err(FormatError::DamagedKey { line, key_id }) }
}

const HEAD: &str = "\
# Sealing keys of this installation. Whoever reads this file and the store reads every secret.
# Keep it at mode 0600 and in a backup apart from the store: without it the store cannot be opened.
auth-key-ring 1
";
const ACTIVE_LINE: &str = "active ID";
const KEY_LINE: &str = "key ID TIME KEY";
