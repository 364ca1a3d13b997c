//! Who may take which name: user names and e-mail addresses of all people together.
//!
//! What a person types at the sign-in page must mean one account, so user names and addresses are
//! one set of names. A name can be taken when nobody has it, or when whoever has it gives it up in
//! the same run. If it cannot, the field stays as it is, which may in turn keep somebody else from
//! the old name, and so on until nothing changes any more. Of two entries that want the same name
//! neither gets it. Names that are handed on make a group that is written together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::compare::Key;
use super::digest::key;
use crate::store::AccountRecord;

/// The fields of a person that a name is for, as bits.
pub(super) type Fields = u8;
/// The user name.
pub(super) const USERNAME: Fields = 1;
/// The e-mail address.
pub(super) const EMAIL: Fields = 2;

/// A name that a person is about to take.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// Number of the person.
    pub(super) index: u32,
    /// The person's account, if there is one.
    pub(super) account: Option<crate::store::AccountId>,
    /// The name, normalised.
    pub(super) name: String,
    /// For which fields.
    pub(super) fields: Fields,
}

/// Why a name cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The entry with this number wants it too.
    Entry(u32),
    /// The account with this number in [`Names::owners`] has it.
    Owner(u32),
}

/// Names that are wanted and given up.
#[derive(Debug, Default)]
pub(super) struct Names {
    wanted: Vec<(Key, u32, Fields)>,
    given_up: HashMap<Key, (u32, Fields)>,
    contests: Vec<Contest>,
    /// Accounts that have a wanted name.
    pub(super) owners: Vec<AccountRecord>,
    owner_numbers: HashMap<crate::store::AccountId, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Contest {
    name: Key,
    index: u32,
    fields: Fields,
    owner: u32,
}

/// What is settled.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Fields that stay as they are, by person and field, each with its causes.
    pub(super) blocked: BTreeMap<(u32, Fields), BTreeSet<Cause>>,
    /// People whose names depend on each other, to be written together.
    pub(super) groups: Vec<Vec<u32>>,
}

impl Settled {
    /// Which fields of a person stay as they are.
    pub(super) fn fields_of(&self, index: u32) -> Fields {
        [USERNAME, EMAIL]
            .into_iter()
            .filter(|&field| self.blocked.contains_key(&(index, field)))
            .fold(0, |fields, field| fields | field)
    }
}

impl Names {
    /// Notes what a person gives up and takes; returns what is taken, to look for its owners.
    pub(super) fn change(
        &mut self,
        index: u32,
        before: Option<&AccountRecord>,
        after: &AccountRecord,
    ) -> Vec<Claim> {
        let mut claims: Vec<Claim> = Vec::new();
        for (name, fields) in names_of(after) {
            if !before.is_some_and(|before| has(before, name)) {
                self.wanted.push((key(name), index, fields));
                let account = before.map(|account| account.id);
                claims.push(Claim { index, account, name: name.to_owned(), fields });
            }
        }
        for (name, fields) in before.into_iter().flat_map(names_of) {
            if !has(after, name) {
                self.given_up.insert(key(name), (index, fields));
            }
        }
        claims
    }

    /// Notes which accounts have the names that are to be taken.
    pub(super) fn contest(&mut self, claims: &[Claim], found: Vec<AccountRecord>) {
        let mut by_name: HashMap<&str, Vec<&Claim>> = HashMap::new();
        for claim in claims {
            by_name.entry(&claim.name).or_default().push(claim);
        }
        for account in found {
            let wanted: Vec<&Claim> = names_of(&account)
                .into_iter()
                .filter_map(|(name, _)| by_name.get(name))
                .flatten()
                .filter(|claim| claim.account != Some(account.id))
                .copied()
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let next = u32::try_from(self.owners.len()).unwrap_or(u32::MAX);
            let owner = *self.owner_numbers.entry(account.id).or_insert(next);
            if owner == next {
                self.owners.push(account);
            }
            self.contests.extend(wanted.into_iter().map(|claim| Contest {
                name: key(&claim.name),
                index: claim.index,
                fields: claim.fields,
                owner,
            }));
        }
    }

    /// Settles who gets what.
    pub(super) fn settle(&mut self) -> Settled {
        let mut settled = Settled::default();
        let mut news = self.wanted_twice();
        // Who waits for whose field.
        let mut waiting: HashMap<(u32, Fields), Vec<Contest>> = HashMap::new();
        let mut handed_on = Vec::new();
        for contest in &self.contests {
            match self.given_up.get(&contest.name) {
                Some(&(giver, fields)) if giver != contest.index => {
                    handed_on.push((contest.index, giver));
                    for field in single(fields) {
                        waiting.entry((giver, field)).or_default().push(*contest);
                    }
                }
                _ => news.extend(contest.blocks()),
            }
        }
        while let Some((index, field, cause)) = news.pop() {
            let causes = settled.blocked.entry((index, field)).or_default();
            let first = causes.is_empty();
            causes.insert(cause);
            // Who keeps the old value does not give it up.
            if first {
                let kept = waiting.get(&(index, field)).into_iter().flatten();
                news.extend(kept.flat_map(|contest| contest.blocks()));
            }
        }
        settled.groups = groups(&handed_on);
        settled
    }

    /// Names that more than one entry wants.
    fn wanted_twice(&mut self) -> Vec<(u32, Fields, Cause)> {
        self.wanted.sort_unstable();
        let mut found = Vec::new();
        for same in self.wanted.chunk_by(|a, b| a.0 == b.0) {
            for (_, index, fields) in same {
                let other = same.iter().find(|(_, other, _)| other != index);
                if let Some((_, other, _)) = other {
                    found.extend(single(*fields).map(|it| (*index, it, Cause::Entry(*other))));
                }
            }
        }
        found
    }
}

impl Contest {
    fn blocks(self) -> impl Iterator<Item = (u32, Fields, Cause)> {
        single(self.fields).map(move |field| (self.index, field, Cause::Owner(self.owner)))
    }
}

fn single(fields: Fields) -> impl Iterator<Item = Fields> {
    [USERNAME, EMAIL].into_iter().filter(move |field| fields & field != 0)
}

/// The names of an account, each once with the fields that it stands in.
fn names_of(account: &AccountRecord) -> Vec<(&str, Fields)> {
    let username = account.username_key.as_str();
    match account.email_key.as_deref() {
        Some(email) if email == username => vec![(username, USERNAME | EMAIL)],
        Some(email) => vec![(username, USERNAME), (email, EMAIL)],
        None => vec![(username, USERNAME)],
    }
}

fn has(account: &AccountRecord, name: &str) -> bool {
    account.username_key == name || account.email_key.as_deref() == Some(name)
}

/// The connected groups of pairs.
fn groups(pairs: &[(u32, u32)]) -> Vec<Vec<u32>> {
    let mut leaders: BTreeMap<u32, u32> = BTreeMap::new();
    for &(one, other) in pairs {
        let (one, other) = (leader(&mut leaders, one), leader(&mut leaders, other));
        leaders.insert(one.max(other), one.min(other));
    }
    let mut groups: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let members: Vec<u32> = leaders.keys().copied().collect();
    for member in members {
        groups.entry(leader(&mut leaders, member)).or_default().push(member);
    }
    groups.into_values().collect()
}

fn leader(leaders: &mut BTreeMap<u32, u32>, member: u32) -> u32 {
    let mut at = member;
    loop {
        match *leaders.entry(at).or_insert(at) {
            same if same == at => break,
            next => at = next,
        }
    }
    // Straight to the end next time.
    leaders.insert(member, at);
    at
}

#[cfg(test)]
mod tests {
    use super::super::tests::account;
    use super::*;

    /// People by their old and new user name; the names that stay blocked, and the groups.
    fn settle(people: &[(Option<&str>, &str)], others: &[&str]) -> (Vec<u32>, Vec<Vec<u32>>) {
        let mut names = Names::default();
        let mut stored: Vec<AccountRecord> = others.iter().map(|name| account(name)).collect();
        stored.extend(people.iter().filter_map(|(old, _)| old.map(account)));
        for (index, (old, new)) in (0..).zip(people) {
            let before = old.map(account);
            let mut after = account(new);
            if let Some(before) = &before {
                after.id = before.id;
            }
            let claims = names.change(index, before.as_ref(), &after);
            let found = stored.iter().filter(|it| claims.iter().any(|claim| has(it, &claim.name)));
            names.contest(&claims, found.cloned().collect());
        }
        let settled = names.settle();
        let mut blocked: Vec<u32> = settled.blocked.keys().map(|(index, _)| *index).collect();
        blocked.dedup();
        (blocked, settled.groups)
    }

    #[test]
    fn free_names_are_taken() {
        assert_eq!(settle(&[(None, "a"), (Some("b"), "c")], &["x"]), (vec![], vec![]));
    }

    #[test]
    fn of_two_neither_gets_it_and_an_owner_keeps_it() {
        assert_eq!(settle(&[(None, "a"), (None, "A"), (None, "b")], &[]).0, [0, 1]);
        assert_eq!(settle(&[(None, "x"), (Some("b"), "X ")], &["x"]).0, [0, 1]);
    }

    #[test]
    fn names_are_swapped_and_handed_on() {
        let circle = [(Some("a"), "b"), (Some("b"), "c"), (Some("c"), "a"), (None, "z")];
        assert_eq!(settle(&circle, &[]), (vec![], vec![vec![0, 1, 2]]));
        let chain = [(None, "a"), (Some("a"), "b"), (Some("b"), "c")];
        assert_eq!(settle(&chain, &[]), (vec![], vec![vec![0, 1, 2]]));
    }

    #[test]
    fn a_name_that_is_kept_blocks_whoever_wants_it() {
        // Two cannot become "x", so one cannot become "b", so zero cannot become "a".
        let chain = [(None, "a"), (Some("a"), "b"), (Some("b"), "x"), (None, "free")];
        assert_eq!(settle(&chain, &["x"]).0, [0, 1, 2]);
    }

    #[test]
    fn a_user_name_is_no_other_one_s_address() {
        let mut names = Names::default();
        let mut with_address = account("boss");
        with_address.email_key = Some("root@example.org".to_owned());
        let new = account("root@example.org");
        let claims = names.change(0, None, &new);
        names.contest(&claims, vec![with_address.clone()]);
        let blocked = names.settle().blocked;
        assert_eq!(blocked.keys().collect::<Vec<_>>(), [&(0, USERNAME)]);
        // One's own address as user name is fine, and is one name.
        let mut names = Names::default();
        let mut own = account("me@example.org");
        own.email_key = Some("me@example.org".to_owned());
        assert_eq!(names.change(0, None, &own).len(), 1);
        assert!(names.settle().blocked.is_empty());
    }

    #[test]
    fn an_address_that_stays_the_user_name_is_not_given_up() {
        let mut before = account("a@x.org");
        before.email_key = Some("a@x.org".to_owned());
        let mut after = before.clone();
        after.email_key = Some("b@x.org".to_owned());
        let mut names = Names::default();
        names.change(0, Some(&before), &after);
        let claims = names.change(1, None, &account("a@x.org"));
        names.contest(&claims, vec![before]);
        assert_eq!(names.settle().fields_of(1), USERNAME);
    }
}
