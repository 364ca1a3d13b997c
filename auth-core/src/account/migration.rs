//! Moving a population from one connector to another: who becomes which subject, and who has to be
//! looked at by a person first. Nothing is moved on a guess.

use std::collections::HashMap;

use crate::store::{AccountId, AccountRecord, IdentityRecord};

/// Which value of an account finds its new subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchBy {
    /// The user name.
    Username,
    /// The verified e-mail address.
    Email,
    /// The account's id.
    Id,
    /// The subject at the old connector.
    Subject,
}

impl MatchBy {
    /// Reads its name on the command line.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "username" => Self::Username,
            "email" => Self::Email,
            "id" => Self::Id,
            "subject" => Self::Subject,
            _ => return None,
        })
    }
}

/// Why somebody is not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The account has no value to match by.
    NoValue,
    /// The account's address is not verified.
    AddressUnverified,
    /// Nobody has that value at the new connector.
    NoMatch,
    /// Several have it, or several accounts would become the same subject.
    Ambiguous,
    /// The new subject is linked to another account.
    SubjectTaken,
    /// The account has an identity of the new connector already.
    AlreadyThere,
    /// The account has several identities of the old connector.
    SeveralIdentities,
    /// The account changed while it was moved.
    Changed,
}

impl Finding {
    /// The word in the report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoValue => "no_value",
            Self::AddressUnverified => "address_unverified",
            Self::NoMatch => "no_match",
            Self::Ambiguous => "ambiguous",
            Self::SubjectTaken => "subject_taken",
            Self::AlreadyThere => "already_there",
            Self::SeveralIdentities => "several_identities",
            Self::Changed => "changed",
        }
    }
}

/// An account that has an identity of the old connector.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The account.
    pub account: AccountRecord,
    /// All its identities.
    pub identities: Vec<IdentityRecord>,
}

/// What is known of a value at the new connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// One person has it, with this subject.
    Subject(String),
    /// Nobody has it.
    Nobody,
    /// Several have it.
    Several,
}

/// What happens to one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The account.
    pub account: AccountId,
    /// Its user name.
    pub username: String,
    /// The identity that it has.
    pub old: IdentityRecord,
    /// The subject that it gets, or why it gets none.
    pub subject: Result<String, Finding>,
}

impl Candidate {
    /// The value to match by.
    ///
    /// # Errors
    /// When the account has none that counts.
    pub fn value(&self, by: MatchBy, from: &str) -> Result<String, Finding> {
        match by {
            MatchBy::Username => Ok(self.account.username.clone()),
            MatchBy::Id => Ok(self.account.id.to_string()),
            MatchBy::Subject => self.old(from).map(|identity| identity.subject.clone()),
            MatchBy::Email => match &self.account.email_key {
                None => Err(Finding::NoValue),
                Some(_) if !self.account.email_verified => Err(Finding::AddressUnverified),
                Some(address) => Ok(address.clone()),
            },
        }
    }

    fn old(&self, from: &str) -> Result<&IdentityRecord, Finding> {
        let mut of_connector = self.identities.iter().filter(|one| one.connector == from);
        match (of_connector.next(), of_connector.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(Finding::SeveralIdentities),
            (None, _) => Err(Finding::NoValue),
        }
    }
}

/// Decides for each candidate. `resolved` is by value; `owners` are the accounts that subjects of
/// the new connector are linked to already.
#[must_use]
pub fn plan(
    candidates: &[Candidate],
    (from, to): (&str, &str),
    by: MatchBy,
    resolved: &HashMap<String, Resolution>,
    owners: &HashMap<String, AccountId>,
) -> Vec<Move> {
    let subject = |candidate: &Candidate| -> Result<String, Finding> {
        candidate.old(from)?;
        if candidate.identities.iter().any(|identity| identity.connector == to) {
            return Err(Finding::AlreadyThere);
        }
        let subject = match resolved.get(&candidate.value(by, from)?) {
            Some(Resolution::Subject(subject)) => subject.clone(),
            Some(Resolution::Several) => return Err(Finding::Ambiguous),
            Some(Resolution::Nobody) | None => return Err(Finding::NoMatch),
        };
        match owners.get(&subject) {
            Some(owner) if *owner != candidate.account.id => Err(Finding::SubjectTaken),
            _ => Ok(subject),
        }
    };
    let subjects: Vec<Result<String, Finding>> = candidates.iter().map(subject).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for subject in subjects.iter().flatten() {
        *counts.entry(subject).or_default() += 1;
    }
    let twice: Vec<String> = counts
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(subject, _)| subject.to_owned())
        .collect();
    candidates
        .iter()
        .zip(subjects)
        .filter_map(|(candidate, subject)| {
            let old = candidate.identities.iter().find(|one| one.connector == from)?.clone();
            let subject = subject.and_then(|subject| {
                if twice.contains(&subject) { Err(Finding::Ambiguous) } else { Ok(subject) }
            });
            Some(Move {
                account: candidate.account.id,
                username: candidate.account.username.clone(),
                old,
                subject,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::account::admission_tests::record;
    use crate::clock::Timestamp;

    fn candidate(n: u128, email: &str, verified: bool, identities: &[(&str, &str)]) -> Candidate {
        let account = AccountId(Uuid::from_u128(n));
        let identities = identities
            .iter()
            .map(|(connector, subject)| IdentityRecord {
                connector: (*connector).to_owned(),
                subject: (*subject).to_owned(),
                account,
                linked_at: Timestamp::from_seconds(1),
            })
            .collect();
        Candidate { account: record(account, &format!("person-{n}"), email, verified), identities }
    }

    #[test]
    fn nobody_is_moved_on_a_guess() {
        let candidates = [
            candidate(1, "a@x.test", true, &[("local", "1")]),
            candidate(2, "b@x.test", false, &[("local", "2")]),
            candidate(3, "c@x.test", true, &[("local", "3"), ("corp", "s-3")]),
            candidate(4, "d@x.test", true, &[("local", "4")]),
            candidate(5, "e@x.test", true, &[("local", "5")]),
            candidate(6, "f@x.test", true, &[("local", "6")]),
            candidate(7, "g@x.test", true, &[("local", "7")]),
            candidate(8, "h@x.test", true, &[("local", "8"), ("local", "9")]),
            candidate(9, "i@x.test", true, &[("local", "10")]),
        ];
        let subject = |text: &str| Resolution::Subject(text.to_owned());
        let resolved: HashMap<String, Resolution> = [
            ("a@x.test", subject("s-1")),
            ("b@x.test", subject("s-2")),
            ("c@x.test", subject("s-3")),
            ("d@x.test", Resolution::Several),
            ("e@x.test", subject("s-twice")),
            ("f@x.test", subject("s-twice")),
            ("g@x.test", subject("s-taken")),
            ("h@x.test", subject("s-8")),
        ]
        .into_iter()
        .map(|(value, resolution)| (value.to_owned(), resolution))
        .collect();
        let owners = [("s-taken".to_owned(), AccountId(Uuid::from_u128(99)))].into();
        let moves = plan(&candidates, ("local", "corp"), MatchBy::Email, &resolved, &owners);
        let found: Vec<_> = moves.into_iter().map(|one| one.subject).collect();
        assert_eq!(
            found,
            [
                Ok("s-1".to_owned()),
                Err(Finding::AddressUnverified),
                Err(Finding::AlreadyThere),
                Err(Finding::Ambiguous),
                Err(Finding::Ambiguous),
                Err(Finding::Ambiguous),
                Err(Finding::SubjectTaken),
                Err(Finding::SeveralIdentities),
                Err(Finding::NoMatch),
            ]
        );
    }
}
