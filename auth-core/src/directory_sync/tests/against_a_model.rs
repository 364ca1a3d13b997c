//! Random populations, run after run, against a plain model of what ought to be.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::account::normalise;
use crate::store::NewAccount;

#[derive(Clone, Debug)]
struct Entry {
    name: u8,
    mail: Option<u8>,
    first: u8,
    disabled: bool,
}

/// What happens before a run, and whom the directory has then.
#[derive(Clone, Debug)]
struct Round {
    people: BTreeMap<u8, Entry>,
    local: Option<u8>,
    disabled_by_hand: Option<u8>,
    signs_in: Option<u8>,
}

fn entry() -> impl Strategy<Value = Entry> {
    (0..14u8, proptest::option::of(0..8u8), 0..3u8, proptest::bool::weighted(0.15))
        .prop_map(|(name, mail, first, disabled)| Entry { name, mail, first, disabled })
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let round = (
        proptest::collection::btree_map(0..10u8, entry(), 1..9),
        proptest::option::weighted(0.3, 0..14u8),
        proptest::option::weighted(0.2, 0..10u8),
        proptest::option::weighted(0.3, 0..10u8),
    );
    let round = round.prop_map(|(people, local, disabled_by_hand, signs_in)| Round {
        people,
        local,
        disabled_by_hand,
        signs_in,
    });
    proptest::collection::vec(round, 1..5)
}

/// Some user names are somebody's address, and some differ in case only.
fn name(n: u8) -> String {
    match n {
        0..=7 => format!("name{n}"),
        8 => "NAME1".to_owned(),
        _ => mail(n - 9),
    }
}

fn mail(n: u8) -> String {
    format!("mail{n}@example.org")
}

fn subject(n: u8) -> String {
    format!("s{n}")
}

fn made(round: &Round) -> Made {
    Made::of(round.people.iter().map(|(n, entry)| {
        let mut one = person(&subject(*n), &name(entry.name));
        one.profile.email = entry.mail.map(mail);
        one.profile.email_verified = entry.mail.is_some();
        one.profile.first_name = Some(format!("first{}", entry.first));
        if entry.disabled {
            one.state = PersonState::Inactive("account_disabled");
        }
        one
    }))
}

/// An account of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    username: String,
    email: Option<String>,
    first: Option<String>,
    reason: Option<String>,
    shut_out: bool,
}

impl Kept {
    fn names(&self) -> BTreeSet<String> {
        [Some(normalise(&self.username)), self.email.clone()].into_iter().flatten().collect()
    }
}

const ADMINISTRATOR: &str = "name3";

#[derive(Default)]
struct Model {
    accounts: BTreeMap<u8, Kept>,
    local: Vec<String>,
}

impl Model {
    fn is_free(&self, name: &str) -> bool {
        !self.local.iter().any(|local| local == name)
            && !self.accounts.values().any(|kept| kept.names().contains(name))
    }

    /// One run, in the plainest way: give everybody what the directory says, then take back what
    /// collides, until nothing does.
    fn run(&mut self, round: &Round) {
        let before = self.accounts.clone();
        // By person: whether the user name and the address are taken back.
        let mut back: BTreeSet<(u8, bool)> = BTreeSet::new();
        let after = loop {
            let after = Self::after(&before, round, &back);
            let collisions = self.collisions(&before, &after);
            let known = back.len();
            back.extend(collisions);
            if back.len() == known {
                break after;
            }
        };
        self.accounts = after;
    }

    fn after(
        before: &BTreeMap<u8, Kept>,
        round: &Round,
        back: &BTreeSet<(u8, bool)>,
    ) -> BTreeMap<u8, Kept> {
        let mut after = before.clone();
        for (n, kept) in &mut after {
            let protected = normalise(&kept.username) == ADMINISTRATOR;
            let Some(entry) = round.people.get(n) else {
                if !(kept.reason.is_none() && protected) {
                    kept.reason.get_or_insert("sync:gone".to_owned());
                    kept.shut_out = true;
                }
                continue;
            };
            if entry.disabled {
                if kept.reason.is_some() || !protected {
                    kept.reason.get_or_insert("sync:account_disabled".to_owned());
                    kept.shut_out = true;
                }
            } else {
                let by_sync = kept.reason.as_deref().is_some_and(|it| it.starts_with("sync:"));
                if kept.shut_out && by_sync {
                    kept.reason = None;
                }
                kept.shut_out = false;
            }
            kept.first = Some(format!("first{}", entry.first));
            if !back.contains(&(*n, true)) {
                kept.username = name(entry.name);
            }
            if !back.contains(&(*n, false)) {
                kept.email = entry.mail.map(mail);
            }
        }
        for (n, entry) in &round.people {
            let refused = back.contains(&(*n, true)) || back.contains(&(*n, false));
            if !before.contains_key(n) && !entry.disabled && !refused {
                after.insert(
                    *n,
                    Kept {
                        username: name(entry.name),
                        email: entry.mail.map(mail),
                        first: Some(format!("first{}", entry.first)),
                        reason: None,
                        shut_out: false,
                    },
                );
            }
        }
        after
    }

    /// New values that somebody else has as well.
    fn collisions(
        &self,
        before: &BTreeMap<u8, Kept>,
        after: &BTreeMap<u8, Kept>,
    ) -> Vec<(u8, bool)> {
        let mut found = Vec::new();
        for (n, kept) in after {
            let old = before.get(n).map(Kept::names).unwrap_or_default();
            for name in kept.names().difference(&old) {
                let elsewhere = self.local.contains(name)
                    || after.iter().any(|(other, it)| other != n && it.names().contains(name));
                if elsewhere {
                    found.extend((normalise(&kept.username) == *name).then_some((*n, true)));
                    found.extend((kept.email.as_ref() == Some(name)).then_some((*n, false)));
                }
            }
        }
        found
    }
}

async fn before_the_run(bench: &Bench, model: &mut Model, round: &Round) {
    if let Some(local) = round.local.map(name).filter(|it| model.is_free(&normalise(it))) {
        let new = NewAccount { account: account(&local), identity: None, password: None };
        bench.store.create_account(new, vec![]).await.unwrap();
        model.local.push(normalise(&local));
    }
    for (n, by_hand) in [(round.disabled_by_hand, true), (round.signs_in, false)] {
        let Some(n) = n else { continue };
        let found = bench.store.account_by_identity("corp", &subject(n)).await.unwrap();
        let Some(mut account) = found else { continue };
        if by_hand && account.active {
            account.active = false;
            account.inactive_reason = Some("administrator".to_owned());
            if let Some(kept) = model.accounts.get_mut(&n) {
                kept.reason.clone_from(&account.inactive_reason);
            }
        } else {
            account.last_login_at = Some(bench.clock.now());
        }
        assert!(bench.store.update_account(account, vec![]).await.unwrap());
    }
}

async fn stored(bench: &Bench) -> BTreeMap<u8, Kept> {
    let mut found = BTreeMap::new();
    for n in 0..10 {
        let subject = subject(n);
        let Some(account) = bench.store.account_by_identity("corp", &subject).await.unwrap() else {
            continue;
        };
        let people = bench.store.synced_people("corp", &[subject]).await.unwrap();
        found.insert(
            n,
            Kept {
                username: account.username,
                email: account.email,
                first: account.first_name,
                reason: account.inactive_reason,
                shut_out: people[0].mark.as_ref().unwrap().shut_out,
            },
        );
    }
    found
}

fn sorted(mut changes: Vec<Change>) -> Vec<String> {
    let mut lines: Vec<String> =
        changes.drain(..).map(|change| serde_json::to_string(&change).unwrap()).collect();
    lines.sort_unstable();
    lines
}

async fn compare_with_the_model(rounds: Vec<Round>) {
    let bench = Bench::with(NO_BRAKE, &[ADMINISTRATOR]);
    let mut model = Model::default();
    for round in rounds {
        before_the_run(&bench, &mut model, &round).await;
        let people = made(&round);
        let (planned, plan) = bench.plan(&people).await;
        let (outcome, run) = bench.run(&people).await;
        assert_eq!(sorted(plan.clone()), sorted(run), "plan and run do the same");
        assert_eq!(planned.counts, outcome.counts);
        assert_eq!(outcome.applied, outcome.counts.changes());
        let lines = |op| plan.iter().filter(|change| change.op == op).count() as u64;
        let counts = outcome.counts;
        for (op, count) in [
            (Operation::Create, counts.create),
            (Operation::Update, counts.update),
            (Operation::Deactivate, counts.deactivate),
            (Operation::Reactivate, counts.reactivate),
            (Operation::Conflict, counts.conflict),
        ] {
            assert_eq!(lines(op), count, "{op:?} as counted");
        }
        model.run(&round);
        assert_eq!(stored(&bench).await, model.accounts, "as the model says");
        for local in &model.local {
            let found = bench.account(local).await;
            assert_eq!(found.id, account(&found.username).id, "local accounts are as they were");
        }

        // Once more: nothing is left to do, and no account is written.
        let all = crate::store::AccountPage { after: None, limit: 1000 };
        let before = bench.store.accounts(all.clone()).await.unwrap();
        let (again, changes) = bench.run(&people).await;
        assert_eq!((again.applied, again.counts.conflict), (0, outcome.counts.conflict));
        assert!(changes.iter().all(|change| change.op == Operation::Conflict), "{changes:?}");
        assert_eq!(bench.store.accounts(all).await.unwrap(), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn plan_and_run_do_what_the_model_says(rounds in rounds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare_with_the_model(rounds));
    }
}
