//! Moving the accounts of a directory to another id attribute: who gets which new subject. Pure;
//! nothing is moved unless everything can be.

use std::collections::HashMap;

use crate::store::{AccountId, IdentityMove, IdentityRecord};

/// An entry of the directory with its old and its new id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryIds {
    /// Distinguished name, for messages.
    pub dn: String,
    /// Value of the present id attribute.
    pub from: String,
    /// Value of the new one.
    pub to: Option<String>,
}

/// Why an identity cannot be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveConflict {
    /// The present subject.
    pub subject: String,
    /// Its account.
    pub account: AccountId,
    /// The entry.
    pub dn: String,
    /// What is wrong.
    pub problem: String,
}

/// What a migration would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMigration {
    /// Identities that get a new subject, with account and entry.
    pub moves: Vec<(IdentityMove, AccountId, String)>,
    /// Identities whose subject stays the same.
    pub unchanged: usize,
    /// Identities that no entry of the directory has. They keep their subject.
    pub missing: Vec<(String, AccountId)>,
    /// Identities that cannot be moved: as long as there is one, nobody is.
    pub conflicts: Vec<MoveConflict>,
}

/// Plans the migration of all `identities` of a directory that holds `entries`.
#[must_use]
pub fn plan_id_migration(identities: &[IdentityRecord], entries: Vec<EntryIds>) -> IdMigration {
    let mut by_subject: HashMap<String, Vec<EntryIds>> = HashMap::new();
    let mut holders: HashMap<String, Vec<String>> = HashMap::new();
    for entry in entries {
        if let Some(to) = &entry.to {
            holders.entry(to.clone()).or_default().push(entry.dn.clone());
        }
        by_subject.entry(entry.from.clone()).or_default().push(entry);
    }
    let subjects: HashMap<&str, AccountId> =
        identities.iter().map(|identity| (identity.subject.as_str(), identity.account)).collect();
    let mut plan = IdMigration::default();
    for identity in identities {
        let Some(found) = by_subject.get(&identity.subject) else {
            plan.missing.push((identity.subject.clone(), identity.account));
            continue;
        };
        let conflict = |dn: &str, problem: String| MoveConflict {
            subject: identity.subject.clone(),
            account: identity.account,
            dn: dn.to_owned(),
            problem,
        };
        let [entry] = found.as_slice() else {
            let dns: Vec<&str> = found.iter().map(|entry| entry.dn.as_str()).collect();
            plan.conflicts
                .push(conflict(&dns.join(" and "), "several entries have this id".into()));
            continue;
        };
        let Some(to) = &entry.to else {
            let problem = "has no usable value of the new attribute, or it is not readable";
            plan.conflicts.push(conflict(&entry.dn, problem.to_owned()));
            continue;
        };
        if let Some(others) = holders.get(to).filter(|dns| dns.len() > 1) {
            let problem = format!("the new value {to:?} is that of {}", others.join(" and "));
            plan.conflicts.push(conflict(&entry.dn, problem));
        } else if *to == identity.subject {
            plan.unchanged += 1;
        } else if subjects.contains_key(to.as_str()) && !by_subject.contains_key(to) {
            let problem = format!("the new value {to:?} is the id of another account already");
            plan.conflicts.push(conflict(&entry.dn, problem));
        } else {
            let one = IdentityMove { from: identity.subject.clone(), to: to.clone() };
            plan.moves.push((one, identity.account, entry.dn.clone()));
        }
    }
    plan
}

/// Plans the way back: every identity that has one of the new subjects gets its old one again.
#[must_use]
pub fn plan_id_undo(identities: &[IdentityRecord], done: &[IdentityMove]) -> IdMigration {
    let entries = done
        .iter()
        .map(|one| EntryIds {
            dn: "undo file".to_owned(),
            from: one.to.clone(),
            to: Some(one.from.clone()),
        })
        .collect();
    let mut plan = plan_id_migration(identities, entries);
    // Whoever was not moved, or came later, is none of the undo file's business.
    plan.missing.clear();
    let back: std::collections::HashSet<&str> =
        plan.moves.iter().map(|(one, ..)| one.from.as_str()).collect();
    let gone = done.iter().filter(|one| one.from != one.to && !back.contains(one.to.as_str()));
    plan.missing.extend(gone.map(|one| (one.to.clone(), AccountId(uuid::Uuid::nil()))));
    plan
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;

    fn identity(subject: &str, account: u128) -> IdentityRecord {
        IdentityRecord {
            connector: "corp".to_owned(),
            subject: subject.to_owned(),
            account: AccountId(Uuid::from_u128(account)),
            linked_at: Timestamp::from_seconds(0),
        }
    }

    fn entry(from: &str, to: Option<&str>) -> EntryIds {
        EntryIds { dn: format!("uid={from}"), from: from.to_owned(), to: to.map(str::to_owned) }
    }

    fn moved(plan: &IdMigration) -> Vec<(&str, &str)> {
        plan.moves.iter().map(|(one, ..)| (one.from.as_str(), one.to.as_str())).collect()
    }

    #[test]
    fn everybody_gets_the_new_id() {
        let identities = [identity("a", 1), identity("b", 2), identity("same", 3)];
        let entries =
            vec![entry("b", Some("y")), entry("a", Some("x")), entry("same", Some("same"))];
        let plan = plan_id_migration(&identities, entries);
        assert_eq!(moved(&plan), [("a", "x"), ("b", "y")]);
        assert_eq!((plan.unchanged, plan.missing.len(), plan.conflicts.len()), (1, 0, 0));
    }

    #[test]
    fn who_is_not_there_stays_and_is_told() {
        let plan = plan_id_migration(&[identity("gone", 1)], vec![entry("a", Some("x"))]);
        assert!(plan.moves.is_empty() && plan.conflicts.is_empty());
        assert_eq!(plan.missing[0].0, "gone");
    }

    #[test]
    fn conflicts() {
        let check = |identities: &[IdentityRecord], entries: Vec<EntryIds>, problem: &str| {
            let plan = plan_id_migration(identities, entries);
            assert!(plan.conflicts.iter().any(|c| c.problem.contains(problem)), "{plan:?}");
        };
        check(&[identity("a", 1)], vec![entry("a", None)], "no usable value");
        check(&[identity("a", 1)], vec![entry("a", Some("x")), entry("a", Some("y"))], "several");
        let two = vec![entry("a", Some("x")), entry("stranger", Some("x"))];
        check(&[identity("a", 1)], two, "uid=a and uid=stranger");
        let taken = [identity("a", 1), identity("x", 2)];
        check(&taken, vec![entry("a", Some("x"))], "another account");
    }

    #[test]
    fn ids_may_be_exchanged() {
        let identities = [identity("a", 1), identity("b", 2)];
        let plan =
            plan_id_migration(&identities, vec![entry("a", Some("b")), entry("b", Some("a"))]);
        assert_eq!(moved(&plan), [("a", "b"), ("b", "a")]);
        assert!(plan.conflicts.is_empty());
    }

    #[test]
    fn the_way_back() {
        let done = [("a", "x"), ("b", "y")]
            .map(|(from, to)| IdentityMove { from: from.to_owned(), to: to.to_owned() });
        let plan = plan_id_undo(&[identity("x", 1), identity("new", 3)], &done);
        assert_eq!(moved(&plan), [("x", "a")]);
        assert_eq!(plan.missing.len(), 1);
        assert_eq!(plan.missing[0].0, "y");
        let taken = plan_id_undo(&[identity("x", 1), identity("a", 2)], &done[..1]);
        assert_eq!(taken.conflicts.len(), 1, "somebody has the old id by now");
    }
}
