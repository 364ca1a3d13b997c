//! Enrolments under way, and put off.

use std::sync::Arc;
use std::time::Duration;

use super::{Outcome, cases, given, sample};
use crate::store::{
    AccountId, EnrolmentRecord, FactorKind, FactorRecord, GraceRule, PostponementRecord,
    RecoveryCodeRecord, Store,
};
use sample::at;

cases!(
    "enrolments",
    Case: an_enrolment_is_kept_and_removed_once,
    a_session_has_one_enrolment_of_a_kind,
    an_enrolment_is_confirmed_once,
    a_known_credential_is_not_confirmed,
    putting_off_ends_by_number_and_by_time,
);

async fn an_enrolment_is_kept_and_removed_once(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let enrolment = sample::enrolment(account, 1);
    store.add_enrolment(enrolment.clone()).await?;
    assert_eq!(store.enrolment(enrolment.handle).await?, Some(enrolment.clone()));
    assert_eq!(store.enrolment(sample::hash("enrolment", 2)).await?, None);
    assert!(store.remove_enrolment(enrolment.handle).await?);
    assert!(!store.remove_enrolment(enrolment.handle).await?, "the second time");
    assert_eq!(store.enrolment(enrolment.handle).await?, None);
    Ok(())
}

async fn a_session_has_one_enrolment_of_a_kind(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let session = sample::session_id(7);
    let of = |n, kind| EnrolmentRecord { session, kind, ..sample::enrolment(account, n) };
    let (first, second) = (of(1, FactorKind::Totp), of(2, FactorKind::Totp));
    let passkey = of(3, FactorKind::Passkey);
    let elsewhere = sample::enrolment(account, 4);
    for enrolment in [&first, &passkey, &elsewhere, &second] {
        store.add_enrolment(enrolment.clone()).await?;
    }
    assert_eq!(store.enrolment(first.handle).await?, None, "replaced");
    for kept in [second, passkey, elsewhere] {
        assert_eq!(store.enrolment(kept.handle).await?, Some(kept));
    }
    Ok(())
}

async fn an_enrolment_is_confirmed_once(store: Arc<dyn Store>) -> Outcome {
    let account = given::account(&*store, 1).await?.id;
    let enrolment = sample::enrolment(account, 1);
    store.add_enrolment(enrolment.clone()).await?;
    let codes = |n| Some(vec![RecoveryCodeRecord { account, hash: [n; 32] }]);
    let confirm = async |factor: FactorRecord, codes, event| {
        let audit = vec![sample::event(event)];
        store.confirm_enrolment(enrolment.handle, factor, codes, audit).await
    };
    assert!(confirm(sample::factor(account, 1), codes(1), 1).await?);
    assert!(!confirm(sample::factor(account, 2), codes(2), 2).await?, "the second time");
    assert_eq!(store.factors(&[account]).await?, [sample::factor(account, 1)]);
    assert!(store.consume_recovery_code(account, [1; 32]).await?, "the first one's codes");
    assert_eq!(given::trail(&*store).await?, [sample::event(1)]);
    Ok(())
}

async fn a_known_credential_is_not_confirmed(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    store.add_factor(sample::passkey(one, 1), None, vec![]).await?;
    let enrolment = sample::enrolment(two, 1);
    store.add_enrolment(enrolment.clone()).await?;
    let credential = sample::passkey(one, 1).credential;
    let same = FactorRecord { credential, ..sample::passkey(two, 2) };
    let refused = store.confirm_enrolment(enrolment.handle, same, None, vec![]).await;
    given::assert_conflict(refused, "factor");
    assert_eq!(store.factors(&[two]).await?, []);
    assert_eq!(store.enrolment(enrolment.handle).await?, Some(enrolment), "nothing was written");
    Ok(())
}

pub(super) fn postponement(account: AccountId, n: u32, seconds: u64) -> PostponementRecord {
    PostponementRecord { account, session: sample::session_id(n), at: at(seconds) }
}

async fn putting_off_ends_by_number_and_by_time(store: Arc<dyn Store>) -> Outcome {
    let one = given::account(&*store, 1).await?.id;
    let two = given::account(&*store, 2).await?.id;
    let rule = GraceRule { logins: Some(2), lasts: Some(Duration::from_secs(100)) };
    assert_eq!(store.postponements(one).await?, []);
    assert!(store.postpone_enrolment(postponement(one, 1, 50), rule).await?);
    assert!(store.postpone_enrolment(postponement(two, 9, 10), rule).await?);
    assert!(store.postpone_enrolment(postponement(one, 2, 149), rule).await?);
    assert!(!store.postpone_enrolment(postponement(one, 3, 149), rule).await?, "the third one");
    let noted = [postponement(one, 1, 50), postponement(one, 2, 149)];
    assert_eq!(store.postponements(one).await?, noted);
    let more = GraceRule { logins: Some(5), ..rule };
    assert!(!store.postpone_enrolment(postponement(one, 4, 150), more).await?, "too late");
    let endless = GraceRule { logins: None, lasts: None };
    assert!(store.postpone_enrolment(postponement(one, 5, 9000), endless).await?);
    let none = GraceRule { logins: Some(0), lasts: None };
    assert!(!store.postpone_enrolment(postponement(two, 6, 11), none).await?);
    assert_eq!(store.postponements(two).await?, [postponement(two, 9, 10)]);
    Ok(())
}
