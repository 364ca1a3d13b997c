//! The audit trail.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::audit::AuditRecord;
use crate::store::{AuditEntry, AuditQuery, Store, StoreError};
use sample::at;

cases!(
    "audit",
    Case: events_read_back,
    the_newest_come_without_after,
    after_goes_on_from_a_position,
    since_and_account_filter_before_the_limit,
);

async fn events_read_back(store: Arc<dyn Store>) -> Outcome {
    store.append_audit(vec![]).await?;
    assert_eq!(given::trail(&*store).await?, []);
    let bare = AuditRecord::new(at(1), "login.accepted");
    let failed = AuditRecord::new(at(2), "login.refused")
        .failed("directory_unavailable")
        .account("'; DROP TABLE audit; -- \u{1} \u{202e} 🦊");
    let written = [sample::event(1), bare, failed, sample::event(2)];
    store.append_audit(written.to_vec()).await?;
    assert_eq!(given::trail(&*store).await?, written);
    Ok(())
}

async fn read(store: &dyn Store, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
    let entries = store.audit(query).await?;
    let ascending = entries.is_sorted_by(|a, b| a.sequence < b.sequence);
    assert!(ascending, "sequences grow strictly within an answer");
    Ok(entries)
}

fn names(entries: &[AuditEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.record.event.as_str()).collect()
}

async fn six_events(store: &dyn Store) -> Result<(), StoreError> {
    store.append_audit([1, 2].map(sample::event).to_vec()).await?;
    store.append_audit([3, 4, 5].map(sample::event).to_vec()).await?;
    store.append_audit(vec![sample::event(6)]).await
}

async fn the_newest_come_without_after(store: Arc<dyn Store>) -> Outcome {
    six_events(&*store).await?;
    let newest = |limit| AuditQuery { limit, ..AuditQuery::default() };
    let two = read(&*store, newest(2)).await?;
    assert_eq!(names(&two), ["test.event5", "test.event6"], "newest two, ascending");
    assert_eq!(read(&*store, newest(6)).await?.len(), 6);
    assert_eq!(read(&*store, newest(usize::MAX)).await?.len(), 6);
    assert_eq!(read(&*store, newest(0)).await?, []);
    Ok(())
}

async fn after_goes_on_from_a_position(store: Arc<dyn Store>) -> Outcome {
    six_events(&*store).await?;
    let mut seen = Vec::new();
    let mut after = Some(i64::MIN);
    for _ in 0..4 {
        let page = read(&*store, AuditQuery { after, limit: 2, ..AuditQuery::default() }).await?;
        after = page.last().map(|entry| entry.sequence).or(after);
        seen.extend(page);
    }
    let records: Vec<_> = seen.iter().map(|entry| entry.record.clone()).collect();
    assert_eq!(records, [1, 2, 3, 4, 5, 6].map(sample::event), "each event once, oldest first");
    let tail = AuditQuery { after, limit: 10, ..AuditQuery::default() };
    assert_eq!(read(&*store, tail.clone()).await?, [], "nothing new");
    store.append_audit(vec![sample::event(7)]).await?;
    let new = read(&*store, tail).await?;
    assert_eq!(names(&new), ["test.event7"], "only what is new");
    Ok(())
}

async fn since_and_account_filter_before_the_limit(store: Arc<dyn Store>) -> Outcome {
    let of = |n: u32, account: &str, seconds: u64| AuditRecord {
        account: Some(account.to_owned()),
        at: at(seconds),
        ..sample::event(n)
    };
    let anonymous = AuditRecord { account: None, ..sample::event(9) };
    store
        .append_audit(vec![
            of(1, "alice", 10),
            of(2, "Alice", 20),
            of(3, "alice", 30),
            of(4, "bob", 40),
            of(5, "alice", 50),
            of(6, "alice_", 60),
            anonymous,
        ])
        .await?;
    let alice = AuditQuery { account: Some("alice".to_owned()), limit: 10, ..Default::default() };
    let found = read(&*store, alice.clone()).await?;
    assert_eq!(names(&found), ["test.event1", "test.event3", "test.event5"], "compared exactly");
    let newest = read(&*store, AuditQuery { limit: 2, ..alice.clone() }).await?;
    assert_eq!(names(&newest), ["test.event3", "test.event5"], "newest two of the account");
    let oldest =
        read(&*store, AuditQuery { after: Some(i64::MIN), limit: 2, ..alice.clone() }).await?;
    assert_eq!(names(&oldest), ["test.event1", "test.event3"], "first two of the account");
    let since = AuditQuery { since: Some(at(30)), limit: 10, ..Default::default() };
    let found = read(&*store, since.clone()).await?;
    let expected = ["test.event3", "test.event4", "test.event5", "test.event6", "test.event9"];
    assert_eq!(names(&found), expected, "at or after the moment");
    let both = AuditQuery { account: Some("alice".to_owned()), ..since };
    let found = read(&*store, both.clone()).await?;
    assert_eq!(names(&found), ["test.event3", "test.event5"]);
    let after = found.first().map(|entry| entry.sequence);
    let found = read(&*store, AuditQuery { after, ..both }).await?;
    assert_eq!(names(&found), ["test.event5"], "after, since and account together");
    let nobody = AuditQuery { account: Some("al%".to_owned()), ..alice };
    assert_eq!(read(&*store, nobody).await?, []);
    Ok(())
}
