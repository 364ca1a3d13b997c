//! Purging of sessions and of what hangs on them: codes and tokens.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{AccountId, CodeRedemption, RefreshRotation, SessionRecord, Store, TokenIssue};
use sample::{DAY, ISSUED, at, hash};

cases!(
    "purge_sessions",
    Case: live_sessions_and_tokens_stay,
    an_ended_session_stays_for_a_day,
    a_used_code_names_its_session_for_a_day,
    a_client_session_outlives_the_browser_s,
    expired_tokens_go,
);

async fn live_sessions_and_tokens_stay(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let client = given::client(&*store, &browser, 2).await?;
    store.purge(at(ISSUED + 3500)).await?;
    given::assert_untouched(&*store, &browser).await?;
    given::assert_untouched(&*store, &client.record).await?;
    assert!(store.access_token(client.access).await?.is_some(), "a live access token");
    assert!(store.refresh_token(client.refresh).await?.is_some(), "a live refresh token");
    assert!(store.code(client.code).await?.is_some(), "a code of this day");
    Ok(())
}

/// A session that nothing came from.
async fn lone_session(
    store: &dyn Store,
    account: AccountId,
    n: u32,
    expires_in: u64,
) -> Result<SessionRecord, crate::store::StoreError> {
    let session = SessionRecord {
        expires_at: at(ISSUED + expires_in),
        ..sample::browser_session(account, n)
    };
    given::browser_session(store, session, n).await
}

async fn an_ended_session_stays_for_a_day(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let expired = lone_session(&*store, account, 1, 100).await?;
    let revoked = lone_session(&*store, account, 2, 40 * DAY).await?;
    given::revoked(&*store, revoked.id, ISSUED + 100).await?;
    let revoked_late = lone_session(&*store, account, 3, 40 * DAY).await?;
    given::revoked(&*store, revoked_late.id, ISSUED + 20 * DAY).await?;

    store.purge(at(ISSUED + 99 + DAY)).await?;
    for session in [&expired, &revoked, &revoked_late] {
        let kept = store.session(session.id).await?;
        assert!(kept.is_some(), "session {} has been over for less than a day", session.id);
    }
    store.purge(at(ISSUED + 101 + DAY)).await?;
    assert_eq!(store.session(expired.id).await?, None, "expired for more than a day");
    assert_eq!(store.session(revoked.id).await?, None, "revoked for more than a day");
    let late = store.session(revoked_late.id).await?;
    assert!(late.is_some(), "the day counts from the revocation");
    Ok(())
}

async fn a_used_code_names_its_session_for_a_day(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let client = given::client(&*store, &browser, 2).await?;
    // Both sessions end at once, a minute before the code expires.
    given::revoked(&*store, browser.id, ISSUED + 3).await?;
    let expires = ISSUED + 60;

    for seconds in [ISSUED + 59, expires + 1, ISSUED + 10 + DAY, expires - 1 + DAY] {
        store.purge(at(seconds)).await?;
        let Some(code) = store.code(client.code).await? else {
            panic!("the code is kept until a day after its expiry, but went at {seconds} s");
        };
        assert_eq!(code.redeemed_for, Some(client.record.id), "purge at {seconds} s");
        let session = sample::client_session(&browser, 3);
        let issue = given::issue(session.id, 3);
        let second = store.redeem_code(client.code, session, issue, vec![]).await?;
        let expected = CodeRedemption::AlreadyRedeemed(client.record.id);
        assert_eq!(second, expected, "a second use after the purge at {seconds} s");
    }
    store.purge(at(expires + 1 + DAY)).await?;
    assert_eq!(store.code(client.code).await?, None, "a day after its expiry it goes");
    Ok(())
}

async fn a_client_session_outlives_the_browser_s(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let client = given::client(&*store, &browser, 2).await?;
    // The browser session ended by time a day after its issue, the client's lasts 30 days.
    let now = ISSUED + 3 * DAY;
    store.purge(at(now)).await?;
    let kept = given::existing_session(&*store, client.record.id).await?;
    assert_eq!(kept.revoked_at, None, "a browser session that merely expired ends no other");
    let rotation = RefreshRotation {
        presented: client.refresh,
        first_use: true,
        now: at(now),
        issue: TokenIssue {
            access: sample::access_token(kept.id, 5),
            refresh: Some(sample::refresh_token(kept.id, Some(client.refresh), 5)),
        },
        audit: vec![],
    };
    assert!(store.rotate_refresh_token(rotation).await?, "it can still be refreshed");
    assert!(store.refresh_token(hash("refresh token", 5)).await?.is_some());
    assert_eq!(given::live_sessions(&*store, account, now).await?, [kept.id]);
    Ok(())
}

async fn expired_tokens_go(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let never_idle =
        SessionRecord { idle_timeout_millis: 0, ..sample::client_session(&browser, 2) };
    let client = given::client_session(&*store, &browser, never_idle, 2).await?;
    store.purge(at(ISSUED + 3601)).await?;
    assert_eq!(store.access_token(client.access).await?, None, "expired after an hour");
    assert!(store.refresh_token(client.refresh).await?.is_some(), "lasts 20 days");
    store.purge(at(ISSUED + 20 * DAY + 1)).await?;
    assert_eq!(store.refresh_token(client.refresh).await?, None, "expired after 20 days");
    let before = store.purge(at(ISSUED + 32 * DAY)).await?;
    assert!(before > 0, "the client session is over for more than a day");
    assert_eq!(store.session(client.record.id).await?, None);
    assert_eq!(store.purge(at(ISSUED + 32 * DAY)).await?, 0, "nothing is left");
    Ok(())
}
