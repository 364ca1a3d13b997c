//! Races about second factors. Each case has numbers of its own.

use super::enrolments::postponement;
use super::passkeys::used;
use super::race::{Nodes, only_winner, race_all};
use super::{Outcome, cases, given, sample};
use crate::store::{FactorRemoval, GraceRule, PasskeyOutcome};

cases!(
    "factor_races",
    RaceCase: a_challenge_is_used_once,
    a_counter_is_taken_once,
    two_removals_leave_the_last_factor,
    an_enrolment_is_confirmed_once,
    an_enrolment_is_put_off_as_often_as_allowed,
);

const MANY: u32 = 64;

async fn a_challenge_is_used_once(nodes: Nodes) -> Outcome {
    let account = given::account(&*nodes.first(), 60_000).await?.id;
    let passkey = sample::passkey(account, 60_000);
    nodes.first().add_factor(passkey.clone(), None, vec![]).await?;
    let answers = race_all(&nodes, MANY, |store, i| async move {
        store.use_passkey(used(passkey.id, 60_000, 50 + i64::from(i))).await
    })
    .await?;
    let won: Vec<bool> = answers.iter().map(|it| *it == PasskeyOutcome::Used).collect();
    let winner = only_winner(&won, "one challenge");
    let stored = nodes.last().factors(&[account]).await?;
    let count = stored.first().and_then(|factor| factor.sign_count);
    assert_eq!(count, Some(50 + i64::from(winner)), "the winner's counter");
    Ok(())
}

async fn a_counter_is_taken_once(nodes: Nodes) -> Outcome {
    let account = given::account(&*nodes.first(), 61_000).await?.id;
    let passkey = sample::passkey(account, 61_000);
    nodes.first().add_factor(passkey.clone(), None, vec![]).await?;
    let answers = race_all(&nodes, MANY, |store, i| async move {
        store.use_passkey(used(passkey.id, 61_000 + i, 42)).await
    })
    .await?;
    let won: Vec<bool> = answers.iter().map(|it| *it == PasskeyOutcome::Used).collect();
    only_winner(&won, "one counter under many challenges");
    Ok(())
}

async fn two_removals_leave_the_last_factor(nodes: Nodes) -> Outcome {
    let account = given::account(&*nodes.first(), 62_000).await?.id;
    for n in 0..8 {
        let factor = sample::passkey(account, 62_000 + n);
        nodes.first().add_factor(factor, None, vec![]).await?;
    }
    let answers = race_all(&nodes, 8, |store, i| async move {
        store.remove_factor(account, sample::factor_id(62_000 + i), true, vec![]).await
    })
    .await?;
    let kept: Vec<bool> = answers.iter().map(|it| *it == FactorRemoval::Last).collect();
    let kept = only_winner(&kept, "the factor that stays");
    let left = nodes.last().factors(&[account]).await?;
    assert_eq!(left, [sample::passkey(account, 62_000 + kept)]);
    Ok(())
}

async fn an_enrolment_is_confirmed_once(nodes: Nodes) -> Outcome {
    let account = given::account(&*nodes.first(), 63_000).await?.id;
    let enrolment = sample::enrolment(account, 63_000);
    nodes.first().add_enrolment(enrolment.clone()).await?;
    let answers = race_all(&nodes, MANY, |store, i| {
        let factor = sample::factor(account, 63_000 + i);
        async move { store.confirm_enrolment(enrolment.handle, factor, None, vec![]).await }
    })
    .await?;
    let winner = only_winner(&answers, "confirm_enrolment");
    let stored = nodes.last().factors(&[account]).await?;
    assert_eq!(stored, [sample::factor(account, 63_000 + winner)]);
    Ok(())
}

async fn an_enrolment_is_put_off_as_often_as_allowed(nodes: Nodes) -> Outcome {
    let account = given::account(&*nodes.first(), 64_000).await?.id;
    let rule = GraceRule { logins: Some(3), lasts: None };
    let answers = race_all(&nodes, 32, |store, i| async move {
        store.postpone_enrolment(postponement(account, 64_000 + i, 60), rule).await
    })
    .await?;
    assert_eq!(answers.iter().filter(|&&noted| noted).count(), 3);
    assert_eq!(nodes.last().postponements(account).await?.len(), 3);
    Ok(())
}
