//! Sessions as they are listed and used, and cookie rows.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{CookieRecord, SessionFilter, SessionId, SessionRecord, Store, StoreError};
use sample::{DAY, ISSUED, at};

cases!(
    "sessions",
    Case: a_session_reads_back,
    only_live_sessions_are_listed,
    live_sessions_are_counted_by_kind,
    lists_are_paged_by_id,
    use_is_noted_unless_revoked,
    a_cookie_is_added_once,
    update_makes_no_cookie,
);

async fn a_session_reads_back(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    assert_eq!(store.session(sample::session_id(1)).await?, None);
    let browser = given::browser(&*store, account, 1).await?;
    given::assert_untouched(&*store, &browser).await?;
    let client = given::client(&*store, &browser, 2).await?;
    given::assert_untouched(&*store, &client.record).await?;
    let bare = SessionRecord {
        amr: vec![],
        idle_timeout_millis: 0,
        ip: None,
        user_agent: None,
        ..sample::browser_session(account, 3)
    };
    given::browser_session(&*store, bare.clone(), 3).await?;
    given::assert_untouched(&*store, &bare).await
}

async fn only_live_sessions_are_listed(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let live = given::browser(&*store, account, 1).await?;
    let revoked = given::browser(&*store, account, 2).await?;
    given::revoked(&*store, revoked.id, 1100).await?;
    let never_idle =
        SessionRecord { idle_timeout_millis: 0, ..sample::browser_session(account, 3) };
    given::browser_session(&*store, never_idle.clone(), 3).await?;
    let short = SessionRecord { expires_at: at(1500), ..sample::browser_session(account, 4) };
    given::browser_session(&*store, short.clone(), 4).await?;

    let all = given::live_sessions(&*store, account, 1200).await?;
    assert_eq!(all, [live.id, never_idle.id, short.id], "the revoked one is left out");
    let unexpired = given::live_sessions(&*store, account, 1500).await?;
    assert_eq!(unexpired, [live.id, never_idle.id], "the expired one is left out");
    // Last seen at ISSUED + 1, idle after 3600 seconds.
    let in_use = given::live_sessions(&*store, account, ISSUED + 3600).await?;
    assert_eq!(in_use, [live.id, never_idle.id], "one second before it is idle");
    let idle = given::live_sessions(&*store, account, ISSUED + 3601).await?;
    assert_eq!(idle, [never_idle.id], "the idle one is left out");
    assert!(store.touch_session(live.id, at(ISSUED + 3000)).await?);
    let used = given::live_sessions(&*store, account, ISSUED + 3601).await?;
    assert_eq!(used, [live.id, never_idle.id], "use keeps it from being idle");
    assert_eq!(given::live_sessions(&*store, account, ISSUED + DAY).await?, [], "all are over");
    Ok(())
}

async fn page(store: &dyn Store, filter: SessionFilter) -> Result<Vec<SessionRecord>, StoreError> {
    store.sessions(filter, at(1200)).await
}

async fn lists_are_paged_by_id(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    let mut made = Vec::new();
    for (n, account) in [(5, one), (2, two), (4, one), (1, one), (3, two), (6, two)] {
        made.push(given::browser(&*store, account, n).await?);
    }
    made.sort_by_key(|session| session.id);
    let unlimited = SessionFilter { limit: usize::MAX, ..SessionFilter::default() };
    assert_eq!(page(&*store, unlimited.clone()).await?, made, "all, whole, by id");
    let of_two = SessionFilter { account: Some(two), ..unlimited.clone() };
    let expected: Vec<_> = made.iter().filter(|s| s.account == two).cloned().collect();
    assert_eq!(page(&*store, of_two).await?, expected, "of one account");
    let nobody = SessionFilter { account: Some(sample::account_id(9)), ..unlimited };
    assert_eq!(page(&*store, nobody).await?, [], "of an unknown account");

    let mut seen: Vec<SessionId> = Vec::new();
    loop {
        let filter = SessionFilter { account: None, after: seen.last().copied(), limit: 4 };
        let next = page(&*store, filter).await?;
        assert!(next.len() <= 4 && seen.len() <= made.len(), "pages are bounded and end");
        if next.is_empty() {
            break;
        }
        seen.extend(next.iter().map(|session| session.id));
    }
    let ids: Vec<_> = made.iter().map(|session| session.id).collect();
    assert_eq!(seen, ids, "each session once");
    let after = SessionFilter { account: Some(one), after: Some(sample::session_id(2)), limit: 1 };
    let next: Vec<_> = page(&*store, after).await?.iter().map(|session| session.id).collect();
    assert_eq!(next, [sample::session_id(4)], "account, after and limit together");
    assert_eq!(page(&*store, SessionFilter::default()).await?, [], "a limit of 0");
    Ok(())
}

async fn use_is_noted_unless_revoked(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let other = given::browser(&*store, account, 2).await?;
    assert!(store.touch_session(browser.id, at(1600)).await?);
    let seen = SessionRecord { last_seen_at: at(1600), ..browser.clone() };
    given::assert_untouched(&*store, &seen).await?;
    given::assert_untouched(&*store, &other).await?;
    given::revoked(&*store, browser.id, 1700).await?;
    assert!(!store.touch_session(browser.id, at(1800)).await?, "a revoked session");
    given::assert_ended(&*store, &seen, 1700, "logout").await?;
    assert!(!store.touch_session(sample::session_id(9), at(1800)).await?, "no such session");
    Ok(())
}

async fn a_cookie_is_added_once(store: Arc<dyn Store>) -> Outcome {
    let first = sample::cookie(1);
    assert_eq!(store.cookie(first.id_hash).await?, None);
    assert!(store.add_cookie(first.clone()).await?);
    assert!(store.add_cookie(sample::cookie(2)).await?);
    assert_eq!(store.cookie(first.id_hash).await?, Some(first.clone()));
    let second = CookieRecord { id_hash: first.id_hash, ..sample::cookie(3) };
    assert!(!store.add_cookie(second).await?, "the id is taken");
    assert_eq!(store.cookie(first.id_hash).await?, Some(first), "the first one stays");
    Ok(())
}

async fn update_makes_no_cookie(store: Arc<dyn Store>) -> Outcome {
    let first = sample::cookie(1);
    assert!(!store.update_cookie(first.clone()).await?, "there is none");
    assert_eq!(store.cookie(first.id_hash).await?, None, "update made none");
    store.add_cookie(first.clone()).await?;
    store.add_cookie(sample::cookie(2)).await?;
    let new = CookieRecord {
        id_hash: first.id_hash,
        data: "{\"handle\":\"é\"}".to_owned(),
        expires_at: at(450),
    };
    assert!(store.update_cookie(new.clone()).await?);
    assert_eq!(store.cookie(first.id_hash).await?, Some(new.clone()));
    store.remove_cookie(first.id_hash).await?;
    assert_eq!(store.cookie(first.id_hash).await?, None);
    assert!(!store.update_cookie(new).await?, "a removed one does not come back");
    assert_eq!(store.cookie(first.id_hash).await?, None);
    store.remove_cookie(first.id_hash).await?;
    assert_eq!(store.cookie(sample::cookie(2).id_hash).await?, Some(sample::cookie(2)));
    Ok(())
}

async fn live_sessions_are_counted_by_kind(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    assert_eq!(store.count_sessions(at(ISSUED + 1)).await?, vec![]);
    let first = given::browser(&*store, account, 1).await?;
    given::client(&*store, &first, 2).await?;
    given::browser(&*store, account, 3).await?;
    let ended = given::browser(&*store, account, 4).await?;
    given::revoked(&*store, ended.id, ISSUED + 1).await?;
    let kind = sample::browser_session(account, 1).kind;
    let counts = store.count_sessions(at(ISSUED + 1)).await?;
    let of = |wanted: &str| counts.iter().find(|(kind, _)| kind == wanted).map(|(_, n)| *n);
    assert_eq!(of(&kind), Some(2), "{counts:?}");
    assert_eq!(counts.iter().map(|(_, n)| n).sum::<u64>(), 3, "{counts:?}");
    assert_eq!(store.count_sessions(at(ISSUED + 400 * DAY)).await?, vec![], "all are over");
    Ok(())
}
