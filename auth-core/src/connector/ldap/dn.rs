//! Distinguished names: RFC 4514 escaping, comparison keys, and the value of the first RDN.

use std::fmt::Write as _;

use crate::secret::sha256;

/// Stands for a DN (or a member's name) in a large map: 128 bits of its SHA-256.
pub(super) type Fingerprint = [u8; 16];

/// Escapes a value for use in an RDN (RFC 4514 section 2.4).
pub(super) fn escape_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (position, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => {
                out.push('\\');
                out.push(c);
            }
            '#' if position == 0 => out.push_str("\\#"),
            ' ' if position == 0 || position == last => out.push_str("\\ "),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A form in which two spellings of one DN are equal: unescaped and escaped anew, without blanks
/// around separators, in lower case. Good for remembering what was visited, not for sending.
pub(super) fn key(dn: &str) -> String {
    let relative: Vec<String> = split(dn, ',').into_iter().map(relative_key).collect();
    relative.join(",")
}

/// The fingerprint of [`key`]. Two spellings of one DN have one fingerprint.
pub(super) fn fingerprint(dn: &str) -> Fingerprint {
    if is_simple(dn) {
        // Nearly every DN of a large directory: its key is itself in lower case.
        return fingerprint_of(dn.to_ascii_lowercase().as_bytes());
    }
    fingerprint_of(key(dn).as_bytes())
}

/// The fingerprint of any bytes.
pub(super) fn fingerprint_of(bytes: &[u8]) -> Fingerprint {
    let digest = sha256(bytes);
    std::array::from_fn(|index| digest.get(index).copied().unwrap_or_default())
}

/// Whether [`key`] would change nothing but the case.
fn is_simple(dn: &str) -> bool {
    let (mut before, mut in_value) = (b',', false);
    for byte in dn.bytes() {
        let plain = match byte {
            b',' => std::mem::replace(&mut in_value, false) && before != b' ',
            b'=' => !std::mem::replace(&mut in_value, true) && before != b' ',
            b' ' => !matches!(before, b',' | b'='),
            b'#' => before != b'=',
            b'\\' | b'"' | b'+' | b'<' | b'>' | b';' => false,
            byte => byte.is_ascii() && !byte.is_ascii_control(),
        };
        if !plain {
            return false;
        }
        before = byte;
    }
    in_value && before != b' '
}

/// Whether `dn` is `base` or below it. Everything is below the empty base.
pub(super) fn is_within(dn: &str, base: &str) -> bool {
    let (dn, base) = (key(dn), key(base));
    base.is_empty() || dn == base || dn.ends_with(&format!(",{base}"))
}

/// The longest of `contexts` that `base` lies in; `base` itself when there is none.
pub(super) fn longest_suffix<'a>(contexts: &[&'a str], base: &'a str) -> &'a str {
    contexts
        .iter()
        .filter(|context| !base.is_empty() && is_within(base, context))
        .max_by_key(|context| context.len())
        .unwrap_or(&base)
}

/// The unescaped value of the first attribute of the first RDN, e.g. `staff` of
/// `cn=staff,ou=groups,…`. `None` for a malformed DN or a value in `#hex` form.
pub(super) fn first_value(dn: &str) -> Option<String> {
    let relative = *split(dn, ',').first()?;
    let pair = *split(relative, '+').first()?;
    let (_, value) = pair.split_once('=')?;
    unescape(trimmed(value))
}

fn relative_key(relative: &str) -> String {
    let pairs: Vec<String> = split(relative, '+').into_iter().map(pair_key).collect();
    pairs.join("+")
}

fn pair_key(pair: &str) -> String {
    match pair.split_once('=') {
        Some((attribute, value)) => {
            let value = trimmed(value);
            let value = unescape(value).map_or_else(|| value.to_owned(), |v| escape_value(&v));
            format!("{}={value}", attribute.trim()).to_lowercase()
        }
        None => pair.trim().to_lowercase(),
    }
}

/// Splits at separators that are not escaped.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (position, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == separator {
            parts.extend(text.get(start..position));
            start = position + c.len_utf8();
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// Without the blanks around it, but with an escaped one at the end.
fn trimmed(value: &str) -> &str {
    let value = value.trim_start_matches(' ');
    let cut = value.trim_end_matches(' ');
    let backslashes = cut.chars().rev().take_while(|&c| c == '\\').count();
    let keep =
        if backslashes % 2 == 1 && cut.len() < value.len() { cut.len() + 1 } else { cut.len() };
    value.get(..keep).unwrap_or(cut)
}

fn unescape(value: &str) -> Option<String> {
    if value.starts_with('#') {
        return None;
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let hex = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        if let Some(code) = hex
            .filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok())
        {
            out.push(code);
            rest = rest.get(2..)?;
        } else {
            let (&literal, tail) = rest.split_first()?;
            out.push(literal);
            rest = tail;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn specials_of_rfc_4514_are_escaped() {
        assert_eq!(escape_value("Weiss, Zoe"), "Weiss\\, Zoe");
        assert_eq!(escape_value(" #x "), "\\ #x\\ ");
        assert_eq!(escape_value("#x"), "\\#x");
        assert_eq!(escape_value("a+b=c;d<e>f\"g\\h\0"), "a\\+b\\=c\\;d\\<e\\>f\\\"g\\\\h\\00");
    }

    #[test]
    fn two_spellings_have_one_key() {
        let same = ["cn=Weiss\\2C Zoe,ou=People,dc=x", "CN = Weiss\\, Zoe , OU=people,DC=X"];
        assert_eq!(key(same[0]), key(same[1]));
        assert_ne!(key("cn=a,dc=x"), key("cn=a\\,dc=x"));
    }

    #[test]
    fn one_name_has_one_fingerprint() {
        let names = ["cn=Weiss\\2C Zoe,ou=People,dc=x", "CN = Weiss\\, Zoe , OU=people,DC=X"];
        assert_eq!(fingerprint(names[0]), fingerprint(names[1]));
        assert_eq!(fingerprint("UID=Alice,DC=x"), fingerprint("uid=alice, dc=X"));
        assert_ne!(fingerprint("uid=a,dc=x"), fingerprint("uid=b,dc=x"));
        assert_ne!(fingerprint("uid=a b,dc=x"), fingerprint("uid=ab,dc=x"));
    }

    #[test]
    fn containment_is_by_whole_names() {
        assert!(is_within("cn=a,ou=g,dc=x", "OU=g, dc=x"));
        assert!(is_within("ou=g,dc=x", "ou=g,dc=x"));
        assert!(is_within("cn=a", ""));
        assert!(!is_within("cn=a,ou=gg,dc=x", "ou=g,dc=x"));
        assert!(!is_within("cn=a\\,ou=g,dc=y", "ou=g,dc=y"));
    }

    #[test]
    fn first_values() {
        assert_eq!(first_value("cn=staff,dc=x").as_deref(), Some("staff"));
        assert_eq!(first_value("cn=a\\2cb+sn=c,dc=x").as_deref(), Some("a,b"));
        assert_eq!(first_value("cn=#0401,dc=x"), None);
        assert_eq!(first_value("nonsense"), None);
        assert_eq!(first_value(""), None);
    }

    proptest! {
        #[test]
        fn any_value_comes_back_unchanged(value in ".+", nasty in "[ #,+\"\\\\<>;=\0a]{1,12}") {
            for text in [value, nasty] {
                let dn = format!("cn={},dc=example", escape_value(&text));
                prop_assert_eq!(first_value(&dn), Some(text.clone()));
                prop_assert_eq!(split(&dn, ',').len(), 2);
                prop_assert!(is_within(&dn, "dc=example"));
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (key(&text), first_value(&text), is_within(&text, &text));
        }

        #[test]
        fn the_short_way_is_the_long_way(
            any in "[a-cA-C =,+\\\\#\"0-9ä;<]{0,16}",
            usual in "[a-cA-C]{1,3}=[a-cA-C 0-9.#]{0,6}(,[a-c]{1,3}=[a-cA-C 0-9.#]{0,6}){0,2}",
        ) {
            for text in [any, usual] {
                prop_assert_eq!(fingerprint(&text), fingerprint_of(key(&text).as_bytes()), "{}", text);
            }
        }
    }
}
