//! From an entry to a person: the mapping of attributes, without a word from anywhere else.

use std::collections::BTreeMap;

use super::entry::Entry;
use super::settings::AttributeMap;
use super::subject::SubjectSyntax;
use super::{account_state, picture};
use crate::connector::{ConnectorError, Profile, Refusal};

/// Values longer than this are not taken: no name or title is.
const MAX_VALUE: usize = 4096;

/// A mapped entry. Groups and roles come from searches of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// The stable id.
    pub(super) subject: String,
    /// The mapped attributes.
    pub(super) profile: Profile,
    /// Attributes whose value was not taken: not UTF-8, or far too long. For the log.
    pub(super) unreadable: Vec<String>,
    /// What the directory says of the last change of the password.
    pub(super) password_changed_at: Option<String>,
}

/// The entry lacks what a person cannot be without.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{dn}: {attribute} {problem}")]
pub(super) struct UnmappableEntry {
    /// What a login is refused with.
    pub(super) reason: Refusal,
    dn: String,
    /// The attribute that is missing or cannot be used.
    pub(super) attribute: String,
    /// What is wrong with it.
    pub(super) problem: &'static str,
}

impl From<UnmappableEntry> for ConnectorError {
    fn from(error: UnmappableEntry) -> Self {
        Self::Refused { reason: error.reason, detail: Some(error.to_string()) }
    }
}

impl Person {
    /// Maps `entry`.
    pub(super) fn from_entry(entry: &Entry, map: &AttributeMap) -> Result<Self, UnmappableEntry> {
        let unmappable = |reason, attribute: &str, problem| UnmappableEntry {
            reason,
            dn: entry.dn.clone(),
            attribute: attribute.to_owned(),
            problem,
        };
        let missing = "has no value, or the service account may not read it";
        let id = entry.first(&map.id);
        let id = id.ok_or_else(|| unmappable(Refusal::MissingId, &map.id, missing))?;
        let subject = SubjectSyntax::of(&map.id).render(id).ok_or_else(|| {
            unmappable(Refusal::MissingId, &map.id, "has a value that cannot be an id")
        })?;

        let mut reader = Reader { entry, unreadable: Vec::new() };
        let username = reader.text(Some(&map.username)).ok_or_else(|| {
            unmappable(Refusal::MissingAttribute, &map.username, "has no usable value")
        })?;
        let email = reader.text(map.email.as_ref());
        let mut claims: BTreeMap<String, Vec<String>> = map
            .claims
            .iter()
            .map(|(claim, attribute)| (claim.clone(), reader.all(attribute)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        if let Some(picture) = reader.picture(map.picture.as_deref()) {
            claims.insert(picture::CLAIM.to_owned(), vec![picture]);
        }
        let profile = Profile {
            username,
            email_verified: email.is_some(),
            email,
            first_name: reader.text(map.first_name.as_ref()),
            last_name: reader.text(map.last_name.as_ref()),
            nickname: reader.text(map.nickname.as_ref()),
            position: reader.text(map.position.as_ref()),
            locale: reader.text(map.locale.as_ref()).and_then(|text| language(&text)),
            groups: Vec::new(),
            roles: Vec::new(),
            claims,
        };
        Ok(Self {
            subject,
            profile,
            unreadable: reader.unreadable,
            password_changed_at: account_state::changed_password_at(entry),
        })
    }
}

struct Reader<'a> {
    entry: &'a Entry,
    unreadable: Vec<String>,
}

impl Reader<'_> {
    fn text(&mut self, attribute: Option<&String>) -> Option<String> {
        let attribute = attribute?;
        match self.entry.text(attribute) {
            Ok(None) => None,
            Ok(Some(text)) if is_plain(text) => Some(text.to_owned()),
            _ => {
                self.unreadable.push(attribute.clone());
                None
            }
        }
    }

    fn picture(&mut self, attribute: Option<&str>) -> Option<String> {
        let attribute = attribute?;
        let picture = picture::data_url(self.entry.first(attribute)?);
        if picture.is_none() {
            self.unreadable.push(attribute.to_owned());
        }
        picture
    }

    fn all(&mut self, attribute: &str) -> Vec<String> {
        let all = self.entry.values(attribute);
        let good: Vec<String> = self
            .entry
            .texts(attribute)
            .into_iter()
            .filter(|text| is_plain(text))
            .map(str::to_owned)
            .collect();
        if good.len() != all.len() {
            self.unreadable.push(attribute.to_owned());
        }
        good
    }
}

fn is_plain(text: &str) -> bool {
    text.len() <= MAX_VALUE
        && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// `preferredLanguage` holds the syntax of HTTP's Accept-Language (RFC 2798 section 2.7), e.g.
/// `sv, en;q=0.8`: the first tag counts.
fn language(text: &str) -> Option<String> {
    let tag = text.split([',', ';']).next()?.trim();
    let plain = (2..=35).contains(&tag.len())
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    plain.then(|| tag.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::entry;
    use super::super::preset::Preset;
    use super::*;

    fn map() -> AttributeMap {
        let mut map = Preset::OpenLdap.attributes();
        map.claims.insert("departments".into(), "departmentNumber".into());
        map
    }

    #[test]
    fn an_entry_becomes_a_person() {
        let entry = entry(
            "uid=alice,dc=x",
            &[
                ("entryUUID", &["5e654161-d167-4879-b44e-a9eb73823e3d"]),
                ("UID", &["alice"]),
                ("mail", &["alice@example.org", "a@example.org"]),
                ("sn", &[" Ångström "]),
                ("preferredLanguage", &["sv, en;q=0.8"]),
                ("departmentNumber", &["42", "43"]),
            ],
        );
        let person = Person::from_entry(&entry, &map()).unwrap();
        assert_eq!(person.subject, "5e654161-d167-4879-b44e-a9eb73823e3d");
        let profile = person.profile;
        assert_eq!(profile.username, "alice");
        assert_eq!(profile.email.as_deref(), Some("alice@example.org"));
        assert_eq!(profile.last_name.as_deref(), Some("Ångström"));
        assert_eq!(profile.locale.as_deref(), Some("sv"));
        assert_eq!(profile.claims["departments"], ["42", "43"]);
        assert_eq!(profile.first_name, None);
        assert!(person.unreadable.is_empty());
    }

    #[test]
    fn without_an_id_there_is_nobody() {
        let error = Person::from_entry(&entry("uid=a", &[("uid", &["a"])]), &map()).unwrap_err();
        assert_eq!(error.reason, Refusal::MissingId);
        assert!(error.to_string().contains("entryUUID"), "{error}");
        let error =
            Person::from_entry(&entry("uid=a", &[("entryUUID", &["1"])]), &map()).unwrap_err();
        assert_eq!(error.reason, Refusal::MissingAttribute);
        assert!(error.to_string().contains("uid"), "{error}");
    }

    #[test]
    fn values_that_are_no_text_are_left_out_and_said() {
        let mut entry = entry(
            "uid=a",
            &[("entryUUID", &["1"]), ("uid", &["a"]), ("sn", &["x"]), ("title", &["a\u{7}b"])],
        );
        entry.attributes[2].values = vec![vec![0xff]];
        let person = Person::from_entry(&entry, &map()).unwrap();
        assert_eq!(person.profile.last_name, None);
        assert_eq!(person.profile.position, None);
        assert_eq!(person.unreadable, ["sn", "title"]);
    }
}
