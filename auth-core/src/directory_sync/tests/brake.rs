//! Plans that would harm too many, and reads that are not to be believed.

use super::*;

const BRAKE: Brake = Brake { share: 10, people: 2, window: Duration::from_secs(86_400) };

fn people(range: std::ops::Range<u32>) -> Vec<DirectoryPerson> {
    range.map(|n| person(&format!("s{n}"), &format!("name{n}"))).collect()
}

async fn active(bench: &Bench) -> u64 {
    bench.store.count_synced_accounts("corp").await.unwrap()
}

#[tokio::test]
async fn a_plan_that_shuts_out_too_many_changes_nothing() {
    let bench = Bench::with(BRAKE, &[]);
    bench.run(&Made::of(people(0..30))).await;
    let (planned, lines) = bench.plan(&Made::of(people(0..20))).await;
    let (outcome, changes) = bench.run(&Made::of(people(0..20))).await;
    assert!(planned.is_refused() && outcome.is_refused());
    assert_eq!((changes.len(), outcome.counts.deactivate, outcome.applied), (10, 10, 0));
    assert_eq!(lines, changes, "what is refused is listed");
    assert_eq!(active(&bench).await, 30);
    let brake = outcome.brake.unwrap();
    assert_eq!((brake.people, brake.accounts, brake.limit), (10, 30, 10));
    let jobs = bench.store.sync_jobs("corp", 1).await.unwrap();
    assert_eq!((jobs[0].state.as_str(), jobs[0].applied), ("refused", 0));

    // Overridden by an administrator, and audited.
    let lines = Lines::default();
    let order = RunRequest { override_brake: true, ..request() };
    let outcome = bench.sync.run(&Made::of(people(0..20)), &order, &lines).await.unwrap();
    assert_eq!((outcome.applied, outcome.is_refused()), (10, false));
    assert!(outcome.brake.unwrap().overridden);
    assert_eq!(active(&bench).await, 20);
    let trail =
        bench.store.audit(AuditQuery { limit: 1000, ..AuditQuery::default() }).await.unwrap();
    let event = trail.iter().find(|it| it.record.event == "sync.brake_overridden").unwrap();
    assert_eq!(event.record.request_id.as_deref(), Some("test"));
    assert_eq!(event.record.detail["people"], 10);
}

#[tokio::test]
async fn small_steps_add_up_within_the_window() {
    let bench = Bench::with(BRAKE, &[]);
    bench.run(&Made::of(people(0..40))).await;
    let (first, _) = bench.run(&Made::of(people(0..37))).await;
    assert_eq!(first.counts.deactivate, 3);
    assert!(!first.is_refused(), "3 of 40 are below a tenth");
    let (second, _) = bench.run(&Made::of(people(0..36))).await;
    assert!(second.is_refused(), "4 of 37 are more than a tenth");
    bench.pass(Duration::from_secs(86_401));
    let (later, _) = bench.run(&Made::of(people(0..36))).await;
    assert!(!later.is_refused(), "yesterday's do not count any more");
    // What an administrator ordered does not hold up the next run.
    let order = RunRequest { override_brake: true, ..request() };
    bench.sync.run(&Made::of(people(0..20)), &order, &Lines::default()).await.unwrap();
    bench.pass(Duration::from_secs(86_401));
    let (after, _) = bench.run(&Made::of(people(0..19))).await;
    assert!(!after.is_refused());
}

#[tokio::test]
async fn lost_memberships_and_values_count() {
    let bench = Bench::with(BRAKE, &[]);
    let in_group = |n: u32| {
        let mut one = person(&format!("s{n}"), &format!("name{n}"));
        one.profile.groups = vec!["staff".into(), "all".into()];
        one.profile.roles = vec!["guest".into()];
        one
    };
    bench.run(&Made::of((0..20).map(in_group))).await;
    let without = |change: &dyn Fn(&mut Profile)| {
        Made::of((0..20).map(|n| {
            let mut one = in_group(n);
            if n < 5 {
                change(&mut one.profile);
            }
            one
        }))
    };
    let cases: [(&dyn Fn(&mut Profile), bool); 5] = [
        (&|p| p.groups.truncate(1), true),
        (&|p| p.roles.clear(), true),
        (&|p| p.email = None, true),
        (&|p| p.groups.push("more".into()), false),
        (&|p| p.first_name = Some("New".into()), false),
    ];
    for (n, (change, refused)) in cases.into_iter().enumerate() {
        let (outcome, changes) = bench.plan(&without(change)).await;
        assert_eq!((outcome.is_refused(), changes.len()), (refused, 5), "case {n}");
    }
    // Each person counts once, and an administrator's new role is no loss.
    let (outcome, _) = bench
        .plan(&without(&|p| {
            p.groups.clear();
            p.email = None;
        }))
        .await;
    assert_eq!(outcome.brake.unwrap().people, 5);
}

#[tokio::test]
async fn ids_that_vanish_while_the_same_names_come_new_are_told() {
    let bench = Bench::with(BRAKE, &[]);
    bench.run(&Made::of(people(0..10))).await;
    let rebuilt = (0..10).map(|n| person(&format!("new-{n}"), &format!("name{n}")));
    let (outcome, changes) = bench.run(&Made::of(rebuilt)).await;
    assert_eq!(outcome.counts.deactivate, 10);
    assert_eq!(outcome.counts.conflict, 10, "nobody is linked by a name: {changes:?}");
    let brake = outcome.brake.unwrap();
    assert!(brake.reason.contains("10 of them are new under another id"), "{}", brake.reason);
    assert_eq!(active(&bench).await, 10);
}

#[tokio::test]
async fn a_read_that_failed_changes_nothing() {
    let bench = Bench::new();
    bench.run(&Made::of(people(0..10))).await;
    for reason in ["directory_unavailable", "directory_timeout", "directory_busy"] {
        for after in [0, 3, 9] {
            let error = bench.fails(&Made::of(people(0..9)).failing(reason, after)).await;
            assert!(matches!(error, SyncError::Directory(_)), "{error}");
        }
    }
    // A search that was answered with an error, and one that found nobody.
    let partial = Made::of(people(0..9)).failing("directory_search_failed", 6);
    for (people, text) in [(partial, "scripted"), (Made::of([]), "found nobody")] {
        let (planned, _) = bench.plan(&people).await;
        assert!(planned.is_refused());
        for override_brake in [false, true] {
            let order = RunRequest { override_brake, ..request() };
            let outcome = bench.sync.run(&people, &order, &Lines::default()).await.unwrap();
            if text == "found nobody" && override_brake {
                // Not even by order.
                assert!(outcome.is_refused());
            }
            assert!(outcome.is_refused() && outcome.applied == 0);
            let brake = outcome.brake.unwrap();
            assert!(brake.reason.contains(text), "{}", brake.reason);
        }
    }
    assert_eq!(active(&bench).await, 10);
    let (outcome, changes) = bench.run(&Made::of(people(0..10))).await;
    assert_eq!((outcome.counts.unchanged, changes.len()), (10, 0));
}
