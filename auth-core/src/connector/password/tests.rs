use super::hash::{HashMemory, StoredHash, hash};
use super::*;
use crate::account::apply_profile;
use crate::random::SystemRandom;
use crate::store::AccountId;

const CHEAP: Argon2Parameters = Argon2Parameters { memory_kib: 16, iterations: 1, parallelism: 1 };

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn now() -> Timestamp {
    Timestamp::from_seconds(1_764_000_000)
}

fn connector(settings: HashPoolSettings) -> PasswordConnector {
    let pool = HashPool::start(settings, Arc::new(SystemRandom::new())).unwrap();
    PasswordConnector::new(Arc::new(pool))
}

fn cheap() -> HashPoolSettings {
    HashPoolSettings { parameters: CHEAP, ..HashPoolSettings::default() }
}

fn account() -> AccountRecord {
    AccountRecord {
        id: AccountId(uuid::Uuid::from_u128(7)),
        numeric_id: 7,
        username: "Marte".to_owned(),
        username_key: "marte".to_owned(),
        email: Some("Marte@example.org".to_owned()),
        email_key: Some("marte@example.org".to_owned()),
        email_verified: true,
        first_name: Some("Marte".to_owned()),
        last_name: Some("Holm".to_owned()),
        nickname: Some("mh".to_owned()),
        position: Some("Baker".to_owned()),
        locale: Some("nb".to_owned()),
        active: true,
        inactive_reason: None,
        roles: vec!["administrator".to_owned()],
        groups: vec!["cn=bakers,dc=example,dc=org".to_owned()],
        created_at: now(),
        updated_at: now(),
        last_login_at: None,
        checked_at: None,
        version: 3,
    }
}

async fn record(connector: &PasswordConnector, password: &str) -> PasswordRecord {
    let hash = connector.pool().hash(secret(password)).await.unwrap();
    PasswordRecord { account: account().id, hash, changed_at: now() }
}

fn reason(result: Result<(VerifiedIdentity, Option<String>), ConnectorError>) -> &'static str {
    result.unwrap_err().reason()
}

#[tokio::test]
async fn the_right_password_gives_an_identity_that_changes_nothing() {
    let connector = connector(cheap());
    let account = account();
    let record = record(&connector, "kelp otter violin").await;
    let (identity, rehashed) = connector
        .authenticate(Some(&account), Some(&record), secret("kelp otter violin"), now())
        .await
        .unwrap();
    assert_eq!(identity.connector(), LOCAL);
    assert_eq!(identity.subject(), account.id.to_string());
    assert_eq!(identity.amr(), ["pwd"]);
    assert_eq!(identity.at(), now());
    assert_eq!(rehashed, None);
    let mut applied = account.clone();
    apply_profile(&mut applied, identity.profile());
    assert_eq!(applied, account);
}

#[tokio::test]
async fn refusals_name_their_reason() {
    let connector = connector(cheap());
    let account = account();
    let record = record(&connector, "kelp otter violin").await;
    let other = PasswordRecord { account: AccountId(uuid::Uuid::from_u128(8)), ..record.clone() };
    let long = "x".repeat(1025);
    let cases = [
        (Some(&account), Some(&record), "", "empty_password"),
        (Some(&account), Some(&record), "kelp otter violin\0", "malformed_input"),
        (Some(&account), Some(&record), long.as_str(), "malformed_input"),
        (Some(&account), Some(&record), "kelp otter violi", "wrong_password"),
        (Some(&account), None, "kelp otter violin", "unknown_user"),
        (None, None, "kelp otter violin", "unknown_user"),
        (None, Some(&record), "kelp otter violin", "unknown_user"),
        (Some(&account), Some(&other), "kelp otter violin", "unknown_user"),
    ];
    for (account, record, password, expected) in cases {
        let result = connector.authenticate(account, record, secret(password), now()).await;
        assert_eq!(reason(result), expected, "{password:?}");
    }
}

#[tokio::test]
async fn a_hash_with_other_parameters_is_replaced_after_the_right_password_only() {
    let connector = connector(cheap());
    let account = account();
    let mut record = record(&connector, "kelp otter violin").await;
    let dearer = Argon2Parameters { iterations: 2, ..CHEAP };
    assert!(!needs_rehash(&record.hash, CHEAP));
    assert!(needs_rehash(&record.hash, dearer));
    connector.pool().set_parameters(dearer).unwrap();
    let wrong =
        connector.authenticate(Some(&account), Some(&record), secret("kelp otter"), now()).await;
    assert_eq!(reason(wrong), "wrong_password");
    let (_, rehashed) = connector
        .authenticate(Some(&account), Some(&record), secret("kelp otter violin"), now())
        .await
        .unwrap();
    record.hash = rehashed.unwrap();
    assert!(record.hash.starts_with("$argon2id$v=19$m=16,t=2,p=1$"), "{}", record.hash);
    let (_, again) = connector
        .authenticate(Some(&account), Some(&record), secret("kelp otter violin"), now())
        .await
        .unwrap();
    assert_eq!(again, None);
}

#[tokio::test]
async fn a_damaged_hash_is_no_wrong_password() {
    let connector = connector(cheap());
    let account = account();
    let record = PasswordRecord {
        account: account.id,
        hash: "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        changed_at: now(),
    };
    let result = connector.authenticate(Some(&account), Some(&record), secret("x"), now()).await;
    assert_eq!(reason(result), "password_hash_damaged");
}

/// Made with the reference implementation in C, by its Python binding.
#[test]
fn hashes_of_other_programs_verify() {
    let stored = include_str!("reference_hash.txt").trim();
    let parsed = StoredHash::parse(stored).unwrap();
    let mut memory = HashMemory::default();
    assert_eq!(parsed.matches(&secret("correct horse battery"), &mut memory), Ok(true));
    assert_eq!(parsed.matches(&secret("correct horse batterz"), &mut memory), Ok(false));
    assert!(parsed.needs_rehash(Argon2Parameters::default()));
}

#[test]
fn memory_left_by_another_password_changes_nothing() {
    let mut used = HashMemory::default();
    let salt = [9u8; 16];
    let dear = Argon2Parameters { memory_kib: 256, iterations: 2, parallelism: 2 };
    hash(&secret("somebody else"), dear, &salt, &mut used).unwrap();
    let after = hash(&secret("kelp otter violin"), CHEAP, &salt, &mut used).unwrap();
    let fresh =
        hash(&secret("kelp otter violin"), CHEAP, &salt, &mut HashMemory::default()).unwrap();
    assert_eq!(after, fresh);
    assert_eq!(used.held(), 256 * 1024);
    used.trim(CHEAP);
    assert_eq!(used.held(), 0);
}

#[test]
fn passwords_compare_in_normal_form() {
    let mut memory = HashMemory::default();
    let composed = hash(&secret("bl\u{e4}uer"), CHEAP, &[1; 16], &mut memory).unwrap();
    let parsed = StoredHash::parse(&composed).unwrap();
    assert_eq!(parsed.matches(&secret("bla\u{308}uer"), &mut memory), Ok(true));
    assert_eq!(parsed.matches(&secret("blauer"), &mut memory), Ok(false));
}

#[test]
fn stored_hashes_are_bounded_before_they_are_computed() {
    let salt = "c29tZXNhbHRzb21lc2FsdA";
    let output = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let phc = |rest: &str| format!("{rest}${salt}${output}");
    use ParametersError::{Memory, Parallelism, Work};
    use StoredHashError::{Algorithm, Malformed, Parameters};
    let cases = [
        (phc("$argon2id$v=19$m=300000,t=1,p=1"), Parameters(Memory)),
        (phc("$argon2id$v=19$m=262144,t=9,p=1"), Parameters(Work)),
        (phc("$argon2id$v=19$m=4096,t=4294967295,p=1"), Parameters(Work)),
        (phc("$argon2id$v=19$m=4096,t=1,p=100"), Parameters(Parallelism)),
        (phc("$argon2id$v=19$m=4096,t=0,p=1"), Malformed),
        (phc("$argon2id$v=19$m=4096,t=1,p=1,keyid=AAAA"), Malformed),
        (phc("$argon2i$v=19$m=4096,t=1,p=1"), Algorithm),
        (phc("$argon2d$v=19$m=4096,t=1,p=1"), Algorithm),
        (phc("$argon2id$v=16$m=4096,t=1,p=1"), Algorithm),
        (phc("$argon2id$m=4096,t=1,p=1"), Algorithm),
        (format!("$argon2id$v=19$m=4096,t=1,p=1${salt}"), Malformed),
        (format!("$argon2id$v=19$m=4096,t=1,p=1${salt}$AAAAAAAAAAAAAA"), Malformed),
        (format!("$argon2id$v=19$m=4096,t=1,p=1$AAAA${output}"), Malformed),
        ("$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234".to_owned(), Malformed),
        (String::new(), Malformed),
        ("junk".to_owned(), Malformed),
    ];
    for (stored, expected) in cases {
        assert_eq!(StoredHash::parse(&stored).err(), Some(expected), "{stored}");
        assert!(!needs_rehash(&stored, CHEAP));
    }
}

#[test]
fn configured_parameters_are_bounded() {
    let parameters = |memory_kib, iterations, parallelism| Argon2Parameters {
        memory_kib,
        iterations,
        parallelism,
    };
    assert!(Argon2Parameters::default().validate().is_ok());
    for (bad, error) in [
        (parameters(7, 1, 1), ParametersError::Memory),
        (parameters(8, 1, 2), ParametersError::Memory),
        (parameters(262_145, 1, 1), ParametersError::Memory),
        (parameters(1024, 0, 1), ParametersError::Iterations),
        (parameters(1024, 1, 0), ParametersError::Parallelism),
        (parameters(1024, 1, 17), ParametersError::Parallelism),
        (parameters(1024, 2049, 1), ParametersError::Work),
    ] {
        assert_eq!(bad.validate(), Err(error), "{bad:?}");
    }
    for good in [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)] {
        assert!(!parameters(good.0, good.1, 1).is_below_recommendation(), "{good:?}");
    }
    for weak in [(19_456, 1), (7_167, 100), (16, 1)] {
        assert!(parameters(weak.0, weak.1, 1).is_below_recommendation(), "{weak:?}");
    }
}
