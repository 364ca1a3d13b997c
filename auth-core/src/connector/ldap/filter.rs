//! Search filters: RFC 4515 escaping, and building filters from attribute names and values.
//!
//! Every function that takes a value escapes it; there is none that takes a ready assertion from
//! outside. Filters that an administrator configured are checked once, by [`is_valid`].

use std::fmt::Write as _;

/// `LDAP_MATCHING_RULE_IN_CHAIN` of Active Directory: follows `member` through nested groups.
pub(super) const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

/// Escapes an assertion value (RFC 4515 section 3).
pub(super) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '*' | '(' | ')' | '\\') || c.is_ascii_control() {
            let _ = write!(out, "\\{:02x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// An assertion value of any bytes, each escaped.
pub(super) fn escape_bytes(value: &[u8]) -> String {
    value.iter().fold(String::with_capacity(value.len() * 3), |mut out, byte| {
        let _ = write!(out, "\\{byte:02x}");
        out
    })
}

/// `(attribute=value)`.
pub(super) fn equals(attribute: &str, value: &str) -> String {
    format!("({attribute}={})", escape(value))
}

/// `(attribute=*)`: has any value.
pub(super) fn present(attribute: &str) -> String {
    format!("({attribute}=*)")
}

/// `(attribute:RULE:=value)`, an extensible match.
pub(super) fn matches_rule(attribute: &str, rule: &str, value: &str) -> String {
    format!("({attribute}:{rule}:={})", escape(value))
}

/// All of `filters`; each must be a filter already.
pub(super) fn all_of<S: AsRef<str>>(filters: &[S]) -> String {
    join('&', filters)
}

/// Any of `filters`; each must be a filter already.
pub(super) fn any_of<S: AsRef<str>>(filters: &[S]) -> String {
    join('|', filters)
}

/// None of what `filter` finds; it must be a filter already.
pub(super) fn none_of(filter: &str) -> String {
    format!("(!{})", parenthesised(filter))
}

/// Whether an administrator's filter can be read.
pub(super) fn is_valid(filter: &str) -> bool {
    ldap3::parse_filter(parenthesised(filter)).is_ok()
}

/// Whether `name` is an attribute description without anything a filter would take as syntax
/// (RFC 4512 section 2.5).
pub(super) fn is_attribute(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.;".contains(c))
}

fn join<S: AsRef<str>>(operator: char, filters: &[S]) -> String {
    match filters {
        [one] => parenthesised(one.as_ref()),
        many => {
            let inner: String = many.iter().map(|f| parenthesised(f.as_ref())).collect();
            format!("({operator}{inner})")
        }
    }
}

/// `objectClass=person` is accepted as `(objectClass=person)`, as most directory tools do.
fn parenthesised(filter: &str) -> String {
    let filter = filter.trim();
    if filter.starts_with('(') { filter.to_owned() } else { format!("({filter})") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn specials_of_rfc_4515_are_escaped() {
        assert_eq!(escape("*"), "\\2a");
        assert_eq!(escape("(cn=*)\\\0"), "\\28cn=\\2a\\29\\5c\\00");
        assert_eq!(escape("Lučić"), "Lučić");
        assert_eq!(escape_bytes(&[0x00, 0x41, 0xff]), "\\00\\41\\ff");
    }

    #[test]
    fn what_is_typed_stays_one_value() {
        let typed = "x)(|(uid=*";
        assert_eq!(equals("uid", typed), "(uid=x\\29\\28|\\28uid=\\2a)");
    }

    #[test]
    fn filters_of_administrators_are_checked() {
        for good in ["(objectClass=person)", "objectClass=person", "(&(a=b)(!(c=d)))"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "(", "(a=b", "(a=b))", "(&(a=b)", "a=b)(c=d"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn attribute_names_carry_no_syntax() {
        for good in ["uid", "cn;lang-de", "1.2.840.113556.1.4.1", "msDS-User-Account"] {
            assert!(is_attribute(good), "{good}");
        }
        for bad in ["", "a=b", "a)", "a b", "(a", "ä", "-a"] {
            assert!(!is_attribute(bad), "{bad}");
        }
    }

    /// What RFC 4515 section 3 makes of an assertion value.
    fn unescape(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => {
                    let digits = [bytes.next()?, bytes.next()?];
                    out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                }
                b'*' | b'(' | b')' | 0 => return None,
                other => out.push(other),
            }
        }
        Some(out)
    }

    proptest! {
        #[test]
        fn any_text_comes_back_unchanged(value in ".*", nasty in "[*()\\\\\0\u{1}a]{0,12}") {
            for text in [value, nasty] {
                prop_assert_eq!(unescape(&escape(&text)), Some(text.as_bytes().to_vec()));
                prop_assert_eq!(unescape(&escape_bytes(text.as_bytes())), Some(text.as_bytes().to_vec()));
                prop_assert!(is_valid(&equals("uid", &text)));
            }
        }

        /// Seen by the parser that encodes the request: one equality match, nothing else.
        #[test]
        fn any_text_is_one_equality_match(value in "[*()\\\\\0|&!=a-c]{0,16}") {
            let parsed = format!("{:?}", ldap3::parse_filter(equals("uid", &value)));
            let plain = format!("{:?}", ldap3::parse_filter(equals("uid", "x")));
            let shape = |text: &str| text.split("inner: [").map(|part| {
                part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',' || c == ' ').to_owned()
            }).collect::<Vec<_>>();
            prop_assert_eq!(shape(&parsed), shape(&plain));
        }
    }
}
