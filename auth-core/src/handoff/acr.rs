//! Authentication context classes: how strongly somebody proved who they are, in an order.

use serde::{Deserialize, Serialize};

/// An authentication context class; a greater one satisfies a demand for a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AuthenticationContext {
    /// One factor.
    #[serde(rename = "urn:auth:aal1")]
    Aal1,
    /// Two factors.
    #[serde(rename = "urn:auth:aal2")]
    Aal2,
}

impl AuthenticationContext {
    /// Every class, weakest first.
    pub const ALL: [Self; 2] = [Self::Aal1, Self::Aal2];

    /// The value of the `acr` claim.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aal1 => "urn:auth:aal1",
            Self::Aal2 => "urn:auth:aal2",
        }
    }

    /// Reads the value of an `acr` claim.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == value)
    }

    /// The class of a session. A value that nobody knows proves one factor, not more.
    #[must_use]
    pub fn of_session(value: &str) -> Self {
        Self::parse(value).unwrap_or(Self::Aal1)
    }

    /// What the parameter `acr_values` demands: any class of the list will do, so the weakest one
    /// of it. Unknown values demand nothing (OpenID Connect Core 1.0 section 3.1.2.1).
    #[must_use]
    pub fn demanded_by(acr_values: &str) -> Option<Self> {
        acr_values.split(' ').filter_map(Self::parse).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_accepted_class_is_demanded() {
        for (values, demanded) in [
            ("urn:auth:aal2", Some(AuthenticationContext::Aal2)),
            ("urn:auth:aal1 urn:auth:aal2", Some(AuthenticationContext::Aal1)),
            ("phr urn:auth:aal2", Some(AuthenticationContext::Aal2)),
            ("phr", None),
            ("", None),
        ] {
            assert_eq!(AuthenticationContext::demanded_by(values), demanded, "{values:?}");
        }
        assert_eq!(AuthenticationContext::of_session("?"), AuthenticationContext::Aal1);
    }
}
