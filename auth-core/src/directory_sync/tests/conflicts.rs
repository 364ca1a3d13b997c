//! Names that two want, names that are handed on, accounts that change between plan and batch.

use super::*;

fn reason(changes: &[Change], id: &str) -> String {
    let found = changes.iter().find(|it| it.op == Operation::Conflict && it.id == id);
    found.and_then(|change| change.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn two_entries_with_one_name_are_listed_with_both_sides_and_the_rest_is_done() {
    let bench = Bench::new();
    let mut second = person("s2", "other");
    second.profile.email = Some("ALICE@example.org".into());
    let people = Made::of([person("s1", "alice"), second, person("s3", "carol")]);
    let (outcome, changes) = bench.run(&people).await;
    let expected =
        [(Operation::Create, "s3"), (Operation::Conflict, "s1"), (Operation::Conflict, "s2")];
    assert_eq!(ops(&changes), expected);
    assert!(reason(&changes, "s1").contains("uid=other"), "{}", reason(&changes, "s1"));
    assert!(reason(&changes, "s2").contains("uid=alice"), "{}", reason(&changes, "s2"));
    assert_eq!((outcome.counts.conflict, outcome.applied), (2, 1));
    // Solved in the directory, both come in.
    let (_, changes) = bench
        .run(&Made::of([person("s1", "alice"), person("s2", "other"), person("s3", "carol")]))
        .await;
    assert_eq!(ops(&changes), [(Operation::Create, "s1"), (Operation::Create, "s2")]);
}

#[tokio::test]
async fn an_account_of_another_connector_is_not_linked_silently() {
    let bench = Bench::new();
    let local =
        crate::store::NewAccount { account: account("alice"), identity: None, password: None };
    let local = bench.store.create_account(local, vec![]).await.unwrap();
    let (_, changes) = bench.run(&Made::of([person("s1", "Alice")])).await;
    assert_eq!(ops(&changes), [(Operation::Conflict, "s1")]);
    let text = reason(&changes, "s1");
    assert!(text.contains(&local.id.to_string()) && text.contains("no connector"), "{text}");
    assert_eq!(bench.account("alice").await, local);
    assert_eq!(bench.store.account_by_identity("corp", "s1").await.unwrap(), None);
}

#[tokio::test]
async fn a_taken_address_keeps_no_role() {
    let bench = Bench::new();
    let mut alice = person("s1", "alice");
    alice.profile.roles = vec!["administrator".into()];
    bench.run(&Made::of([alice.clone(), person("s2", "bob")])).await;
    alice.profile.roles = vec![];
    alice.profile.email = Some("bob@example.org".into());
    for attempt in 0..2 {
        let (_, changes) = bench.run(&Made::of([alice.clone(), person("s2", "bob")])).await;
        let mut expected = vec![(Operation::Conflict, "s1")];
        if attempt == 0 {
            expected.insert(0, (Operation::Update, "s1"));
        }
        assert_eq!(ops(&changes), expected, "the conflict is said until it is solved");
        let account = bench.account("alice").await;
        assert_eq!(account.roles, ["member"]);
        assert_eq!(account.email.as_deref(), Some("alice@example.org"));
    }
}

#[tokio::test]
async fn names_are_swapped_and_handed_on_in_one_run() {
    let bench = Bench::new();
    bench.run(&Made::of([person("s1", "a"), person("s2", "b"), person("s3", "c")])).await;
    let ids =
        [bench.account("a").await.id, bench.account("b").await.id, bench.account("c").await.id];
    let people = [person("s1", "b"), person("s2", "a"), person("s3", "d"), person("s4", "c")];
    let (outcome, _) = bench.run(&Made::of(people)).await;
    assert_eq!((outcome.counts.update, outcome.counts.create, outcome.counts.conflict), (3, 1, 0));
    assert_eq!(bench.account("b").await.id, ids[0]);
    assert_eq!(bench.account("a").await.id, ids[1]);
    assert_eq!(bench.account("d").await.id, ids[2]);
    assert!(!ids.contains(&bench.account("c").await.id));
}

/// A store in which somebody else acts just before a batch.
struct Meanwhile {
    people: Made,
    store: Arc<dyn Store>,
    acts: Mutex<Option<AccountRecord>>,
}

#[async_trait]
impl Population for Meanwhile {
    fn directory(&self) -> &str {
        "corp"
    }

    async fn read(
        &self,
        since: Option<&serde_json::Value>,
        now: Timestamp,
        items: mpsc::Sender<Vec<PopulationItem>>,
    ) -> Result<PopulationSummary, ConnectorError> {
        self.people.read(since, now, items).await
    }
}

impl Watcher for Meanwhile {
    fn progress(&self, progress: Progress) {
        // After the plan, before the first batch.
        if let Progress::Comparing { done, total } = progress
            && done == total
            && let Some(account) = self.acts.lock().take()
        {
            let store = self.store.clone();
            let acting = async move {
                if store.account(account.id).await.unwrap().is_some() {
                    assert!(store.update_account(account, vec![]).await.unwrap());
                } else {
                    let new = crate::store::NewAccount { account, identity: None, password: None };
                    store.create_account(new, vec![]).await.unwrap();
                }
            };
            futures_now(acting);
        }
    }

    fn change(&self, _: &Change) {}
}

/// The memory store never waits, so its futures are ready at once.
fn futures_now(future: impl Future<Output = ()>) {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_ready());
}

#[tokio::test]
async fn an_account_that_changed_meanwhile_is_looked_at_again() {
    let bench = Bench::new();
    bench.run(&Made::of([person("s1", "alice"), person("s2", "bob")])).await;
    let mut touched = bench.account("alice").await;
    touched.last_login_at = Some(bench.clock.now());
    let mut alice = person("s1", "alice");
    alice.profile.nickname = Some("Ali".into());
    let meanwhile = Meanwhile {
        people: Made::of([alice, person("s2", "bob")]),
        store: bench.store.clone(),
        acts: Mutex::new(Some(touched.clone())),
    };
    let outcome = bench.sync.run(&meanwhile, &request(), &meanwhile).await.unwrap();
    assert_eq!((outcome.applied, outcome.left_out), (1, 0));
    let account = bench.account("alice").await;
    assert_eq!(account.nickname.as_deref(), Some("Ali"));
    assert_eq!(account.last_login_at, touched.last_login_at, "the login is not undone");
}

#[tokio::test]
async fn a_name_that_is_taken_meanwhile_is_a_conflict_and_the_rest_is_done() {
    let bench = Bench::new();
    let people = Made::of((0..5).map(|n| person(&format!("s{n}"), &format!("name{n}"))));
    let meanwhile = Meanwhile {
        people: people.clone(),
        store: bench.store.clone(),
        acts: Mutex::new(Some(account("name2"))),
    };
    let outcome = bench.sync.run(&meanwhile, &request(), &meanwhile).await.unwrap();
    assert_eq!((outcome.applied, outcome.counts.conflict), (4, 1));
    assert_eq!(bench.account("name2").await.id, account("name2").id);
    let (again, changes) = bench.run(&people).await;
    assert_eq!((again.applied, ops(&changes)), (0, vec![(Operation::Conflict, "s2")]));
}
