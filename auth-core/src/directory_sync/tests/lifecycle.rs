//! People come, change, go and come back.

use super::*;
use crate::secret::TokenHash;
use crate::store::{IdentityRecord, LoginCompletion, LoginRecord, SessionId, SessionRecord};

async fn session(bench: &Bench, username: &str, n: u32) -> SessionId {
    let account = bench.account(username).await;
    let at = bench.clock.now();
    let id = SessionId(Uuid::from_u128(u128::from(n)));
    let login = LoginRecord {
        handle: TokenHash::of(&n.to_be_bytes()),
        browser: TokenHash::of(b"b"),
        version: 1,
        state: String::new(),
        created_at: at,
        expires_at: at + Duration::from_secs(60),
    };
    bench.store.add_login(login.clone()).await.unwrap();
    let session = SessionRecord {
        id,
        account: account.id,
        client: None,
        parent: None,
        kind: "browser".into(),
        connector: "corp".into(),
        amr: vec![],
        acr: String::new(),
        scope: String::new(),
        authenticated_at: at,
        created_at: at,
        last_seen_at: at,
        idle_timeout_millis: 0,
        expires_at: at + Duration::from_secs(86_400),
        ip: None,
        user_agent: None,
        revoked_at: None,
        revoked_reason: None,
    };
    let completion = LoginCompletion {
        login,
        account: None,
        session,
        replaces: None,
        factor: None,
        clear_throttle: vec![],
        audit: vec![],
    };
    assert!(bench.store.complete_login(completion).await.unwrap());
    id
}

async fn ended(bench: &Bench, id: SessionId) -> Option<String> {
    bench.store.session(id).await.unwrap().unwrap().revoked_reason
}

#[tokio::test]
async fn people_are_made_and_then_left_alone() {
    let bench = Bench::new();
    let people = Made::of((0..7).map(|n| person(&format!("s{n}"), &format!("name{n}"))));
    let (outcome, changes) = bench.run(&people).await;
    assert_eq!((outcome.counts.create, outcome.applied, outcome.entries), (7, 7, 7));
    assert_eq!((outcome.kind, changes.len()), ("full", 7));
    let made = bench.account("name3").await;
    assert_eq!((made.roles.clone(), made.version), (vec!["member".to_owned()], 1));
    assert_eq!(changes[0].fields["username"].from, serde_json::Value::Null);
    let (again, changes) = bench.run(&people).await;
    assert_eq!((again.counts.unchanged, again.applied), (7, 0));
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(bench.account("name3").await, made, "no row is written for nothing");
    assert_eq!(bench.events().await, ["account.created"; 7]);
}

#[tokio::test]
async fn a_renamed_person_keeps_the_account() {
    let bench = Bench::new();
    bench.run(&Made::of([person("s1", "alice"), person("s2", "bob")])).await;
    let before = bench.account("alice").await;
    let mut renamed = person("s1", "Alicia");
    renamed.profile.last_name = Some("Young".into());
    renamed.profile.groups = vec!["staff".into()];
    let (outcome, changes) = bench.run(&Made::of([renamed, person("s2", "bob")])).await;
    assert_eq!(ops(&changes), [(Operation::Update, "s1")]);
    assert_eq!(outcome.counts.unchanged, 1);
    assert_eq!(changes[0].account.as_deref(), Some("alice"));
    assert_eq!(changes[0].fields["username"].from, "alice");
    assert_eq!(changes[0].fields["username"].to, "Alicia");
    let after = bench.account("alicia").await;
    assert_eq!((after.id, after.numeric_id), (before.id, before.numeric_id));
    assert_eq!(after.email.as_deref(), Some("Alicia@example.org"));
    // A new DN alone is noted and no change.
    let mut moved = person("s2", "bob");
    moved.dn = "uid=bob,ou=elsewhere,dc=example,dc=org".into();
    let (outcome, changes) = bench.run(&Made::of([moved])).await;
    assert_eq!(ops(&changes), [(Operation::Deactivate, "s1")]);
    assert_eq!((outcome.counts.unchanged, bench.account("bob").await.version), (1, 1));
}

#[tokio::test]
async fn who_is_gone_is_shut_out_and_comes_back_as_the_same() {
    let bench = Bench::new();
    let both = Made::of([person("s1", "alice"), person("s2", "bob")]);
    bench.run(&both).await;
    let id = bench.account("alice").await.id;
    let live = session(&bench, "alice", 1).await;
    let other = session(&bench, "bob", 2).await;
    let (_, changes) = bench.run(&Made::of([person("s2", "bob")])).await;
    assert_eq!(ops(&changes), [(Operation::Deactivate, "s1")]);
    assert_eq!(changes[0].reason.as_deref(), Some("gone"));
    assert!(changes[0].dn.starts_with("uid=alice"), "the DN as last seen: {}", changes[0].dn);
    let gone = bench.account("alice").await;
    assert_eq!((gone.active, gone.inactive_reason.as_deref()), (false, Some("sync:gone")));
    assert_eq!(ended(&bench, live).await.as_deref(), Some("account_inactive"));
    assert_eq!(ended(&bench, other).await, None);

    let (outcome, changes) = bench.run(&Made::of([person("s2", "bob")])).await;
    assert_eq!((changes.len(), outcome.counts.deactivate), (0, 0), "once is enough");

    let (_, changes) = bench.run(&both).await;
    assert_eq!(ops(&changes), [(Operation::Reactivate, "s1")]);
    let back = bench.account("alice").await;
    assert_eq!((back.id, back.active, back.inactive_reason), (id, true, None));
    assert_eq!(ended(&bench, live).await.as_deref(), Some("account_inactive"), "no old session");
}

#[tokio::test]
async fn disabled_in_the_directory_and_enabled_again() {
    let bench = Bench::new();
    bench.run(&Made::of([person("s1", "alice")])).await;
    let mut disabled = person("s1", "alice");
    disabled.state = PersonState::Inactive("account_disabled");
    disabled.profile.first_name = Some("Al".into());
    let never = DirectoryPerson { subject: "s9".into(), ..disabled.clone() };
    let (outcome, changes) = bench.run(&Made::of([disabled.clone(), never.clone()])).await;
    assert_eq!(ops(&changes), [(Operation::Deactivate, "s1")], "no account for s9");
    assert_eq!(outcome.counts.unchanged, 1);
    let account = bench.account("alice").await;
    assert_eq!(account.inactive_reason.as_deref(), Some("sync:account_disabled"));
    assert_eq!(account.first_name.as_deref(), Some("Al"), "fields are brought up to date too");
    let (_, changes) = bench.run(&Made::of([disabled, never])).await;
    assert!(changes.is_empty(), "{changes:?}");
    let (_, changes) = bench.run(&Made::of([person("s1", "alice")])).await;
    assert_eq!(ops(&changes), [(Operation::Reactivate, "s1")]);
}

#[tokio::test]
async fn whom_an_administrator_shut_out_stays_out() {
    let bench = Bench::new();
    let alice = Made::of([person("s1", "alice"), person("s2", "bob")]);
    bench.run(&alice).await;
    let mut account = bench.account("alice").await;
    account.active = false;
    account.inactive_reason = Some("administrator".into());
    assert!(bench.store.update_account(account, vec![]).await.unwrap());
    // Gone and back: still the administrator's word.
    bench.run(&Made::of([person("s2", "bob")])).await;
    bench.run(&alice).await;
    let mut changed = person("s1", "alice");
    changed.profile.nickname = Some("Ali".into());
    bench.run(&Made::of([changed, person("s2", "bob")])).await;
    let account = bench.account("alice").await;
    assert_eq!(account.inactive_reason.as_deref(), Some("administrator"));
    assert_eq!((account.active, account.nickname.as_deref()), (false, Some("Ali")));
}

#[tokio::test]
async fn named_administrators_are_never_shut_out() {
    let bench = Bench::with(NO_BRAKE, &["alice"]);
    let mut disabled = person("s1", "Alice");
    bench.run(&Made::of([disabled.clone(), person("s2", "bob")])).await;
    disabled.state = PersonState::Inactive("account_disabled");
    for people in [
        Made::of([disabled.clone(), person("s2", "bob")]),
        Made::of([person("s2", "bob")]),
        Made::of([person("s2", "bob")]),
    ] {
        let (outcome, changes) = bench.run(&people).await;
        assert_eq!(ops(&changes), [(Operation::Conflict, "s1")], "said each time");
        assert!(changes[0].reason.as_ref().unwrap().contains("[admin] accounts"));
        assert_eq!(outcome.counts.conflict, 1);
        assert!(bench.account("alice").await.active);
    }
}

#[tokio::test]
async fn a_changed_password_ends_sessions() {
    let bench = Bench::new();
    let with = |mark: Option<&str>| {
        let mut alice = person("s1", "alice");
        alice.changed_password_at = mark.map(str::to_owned);
        Made::of([alice])
    };
    bench.run(&with(None)).await;
    let live = session(&bench, "alice", 1).await;
    let (_, changes) = bench.run(&with(Some("20260101"))).await;
    assert!(changes.is_empty(), "seen for the first time: {changes:?}");
    assert_eq!(ended(&bench, live).await, None);
    let (_, changes) = bench.run(&with(None)).await;
    assert!(changes.is_empty(), "no longer readable is no change");
    bench.run(&with(Some("20260101"))).await;
    assert_eq!(ended(&bench, live).await, None);
    let (_, changes) = bench.run(&with(Some("20260202"))).await;
    assert_eq!(ops(&changes), [(Operation::Update, "s1")]);
    assert_eq!(changes[0].fields["password_changed_at"].to, "20260202");
    assert_eq!(ended(&bench, live).await.as_deref(), Some("password_changed"));
    assert!(bench.events().await.contains(&"session.revoked".to_owned()));
}

#[tokio::test]
async fn an_account_of_another_connector_that_is_linked_is_completed_and_shut_out() {
    let bench = Bench::new();
    let profile = Profile { username: "alice".into(), ..Profile::default() };
    let made = new_account("okta", "alice@okta", &profile, Uuid::from_u128(7), bench.clock.now());
    let id = bench.store.create_account(made, vec![]).await.unwrap().id;
    let link = IdentityRecord {
        connector: "corp".into(),
        subject: "s1".into(),
        account: id,
        linked_at: bench.clock.now(),
    };
    bench.store.link_identity(link, vec![]).await.unwrap();
    let mut alice = person("s1", "alice");
    alice.profile.groups = vec!["staff".into()];
    let (_, changes) = bench.run(&Made::of([alice, person("s2", "bob")])).await;
    assert_eq!(ops(&changes), [(Operation::Create, "s2"), (Operation::Update, "s1")]);
    let account = bench.account("alice").await;
    assert_eq!((account.id, account.groups.clone()), (id, vec!["staff".to_owned()]));
    assert_eq!(account.email.as_deref(), Some("alice@example.org"));
    bench.run(&Made::of([person("s2", "bob")])).await;
    assert!(!bench.account("alice").await.active);
}

#[tokio::test]
async fn incremental_reads_bring_changes_and_who_is_gone() {
    let bench = Bench::new();
    let mut full = Made::of((0..5).map(|n| person(&format!("s{n}"), &format!("name{n}"))));
    full.position = Some(serde_json::json!({ "usn": 1 }));
    bench.run(&full).await;
    let mut changed = person("s1", "name1");
    changed.profile.position = Some("Chief".into());
    let mut news = Made::of([changed.clone(), person("s9", "name9")])
        .and(PopulationItem::Gone { subject: "s2".into(), reason: "out_of_filter" })
        .and(PopulationItem::Gone { subject: "s1".into(), reason: "gone" })
        .and(PopulationItem::Gone { subject: "never".into(), reason: "gone" });
    news.incremental = true;
    news.position = Some(serde_json::json!({ "usn": 2 }));
    let lines = Lines::default();
    let request = RunRequest { wish: ReadWish::AsDue, ..request() };
    let outcome = bench.sync.run(&news, &request, &lines).await.unwrap();
    assert_eq!((outcome.kind, outcome.entries, outcome.applied), ("incremental", 2, 3));
    let changes = lines.changes.into_inner();
    let expected =
        [(Operation::Create, "s9"), (Operation::Update, "s1"), (Operation::Deactivate, "s2")];
    assert_eq!(ops(&changes), expected, "who was sent is there, whatever else was sent");
    let gone = bench.account("name2").await;
    assert_eq!(gone.inactive_reason.as_deref(), Some("sync:out_of_filter"));
    let status = bench.store.sync_status("corp").await.unwrap();
    assert_eq!(status.position, Some(serde_json::json!({ "usn": 2 })));
    assert!(status.succeeded_at > status.full_at, "the last full run stays known");

    // After a day everybody is read again; without a position always.
    bench.pass(Duration::from_secs(86_400));
    let outcome = bench.sync.run(&news, &request, &Lines::default()).await.unwrap();
    assert_eq!(outcome.kind, "full");
}

#[tokio::test]
async fn an_entry_that_comes_twice_counts_once_and_last() {
    let bench = Bench::new();
    let mut later = person("s1", "alice");
    later.profile.nickname = Some("later".into());
    let (outcome, _) = bench.run(&Made::of([person("s1", "alice"), later])).await;
    assert_eq!((outcome.counts.create, outcome.counts.conflict), (1, 0));
    assert_eq!(bench.account("alice").await.nickname.as_deref(), Some("later"));
}

#[tokio::test]
async fn an_entry_that_cannot_be_mapped_is_said_and_nobody_is_gone_for_it() {
    let bench = Bench::new();
    bench.run(&Made::of((0..4).map(|n| person(&format!("s{n}"), &format!("name{n}"))))).await;
    let broken = |dn: &str| PopulationItem::Unmappable {
        dn: dn.to_owned(),
        attribute: "uid".into(),
        problem: "has no usable value".into(),
    };
    let people = Made::of([person("s0", "name0"), person("s1", "name1")])
        .and(broken("UID=name2,ou=people,dc=example,dc=org"));
    let (outcome, changes) = bench.run(&people).await;
    let expected =
        [(Operation::Deactivate, "s3"), (Operation::Conflict, ""), (Operation::Conflict, "s2")];
    assert_eq!(ops(&changes), expected, "only whose entry it is not");
    assert_eq!(outcome.counts.conflict, 2);
    assert!(bench.account("name2").await.active);
}

#[tokio::test]
async fn the_history_tells_what_happened() {
    let bench = Bench::new();
    bench.run(&Made::of([person("s1", "alice"), person("s2", "x"), person("s3", "X")])).await;
    bench.fails(&Made::of([]).failing("directory_unavailable", 0)).await;
    let jobs = bench.store.sync_jobs("corp", 10).await.unwrap();
    let states: Vec<_> = jobs.iter().map(|job| job.state.as_str()).collect();
    assert_eq!(states, ["failed", "succeeded"]);
    assert!(jobs[0].detail.message.as_ref().unwrap().contains("scripted"));
    assert_eq!((jobs[1].applied, jobs[1].detail.counts.conflict), (1, 2));
    assert_eq!((jobs[1].detail.kind.as_str(), jobs[1].detail.entries), ("full", 3));
    assert_eq!(jobs[1].detail.conflicts.len(), 2);
    assert!(jobs[1].detail.conflicts[0].contains("is taken"), "{:?}", jobs[1].detail.conflicts);
    let query = AuditQuery { limit: 100, ..AuditQuery::default() };
    let trail = bench.store.audit(query).await.unwrap();
    let names: Vec<_> = trail.iter().map(|entry| entry.record.event.as_str()).collect();
    assert_eq!(names, ["account.created", "sync.finished", "sync.failed"]);
}

#[tokio::test]
async fn further_claims_follow_the_directory() {
    let bench = Bench::new();
    let with = |team: &str, picture: usize| {
        let mut alice = person("s1", "alice");
        if !team.is_empty() {
            alice.profile.claims.insert("team".into(), vec![team.into()]);
        }
        alice.profile.claims.insert("picture".into(), vec!["x".repeat(picture)]);
        Made::of([alice])
    };
    let (_, changes) = bench.run(&with("blue", 1000)).await;
    assert_eq!(changes[0].fields["claims"].to["picture"][0], "(1000 characters)");
    let id = bench.account("alice").await.id;
    assert_eq!(bench.store.claims(id).await.unwrap()["team"], ["blue"]);
    let (_, changes) = bench.run(&with("red", 1000)).await;
    assert_eq!(ops(&changes), [(Operation::Update, "s1")]);
    assert_eq!(changes[0].fields["claims"].from["team"][0], "blue");
    assert_eq!(bench.store.claims(id).await.unwrap()["team"], ["red"]);
    // A picture as long as before is another one all the same.
    let mut other = with("red", 0);
    if let PopulationItem::Person(alice) = &mut other.items[0] {
        alice.profile.claims.insert("picture".into(), vec!["y".repeat(1000)]);
    }
    bench.run(&other).await;
    assert!(bench.store.claims(id).await.unwrap()["picture"][0].starts_with('y'));
    // A claim that is gone is a loss.
    let strict = synchronisation(
        &bench.store,
        &bench.clock,
        Brake { share: 0, people: 0, window: Duration::ZERO },
        &[],
        "node-a",
    );
    let outcome = strict.plan(&with("", 1000), ReadWish::Full, &Lines::default()).await.unwrap();
    assert!(outcome.is_refused());
    bench.run(&with("", 1000)).await;
    assert!(!bench.store.claims(id).await.unwrap().contains_key("team"));
    assert_eq!(bench.run(&with("", 1000)).await.0.applied, 0);
}

/// What a login noted of the password counts for the first synchronisation that sees the person.
#[tokio::test]
async fn a_password_that_changed_since_the_login_ends_sessions_at_the_first_run() {
    let bench = Bench::new();
    let profile = person("s1", "alice").profile;
    let made = new_account("corp", "s1", &profile, Uuid::from_u128(7), bench.clock.now());
    bench.store.create_account(made, vec![]).await.unwrap();
    let noted = crate::store::PasswordChange {
        connector: "corp".into(),
        subject: "s1".into(),
        before: None,
        after: "20260101".into(),
        end_sessions_at: None,
    };
    assert!(bench.store.note_password_change(noted, vec![]).await.unwrap());
    let live = session(&bench, "alice", 1).await;
    let mut alice = person("s1", "alice");
    alice.changed_password_at = Some("20260202".into());
    bench.run(&Made::of([alice])).await;
    assert_eq!(ended(&bench, live).await.as_deref(), Some("password_changed"));
}
