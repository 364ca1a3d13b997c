//! Every entry with every set of factors: none ends early.

use std::time::Duration;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::*;
use crate::factor::{TotpSeed, TotpSettings, totp};
use crate::secret::TokenHash;
use crate::store::{DeviceId, DeviceRecord};

const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_123);

fn account(n: u128) -> AccountRecord {
    AccountRecord {
        id: AccountId(Uuid::from_u128(n)),
        numeric_id: 1,
        username: "jane".to_owned(),
        username_key: "jane".to_owned(),
        email: None,
        email_key: None,
        email_verified: false,
        first_name: None,
        last_name: None,
        nickname: None,
        position: None,
        locale: None,
        active: true,
        inactive_reason: None,
        roles: vec![],
        groups: vec![],
        created_at: NOW,
        updated_at: NOW,
        last_login_at: None,
        checked_at: None,
        version: 1,
    }
}

/// As the stored step gives it back.
fn first(connector: &str, amr: &[&str]) -> FirstFactor {
    FirstFactor::from_state(FirstFactorState {
        account: account(1).id,
        connector: connector.to_owned(),
        subject: "subject".to_owned(),
        amr: amr.iter().map(|&method| method.to_owned()).collect(),
        at: NOW,
        upstream: Some(UpstreamNote {
            subject: "subject".to_owned(),
            index: None,
            sealed_hint: None,
            ends_at: None,
            methods: amr.iter().map(|&method| method.to_owned()).collect(),
        }),
        typed_name: None,
    })
}

fn device(owner: u128) -> Option<TrustedDevice> {
    let record = DeviceRecord {
        id: DeviceId(Uuid::nil()),
        token: TokenHash::of(b"token"),
        account: account(owner).id,
        created_at: NOW,
        last_used_at: None,
        expires_at: NOW + Duration::from_secs(60),
        ip: None,
        user_agent: None,
    };
    TrustedDevice::judge(Some(&record), account(owner).id, NOW)
}

fn passed(owner: u128) -> PassedFactor {
    let secret = b"12345678901234567890".to_vec();
    let seed = TotpSeed::new(Zeroizing::new(secret.clone()), TotpSettings::default()).unwrap();
    let codes = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    let code = codes.generate(u64::try_from(NOW.seconds()).unwrap()).to_string();
    let step = totp::verify(&seed, &code, NOW, None).unwrap();
    PassedFactor::totp(step, true, account(owner).id).unwrap()
}

#[test]
fn no_entry_with_any_set_of_factors_ends_early() {
    let trusted = UpstreamFactors::new(vec!["mfa".to_owned()]).unwrap();
    let entries: [(&str, &[&str]); 5] = [
        ("local", &["pwd"]),
        ("corp", &["pwd"]),
        ("okta", &["pwd"]),
        ("okta", &["pwd", "mfa"]),
        ("google", &[]),
    ];
    let policies = [MfaPolicy::Off, MfaPolicy::Optional, MfaPolicy::Required];
    let mut cases = 0;
    for (connector, amr) in entries {
        for policy in policies {
            for bits in 0..16_u8 {
                let [asked, enrolled, remembered, trusts] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
                let demand = Demand {
                    policy,
                    two_factors_asked: asked,
                    enrolled,
                    upstream: trusts.then_some(&trusted),
                    trusted_device: if remembered { device(1) } else { None },
                };
                let decision =
                    after_first_factor(first(connector, amr), account(1), &demand).unwrap();
                let upstream = trusts && amr.contains(&"mfa");
                let wanted = asked
                    || policy == MfaPolicy::Required
                    || (enrolled && policy == MfaPolicy::Optional);
                let case = format!("{connector} {amr:?} {demand:?}");
                match decision {
                    Decision::Complete(done) => {
                        let spared = remembered && enrolled && !asked;
                        assert!(upstream || !wanted || spared, "early: {case}");
                        assert_eq!(done.acr(), if upstream { AAL2 } else { AAL1 }, "{case}");
                        assert!(!asked || done.acr() == AAL2, "a client got less: {case}");
                    }
                    Decision::AskFactor(_) => assert!(wanted && enrolled && !upstream, "{case}"),
                    Decision::Enrol(_) => assert!(wanted && !enrolled && !upstream, "{case}"),
                }
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 5 * 3 * 16);
}

#[test]
fn another_account_s_proof_is_nothing() {
    let demand = |trusted_device| Demand {
        policy: MfaPolicy::Required,
        two_factors_asked: false,
        enrolled: true,
        upstream: None,
        trusted_device,
    };
    assert!(after_first_factor(first("local", &["pwd"]), account(2), &demand(None)).is_none());
    let decision = after_first_factor(first("local", &["pwd"]), account(1), &demand(device(2)));
    assert!(matches!(decision, Some(Decision::AskFactor(_))), "another account's device");
    let gone = AccountRecord { active: false, ..account(1) };
    assert!(after_first_factor(first("local", &["pwd"]), gone.clone(), &demand(None)).is_none());
    let second = |account, owner| {
        after_second_factor(first("local", &["pwd"]), account, &passed(owner)).is_some()
    };
    assert!(second(account(1), 1));
    assert!(!second(account(1), 2), "a code of another account");
    assert!(!second(account(2), 2), "a first factor of another account");
    assert!(!second(gone, 1), "a closed account");
}

#[test]
fn only_a_factor_that_stands_alone_replaces_the_password() {
    // A code, however right, is no way in by itself.
    assert!(passwordless(&passed(1), account(1), "local", NOW).is_none());
}

#[test]
fn putting_off_never_answers_a_client_or_an_enrolled_account() {
    let demand = |asked, enrolled| Demand {
        policy: MfaPolicy::Required,
        two_factors_asked: asked,
        enrolled,
        upstream: None,
        trusted_device: None,
    };
    let put_off = |noted: u128, asked, enrolled| {
        let postponed = Postponed::noted(true, account(noted).id).unwrap();
        let first = first("corp", &["pwd"]);
        after_postponement(first, account(1), &postponed, &demand(asked, enrolled))
    };
    assert_eq!(put_off(1, false, false).unwrap().acr(), AAL1);
    assert!(put_off(1, true, false).is_none());
    assert!(put_off(1, false, true).is_none());
    assert!(put_off(2, false, false).is_none());
    assert!(Postponed::noted(false, account(1).id).is_none());
}
