//! Passkeys: found by their credential, used once with each challenge, never with an old counter;
//! and how one factor of several goes.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{
    FactorId, FactorRecord, FactorRemoval, PasskeyOutcome, PasskeyUse, RecoveryCodeRecord, Store,
    WEBAUTHN_SCOPE,
};
use sample::{at, hash};

cases!(
    "passkeys",
    Case: a_passkey_is_found_by_its_credential,
    a_credential_belongs_to_one_account,
    a_challenge_is_used_once,
    a_counter_never_goes_back,
    an_authenticator_that_does_not_count_is_taken,
    a_factor_is_renamed_by_its_owner,
    the_last_factor_takes_codes_and_devices_along,
);

pub(super) fn used(id: FactorId, challenge: u32, sign_count: i64) -> PasskeyUse {
    PasskeyUse {
        id,
        challenge: hash("challenge", challenge),
        challenge_expires_at: at(900),
        sign_count,
        sealed: vec![9, u8::try_from(challenge % 250).unwrap_or(0)],
        now: at(700 + u64::from(challenge)),
    }
}

async fn a_passkey_is_found_by_its_credential(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let passkey = sample::passkey(account, 1);
    store.add_factor(passkey.clone(), None, vec![]).await?;
    store.add_factor(sample::factor(account, 2), None, vec![]).await?;
    let found = store.factor_by_credential(hash("credential", 1)).await?;
    assert_eq!(found, Some(passkey.clone()));
    assert_eq!(store.factor_by_credential(hash("credential", 2)).await?, None);
    assert_eq!(store.factors(&[account]).await?, [passkey, sample::factor(account, 2)]);
    Ok(())
}

async fn a_credential_belongs_to_one_account(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    store.add_factor(sample::passkey(one, 1), None, vec![]).await?;
    let same = FactorRecord { credential: Some(hash("credential", 1)), ..sample::passkey(two, 2) };
    let codes = vec![RecoveryCodeRecord { account: two, hash: [1; 32] }];
    let refused = store.add_factor(same, Some(codes), vec![sample::event(1)]).await;
    given::assert_conflict(refused, "factor");
    assert_eq!(store.factors(&[two]).await?, []);
    assert_eq!(store.recovery_codes_left(two).await?, 0, "nothing was written");
    assert_eq!(given::trail(&*store).await?, []);
    Ok(())
}

async fn a_challenge_is_used_once(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let passkey = sample::passkey(account, 1);
    store.add_factor(passkey.clone(), None, vec![]).await?;
    store.add_factor(sample::passkey(account, 2), None, vec![]).await?;
    assert_eq!(store.use_passkey(used(passkey.id, 1, 42)).await?, PasskeyOutcome::Used);
    let again = store.use_passkey(used(passkey.id, 1, 43)).await?;
    assert_eq!(again, PasskeyOutcome::ChallengeUsed, "the same challenge");
    let other = store.use_passkey(used(sample::factor_id(2), 1, 99)).await?;
    assert_eq!(other, PasskeyOutcome::ChallengeUsed, "the same challenge by another key");
    let expected = FactorRecord {
        sign_count: Some(42),
        sealed: vec![9, 1],
        last_used_at: Some(at(701)),
        ..passkey
    };
    let stored = store.factors(&[account]).await?;
    assert_eq!(stored, [expected, sample::passkey(account, 2)]);
    let mark = store.first_seen(WEBAUTHN_SCOPE, hash("challenge", 1), at(900)).await?;
    assert!(!mark, "the challenge stands among the replay marks");
    Ok(())
}

async fn a_counter_never_goes_back(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let passkey = sample::passkey(account, 1);
    store.add_factor(passkey.clone(), None, vec![]).await?;
    store.add_factor(sample::factor(account, 2), None, vec![]).await?;
    for (challenge, count) in [(1, 41), (2, 40), (3, 0)] {
        let outcome = store.use_passkey(used(passkey.id, challenge, count)).await?;
        assert_eq!(outcome, PasskeyOutcome::CounterBehind, "{count} after 41");
        let again = store.use_passkey(used(passkey.id, challenge, 99)).await?;
        assert_eq!(again, PasskeyOutcome::ChallengeUsed, "its challenge is used up");
    }
    assert_eq!(store.factors(&[account]).await?.first(), Some(&passkey), "it is as it was");
    let outcome = store.use_passkey(used(sample::factor_id(9), 4, 99)).await?;
    assert_eq!(outcome, PasskeyOutcome::Unknown, "no such factor");
    let outcome = store.use_passkey(used(sample::factor_id(2), 5, 99)).await?;
    assert_eq!(outcome, PasskeyOutcome::Unknown, "a factor of another kind");
    assert_eq!(store.use_passkey(used(passkey.id, 6, 42)).await?, PasskeyOutcome::Used);
    Ok(())
}

async fn an_authenticator_that_does_not_count_is_taken(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let passkey = FactorRecord { sign_count: Some(0), ..sample::passkey(account, 1) };
    store.add_factor(passkey.clone(), None, vec![]).await?;
    for challenge in 1..4 {
        let outcome = store.use_passkey(used(passkey.id, challenge, 0)).await?;
        assert_eq!(outcome, PasskeyOutcome::Used);
    }
    assert_eq!(store.use_passkey(used(passkey.id, 4, 7)).await?, PasskeyOutcome::Used);
    let outcome = store.use_passkey(used(passkey.id, 5, 0)).await?;
    assert_eq!(outcome, PasskeyOutcome::CounterBehind, "it did count once");
    Ok(())
}

async fn a_factor_is_renamed_by_its_owner(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    let factor = sample::passkey(one, 1);
    store.add_factor(factor.clone(), None, vec![]).await?;
    let name = "Ann's 🔑".to_owned();
    let foreign = store.rename_factor(two, factor.id, name.clone(), vec![sample::event(1)]).await?;
    assert!(!foreign, "a factor of another account");
    assert!(store.rename_factor(one, factor.id, name.clone(), vec![sample::event(2)]).await?);
    let expected = FactorRecord { name: Some(name), ..factor };
    assert_eq!(store.factors(&[one]).await?, [expected]);
    assert_eq!(given::trail(&*store).await?, [sample::event(2)]);
    Ok(())
}

async fn the_last_factor_takes_codes_and_devices_along(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    for (n, account) in [(1, one), (2, one), (3, two)] {
        store.add_factor(sample::passkey(account, n), None, vec![]).await?;
    }
    for account in [one, two] {
        let codes = vec![RecoveryCodeRecord { account, hash: [1; 32] }];
        store.replace_recovery_codes(account, codes, vec![]).await?;
    }
    store.add_device(sample::device(one, 1), vec![]).await?;
    store.add_device(sample::device(two, 2), vec![]).await?;
    let remove = async |account, n, keep_last, event| {
        let audit = vec![sample::event(event)];
        store.remove_factor(account, sample::factor_id(n), keep_last, audit).await
    };
    assert_eq!(remove(one, 3, false, 1).await?, FactorRemoval::Unknown, "another account's");
    assert_eq!(remove(one, 1, true, 2).await?, FactorRemoval::Removed, "one of two");
    assert_eq!(store.recovery_codes_left(one).await?, 1, "the codes stay");
    assert_eq!(store.devices(one).await?.len(), 1, "the device stays");
    assert_eq!(remove(one, 2, true, 3).await?, FactorRemoval::Last, "the last one is kept");
    assert_eq!(store.factors(&[one]).await?.len(), 1);
    assert_eq!(remove(one, 2, false, 4).await?, FactorRemoval::Removed);
    assert_eq!(remove(one, 2, false, 5).await?, FactorRemoval::Unknown, "again");
    assert_eq!(store.recovery_codes_left(one).await?, 0);
    assert_eq!(store.devices(one).await?, []);
    assert_eq!(store.recovery_codes_left(two).await?, 1, "another account's");
    assert_eq!(store.devices(two).await?.len(), 1, "another account's");
    assert_eq!(given::trail(&*store).await?, [2, 4].map(sample::event), "of what was done");
    Ok(())
}
