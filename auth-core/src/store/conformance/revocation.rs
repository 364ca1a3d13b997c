//! The end of sessions before their time.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{
    AccountId, Revocation, RevocationScope, SessionId, SessionRecord, Store, StoreError,
};
use sample::at;

cases!(
    "revocation",
    Case: a_session_ends_with_what_came_from_it,
    a_client_session_ends_alone,
    all_sessions_of_an_account_end,
    all_sessions_end,
    the_next_look_up_sees_it,
    its_events_are_always_written,
);

async fn revoke(
    store: &dyn Store,
    scope: RevocationScope,
    seconds: u64,
    reason: &str,
) -> Result<Vec<SessionId>, StoreError> {
    let revocation = Revocation { scope, at: at(seconds), reason: reason.to_owned() };
    let ended = store.revoke_sessions(revocation, vec![]).await?;
    for session in &ended {
        let stored = given::existing_session(store, session.id).await?;
        assert_eq!(session, &stored, "revoke_sessions returns a session as it is from now on");
        assert_eq!(session.revoked_at, Some(at(seconds)), "revoked_at");
        assert_eq!(session.revoked_reason.as_deref(), Some(reason), "revoked_reason");
    }
    let mut ids: Vec<_> = ended.into_iter().map(|session| session.id).collect();
    ids.sort();
    Ok(ids)
}

/// Browser session 1 with client sessions 2 and 3, browser session 4 with client session 5.
struct Sessions {
    account: AccountId,
    all: Vec<SessionRecord>,
}

impl Sessions {
    async fn assert_untouched(&self, store: &dyn Store, numbers: &[u32]) -> Outcome {
        for session in &self.all {
            if numbers.iter().any(|&n| sample::session_id(n) == session.id) {
                given::assert_untouched(store, session).await?;
            }
        }
        Ok(())
    }
}

async fn five_sessions(store: &dyn Store) -> Result<Sessions, StoreError> {
    let account = given::account(store, 1).await?.id;
    let first = given::browser(store, account, 1).await?;
    let second = given::client(store, &first, 2).await?.record;
    let third = given::client(store, &first, 3).await?.record;
    let fourth = given::browser(store, account, 4).await?;
    let fifth = given::client(store, &fourth, 5).await?.record;
    Ok(Sessions { account, all: vec![first, second, third, fourth, fifth] })
}

fn ids<const N: usize>(numbers: [u32; N]) -> Vec<SessionId> {
    numbers.map(sample::session_id).to_vec()
}

async fn a_session_ends_with_what_came_from_it(store: Arc<dyn Store>) -> Outcome {
    let sessions = five_sessions(&*store).await?;
    let third = RevocationScope::Session(sample::session_id(3));
    assert_eq!(revoke(&*store, third, 1100, "first").await?, ids([3]));
    let first = RevocationScope::Session(sample::session_id(1));
    let ended = revoke(&*store, first, 1200, "logout").await?;
    assert_eq!(ended, ids([1, 2]), "the third was revoked before, so it is not returned");
    sessions.assert_untouched(&*store, &[4, 5]).await?;
    for (session, seconds, reason) in sessions
        .all
        .iter()
        .zip([(1200, "logout"), (1200, "logout"), (1100, "first")])
        .map(|(session, (seconds, reason))| (session, seconds, reason))
    {
        given::assert_ended(&*store, session, seconds, reason).await?;
    }
    assert_eq!(revoke(&*store, first, 1300, "again").await?, [], "nothing is left to end");
    if let Some(browser) = sessions.all.first() {
        given::assert_ended(&*store, browser, 1200, "logout").await?;
    }
    let unknown = RevocationScope::Session(sample::session_id(99));
    assert_eq!(revoke(&*store, unknown, 1400, "logout").await?, [], "no such session");
    Ok(())
}

async fn a_client_session_ends_alone(store: Arc<dyn Store>) -> Outcome {
    let sessions = five_sessions(&*store).await?;
    let second = RevocationScope::Session(sample::session_id(2));
    assert_eq!(revoke(&*store, second, 1100, "logout").await?, ids([2]));
    sessions.assert_untouched(&*store, &[1, 3, 4, 5]).await
}

async fn all_sessions_of_an_account_end(store: Arc<dyn Store>) -> Outcome {
    let sessions = five_sessions(&*store).await?;
    let other = given::account(&*store, 2).await?.id;
    let foreign = given::browser(&*store, other, 6).await?;
    let fourth = RevocationScope::Session(sample::session_id(4));
    assert_eq!(revoke(&*store, fourth, 1100, "first").await?, ids([4, 5]));
    let account = RevocationScope::Account(sessions.account);
    assert_eq!(revoke(&*store, account, 1200, "administrator").await?, ids([1, 2, 3]));
    given::assert_untouched(&*store, &foreign).await?;
    assert_eq!(revoke(&*store, account, 1300, "again").await?, []);
    assert_eq!(given::live_sessions(&*store, sessions.account, 1200).await?, []);
    Ok(())
}

async fn all_sessions_end(store: Arc<dyn Store>) -> Outcome {
    five_sessions(&*store).await?;
    let other = given::account(&*store, 2).await?.id;
    given::browser(&*store, other, 6).await?;
    let second = RevocationScope::Session(sample::session_id(2));
    revoke(&*store, second, 1100, "first").await?;
    let ended = revoke(&*store, RevocationScope::All, 1200, "key_lost").await?;
    assert_eq!(ended, ids([1, 3, 4, 5, 6]));
    assert_eq!(revoke(&*store, RevocationScope::All, 1300, "again").await?, []);
    Ok(())
}

async fn the_next_look_up_sees_it(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    // Every round warms whatever cache there is, then ends the session in another way.
    for (n, scope) in [
        (2, RevocationScope::Session(sample::session_id(2))),
        (3, RevocationScope::Account(account)),
        (4, RevocationScope::All),
    ] {
        let parent = SessionRecord { id: sample::session_id(n + 10), ..browser.clone() };
        given::browser_session(&*store, parent.clone(), n + 10).await?;
        let client = given::client(&*store, &parent, n).await?;
        for _ in 0..3 {
            let Some(status) = store.access_token(client.access).await? else {
                panic!("access token {n} is in the store");
            };
            assert_eq!(status.session, client.record, "before round {n}");
        }
        revoke(&*store, scope, 1200, "logout").await?;
        let Some(access) = store.access_token(client.access).await? else {
            panic!("a revoked session's access token is still found, as revoked");
        };
        assert_eq!(access.session.revoked_at, Some(at(1200)), "access_token, {scope:?}");
        let Some(refresh) = store.refresh_token(client.refresh).await? else {
            panic!("a revoked session's refresh token is still found, as revoked");
        };
        assert_eq!(refresh.session.revoked_at, Some(at(1200)), "refresh_token, {scope:?}");
        given::assert_ended(&*store, &client.record, 1200, "logout").await?;
        let live = given::live_sessions(&*store, account, 1200).await?;
        assert!(!live.contains(&client.record.id), "sessions, {scope:?}");
    }
    Ok(())
}

async fn its_events_are_always_written(store: Arc<dyn Store>) -> Outcome {
    five_sessions(&*store).await?;
    for n in [1, 2] {
        let scope = RevocationScope::All;
        let revocation = Revocation { scope, at: at(1100), reason: "logout".to_owned() };
        store.revoke_sessions(revocation, vec![sample::event(n)]).await?;
    }
    let expected = [sample::event(1), sample::event(2)];
    assert_eq!(given::trail(&*store).await?, expected, "even when no session was left to end");
    Ok(())
}
