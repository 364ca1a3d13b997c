//! Recovery codes: ten codes of 80 random bits, shown once, each good for one login.
//!
//! 80 bits cannot be guessed, so a keyed hash is enough (NIST SP 800-63B asks for 64 bits): it is
//! found in the store by equality, and a copy of the store without the hash key says nothing.
//! The hash covers the account, so equal codes of two accounts would not show.
//!
//! A code is 16 symbols of Crockford's base32, shown as `xxxx-xxxx-xxxx-xxxx`. What people type
//! is forgiven case, blanks, hyphens, and O for 0, I or L for 1.

use std::fmt;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::base32::{CROCKFORD, decode, encode};
use crate::key_ring::HashKey;
use crate::random::Random;

/// How many codes a person is given.
pub const CODES: usize = 10;

/// One recovery code. Only its hash is stored.
pub struct RecoveryCode(Zeroizing<[u8; LEN]>);

impl RecoveryCode {
    /// Draws a fresh set of [`CODES`] different codes.
    #[must_use]
    pub fn generate_set(random: &dyn Random) -> Vec<Self> {
        let mut codes: Vec<Self> = Vec::with_capacity(CODES);
        while codes.len() < CODES {
            let mut bytes = Zeroizing::new([0u8; LEN]);
            random.fill(bytes.as_mut());
            if codes.iter().all(|code| *code.0 != *bytes) {
                codes.push(Self(bytes));
            }
        }
        codes
    }

    /// Reads what somebody typed. `None` when it cannot be a recovery code: then it may be a
    /// one-time password, which has other length.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        if typed.len() > LONGEST_TYPED {
            return None;
        }
        let mut symbols = Zeroizing::new(Vec::with_capacity(typed.len()));
        for character in typed.chars().filter(|c| !c.is_whitespace() && !is_hyphen(*c)) {
            symbols.push(match character.to_ascii_lowercase() {
                'o' => b'0',
                'i' | 'l' => b'1',
                other => u8::try_from(other).ok()?,
            });
        }
        if symbols.len() != SYMBOLS {
            return None;
        }
        let bytes = decode(&symbols, CROCKFORD)?;
        <&[u8; LEN]>::try_from(bytes.as_slice()).ok().map(|bytes| Self(Zeroizing::new(*bytes)))
    }

    /// The code as its owner is shown it, once: `xxxx-xxxx-xxxx-xxxx`.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let symbols = encode(self.0.as_ref(), CROCKFORD);
        let mut shown = Zeroizing::new(String::with_capacity(SYMBOLS + SYMBOLS / 4));
        for (index, symbol) in symbols.chars().enumerate() {
            if index > 0 && index % 4 == 0 {
                shown.push('-');
            }
            shown.push(symbol);
        }
        shown
    }

    /// What the store keeps for this code of `account`.
    #[must_use]
    pub fn hash(&self, key: &HashKey, account: Uuid) -> [u8; 32] {
        key.hash("recovery_code", &[account.as_bytes(), self.0.as_ref()])
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode")
    }
}

/// Word processors put other dashes in place of the hyphen.
const fn is_hyphen(character: char) -> bool {
    matches!(character, '-' | '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

const LEN: usize = 10;
const SYMBOLS: usize = 16;
const LONGEST_TYPED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    struct Fixed(u8);

    impl Random for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn code() -> RecoveryCode {
        RecoveryCode(Zeroizing::new([0, 68, 50, 20, 199, 66, 84, 182, 53, 207]))
    }

    #[test]
    fn ten_different_codes_of_the_shown_form() {
        let codes = RecoveryCode::generate_set(&SystemRandom::new());
        let shown: std::collections::BTreeSet<String> =
            codes.iter().map(|code| code.expose().to_string()).collect();
        assert_eq!(shown.len(), 10);
        for text in shown {
            assert_eq!(text.len(), 19);
            assert!(text.split('-').all(|group| group.len() == 4), "{text}");
            assert!(!text.contains(['i', 'l', 'o', 'u']), "{text}");
        }
    }

    #[test]
    fn every_bit_of_the_code_is_random() {
        // A code of all ones shows 16 times the last symbol: 80 bits, none of them fixed.
        let code = RecoveryCode({
            let mut bytes = Zeroizing::new([0u8; LEN]);
            Fixed(0xff).fill(bytes.as_mut());
            bytes
        });
        assert_eq!(*code.expose(), "zzzz-zzzz-zzzz-zzzz");
    }

    #[test]
    fn what_people_type_is_understood() {
        assert_eq!(*code().expose(), "0123-4567-89ab-cdef");
        let typed = [
            "0123-4567-89ab-cdef",
            "0123456789ABCDEF",
            " o123 4567 89AB cdef\n",
            "Ol23—4567–89ab‑cdef",
            "OI23-4567-89ab-cdef",
            "0 1 2 3 4 5 6 7 8 9 a b c d e f",
        ];
        for text in typed {
            let parsed = RecoveryCode::parse(text).unwrap();
            assert_eq!(*parsed.expose(), *code().expose(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let long = "0".repeat(200);
        for text in [
            "",
            "123456",
            "12345678",
            "0123-4567-89ab-cde",
            "0123-4567-89ab-cdef0",
            "u123456789abcdef",
            "0123-4567-89ab-cdé",
            "0123_4567_89ab_cdef",
            &long,
        ] {
            assert!(RecoveryCode::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn hashes_depend_on_key_account_and_code() {
        let key = HashKey::generate(&SystemRandom::new());
        let other_key = HashKey::generate(&SystemRandom::new());
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let hash = code().hash(&key, one);
        assert_eq!(RecoveryCode::parse("0123 4567 89AB CDEF").unwrap().hash(&key, one), hash);
        assert_ne!(code().hash(&key, two), hash);
        assert_ne!(code().hash(&other_key, one), hash);
        assert_ne!(RecoveryCode::parse("0123 4567 89AB CDEG").unwrap().hash(&key, one), hash);
    }

    #[test]
    fn debug_shows_no_code() {
        assert_eq!(format!("{:?}", code()), "RecoveryCode");
    }
}
