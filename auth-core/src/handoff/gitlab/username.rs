//! User names in Mattermost's form, so that its view and ours agree and it never invents one.
//!
//! [`candidates`] gives what an account may be called at a client, best first: its cleaned name,
//! then the same with the account's own number behind it. The store gives each account the first
//! one that no other account has at that client, and keeps it while the wanted name stays the
//! same: whoever came first keeps the plain name, and a later namesake is `name-NUMBER` for good.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Longest name, in characters (all are one byte).
const LONGEST: usize = 64;

/// Names that Mattermost refuses or gives a meaning of its own (`server/public/model/user.go` and
/// `utils.go`), and a few that people would take for something else.
const RESERVED: [&str; 24] = [
    "admin",
    "all",
    "api",
    "boards",
    "channel",
    "claim",
    "error",
    "files",
    "help",
    "here",
    "landing",
    "login",
    "matterbot",
    "mfa",
    "oauth",
    "playbooks",
    "plug",
    "plugins",
    "post",
    "saml",
    "signup",
    "system",
    "system-bot",
    "system_bot",
];

/// What an account with this user name and number may be called, best first. All are valid in
/// Mattermost; any two accounts have a candidate that the other has not.
#[must_use]
pub fn candidates(username: &str, numeric_id: i64) -> Vec<String> {
    let cleaned = clean(username);
    let base = if cleaned.is_empty() { "user" } else { cleaned.as_str() };
    let suffix = format!("-{numeric_id}");
    let mut candidates = Vec::new();
    if is_valid(&cleaned) {
        candidates.push(cleaned.clone());
    }
    // The name of another account may itself end in this number: then once, and once more.
    for times in 1..=2 {
        let tail = suffix.repeat(times);
        let kept: String = base.chars().take(LONGEST.saturating_sub(tail.len())).collect();
        candidates.push(format!("{}{tail}", kept.trim_end_matches(['-', '.'])));
    }
    candidates.retain(|name| is_valid(name));
    candidates.dedup();
    candidates
}

/// Whether Mattermost takes the name as it is.
#[must_use]
pub fn is_valid(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && !name.starts_with('-')
        && !name.ends_with(['-', '.'])
        && !RESERVED.contains(&name)
}

/// Lower case, without diacritics; every other run of characters becomes one `-`.
fn clean(username: &str) -> String {
    let mut cleaned = String::new();
    for c in username.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' | '.' | '_' => cleaned.push(c),
            'ß' => cleaned.push_str("ss"),
            'æ' => cleaned.push_str("ae"),
            'œ' => cleaned.push_str("oe"),
            'ø' => cleaned.push('o'),
            'đ' => cleaned.push('d'),
            'ł' => cleaned.push('l'),
            _ if cleaned.ends_with('-') => {}
            _ => cleaned.push('-'),
        }
    }
    let cleaned: String = cleaned.trim_start_matches('-').chars().take(LONGEST).collect();
    cleaned.trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_as_mattermost_wants_them() {
        for (name, expected) in [
            ("jane.doe", "jane.doe"),
            ("UPPER", "upper"),
            ("a b", "a-b"),
            ("a@b.c", "a-b.c"),
            ("Bob Ünder", "bob-under"),
            ("Łukasz Żak", "lukasz-zak"),
            ("Groß", "gross"),
            ("-x-", "x"),
            ("CORP\\jane", "corp-jane"),
            ("all", "all-7"),
            ("Admin", "admin-7"),
            ("ü", "u"),
            ("鈴木", "user-7"),
            ("---", "user-7"),
            ("dot.", "dot"),
        ] {
            assert_eq!(candidates(name, 7)[0], expected, "{name:?}");
        }
    }

    #[test]
    fn namesakes_get_their_own_number() {
        assert_eq!(candidates("Jane", 12), ["jane", "jane-12", "jane-12-12"]);
        let long = candidates(&"x".repeat(200), 9_007_199_254_740_991);
        assert!(long.iter().all(|name| name.len() <= 64), "{long:?}");
        assert!(long[1].ends_with("x-9007199254740991"));
    }

    proptest! {
        #[test]
        fn every_candidate_is_valid_and_there_is_always_one_of_ones_own(
            name in ".{0,80}",
            number in 1_i64..9_007_199_254_740_991,
        ) {
            let names = candidates(&name, number);
            prop_assert!(names.len() >= 2, "{names:?}");
            for candidate in &names {
                prop_assert!(is_valid(candidate), "{candidate:?}");
                // Cleaning again changes nothing: Mattermost leaves it as it is.
                prop_assert_eq!(&clean(candidate), candidate);
            }
            let own = format!("-{number}");
            prop_assert!(names.last().is_some_and(|last| last.ends_with(&own)));
        }
    }
}
