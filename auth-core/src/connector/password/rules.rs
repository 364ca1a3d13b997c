//! Which new passwords are accepted, after NIST SP 800-63B (revision 4) section 3.1.1: length and a block list,
//! no rules of composition, no expiry.
//!
//! Blocked are passwords of a list of the most common ones (also with a few characters put before
//! or behind), repetitions and runs, and those made of the person's own name or address.
//! Everything is compared without case, in the normal form in which passwords are hashed.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::hash::{MAX_PASSWORD_BYTES, normalised};
use crate::account::normalise;
use crate::secret::Secret;
use crate::store::AccountRecord;

/// Rules for new passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordRules {
    minimum_length: usize,
}

impl Default for PasswordRules {
    /// At least 15 characters.
    fn default() -> Self {
        Self { minimum_length: SINGLE_FACTOR_MINIMUM }
    }
}

/// Why rules cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// Shorter than 15 where nothing else than the password is asked for.
    #[error(
        "password.minimum_length: 8 to 14 is accepted only where a second factor is required for local accounts: set it to 15 or more, or require one"
    )]
    NeedsSecondFactor,
    /// Out of bounds.
    #[error(
        "password.minimum_length must be between 8 and 64 (passwords of 64 characters are always accepted)"
    )]
    OutOfBounds,
}

/// Why a new password is not accepted. The text is for the person who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakPassword {
    /// Among the most common ones, or one of them with little added.
    #[error("is one of the most common passwords, or nearly: choose several unrelated words")]
    Common,
    /// Made of the person's own name or address.
    #[error("is little more than your own name or address: choose something unrelated to you")]
    OwnName,
    /// One part again and again, or very few different characters.
    #[error("repeats itself: choose several unrelated words")]
    Repetitive,
    /// A run such as 123456 or abcdef.
    #[error("is a run of neighbouring characters: choose several unrelated words")]
    Sequence,
    /// Too long to be hashed.
    #[error("is longer than {MAX_PASSWORD_BYTES} bytes: choose a shorter one")]
    TooLong,
    /// Too short.
    #[error("is shorter than {minimum} characters: choose a longer one, such as several words")]
    TooShort {
        /// Characters wanted.
        minimum: usize,
    },
    /// Holds a character that no keyboard gives.
    #[error("holds a control character: leave it out")]
    UnusableCharacter,
}

impl PasswordRules {
    /// Rules with another minimum length, in characters. `second_factor_required` says whether
    /// every local account has to pass a second factor.
    ///
    /// # Errors
    /// Below 8 or above 64, or below 15 without a second factor.
    pub const fn new(
        minimum_length: usize,
        second_factor_required: bool,
    ) -> Result<Self, RulesError> {
        if minimum_length < ABSOLUTE_MINIMUM || minimum_length > ALWAYS_ACCEPTED {
            Err(RulesError::OutOfBounds)
        } else if minimum_length < SINGLE_FACTOR_MINIMUM && !second_factor_required {
            Err(RulesError::NeedsSecondFactor)
        } else {
            Ok(Self { minimum_length })
        }
    }

    /// Checks a new password. `own_words` are the person's names and addresses (see
    /// [`own_words`]); `second_factor_required` says whether this person has to pass a second
    /// factor: without it fewer than 15 characters are never enough.
    ///
    /// # Errors
    /// Says what is wrong and how to mend it.
    pub fn check<W: AsRef<str>>(
        &self,
        password: &Secret,
        own_words: &[W],
        second_factor_required: bool,
    ) -> Result<(), WeakPassword> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(WeakPassword::TooLong);
        }
        let text = normalised(password);
        let minimum = match second_factor_required {
            true => self.minimum_length,
            false => self.minimum_length.max(SINGLE_FACTOR_MINIMUM),
        };
        if text.chars().count() < minimum {
            return Err(WeakPassword::TooShort { minimum });
        }
        if text.chars().any(char::is_control) {
            return Err(WeakPassword::UnusableCharacter);
        }
        let folded = Zeroizing::new(text.to_lowercase());
        let characters: Zeroizing<Vec<char>> = Zeroizing::new(folded.chars().collect());
        if is_repetitive(&characters) {
            Err(WeakPassword::Repetitive)
        } else if is_sequence(&characters) {
            Err(WeakPassword::Sequence)
        } else if is_common(&folded) {
            Err(WeakPassword::Common)
        } else if is_own_name(&folded, own_words) {
            Err(WeakPassword::OwnName)
        } else {
            Ok(())
        }
    }
}

/// The names and addresses of a person, which make a poor password.
#[must_use]
pub fn own_words(account: &AccountRecord) -> Vec<String> {
    [
        Some(&account.username),
        account.email.as_ref(),
        account.first_name.as_ref(),
        account.last_name.as_ref(),
        account.nickname.as_ref(),
    ]
    .into_iter()
    .flatten()
    .cloned()
    .collect()
}

/// Fewer than four different characters, or a part of at most 7 characters (or a common password)
/// again and again.
fn is_repetitive(characters: &[char]) -> bool {
    if characters.iter().collect::<BTreeSet<_>>().len() < 4 {
        return true;
    }
    let repeats = |period: usize| {
        characters.iter().zip(characters.iter().skip(period)).all(|(one, other)| one == other)
    };
    let period = (1..=characters.len() / 2).find(|&period| repeats(period));
    period.is_some_and(|period| {
        period < WEIGHTY
            || is_listed(&Zeroizing::new(characters.iter().take(period).collect::<String>()))
    })
}

/// Every character is the next, or the one before, of the one before it; 0 follows 9.
fn is_sequence(characters: &[char]) -> bool {
    let number = |character: char| match character {
        '0' => '9' as i64 + 1,
        other => i64::from(u32::from(other)),
    };
    let steps = |by: i64| {
        characters.iter().zip(characters.iter().skip(1)).all(|(&one, &next)| {
            let ahead = number(next) - number(one);
            // From 0, which counts as ten, the run goes on with 1.
            ahead == by || (by * ahead == -9 && (one == '0' || next == '0'))
        })
    };
    steps(1) || steps(-1)
}

/// On the list, or what is left on the list after taking off fewer than 8 digits and signs.
fn is_common(folded: &str) -> bool {
    let core = folded.trim_matches(|character: char| !character.is_alphabetic());
    let added = folded.chars().count() - core.chars().count();
    is_listed(folded) || (added < WEIGHTY && is_listed(core))
}

/// Fewer than 8 characters are left when the person's own words are taken out.
fn is_own_name<W: AsRef<str>>(folded: &str, own_words: &[W]) -> bool {
    let mut words = BTreeSet::new();
    for own in own_words {
        let own = normalise(own.as_ref());
        words.extend(own.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
        words.insert(own);
    }
    words.retain(|word| word.chars().count() >= SHORTEST_WORD);
    let mut words: Vec<String> = words.into_iter().collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let mut rest = Zeroizing::new(folded.to_owned());
    for word in &words {
        rest = Zeroizing::new(rest.replace(word, ""));
    }
    rest.len() < folded.len() && rest.chars().count() < WEIGHTY
}

/// Looks `word` up in the sorted list, without building anything in memory.
fn is_listed(word: &str) -> bool {
    let list = COMMON.as_bytes();
    let (mut low, mut high) = (0, list.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let before = list.get(low..middle).unwrap_or_default();
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(low, |at| low + at + 1);
        let from_start = list.get(start..).unwrap_or_default();
        let line = from_start.split(|&byte| byte == b'\n').next().unwrap_or_default();
        match line.cmp(word.as_bytes()) {
            std::cmp::Ordering::Equal => return !line.is_empty(),
            std::cmp::Ordering::Less => low = start + line.len() + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

/// One word a line in lower case and NFKC, sorted by bytes: the 20,000 most common passwords of
/// published breaches, as shipped with Django (BSD licence), without those under 4 characters.
const COMMON: &str = include_str!("common_passwords.txt");
const ABSOLUTE_MINIMUM: usize = 8;
const SINGLE_FACTOR_MINIMUM: usize = 15;
const ALWAYS_ACCEPTED: usize = 64;
/// Characters that make a password worth something beside a blocked word.
const WEIGHTY: usize = 8;
const SHORTEST_WORD: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: &[&str] = &[];

    fn check(password: &str, second_factor: bool) -> Result<(), WeakPassword> {
        let rules = PasswordRules::new(8, true).unwrap();
        rules.check(&Secret::new(password.to_owned()), NOBODY, second_factor)
    }

    #[test]
    fn minimum_length_may_be_short_only_with_a_second_factor() {
        assert_eq!(PasswordRules::new(7, true), Err(RulesError::OutOfBounds));
        assert_eq!(PasswordRules::new(65, true), Err(RulesError::OutOfBounds));
        assert_eq!(PasswordRules::new(14, false), Err(RulesError::NeedsSecondFactor));
        assert!(PasswordRules::new(8, true).is_ok());
        assert_eq!(PasswordRules::new(15, false), Ok(PasswordRules::default()));
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(check("vT4,pq9", true), Err(WeakPassword::TooShort { minimum: 8 }));
        assert_eq!(check("vT4,pq9x", true), Ok(()));
        assert_eq!(check("vT4,pq9x", false), Err(WeakPassword::TooShort { minimum: 15 }));
        assert_eq!(check("vT4,pq9xvT4,pq", false), Err(WeakPassword::TooShort { minimum: 15 }));
        assert_eq!(check("blauer Wal gähnt", false), Ok(()));
        assert_eq!(check("ключвозерележит", false), Ok(()));
        // Seven characters in fourteen code points.
        let decomposed = "a\u{308}o\u{308}u\u{308}a\u{308}o\u{308}u\u{308}y\u{308}";
        assert_eq!(check(decomposed, true), Err(WeakPassword::TooShort { minimum: 8 }));
    }

    #[test]
    fn long_passwords_are_accepted_up_to_the_bound() {
        let words = "kelp otter violin gravel ".repeat(41);
        assert_eq!(check(&words[..64], false), Ok(()));
        assert_eq!(check(&words[..1024], false), Ok(()));
        assert_eq!(check(&words, false), Err(WeakPassword::TooLong));
    }

    #[test]
    fn no_rule_of_composition() {
        for good in [
            "kelpottervioling",
            "93 71 28 64 50 17",
            "KELPOTTERVIOLINGRAVEL",
            "🦦🪸🎻🪨🦦🪸🎻🪨x🐙🐚",
        ] {
            assert_eq!(check(good, true), Ok(()), "{good}");
        }
    }

    #[test]
    fn common_passwords_are_blocked() {
        for bad in [
            "password",
            "PassWord",
            "iloveyou",
            "password1",
            "Password!2024",
            "...sunshine77",
            "ｐａｓｓｗｏｒｄ",
            "1q2w3e4r5t6y7u8i9o0p",
            "12345678987654321",
        ] {
            assert_eq!(check(bad, true), Err(WeakPassword::Common), "{bad}");
        }
        assert_eq!(check("password 81 kelp 93", true), Ok(()));
        assert_eq!(check("password40817263", true), Ok(()));
    }

    #[test]
    fn repetitions_and_runs_are_blocked() {
        for bad in [
            "aaaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "xk7 xk7 xk7 xk7 ",
            "aaaaaaaabbbbbbbb",
            "PasswordPassword",
        ] {
            assert_eq!(check(bad, true), Err(WeakPassword::Repetitive), "{bad}");
        }
        for bad in ["34567890123456789", "bcdefghijklmnopq", "ZYXWVUTSRQPONMLK", "9876543210987654"]
        {
            assert_eq!(check(bad, true), Err(WeakPassword::Sequence), "{bad}");
        }
        assert_eq!(check("kelp violin kelp violin", true), Ok(()));
    }

    #[test]
    fn own_names_are_blocked() {
        let rules = PasswordRules::default();
        let own = ["CORP\\j.lindqvist", "Jana.Lindqvist@example.org", "Jana", "Jo"];
        let judge = |password: &str| rules.check(&Secret::new(password.to_owned()), &own, false);
        for bad in
            ["jana.lindqvist@example.org", "LindqvistJana99", "lindqvist123456", "!jana!lindqvist!"]
        {
            assert_eq!(judge(bad), Err(WeakPassword::OwnName), "{bad}");
        }
        assert_eq!(judge("jana swims to gravel"), Ok(()));
        assert_eq!(judge("join otter violins"), Ok(()));
    }

    #[test]
    fn control_characters_are_refused() {
        assert_eq!(check("kelp\0otter violin", true), Err(WeakPassword::UnusableCharacter));
        assert_eq!(check("kelp\totter violin", true), Err(WeakPassword::UnusableCharacter));
    }

    #[test]
    fn the_list_is_sorted_and_every_word_is_found() {
        let words: Vec<&str> = COMMON.lines().collect();
        assert!(words.len() > 19_000);
        for pair in words.windows(2) {
            assert!(pair[0].as_bytes() < pair[1].as_bytes(), "{pair:?}");
        }
        for word in &words {
            assert_eq!(*word, word.to_lowercase());
            assert!(is_listed(word), "{word}");
        }
        for absent in
            ["", "\n", "zzzzzzzzzzzzzzzzzzzzz", "0", "passwor", "passwordd\n", "kelpotter"]
        {
            assert!(!is_listed(absent), "{absent:?}");
        }
    }
}
