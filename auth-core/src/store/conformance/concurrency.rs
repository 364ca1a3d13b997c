//! Races: of many attempts at one thing exactly one wins, and counts add up. Each case has
//! numbers of its own, so that all can run on one database.

use std::time::Duration;

use super::race::{Nodes, only_winner, race, race_all};
use super::{Outcome, cases, given, sample};
use crate::store::{
    AccountRecord, Attempt, CodeRedemption, CookieRecord, DeviceAnswer, LoginRecord,
    PasswordChange, RecoveryCodeRecord, RefreshRotation, Revocation, RevocationScope,
    SigningKeyRecord, ThrottleRule, TokenIssue,
};
use sample::{ISSUED, at, hash};

cases!(
    "concurrency",
    RaceCase: a_signing_key_is_made_once,
    an_account_is_made_once,
    numeric_ids_are_unique,
    an_account_is_updated_once,
    a_login_moves_once,
    a_login_is_completed_once,
    a_code_is_redeemed_once,
    a_refresh_token_is_rotated_once,
    a_totp_step_is_consumed_once,
    a_recovery_code_is_consumed_once,
    a_replay_is_seen_first_once,
    a_cookie_is_added_once,
    attempts_add_up,
    a_session_is_revoked_once,
    a_change_of_a_password_is_noted_once,
    a_pushed_request_is_taken_once,
    a_device_is_answered_once,
);

const MANY: u32 = 64;

async fn a_signing_key_is_made_once(nodes: Nodes) -> Outcome {
    let answers = race_all(&nodes, 16, |store, i| async move {
        let key = sample::signing_key(100 + i, "RS256");
        store.add_signing_key(key, true, vec![sample::event(100 + i)]).await
    })
    .await?;
    let winner = only_winner(&answers, "add_signing_key with only_if_none");
    let store = nodes.first();
    let mut kids: Vec<SigningKeyRecord> = store.signing_keys().await?;
    kids.retain(|key| key.algorithm == "RS256");
    assert_eq!(kids, [sample::signing_key(100 + winner, "RS256")]);
    let told: Vec<_> = given::trail(&*store).await?.into_iter().map(|event| event.event).collect();
    let told: Vec<_> = told.iter().filter(|name| name.starts_with("test.event1")).collect();
    assert_eq!(told, [&sample::event(100 + winner).event], "only the winner's event");
    Ok(())
}

async fn an_account_is_made_once(nodes: Nodes) -> Outcome {
    let answers = race(&nodes, 32, |store, i| async move {
        let account = AccountRecord {
            id: sample::account_id(1100 + i),
            email: None,
            email_key: None,
            ..sample::account(1000)
        };
        store.create_account(given::new_account(account), vec![]).await
    })
    .await;
    let mut made = Vec::new();
    for answer in answers {
        match answer {
            Ok(account) => made.push(account),
            lost => given::assert_conflict(lost, "username"),
        }
    }
    let found = nodes.last().account_by_username("person01000").await?;
    assert_eq!(made, found.into_iter().collect::<Vec<_>>(), "exactly one of 32 was made");
    Ok(())
}

async fn numeric_ids_are_unique(nodes: Nodes) -> Outcome {
    let made =
        race_all(&nodes, MANY, |store, i| async move { given::account(&*store, 2000 + i).await })
            .await?;
    let mut ids: Vec<i64> = made.iter().map(|account| account.numeric_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), made.len(), "numeric_ids are unique");
    Ok(())
}

async fn an_account_is_updated_once(nodes: Nodes) -> Outcome {
    let account = given::account(&*nodes.first(), 3000).await?;
    let answers = race_all(&nodes, MANY, |store, i| {
        let update = sample::changed(&account, 3100 + i);
        async move { store.update_account(update, vec![]).await }
    })
    .await?;
    let winner = only_winner(&answers, "update_account");
    let stored = given::existing_account(&*nodes.last(), account.id).await?;
    let expected =
        AccountRecord { version: account.version + 1, ..sample::changed(&account, 3100 + winner) };
    assert_eq!(stored, expected, "the winner's update and no other");
    Ok(())
}

async fn a_login_moves_once(nodes: Nodes) -> Outcome {
    nodes.first().add_login(sample::login(4000)).await?;
    let step = |i: u32| LoginRecord { state: format!("step {i}"), ..sample::login(4000) };
    let answers =
        race_all(
            &nodes,
            MANY,
            |store, i| async move { store.advance_login(step(i), vec![]).await },
        )
        .await?;
    let winner = only_winner(&answers, "advance_login");
    let stored = nodes.last().login(sample::login(4000).handle).await?;
    assert_eq!(stored, Some(LoginRecord { version: 8, ..step(winner) }));
    Ok(())
}

async fn a_login_is_completed_once(nodes: Nodes) -> Outcome {
    let account = given::account(&*nodes.first(), 5000).await?.id;
    nodes.first().add_login(sample::login(5000)).await?;
    let answers = race_all(&nodes, MANY, |store, i| async move {
        let session = sample::browser_session(account, 5000 + i);
        store.complete_login(given::completion(5000, session)).await
    })
    .await?;
    let winner = only_winner(&answers, "complete_login");
    let live = given::live_sessions(&*nodes.last(), account, ISSUED + 10).await?;
    assert_eq!(live, [sample::session_id(5000 + winner)], "the winner's session and no other");
    Ok(())
}

async fn a_code_is_redeemed_once(nodes: Nodes) -> Outcome {
    let store = nodes.first();
    let account = given::account(&*store, 6000).await?.id;
    let browser = given::browser(&*store, account, 6000).await?;
    let code = sample::code(&browser, 6000);
    store.add_code(code.clone()).await?;
    let answers = race_all(&nodes, MANY, |store, i| {
        let session = sample::client_session(&browser, 6100 + i);
        async move {
            let issue = given::issue(session.id, 6100 + i);
            store.redeem_code(code.hash, session, issue, vec![]).await
        }
    })
    .await?;
    let won: Vec<_> = answers.iter().map(|a| *a == CodeRedemption::Redeemed).collect();
    let winner = sample::session_id(6100 + only_winner(&won, "redeem_code"));
    for answer in answers.iter().filter(|&a| *a != CodeRedemption::Redeemed) {
        assert_eq!(answer, &CodeRedemption::AlreadyRedeemed(winner), "the losers are told");
    }
    let live = given::live_sessions(&*nodes.last(), account, ISSUED + 10).await?;
    assert_eq!(live, [browser.id, winner], "the winner's session and no other");
    Ok(())
}

async fn a_refresh_token_is_rotated_once(nodes: Nodes) -> Outcome {
    let store = nodes.first();
    let account = given::account(&*store, 7000).await?.id;
    let browser = given::browser(&*store, account, 7000).await?;
    let client = given::client(&*store, &browser, 7001).await?;
    let (session, presented) = (client.record.id, client.refresh);
    let answers = race_all(&nodes, MANY, |store, i| async move {
        let issue = TokenIssue {
            access: sample::access_token(session, 7100 + i),
            refresh: Some(sample::refresh_token(session, Some(presented), 7100 + i)),
        };
        let now = at(ISSUED + 100);
        let rotation = RefreshRotation { presented, first_use: true, now, issue, audit: vec![] };
        store.rotate_refresh_token(rotation).await
    })
    .await?;
    let winner = only_winner(&answers, "rotate_refresh_token");
    for i in 0..MANY {
        let refresh = nodes.last().refresh_token(hash("refresh token", 7100 + i)).await?;
        let access = nodes.last().access_token(hash("access token", 7100 + i)).await?;
        let issued = (refresh.is_some(), access.is_some());
        assert_eq!(issued, (i == winner, i == winner), "tokens of the winner and no other");
    }
    Ok(())
}

async fn a_totp_step_is_consumed_once(nodes: Nodes) -> Outcome {
    let account = given::account(&*nodes.first(), 8000).await?.id;
    let factor = sample::factor(account, 8000);
    nodes.first().add_factor(factor.clone(), None, vec![]).await?;
    let answers = race_all(&nodes, MANY, |store, _| async move {
        store.consume_totp_step(factor.id, 58_800_001, at(1000)).await
    })
    .await?;
    only_winner(&answers, "consume_totp_step");
    Ok(())
}

async fn a_recovery_code_is_consumed_once(nodes: Nodes) -> Outcome {
    let account = given::account(&*nodes.first(), 9000).await?.id;
    let codes = [1, 2].map(|n| RecoveryCodeRecord { account, hash: [n; 32] }).to_vec();
    nodes.first().replace_recovery_codes(account, codes, vec![]).await?;
    let answers = race_all(&nodes, MANY, |store, _| async move {
        store.consume_recovery_code(account, [1; 32]).await
    })
    .await?;
    only_winner(&answers, "consume_recovery_code");
    assert_eq!(nodes.last().recovery_codes_left(account).await?, 1);
    Ok(())
}

async fn a_replay_is_seen_first_once(nodes: Nodes) -> Outcome {
    let answers = race_all(&nodes, MANY, |store, _| async move {
        store.first_seen("saml", hash("assertion", 10_000), at(9000)).await
    })
    .await?;
    only_winner(&answers, "first_seen");
    Ok(())
}

async fn a_cookie_is_added_once(nodes: Nodes) -> Outcome {
    let cookie = |i: u32| CookieRecord { data: i.to_string(), ..sample::cookie(11_000) };
    let answers =
        race_all(&nodes, 16, |store, i| async move { store.add_cookie(cookie(i)).await }).await?;
    let winner = only_winner(&answers, "add_cookie");
    let stored = nodes.last().cookie(cookie(0).id_hash).await?;
    assert_eq!(stored, Some(cookie(winner)));
    Ok(())
}

async fn attempts_add_up(nodes: Nodes) -> Outcome {
    let rule = ThrottleRule { limit: 20, lockout: Duration::from_secs(600) };
    let mut answers =
        race_all(
            &nodes,
            MANY,
            |store, _| async move { store.count_attempt("race", rule, at(0)).await },
        )
        .await?;
    answers.retain(|answer| *answer != Attempt::Locked { until: at(600) });
    let mut counts: Vec<i64> = answers
        .into_iter()
        .map(|answer| match answer {
            Attempt::Allowed { count } => count,
            Attempt::Locked { until } => panic!("locked until {until}, expected {}", at(600)),
        })
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=20).collect::<Vec<_>>(), "20 attempts are allowed, each counted once");
    Ok(())
}

async fn a_session_is_revoked_once(nodes: Nodes) -> Outcome {
    let account = given::account(&*nodes.first(), 13_000).await?.id;
    let browser = given::browser(&*nodes.first(), account, 13_000).await?;
    let answers = race_all(&nodes, 16, |store, i| async move {
        let scope = if i % 2 == 0 {
            RevocationScope::Session(browser.id)
        } else {
            RevocationScope::Account(account)
        };
        let revocation = Revocation { scope, at: at(1100), reason: format!("race {i}") };
        Ok(!store.revoke_sessions(revocation, vec![]).await?.is_empty())
    })
    .await?;
    let winner = only_winner(&answers, "revoke_sessions");
    let stored = given::existing_session(&*nodes.last(), browser.id).await?;
    assert_eq!(stored.revoked_reason, Some(format!("race {winner}")), "the winner's reason");
    Ok(())
}

/// Whoever sees a change first ends the sessions; the others see that it is noted.
async fn a_change_of_a_password_is_noted_once(nodes: Nodes) -> Outcome {
    let store = nodes.first();
    let account = given::account(&*store, 9300).await?.id;
    store.link_identity(sample::identity(account, 9300), vec![]).await?;
    let answers = race_all(&nodes, 16, |store, i| async move {
        let identity = sample::identity(account, 9300);
        let change = PasswordChange {
            connector: identity.connector,
            subject: identity.subject,
            before: None,
            after: i.to_string(),
            end_sessions_at: Some(at(1000)),
        };
        store.note_password_change(change, vec![]).await
    })
    .await?;
    let winner = only_winner(&answers, "note_password_change");
    let identity = sample::identity(account, 9300);
    let noted = store.password_change(&identity.connector, &identity.subject).await?;
    assert_eq!(noted, Some(winner.to_string()));
    Ok(())
}

async fn a_pushed_request_is_taken_once(nodes: Nodes) -> Outcome {
    let request = sample::pushed_request(15_000);
    nodes.first().add_pushed_request(request.clone()).await?;
    let answers = race_all(&nodes, MANY, |store, _| async move {
        Ok(store.take_pushed_request(request.hash).await?.is_some())
    })
    .await?;
    only_winner(&answers, "take_pushed_request");
    Ok(())
}

async fn a_device_is_answered_once(nodes: Nodes) -> Outcome {
    let store = nodes.first();
    let account = given::account(&*store, 16_000).await?;
    let browser = given::browser(&*store, account.id, 16_000).await?;
    let grant = sample::device_grant(16_000);
    store.add_device_grant(grant.clone()).await?;
    let answers = race_all(&nodes, 32, |store, i| {
        let code = sample::code(&browser, 16_100 + i);
        async move {
            let answer = DeviceAnswer::Approve(Box::new(code));
            store.answer_device_grant(grant.hash, answer, vec![]).await
        }
    })
    .await?;
    let winner = only_winner(&answers, "answer_device_grant");
    for i in 0..32 {
        let code = nodes.last().code(sample::code(&browser, 16_100 + i).hash).await?;
        assert_eq!(code.is_some(), i == winner, "code {i} where {winner} answered");
    }
    Ok(())
}
