//! Pushed authorization requests and device grants.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{DeviceAnswer, DeviceGrantRecord, DeviceGrantState, PushedRequestRecord, Store};
use sample::{ISSUED, at, hash};

cases!(
    "grants",
    Case: a_pushed_request_is_given_once,
    a_device_grant_reads_back_and_user_codes_are_unique,
    a_poll_notes_when_the_device_asked,
    an_approval_writes_the_code_and_a_second_answer_nothing,
    a_denial_writes_no_code,
    expired_grants_are_purged,
);

async fn a_pushed_request_is_given_once(store: Arc<dyn Store>) -> Outcome {
    let (first, second) = (sample::pushed_request(1), sample::pushed_request(2));
    store.add_pushed_request(first.clone()).await?;
    store.add_pushed_request(second.clone()).await?;
    assert_eq!(store.take_pushed_request(hash("pushed request", 3)).await?, None);
    assert_eq!(store.take_pushed_request(first.hash).await?, Some(first.clone()));
    assert_eq!(store.take_pushed_request(first.hash).await?, None, "the second time");
    assert_eq!(store.take_pushed_request(second.hash).await?, Some(second));
    Ok(())
}

async fn a_device_grant_reads_back_and_user_codes_are_unique(store: Arc<dyn Store>) -> Outcome {
    let grant = sample::device_grant(1);
    assert!(store.add_device_grant(grant.clone()).await?);
    let bare = DeviceGrantRecord { ip: None, user_agent: None, ..sample::device_grant(2) };
    assert!(store.add_device_grant(bare.clone()).await?);
    let twin = DeviceGrantRecord { user_code: grant.user_code, ..sample::device_grant(3) };
    assert!(!store.add_device_grant(twin.clone()).await?, "the user code is taken");
    assert_eq!(store.poll_device_grant(twin.hash, at(1)).await?, None, "nothing was written");
    assert_eq!(store.device_grant(grant.user_code).await?, Some(grant));
    assert_eq!(store.device_grant(bare.user_code).await?, Some(bare));
    assert_eq!(store.device_grant(hash("user code", 9)).await?, None);
    Ok(())
}

async fn a_poll_notes_when_the_device_asked(store: Arc<dyn Store>) -> Outcome {
    let grant = sample::device_grant(1);
    store.add_device_grant(grant.clone()).await?;
    assert_eq!(store.poll_device_grant(hash("device code", 9), at(1)).await?, None);
    let later = at(ISSUED + 20);
    assert_eq!(store.poll_device_grant(grant.hash, later).await?, Some(grant.clone()));
    let polled = DeviceGrantRecord { polled_at: Some(later), ..grant };
    assert_eq!(store.poll_device_grant(polled.hash, at(ISSUED + 30)).await?, Some(polled));
    Ok(())
}

async fn an_approval_writes_the_code_and_a_second_answer_nothing(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?;
    let browser = given::browser(&*store, account.id, 1).await?;
    let grant = sample::device_grant(1);
    store.add_device_grant(grant.clone()).await?;
    let code = sample::code(&browser, 1);
    let approve = || DeviceAnswer::Approve(Box::new(code.clone()));
    let unknown = hash("device code", 9);
    assert!(!store.answer_device_grant(unknown, approve(), vec![sample::event(1)]).await?);
    assert_eq!(store.code(code.hash).await?, None, "an answer to nobody writes no code");
    assert!(store.answer_device_grant(grant.hash, approve(), vec![sample::event(2)]).await?);
    let approved = DeviceGrantRecord { state: DeviceGrantState::Approved, ..grant.clone() };
    assert_eq!(store.device_grant(grant.user_code).await?, Some(approved.clone()));
    assert_eq!(store.code(code.hash).await?, Some(code.clone()));
    let again = [DeviceAnswer::Deny, DeviceAnswer::Approve(Box::new(sample::code(&browser, 2)))];
    for answer in again {
        assert!(!store.answer_device_grant(grant.hash, answer, vec![sample::event(3)]).await?);
    }
    assert_eq!(store.code(sample::code(&browser, 2).hash).await?, None);
    assert_eq!(store.device_grant(grant.user_code).await?, Some(approved));
    assert_eq!(given::trail(&*store).await?, [sample::event(2)]);
    Ok(())
}

async fn a_denial_writes_no_code(store: Arc<dyn Store>) -> Outcome {
    let grant = sample::device_grant(1);
    store.add_device_grant(grant.clone()).await?;
    let event = vec![sample::event(1)];
    assert!(store.answer_device_grant(grant.hash, DeviceAnswer::Deny, event).await?);
    let denied = DeviceGrantRecord { state: DeviceGrantState::Denied, ..grant.clone() };
    assert_eq!(store.device_grant(grant.user_code).await?, Some(denied));
    assert!(!store.answer_device_grant(grant.hash, DeviceAnswer::Deny, vec![]).await?);
    assert_eq!(given::trail(&*store).await?, [sample::event(1)]);
    Ok(())
}

async fn expired_grants_are_purged(store: Arc<dyn Store>) -> Outcome {
    let now = at(ISSUED + 5000);
    let old = PushedRequestRecord { expires_at: at(ISSUED + 4999), ..sample::pushed_request(1) };
    let live = PushedRequestRecord { expires_at: at(ISSUED + 5001), ..sample::pushed_request(2) };
    store.add_pushed_request(old.clone()).await?;
    store.add_pushed_request(live.clone()).await?;
    let old_grant = DeviceGrantRecord { expires_at: at(ISSUED + 4999), ..sample::device_grant(1) };
    let live_grant = DeviceGrantRecord { expires_at: at(ISSUED + 5001), ..sample::device_grant(2) };
    store.add_device_grant(old_grant.clone()).await?;
    store.add_device_grant(live_grant.clone()).await?;
    assert_eq!(store.purge(now).await?, 2, "one of each");
    assert_eq!(store.take_pushed_request(old.hash).await?, None);
    assert_eq!(store.take_pushed_request(live.hash).await?, Some(live));
    assert_eq!(store.device_grant(old_grant.user_code).await?, None);
    assert_eq!(store.device_grant(live_grant.user_code).await?, Some(live_grant));
    Ok(())
}
