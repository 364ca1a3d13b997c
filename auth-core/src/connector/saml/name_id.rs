//! The name that an identity provider has for a person: value, format and qualifiers, byte for
//! byte. Two that differ in anything are two people.

use serde::{Deserialize, Serialize};

use super::code::{SamlCode, SamlRefusal};
use super::xml::Element;

/// `urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress`
pub const EMAIL_ADDRESS: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
/// `urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified`
pub const UNSPECIFIED: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";
/// `urn:oasis:names:tc:SAML:2.0:nameid-format:persistent`
pub const PERSISTENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
/// `urn:oasis:names:tc:SAML:2.0:nameid-format:transient`
pub const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";
/// `urn:oasis:names:tc:SAML:2.0:nameid-format:entity`
pub(crate) const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";

/// A NameID.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NameId {
    /// The name itself.
    pub value: String,
    /// Its format; `None` when the identity provider gave none.
    pub format: Option<String>,
    /// Who made the name, when it was said.
    pub name_qualifier: Option<String>,
    /// For whom, when it was said.
    pub sp_name_qualifier: Option<String>,
}

impl NameId {
    /// Reads a `NameID` element.
    ///
    /// # Errors
    /// `mixed_text`; `name_id` when it is empty, has control characters or is longer than 256
    /// characters (core section 8.3.7).
    pub(crate) fn read(element: &Element<'_>) -> Result<Self, SamlRefusal> {
        let value = element.text()?;
        let problem = if value.trim().is_empty() {
            "the NameID is empty"
        } else if value.chars().count() > 256 {
            "the NameID is longer than 256 characters"
        } else if value.chars().any(char::is_control) {
            "the NameID has a control character"
        } else {
            let owned = |name| element.attribute(name).map(str::to_owned);
            return Ok(Self {
                value: value.to_owned(),
                format: owned("Format"),
                name_qualifier: owned("NameQualifier"),
                sp_name_qualifier: owned("SPNameQualifier"),
            });
        };
        Err(SamlCode::NameId.because(problem))
    }

    /// Whether it names somebody for one session only.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.format.as_deref() == Some(TRANSIENT)
    }

    /// The subject under which the account is found again: all four parts, so that no two
    /// NameIDs give the same.
    #[must_use]
    pub fn subject(&self) -> String {
        serde_json::json!([
            "nameid",
            self.format,
            self.name_qualifier,
            self.sp_name_qualifier,
            self.value
        ])
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_differs_makes_another_subject() {
        let base = NameId {
            value: "alice".into(),
            format: Some(PERSISTENT.into()),
            name_qualifier: None,
            sp_name_qualifier: None,
        };
        let others = [
            NameId { value: "Alice".into(), ..base.clone() },
            NameId { value: "alice ".into(), ..base.clone() },
            NameId { value: "alic\u{65}\u{301}".into(), ..base.clone() },
            NameId { value: "alic\u{e9}".into(), ..base.clone() },
            NameId { format: None, ..base.clone() },
            NameId { format: Some(UNSPECIFIED.into()), ..base.clone() },
            NameId { name_qualifier: Some("idp".into()), ..base.clone() },
            NameId { name_qualifier: Some(String::new()), ..base.clone() },
            NameId { sp_name_qualifier: Some("idp".into()), ..base.clone() },
            NameId { value: "\",\"alice".into(), ..base.clone() },
        ];
        let mut subjects: Vec<String> = others.iter().chain([&base]).map(NameId::subject).collect();
        let count = subjects.len();
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), count);
    }
}
