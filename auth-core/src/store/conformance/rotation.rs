//! Refresh tokens: rotation, the sibling after a lost answer, reuse.

use std::sync::Arc;

use super::given::ClientSession;
use super::{Outcome, cases, given, sample};
use crate::secret::TokenHash;
use crate::store::{
    RefreshRotation, RefreshTokenRecord, RefreshTokenStatus, SessionRecord, Store, StoreError,
    TokenIssue,
};
use sample::{at, hash};

cases!(
    "rotation",
    Case: a_refresh_token_comes_with_what_it_hangs_on,
    first_use_happens_once,
    a_sibling_is_issued_until_a_successor_is_used,
    the_session_s_use_is_noted,
    a_dead_session_refreshes_nothing,
);

async fn one_client(store: &dyn Store) -> Result<ClientSession, StoreError> {
    let account = given::account(store, 1).await?.id;
    let browser = given::browser(store, account, 1).await?;
    given::client(store, &browser, 2).await
}

/// A rotation of `presented` to access and refresh token `n`, told as event `n`.
fn rotation(client: &ClientSession, presented: TokenHash, first: bool, n: u32) -> RefreshRotation {
    let session = client.record.id;
    RefreshRotation {
        presented,
        first_use: first,
        now: at(2000 + u64::from(n)),
        issue: TokenIssue {
            access: sample::access_token(session, n),
            refresh: Some(sample::refresh_token(session, Some(presented), n)),
        },
        audit: vec![sample::event(n)],
    }
}

async fn status(store: &dyn Store, hash: TokenHash) -> Result<RefreshTokenStatus, StoreError> {
    let Some(status) = store.refresh_token(hash).await? else {
        panic!("the refresh token is in the store");
    };
    Ok(status)
}

async fn a_refresh_token_comes_with_what_it_hangs_on(store: Arc<dyn Store>) -> Outcome {
    let client = one_client(&*store).await?;
    let expected = RefreshTokenStatus {
        token: sample::refresh_token(client.record.id, None, 2),
        session: client.record.clone(),
        account: given::existing_account(&*store, client.record.account).await?,
        successor_used: false,
    };
    assert_eq!(store.refresh_token(client.refresh).await?, Some(expected));
    assert_eq!(store.refresh_token(client.access).await?, None, "another kind of token");
    Ok(())
}

async fn first_use_happens_once(store: Arc<dyn Store>) -> Outcome {
    let client = one_client(&*store).await?;
    let unused = rotation(&client, client.refresh, false, 4);
    assert!(!store.rotate_refresh_token(unused).await?, "no sibling of an unused token");
    assert_not_issued(&*store, 4).await?;
    assert_eq!(status(&*store, client.refresh).await?.token.used_at, None);
    given::assert_untouched(&*store, &client.record).await?;

    assert!(store.rotate_refresh_token(rotation(&client, client.refresh, true, 3)).await?);
    let used = RefreshTokenRecord {
        used_at: Some(at(2003)),
        ..sample::refresh_token(client.record.id, None, 2)
    };
    let presented = status(&*store, client.refresh).await?;
    assert_eq!(presented.token, used);
    assert!(!presented.successor_used, "the successor is not used yet");
    let successor = status(&*store, hash("refresh token", 3)).await?;
    let expected = sample::refresh_token(client.record.id, Some(client.refresh), 3);
    assert_eq!(successor.token, expected, "the successor names its predecessor");
    let Some(access) = store.access_token(hash("access token", 3)).await? else {
        panic!("the new access token is in the store");
    };
    assert_eq!(access.token, sample::access_token(client.record.id, 3));

    assert!(!store.rotate_refresh_token(rotation(&client, client.refresh, true, 5)).await?);
    assert_not_issued(&*store, 5).await?;
    assert_eq!(status(&*store, client.refresh).await?.token, used, "used_at stays");
    let unknown = rotation(&client, hash("refresh token", 99), true, 6);
    assert!(!store.rotate_refresh_token(unknown).await?, "no such token");
    assert_not_issued(&*store, 6).await?;
    assert_eq!(given::trail(&*store).await?, [sample::event(3)], "only what took place is told");

    let mut access_only = rotation(&client, hash("refresh token", 3), true, 7);
    access_only.issue.refresh = None;
    access_only.audit = vec![];
    assert!(store.rotate_refresh_token(access_only).await?, "without a new refresh token");
    assert!(store.access_token(hash("access token", 7)).await?.is_some());
    assert_eq!(store.refresh_token(hash("refresh token", 7)).await?, None);
    assert_eq!(given::trail(&*store).await?, [sample::event(3)], "no event was given");
    Ok(())
}

async fn assert_not_issued(store: &dyn Store, n: u32) -> Outcome {
    assert_eq!(store.access_token(hash("access token", n)).await?, None, "no access token {n}");
    assert_eq!(store.refresh_token(hash("refresh token", n)).await?, None, "no token {n}");
    Ok(())
}

async fn a_sibling_is_issued_until_a_successor_is_used(store: Arc<dyn Store>) -> Outcome {
    let client = one_client(&*store).await?;
    let presented = client.refresh;
    assert!(store.rotate_refresh_token(rotation(&client, presented, true, 3)).await?);
    assert!(store.rotate_refresh_token(rotation(&client, presented, false, 4)).await?, "sibling");
    assert!(store.rotate_refresh_token(rotation(&client, presented, false, 5)).await?, "another");
    let now = status(&*store, presented).await?;
    assert_eq!(now.token.used_at, Some(at(2003)), "used_at is the first use");
    assert!(!now.successor_used, "no successor was used");
    for n in [3, 4, 5] {
        let sibling = status(&*store, hash("refresh token", n)).await?.token;
        assert_eq!(sibling, sample::refresh_token(client.record.id, Some(presented), n));
    }

    let sibling = hash("refresh token", 4);
    assert!(store.rotate_refresh_token(rotation(&client, sibling, true, 6)).await?);
    assert!(status(&*store, presented).await?.successor_used, "a sibling was used");
    assert!(!status(&*store, sibling).await?.successor_used, "its own successor was not");
    let trail = given::trail(&*store).await?;
    assert!(!store.rotate_refresh_token(rotation(&client, presented, false, 7)).await?, "reuse");
    assert!(!store.rotate_refresh_token(rotation(&client, presented, true, 8)).await?, "reuse");
    assert_not_issued(&*store, 7).await?;
    assert_not_issued(&*store, 8).await?;
    assert_eq!(given::trail(&*store).await?, trail);
    // The other sibling is unused and its session lives.
    assert!(
        store.rotate_refresh_token(rotation(&client, hash("refresh token", 5), true, 9)).await?
    );
    Ok(())
}

async fn the_session_s_use_is_noted(store: Arc<dyn Store>) -> Outcome {
    let client = one_client(&*store).await?;
    let bystander = {
        let browser = given::browser(&*store, client.record.account, 11).await?;
        given::client(&*store, &browser, 12).await?
    };
    for (first, n) in [(true, 300), (false, 600)] {
        assert!(store.rotate_refresh_token(rotation(&client, client.refresh, first, n)).await?);
        let seen = SessionRecord { last_seen_at: at(2000 + u64::from(n)), ..client.record.clone() };
        given::assert_untouched(&*store, &seen).await?;
    }
    given::assert_untouched(&*store, &bystander.record).await
}

async fn a_dead_session_refreshes_nothing(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let other = given::account(&*store, 2).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let itself = given::client(&*store, &browser, 2).await?;
    let through_browser = given::client(&*store, &browser, 3).await?;
    let inactive = {
        let browser = given::browser(&*store, other, 4).await?;
        given::client(&*store, &browser, 5).await?
    };
    // Each is used once, so that a sibling could be asked for as well.
    let mut n = 20;
    for client in [&itself, &through_browser, &inactive] {
        n += 1;
        assert!(store.rotate_refresh_token(rotation(client, client.refresh, true, n)).await?);
    }
    given::revoked(&*store, itself.record.id, 2500).await?;
    given::revoked(&*store, browser.id, 2500).await?;
    given::deactivated(&*store, other, 2500).await?;
    let trail = given::trail(&*store).await?;
    for (client, successor) in [(&itself, 21), (&through_browser, 22), (&inactive, 23)] {
        let before = status(&*store, client.refresh).await?;
        for (presented, first) in
            [(hash("refresh token", successor), true), (client.refresh, false)]
        {
            n += 1;
            let rotated = store.rotate_refresh_token(rotation(client, presented, first, n)).await?;
            assert!(!rotated, "session {} is revoked", client.record.id);
            assert_not_issued(&*store, n).await?;
        }
        assert_eq!(status(&*store, client.refresh).await?, before, "nothing was written");
        let unused = status(&*store, hash("refresh token", successor)).await?;
        assert_eq!(unused.token.used_at, None, "the presented token is still unused");
    }
    assert_eq!(given::trail(&*store).await?, trail);
    Ok(())
}
