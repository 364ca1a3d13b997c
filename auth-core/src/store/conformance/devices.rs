//! Remembered devices, and all that ends them.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{
    AccountId, AccountRecord, DeviceRecord, Revocation, RevocationScope, Store, StoreError,
};
use sample::at;

cases!(
    "devices",
    Case: devices_read_back_in_order,
    a_device_s_use_is_noted,
    devices_are_forgotten_by_their_owner,
    what_ends_all_sessions_ends_the_devices,
    a_reset_of_the_factors_ends_the_devices,
);

async fn devices_read_back_in_order(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    let late = sample::device(one, 3);
    let bare =
        DeviceRecord { last_used_at: None, ip: None, user_agent: None, ..sample::device(one, 2) };
    for device in [&late, &bare] {
        store.add_device(device.clone(), vec![]).await?;
    }
    store.add_device(sample::device(two, 1), vec![sample::event(1)]).await?;
    assert_eq!(store.devices(one).await?, [bare.clone(), late.clone()]);
    assert_eq!(store.device(late.token).await?, Some(late));
    assert_eq!(store.device(sample::hash("device", 9)).await?, None);
    assert_eq!(given::trail(&*store).await?, [sample::event(1)]);
    let again = DeviceRecord { account: two, ..bare.clone() };
    given::assert_conflict(store.add_device(again, vec![sample::event(2)]).await, "device");
    assert_eq!(store.device(bare.token).await?, Some(bare));
    Ok(())
}

async fn a_device_s_use_is_noted(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let device = sample::device(account, 1);
    store.add_device(device.clone(), vec![]).await?;
    assert!(store.touch_device(device.token, at(800)).await?);
    assert!(!store.touch_device(sample::hash("device", 2), at(800)).await?);
    let noted = DeviceRecord { last_used_at: Some(at(800)), ..device.clone() };
    assert_eq!(store.device(device.token).await?, Some(noted));
    Ok(())
}

async fn devices_are_forgotten_by_their_owner(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    for (n, account) in [(1, one), (2, one), (3, one), (4, two)] {
        store.add_device(sample::device(account, n), vec![]).await?;
    }
    let foreign = Some(sample::device(two, 4).id);
    assert_eq!(store.remove_devices(one, foreign, vec![]).await?, 0, "another account's");
    let id = Some(sample::device(one, 2).id);
    assert_eq!(store.remove_devices(one, id, vec![sample::event(1)]).await?, 1);
    assert_eq!(store.remove_devices(one, id, vec![]).await?, 0, "again");
    assert_eq!(store.devices(one).await?.len(), 2);
    assert_eq!(store.remove_devices(one, None, vec![sample::event(2)]).await?, 2);
    assert_eq!(store.devices(one).await?, []);
    assert_eq!(store.devices(two).await?.len(), 1, "another account's device stays");
    assert_eq!(given::trail(&*store).await?, [1, 2].map(sample::event));
    Ok(())
}

/// Two accounts with a device each.
async fn two(store: &dyn Store) -> Result<[AccountRecord; 2], StoreError> {
    let accounts = [given::account(store, 1).await?, given::account(store, 2).await?];
    for (n, account) in (1..).zip(&accounts) {
        store.add_device(sample::device(account.id, n), vec![]).await?;
    }
    Ok(accounts)
}

async fn left(store: &dyn Store, account: AccountId) -> Result<usize, StoreError> {
    Ok(store.devices(account).await?.len())
}

async fn what_ends_all_sessions_ends_the_devices(store: Arc<dyn Store>) -> Outcome {
    let [one, two] = two(&*store).await?;
    let session = given::browser(&*store, one.id, 5).await?;
    let end = |scope| Revocation { scope, at: at(900), reason: "test".to_owned() };
    store.revoke_sessions(end(RevocationScope::Session(session.id)), vec![]).await?;
    assert_eq!(left(&*store, one.id).await?, 1, "the end of one session leaves them");
    store.set_password(sample::password(one.id, 1), false, vec![]).await?;
    assert_eq!(left(&*store, one.id).await?, 1, "a password that ends no session leaves them");
    store.set_password(sample::password(one.id, 2), true, vec![]).await?;
    assert_eq!(left(&*store, one.id).await?, 0, "a changed password");
    store.add_device(sample::device(one.id, 11), vec![]).await?;
    store.revoke_sessions(end(RevocationScope::Account(one.id)), vec![]).await?;
    assert_eq!(left(&*store, one.id).await?, 0, "the end of all sessions of the account");
    store.add_device(sample::device(one.id, 12), vec![]).await?;
    let stored = given::existing_account(&*store, one.id).await?;
    let inactive = AccountRecord { active: false, ..stored };
    assert!(store.update_account(inactive, vec![]).await?);
    assert_eq!(left(&*store, one.id).await?, 0, "deactivation");
    assert_eq!(left(&*store, two.id).await?, 1, "another account's device stays");
    store.revoke_sessions(end(RevocationScope::All), vec![]).await?;
    assert_eq!(left(&*store, two.id).await?, 0, "the end of everybody's sessions");
    Ok(())
}

async fn a_reset_of_the_factors_ends_the_devices(store: Arc<dyn Store>) -> Outcome {
    let [one, two] = two(&*store).await?;
    store.add_factor(sample::factor(one.id, 1), None, vec![]).await?;
    store.remove_factors(one.id, Some(sample::factor_id(1)), vec![]).await?;
    assert_eq!(left(&*store, one.id).await?, 1, "one factor's removal leaves them");
    store.remove_factors(one.id, None, vec![]).await?;
    assert_eq!(left(&*store, one.id).await?, 0, "a reset");
    assert_eq!(left(&*store, two.id).await?, 1, "another account's device stays");
    Ok(())
}
