//! Scope: what a client asks for and is granted, RFC 6749 section 3.3.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Asks for an ID token and for the userinfo endpoint.
pub const OPENID: &str = "openid";
/// Asks for names and locale.
pub const PROFILE: &str = "profile";
/// Asks for the e-mail address.
pub const EMAIL: &str = "email";
/// Asks for groups and roles.
pub const GROUPS: &str = "groups";
/// Asks for a refresh token.
pub const OFFLINE_ACCESS: &str = "offline_access";

/// Lets a client of kind gitlab read who somebody is; the only scope of that kind.
pub const READ_USER: &str = "read_user";

/// The scope values that this provider gives a meaning to.
pub const SUPPORTED: [&str; 5] = [OPENID, PROFILE, EMAIL, GROUPS, OFFLINE_ACCESS];

/// A list of scope values without repetition, in the order in which they were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Scope(Vec<String>);

impl Scope {
    /// Reads a space separated list. `None` when a value holds a character that is not allowed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.chars().all(|c| c == ' ' || is_scope_character(c)).then(|| Self::of_stored(text))
    }

    /// Reads a list that was written by [`fmt::Display`].
    #[must_use]
    pub fn of_stored(text: &str) -> Self {
        let mut values: Vec<String> = Vec::new();
        for value in text.split(' ').filter(|value| !value.is_empty()) {
            if !values.iter().any(|known| known == value) {
                values.push(value.to_owned());
            }
        }
        Self(values)
    }

    /// The scope that holds this value alone.
    #[must_use]
    pub fn of_value(value: &str) -> Self {
        Self(vec![value.to_owned()])
    }

    /// Whether it holds this value.
    #[must_use]
    pub fn contains(&self, value: &str) -> bool {
        self.0.iter().any(|held| held == value)
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every value of it is held by `other` too.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|value| other.contains(value))
    }

    /// What of it is `allowed`.
    #[must_use]
    pub fn narrowed(&self, allowed: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|value| allowed(value)).cloned().collect())
    }
}

/// Whether the character may stand in a scope value: printable ASCII but blank, `"` and `\`.
#[must_use]
pub fn is_scope_character(c: char) -> bool {
    c.is_ascii_graphic() && c != '"' && c != '\\'
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl From<String> for Scope {
    fn from(text: String) -> Self {
        Self::of_stored(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_and_refuses_control_characters() {
        let scope = Scope::parse("openid  email openid").unwrap();
        assert_eq!(scope.to_string(), "openid email");
        assert!(Scope::parse("openid\nemail").is_none());
        assert!(Scope::parse("ope\"nid").is_none());
        assert!(Scope::parse("").unwrap().is_empty());
    }

    #[test]
    fn narrows() {
        let scope = Scope::parse("openid email groups").unwrap();
        let narrow = scope.narrowed(|value| value != GROUPS);
        assert!(narrow.is_within(&scope) && !scope.is_within(&narrow));
    }
}
