//! The plan as a whole: an outline of a few bytes for each person who is new, changed or gone.
//!
//! [`Draft`] sees the people chunk by chunk, each decided on as if nobody else wanted the names.
//! [`Draft::settle`] then knows which names cannot be taken, counts, and adds up the harm. What is
//! finally done with a person is decided once more, with the names that stay as they are; so no
//! plan, however large, is held in memory.

use super::change::Operation;
use super::decision::{Blocks, Candidate, Decision};
use super::guard::Harm;
use super::names::{Cause, Claim, EMAIL, Fields, Names, Settled, USERNAME};
use crate::store::{AccountRecord, SyncCounts, SyncedPerson};

/// What is known of one person's change.
#[derive(Clone, Copy, Debug, Default)]
struct Outline {
    operation: Option<Operation>,
    /// Fields that take a name which is not the account's own yet.
    claims: Fields,
    flags: u8,
}

/// There is an account already.
const KNOWN: u8 = 1;
/// Something changes beside the fields that take a name.
const MORE: u8 = 2;
/// Somebody has to decide, whatever comes of the names.
const OPEN: u8 = 4;
/// The person is harmed.
const HARMED: u8 = 8;
/// Something is written, if only a note.
const WRITES: u8 = 16;
/// A later entry of the same subject replaced this one.
const REPLACED: u8 = 32;
/// The directory does not have the person any more.
const GONE: u8 = 64;

/// A plan under way.
#[derive(Debug, Default)]
pub(super) struct Draft {
    outlines: Vec<Outline>,
    /// Names that are taken and given up.
    pub(super) names: Names,
    harm: Harm,
    gone_accounts: std::collections::HashSet<crate::store::AccountId>,
}

/// A plan that is complete.
#[derive(Debug)]
pub(super) struct Plan {
    outlines: Vec<Outline>,
    settled: Settled,
    /// Accounts that have a name which somebody wants.
    pub(super) owners: Vec<AccountRecord>,
    /// Numbers of people, without those whom nothing changes of in the stream.
    pub(super) counts: SyncCounts,
    /// Who would be harmed.
    pub(super) harm: Harm,
}

impl Draft {
    /// Adds the next person, decided on as if all names were free. Returns the names that the
    /// person is about to take.
    pub(super) fn add(&mut self, known: Option<&SyncedPerson>, decision: &Decision) -> Vec<Claim> {
        let index = u32::try_from(self.outlines.len()).unwrap_or(u32::MAX);
        let mut outline = self.outline(decision, known.is_some());
        let mut claims = Vec::new();
        if let (Some(_), Some(after)) = (decision.operation, &decision.account) {
            claims = self.names.change(index, known.map(|known| &known.account), after);
            for claim in &claims {
                outline.claims |= claim.fields;
            }
        }
        let taken = |name: &str| match name {
            "username" => outline.claims & USERNAME != 0,
            "email" | "email_verified" => outline.claims & EMAIL != 0,
            _ => false,
        };
        if decision.fields.keys().any(|name| !taken(name)) {
            outline.flags |= MORE;
        }
        self.outlines.push(outline);
        claims
    }

    /// Adds a person who is gone.
    pub(super) fn add_gone(&mut self, known: &SyncedPerson, decision: &Decision) {
        let mut outline = self.outline(decision, true);
        outline.flags |= MORE | GONE;
        self.gone_accounts.insert(known.account.id);
        self.outlines.push(outline);
    }

    /// Passes over an entry that came again later.
    pub(super) fn skip(&mut self) {
        self.outlines.push(Outline { flags: REPLACED, ..Outline::default() });
    }

    fn outline(&mut self, decision: &Decision, known: bool) -> Outline {
        let mut flags = if known { KNOWN } else { 0 };
        let shut_out = decision.operation == Some(Operation::Deactivate);
        // What somebody loses who is shut out anyway is no further harm.
        let memberships = known && !shut_out && decision.loses_membership();
        let values = known && !shut_out && decision.loses_value();
        if shut_out || memberships || values {
            flags |= HARMED;
            self.harm.people += 1;
            self.harm.shut_out += u64::from(shut_out);
            self.harm.memberships += u64::from(memberships);
            self.harm.values += u64::from(values);
        }
        if !decision.conflicts.is_empty() {
            flags |= OPEN;
        }
        if decision.operation.is_some() || decision.mark.is_some() {
            flags |= WRITES;
        }
        Outline { operation: decision.operation, claims: 0, flags }
    }

    /// Settles the names and counts.
    pub(super) fn settle(mut self) -> Plan {
        let settled = self.names.settle();
        let mut counts = SyncCounts::default();
        for (index, outline) in (0..).zip(&self.outlines) {
            outline.count(settled.fields_of(index), &mut counts);
        }
        for owner in &self.names.owners {
            self.harm.replaced += u64::from(self.gone_accounts.contains(&owner.id));
        }
        Plan {
            outlines: self.outlines,
            settled,
            owners: self.names.owners,
            counts,
            harm: self.harm,
        }
    }
}

impl Outline {
    fn count(&self, blocked: Fields, counts: &mut SyncCounts) {
        if self.flags & REPLACED != 0 {
            return;
        }
        let open = self.flags & OPEN != 0 || blocked != 0;
        let operation = self.operation_with(blocked);
        match operation {
            Some(Operation::Create) => counts.create += 1,
            Some(Operation::Update) => counts.update += 1,
            Some(Operation::Deactivate) => counts.deactivate += 1,
            Some(Operation::Reactivate) => counts.reactivate += 1,
            Some(Operation::Conflict) | None => {}
        }
        counts.conflict += u64::from(open);
        if operation.is_none() && !open && self.flags & GONE == 0 {
            counts.unchanged += 1;
        }
    }

    fn operation_with(&self, blocked: Fields) -> Option<Operation> {
        match self.operation {
            Some(Operation::Create) if blocked != 0 => None,
            Some(Operation::Update) if self.flags & MORE == 0 && self.claims & !blocked == 0 => {
                None
            }
            other => other,
        }
    }
}

impl Plan {
    /// Numbers of the people to look at once more, in the order of writing: first those who depend
    /// on nobody, then the groups whose names depend on each other. Each inner list is written
    /// together if it is a group.
    pub(super) fn order(&self) -> (Vec<u32>, &[Vec<u32>]) {
        let mut grouped: Vec<u32> = self.settled.groups.iter().flatten().copied().collect();
        grouped.sort_unstable();
        let alone = (0..)
            .zip(&self.outlines)
            .filter(|(index, outline)| {
                self.matters(*index, outline) && grouped.binary_search(index).is_err()
            })
            .map(|(index, _)| index);
        (alone.collect(), &self.settled.groups)
    }

    fn matters(&self, index: u32, outline: &Outline) -> bool {
        outline.flags & REPLACED == 0
            && (outline.flags & (WRITES | OPEN) != 0 || self.settled.fields_of(index) != 0)
    }

    /// Whether the person had an account when the plan was made.
    pub(super) fn is_known(&self, index: u32) -> bool {
        self.outlines.get(index as usize).is_some_and(|it| it.flags & KNOWN != 0)
    }

    /// Numbers of other people whose DN is needed to say why a name cannot be taken.
    pub(super) fn other_sides(&self) -> Vec<u32> {
        let causes = self.settled.blocked.values().flatten();
        causes
            .filter_map(|cause| match cause {
                Cause::Entry(index) => Some(*index),
                Cause::Owner(_) => None,
            })
            .collect()
    }

    /// The fields of a person that stay as they are, in words. `describe` names the other side.
    pub(super) fn blocks(
        &self,
        index: u32,
        candidate: &Candidate,
        describe: &impl Fn(Cause) -> String,
    ) -> Blocks {
        let text = |field, what: &str, value: Option<&str>| {
            let causes = self.settled.blocked.get(&(index, field))?;
            let others: Vec<String> = causes.iter().map(|cause| describe(*cause)).collect();
            Some(format!("{what} {:?} is taken: {}", value.unwrap_or_default(), others.join(", ")))
        };
        let profile = &candidate.profile;
        Blocks {
            username: text(USERNAME, "user name", Some(&profile.username)),
            email: text(EMAIL, "e-mail address", profile.email.as_deref()),
        }
    }
}
