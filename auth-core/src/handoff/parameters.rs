//! The parameters of an OAuth request, as name and value after form decoding.
//!
//! RFC 6749 section 3.1 and 3.2: a parameter without a value counts as left out, an unknown one is
//! ignored, and none may be sent twice. Two readers of one request must never see different
//! values, so a repeated parameter has none here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The parameters of one request.
pub struct Parameters<'a> {
    values: BTreeMap<&'a str, &'a str>,
    repeated: BTreeSet<&'a str>,
}

impl<'a> Parameters<'a> {
    /// Takes the pairs of a query or form body.
    #[must_use]
    pub fn new(pairs: &'a [(String, String)]) -> Self {
        let mut seen = BTreeSet::new();
        let mut values = BTreeMap::new();
        let mut repeated = BTreeSet::new();
        for (name, value) in pairs {
            if !seen.insert(name.as_str()) {
                repeated.insert(name.as_str());
                values.remove(name.as_str());
            } else if !value.is_empty() {
                values.insert(name.as_str(), value.as_str());
            }
        }
        Self { values, repeated }
    }

    /// The value of a parameter that was sent once and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.values.get(name).copied()
    }

    /// Whether this parameter was sent more than once.
    #[must_use]
    pub fn is_repeated(&self, name: &str) -> bool {
        self.repeated.contains(name)
    }

    /// A parameter that was sent more than once, if any was.
    #[must_use]
    pub fn any_repeated(&self) -> Option<&'a str> {
        self.repeated.first().copied()
    }
}

impl fmt::Debug for Parameters<'_> {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_left_out_and_twice_is_none() {
        let pairs: Vec<(String, String)> =
            [("a", "1"), ("b", ""), ("c", "1"), ("c", "2"), ("d", "1"), ("d", ""), ("c", "3")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
        let parameters = Parameters::new(&pairs);
        assert_eq!(parameters.get("a"), Some("1"));
        for name in ["b", "c", "d", "e"] {
            assert_eq!(parameters.get(name), None, "{name}");
        }
        assert_eq!(parameters.any_repeated(), Some("c"));
        assert!(parameters.is_repeated("d") && !parameters.is_repeated("a"));
        assert!(!format!("{parameters:?}").contains('1'));
    }
}
