//! Purging of rows that stand alone: logins, cookies, replay marks, counters.

use std::sync::Arc;
use std::time::Duration;

use super::{Outcome, cases, given, sample};
use crate::store::{
    Attempt, CookieRecord, DeviceRecord, EnrolmentRecord, LoginRecord, NewAccount, Store,
    ThrottleRule,
};
use sample::{DAY, at, hash};

cases!(
    "purge",
    Case: an_empty_store_has_nothing_to_purge,
    expired_rows_go_and_live_ones_stay,
    a_shut_door_stays_shut,
    what_does_not_expire_stays,
);

async fn an_empty_store_has_nothing_to_purge(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(store.purge(at(400 * DAY)).await?, 0);
    Ok(())
}

async fn expired_rows_go_and_live_ones_stay(store: Arc<dyn Store>) -> Outcome {
    let now = at(5000);
    let moment = Duration::from_millis(1);
    let old_login = LoginRecord { expires_at: now - moment, ..sample::login(1) };
    let live_login = LoginRecord { expires_at: now + moment, ..sample::login(2) };
    store.add_login(old_login.clone()).await?;
    store.add_login(live_login.clone()).await?;
    let old_cookie = CookieRecord { expires_at: now - moment, ..sample::cookie(1) };
    let live_cookie = CookieRecord { expires_at: now + moment, ..sample::cookie(2) };
    store.add_cookie(old_cookie.clone()).await?;
    store.add_cookie(live_cookie.clone()).await?;
    let owner = given::account(&*store, 1).await?.id;
    let old = EnrolmentRecord { expires_at: now - moment, ..sample::enrolment(owner, 1) };
    let live = EnrolmentRecord { expires_at: now + moment, ..sample::enrolment(owner, 2) };
    store.add_enrolment(old.clone()).await?;
    store.add_enrolment(live.clone()).await?;
    let old_device = DeviceRecord { expires_at: now - moment, ..sample::device(owner, 1) };
    let live_device = DeviceRecord { expires_at: now + moment, ..sample::device(owner, 2) };
    store.add_device(old_device, vec![]).await?;
    store.add_device(live_device.clone(), vec![]).await?;
    store.first_seen("saml", hash("assertion", 1), now - moment).await?;
    store.first_seen("saml", hash("assertion", 2), now + moment).await?;
    let rule = ThrottleRule { limit: 9, lockout: Duration::from_secs(600) };
    store.count_attempt("old", rule, at(4399)).await?;
    store.count_attempt("live", rule, at(4401)).await?;

    assert_eq!(store.purge(now).await?, 6, "one row of each kind");
    assert_eq!(store.enrolment(old.handle).await?, None);
    assert_eq!(store.enrolment(live.handle).await?, Some(live));
    assert_eq!(store.devices(owner).await?, [live_device]);
    assert_eq!(store.login(old_login.handle).await?, None);
    assert_eq!(store.login(live_login.handle).await?, Some(live_login));
    assert_eq!(store.cookie(old_cookie.id_hash).await?, None);
    assert_eq!(store.cookie(live_cookie.id_hash).await?, Some(live_cookie));
    assert!(!store.first_seen("saml", hash("assertion", 2), now + moment).await?);
    let live = store.count_attempt("live", rule, now).await?;
    assert_eq!(live, Attempt::Allowed { count: 2 });
    assert_eq!(store.purge(now).await?, 0, "nothing is left to purge");
    Ok(())
}

async fn a_shut_door_stays_shut(store: Arc<dyn Store>) -> Outcome {
    let rule = ThrottleRule { limit: 1, lockout: Duration::from_secs(2 * DAY) };
    store.count_attempt("k", rule, at(0)).await?;
    assert_eq!(store.purge(at(2 * DAY - 1)).await?, 0, "a lockout outlasts a purge");
    let attempt = store.count_attempt("k", rule, at(2 * DAY - 1)).await?;
    assert_eq!(attempt, Attempt::Locked { until: at(2 * DAY) });
    Ok(())
}

async fn what_does_not_expire_stays(store: Arc<dyn Store>) -> Outcome {
    let id = sample::account_id(1);
    let new = NewAccount {
        account: sample::account(1),
        identity: Some(sample::identity(id, 1)),
        password: Some(sample::password(id, 1)),
    };
    let account = store.create_account(new, vec![sample::event(1)]).await?;
    store.add_factor(sample::factor(id, 1), None, vec![sample::event(2)]).await?;
    store.add_signing_key(sample::signing_key(1, "RS256"), true, vec![]).await?;
    store.retire_signing_key("key-1", at(900), vec![]).await?;
    store.add_client(sample::client("chat"), vec![]).await?;
    store.set_named_value("name", &[1]).await?;
    let keys = store.signing_keys().await?;

    assert_eq!(store.purge(at(4000 * DAY)).await?, 0);
    assert_eq!(store.account(id).await?, Some(account));
    assert_eq!(store.identities(&[id]).await?, [sample::identity(id, 1)]);
    assert_eq!(store.password(id).await?, Some(sample::password(id, 1)));
    assert_eq!(store.factors(&[id]).await?, [sample::factor(id, 1)]);
    assert_eq!(store.signing_keys().await?, keys);
    assert_eq!(store.clients().await?, [sample::client("chat")]);
    assert_eq!(store.named_value("name").await?, Some(vec![1]));
    let trail = given::trail(&*store).await?;
    assert_eq!(trail, [sample::event(1), sample::event(2)], "audit events stay");
    Ok(())
}
