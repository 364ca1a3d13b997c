//! What one node does, the other sees: revocation within a second, everything else at once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::race::Nodes;
use super::{Outcome, cases, given, sample};
use crate::secret::TokenHash;
use crate::store::{AccessTokenStatus, CodeRedemption, RevocationScope, Store, StoreError};
use sample::{ISSUED, at, hash};

cases!(
    "across_nodes",
    RaceCase: a_revocation_is_seen_within_a_second,
    a_deactivation_is_seen_within_a_second,
    a_removed_token_is_gone_within_a_second,
    a_new_token_is_seen_within_a_second,
    one_node_continues_what_the_other_began,
);

const WITHIN: Duration = Duration::from_secs(1);

/// Reads until `seen` says yes. A read that began a second or more after `since` is the last.
async fn within_a_second<F>(
    store: &dyn Store,
    token: TokenHash,
    since: Instant,
    what: &str,
    seen: F,
) -> Outcome
where
    F: Fn(Option<&AccessTokenStatus>) -> bool,
{
    loop {
        let last = since.elapsed() >= WITHIN;
        if seen(store.access_token(token).await?.as_ref()) {
            return Ok(());
        }
        assert!(!last, "{what}: the other node has to see it within one second");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Fills whatever cache the store has.
async fn warm(store: &dyn Store, token: TokenHash) -> Result<(), StoreError> {
    for _ in 0..5 {
        let status = store.access_token(token).await?;
        let live = status.is_some_and(|s| s.session.revoked_at.is_none() && s.account.active);
        assert!(live, "the token is good before it is ended");
    }
    Ok(())
}

async fn a_revocation_is_seen_within_a_second(nodes: Nodes) -> Outcome {
    let (a, b) = (nodes.first(), nodes.last());
    let account = given::account(&*a, 20_000).await?.id;
    // Several rounds, in both directions: the first one finds the caches cold.
    for n in (20_000..20_012).step_by(2) {
        let (here, there) = if n % 4 == 0 { (&a, &b) } else { (&b, &a) };
        let browser = given::browser(&**here, account, n).await?;
        let client = given::client(&**here, &browser, n + 1).await?;
        warm(&**there, client.access).await?;
        warm(&**here, client.access).await?;
        let scope = match n % 6 {
            0 => RevocationScope::Session(browser.id),
            2 => RevocationScope::Session(client.record.id),
            _ => RevocationScope::Account(account),
        };
        let revocation =
            crate::store::Revocation { scope, at: at(ISSUED + 10), reason: "logout".to_owned() };
        here.revoke_sessions(revocation, vec![]).await?;
        let since = Instant::now();
        let own = here.access_token(client.access).await?;
        let seen = own.is_some_and(|s| s.session.revoked_at.is_some());
        assert!(seen, "the revoking node's next look-up sees it");
        within_a_second(&**there, client.access, since, "revocation", |status| {
            status.is_none_or(|s| s.session.revoked_at == Some(at(ISSUED + 10)))
        })
        .await?;
        let ended = given::existing_session(&**there, client.record.id).await?;
        assert_eq!(ended.revoked_at, Some(at(ISSUED + 10)), "session on the other node");
    }
    Ok(())
}

async fn a_deactivation_is_seen_within_a_second(nodes: Nodes) -> Outcome {
    let (a, b) = (nodes.first(), nodes.last());
    let account = given::account(&*a, 21_000).await?.id;
    let browser = given::browser(&*a, account, 21_000).await?;
    let client = given::client(&*a, &browser, 21_001).await?;
    warm(&*b, client.access).await?;
    given::deactivated(&*a, account, ISSUED + 10).await?;
    within_a_second(&*b, client.access, Instant::now(), "deactivation", |status| {
        status.is_none_or(|s| s.session.revoked_at.is_some() && !s.account.active)
    })
    .await
}

async fn a_removed_token_is_gone_within_a_second(nodes: Nodes) -> Outcome {
    let (a, b) = (nodes.first(), nodes.last());
    let account = given::account(&*a, 22_000).await?.id;
    let browser = given::browser(&*a, account, 22_000).await?;
    let client = given::client(&*a, &browser, 22_001).await?;
    warm(&*b, client.access).await?;
    a.remove_access_token(client.access, vec![]).await?;
    within_a_second(&*b, client.access, Instant::now(), "removal", |status| status.is_none()).await
}

async fn a_new_token_is_seen_within_a_second(nodes: Nodes) -> Outcome {
    let (a, b) = (nodes.first(), nodes.last());
    let account = given::account(&*a, 23_000).await?.id;
    let browser = given::browser(&*a, account, 23_000).await?;
    let token = hash("access token", 23_001);
    for _ in 0..3 {
        assert_eq!(b.access_token(token).await?, None, "not issued yet");
    }
    given::client(&*a, &browser, 23_001).await?;
    within_a_second(&*b, token, Instant::now(), "issue", |status| status.is_some()).await
}

async fn one_node_continues_what_the_other_began(nodes: Nodes) -> Outcome {
    let (a, b) = (nodes.first(), nodes.last());
    let account = given::account(&*a, 24_000).await?;
    assert_eq!(b.account(account.id).await?, Some(account.clone()));
    a.add_login(sample::login(24_000)).await?;
    let session = sample::browser_session(account.id, 24_000);
    assert!(b.complete_login(given::completion(24_000, session.clone())).await?);
    given::assert_untouched(&*a, &session).await?;
    a.add_code(sample::code(&session, 24_001)).await?;
    let client = sample::client_session(&session, 24_001);
    let issue = given::issue(client.id, 24_001);
    let redeem = |store: std::sync::Arc<dyn Store>| {
        let (client, issue) = (client.clone(), issue.clone());
        async move { store.redeem_code(hash("code", 24_001), client, issue, vec![]).await }
    };
    assert_eq!(redeem(b).await?, CodeRedemption::Redeemed);
    assert_eq!(redeem(a).await?, CodeRedemption::AlreadyRedeemed(client.id));
    Ok(())
}
