//! How names and e-mail addresses are compared: Unicode NFC, trimmed, lower case.

use unicode_normalization::UnicodeNormalization as _;

/// The form in which user names are compared and kept unique.
#[must_use]
pub fn normalise(name: &str) -> String {
    if name.is_ascii() {
        // Composed already, and most names are: the rest takes many times as long.
        return name.trim().to_ascii_lowercase();
    }
    // Lower-casing can undo the composition, so NFC is applied last.
    name.trim().nfc().collect::<String>().to_lowercase().nfc().collect()
}

/// Why a text is no user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Empty after trimming.
    #[error("is empty: give at least one character")]
    Empty,
    /// Longer than 255 characters.
    #[error("is longer than 255 characters")]
    TooLong,
    /// Holds a control character.
    #[error("holds a control character")]
    ControlCharacter,
    /// Has the form of an account's id, so that a command could not tell the two apart.
    #[error("has the form of an account id: choose another name")]
    LooksLikeAnId,
}

/// Checks a user name of a new account.
///
/// # Errors
/// Says what is wrong with it.
pub fn validate_username(name: &str) -> Result<(), InvalidName> {
    let trimmed = name.trim();
    if trimmed.is_empty() {
        Err(InvalidName::Empty)
    } else if trimmed.chars().count() > 255 {
        Err(InvalidName::TooLong)
    } else if trimmed.chars().any(char::is_control) {
        Err(InvalidName::ControlCharacter)
    } else if trimmed.parse::<uuid::Uuid>().is_ok() {
        Err(InvalidName::LooksLikeAnId)
    } else {
        Ok(())
    }
}

/// The form in which an e-mail address is compared; `None` when it is no plain address.
///
/// One parser for the whole broker: exactly one `@`, something on both sides, no blanks, controls
/// or quoted local parts. An ambiguous address is refused, not guessed at (a second `@` once
/// let people past a peer's domain rule).
#[must_use]
pub fn email_key(address: &str) -> Option<String> {
    let normalised = normalise(address);
    let (local, domain) = normalised.split_once('@')?;
    let plain = !local.is_empty()
        && !domain.is_empty()
        && normalised.len() <= 254
        && !domain.contains('@')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && !domain.contains("..")
        && !normalised
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || "\"(),:;<>[\\]".contains(c));
    plain.then_some(normalised)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case_and_composition() {
        assert_eq!(normalise(" Alice "), "alice");
        assert_eq!(normalise("A\u{30a}ngstro\u{308}m"), normalise("ÅNGSTRÖM"));
    }

    #[test]
    fn ambiguous_addresses_are_refused() {
        let bad = [
            "",
            "a",
            "@b.c",
            "a@",
            "a@b@c.d",
            "\"a@b\"@c.d",
            "a b@c.d",
            "a@.c",
            "a@c.",
            "a@b..c",
            "a@b.c,d@e.f",
        ];
        for address in bad {
            assert_eq!(email_key(address), None, "{address:?}");
        }
        assert_eq!(email_key(" Alice@Example.ORG ").as_deref(), Some("alice@example.org"));
    }
}
