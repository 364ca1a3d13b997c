//! 128 bits that stand for a person: who has the same ones has not changed.
//!
//! The first half of a SHA-256 over everything that is mapped, each value with its length, so that
//! no two people run into each other. A change of the form changes [`FORM`], and everybody is
//! looked at once more.

use super::compare::Key;
use crate::connector::ldap::{DirectoryPerson, PersonState};
use crate::secret::sha256;
use crate::store::SyncDigest;

/// Which values go in and how.
const FORM: u8 = 1;

/// Makes digests; keeps its buffer from one to the next.
#[derive(Debug, Default)]
pub(super) struct Digester {
    bytes: Vec<u8>,
}

impl Digester {
    /// The digest of a person's mapped fields and state.
    pub(super) fn digest(&mut self, person: &DirectoryPerson) -> SyncDigest {
        self.bytes.clear();
        self.bytes.push(FORM);
        let profile = &person.profile;
        self.text(&person.dn);
        self.text(&profile.username);
        self.bytes.push(u8::from(profile.email_verified));
        for value in [
            &profile.email,
            &profile.first_name,
            &profile.last_name,
            &profile.nickname,
            &profile.position,
            &profile.locale,
            &person.changed_password_at,
        ] {
            self.optional(value.as_deref());
        }
        self.list(&profile.groups);
        self.list(&profile.roles);
        self.length(profile.claims.len());
        for (claim, values) in &profile.claims {
            self.text(claim);
            self.list(values);
        }
        self.optional(match &person.state {
            PersonState::Active => None,
            PersonState::Inactive(reason) => Some(reason),
        });
        half(&sha256(&self.bytes))
    }

    fn length(&mut self, length: usize) {
        self.bytes.extend_from_slice(&(length as u64).to_be_bytes());
    }

    fn text(&mut self, value: &str) {
        self.length(value.len());
        self.bytes.extend_from_slice(value.as_bytes());
    }

    fn optional(&mut self, value: Option<&str>) {
        self.bytes.push(u8::from(value.is_some()));
        self.text(value.unwrap_or_default());
    }

    fn list(&mut self, values: &[String]) {
        self.length(values.len());
        values.iter().for_each(|value| self.text(value));
    }
}

/// What stands for a text (a subject, a name, a DN) where millions of them are kept.
pub(super) fn key(text: &str) -> Key {
    half(&sha256(text.as_bytes()))
}

fn half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    half
}

#[cfg(test)]
mod tests {
    use super::super::tests::person;
    use super::*;

    #[test]
    fn every_mapped_value_counts() {
        let base = person("1", "alice");
        let digest = |change: &dyn Fn(&mut DirectoryPerson)| {
            let mut changed = base.clone();
            change(&mut changed);
            Digester::default().digest(&changed)
        };
        let same = digest(&|_| {});
        assert_eq!(same, Digester::default().digest(&base));
        let changes: [&dyn Fn(&mut DirectoryPerson); 16] = [
            &|p| p.dn.push('x'),
            &|p| p.profile.username.push('x'),
            &|p| p.profile.email = None,
            &|p| p.profile.email_verified = false,
            &|p| p.profile.first_name = Some("X".into()),
            &|p| p.profile.last_name = Some("X".into()),
            &|p| p.profile.nickname = Some("X".into()),
            &|p| p.profile.position = Some("X".into()),
            &|p| p.profile.locale = Some("de".into()),
            &|p| p.profile.groups = vec!["a".into(), "b".into()],
            &|p| p.profile.groups = vec!["ab".into()],
            &|p| p.profile.roles = vec!["guest".into()],
            &|p| drop(p.profile.claims.insert("c".into(), vec!["v".into()])),
            &|p| p.state = PersonState::Inactive("account_disabled"),
            &|p| p.changed_password_at = Some("20260101000000Z".into()),
            &|p| p.changed_password_at = Some(String::new()),
        ];
        let digests: Vec<SyncDigest> = changes.iter().map(|change| digest(change)).collect();
        for (n, one) in digests.iter().enumerate() {
            assert_ne!(*one, same, "change {n}");
            assert!(!digests[..n].contains(one), "change {n} looks like another");
        }
    }
}
