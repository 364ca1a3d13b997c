//! Authorization codes and access tokens.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{AccessTokenStatus, CodeRecord, CodeRedemption, Store, StoreError, TokenIssue};
use sample::{at, hash};

cases!(
    "tokens",
    Case: a_code_reads_back,
    a_code_is_redeemed_once,
    a_code_without_a_live_base_is_refused,
    a_code_may_give_no_refresh_token,
    an_access_token_comes_with_what_it_hangs_on,
    an_access_token_shows_deactivation,
    an_access_token_is_removed_alone,
);

async fn a_code_reads_back(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let full = sample::code(&browser, 1);
    let bare = CodeRecord { code_challenge: None, nonce: None, ..sample::code(&browser, 2) };
    assert_eq!(store.code(full.hash).await?, None);
    store.add_code(full.clone()).await?;
    store.add_code(bare.clone()).await?;
    assert_eq!(store.code(full.hash).await?, Some(full));
    assert_eq!(store.code(bare.hash).await?, Some(bare));
    Ok(())
}

async fn a_code_is_redeemed_once(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let code = sample::code(&browser, 2);
    store.add_code(code.clone()).await?;
    let session = sample::client_session(&browser, 2);
    let issue = given::issue(session.id, 2);
    // A look-up before the issue must not be remembered as "no such token".
    assert_eq!(store.access_token(issue.access.hash).await?, None);
    let first =
        store.redeem_code(code.hash, session.clone(), issue, vec![sample::event(1)]).await?;
    assert_eq!(first, CodeRedemption::Redeemed);
    let used = CodeRecord { redeemed_for: Some(session.id), ..code.clone() };
    assert_eq!(store.code(code.hash).await?, Some(used.clone()), "the code names its session");
    given::assert_untouched(&*store, &session).await?;
    assert!(store.access_token(hash("access token", 2)).await?.is_some());
    assert!(store.refresh_token(hash("refresh token", 2)).await?.is_some());

    let other = sample::client_session(&browser, 3);
    let issue = given::issue(other.id, 3);
    let again = store.redeem_code(code.hash, other, issue, vec![sample::event(2)]).await?;
    assert_eq!(again, CodeRedemption::AlreadyRedeemed(session.id));
    assert_nothing_issued(&*store, 3).await?;
    assert_eq!(store.code(code.hash).await?, Some(used));
    given::assert_untouched(&*store, &session).await?;
    assert_eq!(given::trail(&*store).await?, [sample::event(1)]);
    Ok(())
}

async fn assert_nothing_issued(store: &dyn Store, n: u32) -> Outcome {
    assert_eq!(store.session(sample::session_id(n)).await?, None, "no session was written");
    assert_eq!(store.access_token(hash("access token", n)).await?, None, "no access token");
    assert_eq!(store.refresh_token(hash("refresh token", n)).await?, None, "no refresh token");
    Ok(())
}

async fn a_code_without_a_live_base_is_refused(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let other = given::account(&*store, 2).await?.id;
    let revoked = given::browser(&*store, account, 1).await?;
    let inactive = given::browser(&*store, other, 2).await?;
    let redeem = async |code: &CodeRecord, n: u32, browser| -> Result<_, StoreError> {
        let session = sample::client_session(browser, n);
        let issue = given::issue(session.id, n);
        store.redeem_code(code.hash, session, issue, vec![sample::event(n)]).await
    };
    let unknown = redeem(&sample::code(&revoked, 9), 9, &revoked).await?;
    assert_eq!(unknown, CodeRedemption::Refused, "no such code");
    assert_nothing_issued(&*store, 9).await?;

    for (n, browser) in [(3, &revoked), (4, &inactive)] {
        store.add_code(sample::code(browser, n)).await?;
    }
    given::revoked(&*store, revoked.id, 1010).await?;
    given::deactivated(&*store, other, 1010).await?;
    for (n, browser) in [(3, &revoked), (4, &inactive)] {
        let code = sample::code(browser, n);
        assert_eq!(redeem(&code, n, browser).await?, CodeRedemption::Refused, "code {n}");
        assert_nothing_issued(&*store, n).await?;
        assert_eq!(store.code(code.hash).await?, Some(code), "a refused code is not used");
    }
    assert_eq!(given::trail(&*store).await?, [], "a refusal writes no event");
    Ok(())
}

async fn a_code_may_give_no_refresh_token(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    store.add_code(sample::code(&browser, 2)).await?;
    let session = sample::client_session(&browser, 2);
    let issue = TokenIssue { refresh: None, ..given::issue(session.id, 2) };
    let redemption = store.redeem_code(hash("code", 2), session, issue, vec![]).await?;
    assert_eq!(redemption, CodeRedemption::Redeemed);
    assert!(store.access_token(hash("access token", 2)).await?.is_some());
    assert_eq!(store.refresh_token(hash("refresh token", 2)).await?, None);
    Ok(())
}

async fn an_access_token_comes_with_what_it_hangs_on(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?;
    let two = given::account(&*store, 2).await?;
    for (account, n) in [(one, 10), (two, 20)] {
        let browser = given::browser(&*store, account.id, n).await?;
        let client = given::client(&*store, &browser, n + 1).await?;
        let expected = AccessTokenStatus {
            token: sample::access_token(client.record.id, n + 1),
            session: client.record,
            account,
        };
        for _ in 0..2 {
            let status = store.access_token(client.access).await?;
            assert_eq!(status.as_ref(), Some(&expected));
        }
        assert_eq!(store.access_token(client.refresh).await?, None, "another kind of token");
    }
    Ok(())
}

async fn an_access_token_shows_deactivation(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let client = given::client(&*store, &browser, 2).await?;
    for _ in 0..3 {
        assert!(store.access_token(client.access).await?.is_some_and(|s| s.account.active));
    }
    given::deactivated(&*store, account, 1100).await?;
    let Some(access) = store.access_token(client.access).await? else {
        panic!("the access token of an inactive account is still found, as revoked");
    };
    assert!(!access.account.active, "access_token shows the account inactive");
    assert_eq!(access.session.revoked_at, Some(at(1100)), "and its session revoked");
    let Some(refresh) = store.refresh_token(client.refresh).await? else {
        panic!("the refresh token of an inactive account is still found, as revoked");
    };
    assert!(!refresh.account.active, "refresh_token shows the account inactive");
    assert_eq!(refresh.session.revoked_at, Some(at(1100)), "and its session revoked");
    Ok(())
}

async fn an_access_token_is_removed_alone(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let browser = given::browser(&*store, account, 1).await?;
    let first = given::client(&*store, &browser, 2).await?;
    let second = given::client(&*store, &browser, 3).await?;
    assert!(store.access_token(first.access).await?.is_some());
    store.remove_access_token(first.access, vec![sample::event(1)]).await?;
    assert_eq!(store.access_token(first.access).await?, None);
    assert_eq!(given::trail(&*store).await?, [sample::event(1)]);
    assert!(store.refresh_token(first.refresh).await?.is_some(), "the refresh token stays");
    assert!(store.access_token(second.access).await?.is_some(), "others stay");
    given::assert_untouched(&*store, &first.record).await?;
    store.remove_access_token(first.access, vec![]).await?;
    store.remove_access_token(first.refresh, vec![]).await?;
    assert!(store.refresh_token(first.refresh).await?.is_some(), "another kind of token");
    Ok(())
}
