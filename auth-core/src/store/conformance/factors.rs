//! Second factors and recovery codes.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{AccountId, FactorKind, FactorRecord, RecoveryCodeRecord, Store};
use sample::at;

cases!(
    "factors",
    Case: factors_read_back_in_order,
    recovery_codes_are_replaced_only_when_given,
    a_recovery_code_is_consumed_once,
    totp_steps_grow,
    factors_are_removed,
    factor_changes_write_their_events,
);

fn codes(account: AccountId, numbers: &[u8]) -> Vec<RecoveryCodeRecord> {
    numbers.iter().map(|&n| RecoveryCodeRecord { account, hash: [n; 32] }).collect()
}

async fn factors_read_back_in_order(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    let late = FactorRecord { created_at: at(900), ..sample::factor(one, 3) };
    let bare = FactorRecord {
        kind: FactorKind::Passkey,
        name: None,
        last_used_at: None,
        last_step: None,
        created_at: at(700),
        ..sample::factor(one, 5)
    };
    let early = FactorRecord { created_at: at(600), ..sample::factor(one, 9) };
    let other = FactorRecord { created_at: at(100), ..sample::factor(two, 1) };
    for factor in [&late, &other, &early, &bare] {
        store.add_factor(factor.clone(), None, vec![]).await?;
    }
    let all = store.factors(&[two, one]).await?;
    assert_eq!(all, [early, bare, late, other.clone()], "by account, then by time of making");
    assert_eq!(store.factors(&[two]).await?, [other]);
    assert_eq!(store.factors(&[]).await?, []);
    assert_eq!(store.factors(&[sample::account_id(9)]).await?, []);
    Ok(())
}

async fn recovery_codes_are_replaced_only_when_given(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    assert_eq!(store.recovery_codes_left(one).await?, 0);
    store.add_factor(sample::factor(one, 1), Some(codes(one, &[1, 2, 3])), vec![]).await?;
    store.add_factor(sample::factor(two, 2), Some(codes(two, &[1, 9])), vec![]).await?;
    assert_eq!(store.recovery_codes_left(one).await?, 3);
    store.add_factor(sample::factor(one, 3), None, vec![]).await?;
    assert_eq!(store.recovery_codes_left(one).await?, 3, "None leaves the codes as they are");
    store.add_factor(sample::factor(one, 4), Some(codes(one, &[4, 5])), vec![]).await?;
    assert_eq!(store.recovery_codes_left(one).await?, 2, "given ones replace the old ones");
    assert!(!store.consume_recovery_code(one, [1; 32]).await?, "an old code is dead");
    store.replace_recovery_codes(one, codes(one, &[5, 6, 7, 8]), vec![]).await?;
    assert_eq!(store.recovery_codes_left(one).await?, 4);
    assert!(!store.consume_recovery_code(one, [4; 32]).await?, "an old code is dead");
    assert!(store.consume_recovery_code(one, [8; 32]).await?);
    store.replace_recovery_codes(one, vec![], vec![]).await?;
    assert_eq!(store.recovery_codes_left(one).await?, 0);
    assert_eq!(store.recovery_codes_left(two).await?, 2, "another account's codes stay");
    Ok(())
}

async fn a_recovery_code_is_consumed_once(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    store.replace_recovery_codes(one, codes(one, &[1, 2]), vec![]).await?;
    store.replace_recovery_codes(two, codes(two, &[1, 3]), vec![]).await?;
    assert!(!store.consume_recovery_code(one, [3; 32]).await?, "another account's code");
    assert!(!store.consume_recovery_code(one, [9; 32]).await?, "no such code");
    assert!(store.consume_recovery_code(one, [1; 32]).await?);
    assert!(!store.consume_recovery_code(one, [1; 32]).await?, "the second time");
    assert_eq!(store.recovery_codes_left(one).await?, 1);
    assert!(store.consume_recovery_code(two, [1; 32]).await?, "the same hash elsewhere");
    Ok(())
}

async fn totp_steps_grow(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let first = FactorRecord { last_step: None, ..sample::factor(account, 1) };
    // The step that confirmed the second one is consumed already.
    let second = FactorRecord { last_step: Some(100), ..sample::factor(account, 2) };
    store.add_factor(first.clone(), None, vec![]).await?;
    store.add_factor(second.clone(), None, vec![]).await?;
    let (one, two) = (first.id, second.id);
    assert!(store.consume_totp_step(one, 50, at(1000)).await?, "the first step ever");
    assert!(!store.consume_totp_step(one, 50, at(1001)).await?, "the same step");
    assert!(!store.consume_totp_step(one, 49, at(1002)).await?, "a step below");
    assert!(store.consume_totp_step(one, 52, at(1003)).await?, "a step above");
    assert!(!store.consume_totp_step(one, 51, at(1004)).await?, "a step between");
    assert!(!store.consume_totp_step(two, 100, at(1005)).await?, "the confirming step");
    assert!(store.consume_totp_step(two, 58_000_000_000, at(1006)).await?, "a far step");
    assert!(!store.consume_totp_step(sample::factor_id(9), 1, at(1)).await?, "no such factor");
    let expected = [
        FactorRecord { last_step: Some(52), last_used_at: Some(at(1003)), ..first },
        FactorRecord { last_step: Some(58_000_000_000), last_used_at: Some(at(1006)), ..second },
    ];
    assert_eq!(store.factors(&[account]).await?, expected, "accepted steps and times of use");
    Ok(())
}

async fn factors_are_removed(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    for (n, account) in [(1, one), (2, one), (3, one), (4, two)] {
        store.add_factor(sample::factor(account, n), None, vec![]).await?;
    }
    store.replace_recovery_codes(one, codes(one, &[1, 2]), vec![]).await?;
    store.replace_recovery_codes(two, codes(two, &[1]), vec![]).await?;
    let foreign = store.remove_factors(one, Some(sample::factor_id(4)), vec![]).await?;
    assert_eq!(foreign, 0, "a factor of another account");
    assert_eq!(store.factors(&[two]).await?, [sample::factor(two, 4)]);
    assert_eq!(store.remove_factors(one, Some(sample::factor_id(2)), vec![]).await?, 1);
    assert_eq!(store.remove_factors(one, Some(sample::factor_id(2)), vec![]).await?, 0, "again");
    let left = store.factors(&[one]).await?;
    assert_eq!(left, [sample::factor(one, 1), sample::factor(one, 3)]);
    assert_eq!(store.recovery_codes_left(one).await?, 2, "one factor's removal keeps the codes");
    assert!(!store.consume_totp_step(sample::factor_id(2), i64::MAX, at(1)).await?, "removed");

    assert_eq!(store.remove_factors(one, None, vec![]).await?, 2, "all that are left");
    assert_eq!(store.factors(&[one]).await?, []);
    assert_eq!(store.recovery_codes_left(one).await?, 0, "the codes go with the last factor");
    assert_eq!(store.factors(&[two]).await?, [sample::factor(two, 4)]);
    assert_eq!(store.recovery_codes_left(two).await?, 1, "another account's codes stay");
    Ok(())
}

async fn factor_changes_write_their_events(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let factor = sample::factor(account, 1);
    store.add_factor(factor, Some(codes(account, &[1])), vec![sample::event(1)]).await?;
    store.replace_recovery_codes(account, codes(account, &[2]), vec![sample::event(2)]).await?;
    store.remove_factors(account, None, vec![sample::event(3)]).await?;
    assert_eq!(given::trail(&*store).await?, [1, 2, 3].map(sample::event));
    Ok(())
}
