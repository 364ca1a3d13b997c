//! Names and passwords.

use super::*;

#[tokio::test]
async fn the_right_password_gives_the_person() {
    let server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    let at = now();
    let password = Secret::new("secret-alice".to_owned());
    let identity = connector.authenticate("alice", &password, at).await.unwrap();

    assert_eq!(identity.connector(), "corp");
    assert_eq!(identity.amr(), ["pwd"]);
    assert_eq!(identity.at(), at);
    let uuid = server.attribute("uid=alice", "entryUUID").unwrap();
    assert_eq!(identity.subject(), uuid[0]);
    let profile = identity.profile();
    assert_eq!(profile.username, "alice");
    assert_eq!(profile.email.as_deref(), Some("alice@example.org"));
    assert_eq!(profile.first_name.as_deref(), Some("Alice"));
    assert_eq!(profile.last_name.as_deref(), Some("Ångström"));
    assert_eq!(profile.position.as_deref(), Some("Engineer"));
    assert_eq!(profile.locale.as_deref(), Some("sv"));
    assert!(profile.roles.is_empty());
}

#[tokio::test]
async fn one_person_by_any_login_attribute() {
    let server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    let subject = login(&connector, "alice", "secret-alice").await.unwrap().subject().to_owned();
    for name in ["ALICE", " alice ", "alice@example.org", "A.Angstrom@EXAMPLE.org"] {
        let identity = login(&connector, name, "secret-alice").await.unwrap();
        assert_eq!(identity.subject(), subject, "{name}");
        assert_eq!(identity.profile().username, "alice", "{name}");
    }
}

/// The server calls a bind without a password a success; the control here proves it.
#[tokio::test]
async fn an_empty_password_never_reaches_the_server() {
    let server = Slapd::start().unwrap();
    let whoami = std::process::Command::new("ldapwhoami")
        .args(["-x", "-H", &server.url(), "-D", "uid=alice,ou=people,dc=example,dc=org", "-w", ""])
        .output()
        .unwrap();
    assert!(whoami.status.success(), "the server must allow unauthenticated binds: {whoami:?}");

    let connector = connector(settings(&server));
    let before = server.log().unwrap().matches("BIND dn=").count();
    assert_eq!(refusal(login(&connector, "alice", "")).await, Refusal::EmptyPassword);
    assert_eq!(refusal(login(&connector, "", "")).await, Refusal::EmptyPassword);
    assert_eq!(refusal(login(&connector, "alice", "\0")).await, Refusal::MalformedInput);
    assert_eq!(refusal(login(&connector, "alice", "x\0y")).await, Refusal::MalformedInput);
    assert_eq!(refusal(login(&connector, "ali\0ce", "x")).await, Refusal::MalformedInput);
    assert_eq!(refusal(login(&connector, &"a".repeat(300), "x")).await, Refusal::MalformedInput);
    assert_eq!(server.log().unwrap().matches("BIND dn=").count(), before);
}

#[tokio::test]
async fn names_are_data_and_no_filter() {
    let server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    let names = [
        "*",
        "a*",
        "alice)(uid=*",
        "*)(|(uid=alice",
        "alice))(|(uid=*",
        "\\61lice",
        "\\2a",
        "(uid=alice)",
        "alice,ou=people",
        "uid=alice",
        "alice*",
        "&(uid=alice)",
        "\u{202e}ecila",
        "' or 1=1 --",
    ];
    for name in names {
        let found = refusal(login(&connector, name, "secret-alice")).await;
        assert_eq!(found, Refusal::UnknownUser, "{name:?}");
    }
    // The server saw values, escaped, and one equality match for each attribute.
    let log = server.log().unwrap();
    assert!(log.contains("(uid=alice\\29\\28uid=\\2A)"), "{log}");
}

#[tokio::test]
async fn wrong_and_unknown_are_told_apart_for_the_audit_trail() {
    let server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    assert_eq!(refusal(login(&connector, "bob", "secret-alice")).await, Refusal::WrongPassword);
    assert_eq!(refusal(login(&connector, "nobody", "secret-alice")).await, Refusal::UnknownUser);
    // An unknown name costs a bind too, to a name that does not exist and not with what was typed.
    let log = server.log().unwrap();
    assert!(log.contains("BIND dn=\"cn="), "{log}");
    // And none of it stands in the way of the right password.
    assert!(login(&connector, "bob", "secret-bob").await.is_ok());
}

#[tokio::test]
async fn an_ambiguous_name_is_refused_with_both_entries() {
    let server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    match login(&connector, "twins@example.org", "secret-twin1").await {
        Err(ConnectorError::Refused { reason: Refusal::AmbiguousUser, detail: Some(detail) }) => {
            assert!(detail.contains("uid=twin1") && detail.contains("uid=twin2"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    assert!(login(&connector, "twin1", "secret-twin1").await.is_ok());
}

#[tokio::test]
async fn states_of_a_password_policy() {
    let server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    let right = async |uid: &str| refusal(login(&connector, uid, &format!("secret-{uid}"))).await;
    assert_eq!(right("locked").await, Refusal::AccountLocked);
    assert_eq!(right("disabled").await, Refusal::AccountLocked);
    assert_eq!(right("expired").await, Refusal::PasswordExpired);
    assert_eq!(right("mustchange").await, Refusal::PasswordMustChange);
    for uid in ["expired", "mustchange", "grace"] {
        // Nobody learns of these before the password is right.
        assert_eq!(refusal(login(&connector, uid, "wrong")).await, Refusal::WrongPassword, "{uid}");
    }
    for _ in 0..3 {
        assert!(login(&connector, "grace", "secret-grace").await.is_ok());
    }
    assert_eq!(right("grace").await, Refusal::PasswordExpired);
}

#[tokio::test]
async fn five_wrong_passwords_lock_at_the_server() {
    let server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    for _ in 0..5 {
        assert_eq!(refusal(login(&connector, "bob", "wrong")).await, Refusal::WrongPassword);
    }
    assert_eq!(refusal(login(&connector, "bob", "secret-bob")).await, Refusal::AccountLocked);
    assert!(login(&connector, "carol", "secret-carol").await.is_ok());
}

/// After a bind that needs a new password the server allows nothing else on that connection; the
/// next person must not be hit by it.
#[tokio::test]
async fn one_persons_bind_does_not_hurt_the_next() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.pool_size = 1;
    let connector = connector(settings);
    for _ in 0..3 {
        let found = refusal(login(&connector, "mustchange", "secret-mustchange")).await;
        assert_eq!(found, Refusal::PasswordMustChange);
        assert_eq!(profile(&connector, "alice").await.username, "alice");
    }
    // Nothing was ever searched on a connection that a person bound.
    let log = server.log().unwrap();
    let bound: std::collections::HashSet<&str> = log
        .lines()
        .filter(|line| line.contains("BIND dn=\"uid="))
        .filter_map(connection_of)
        .collect();
    assert!(!bound.is_empty());
    let searched = log
        .lines()
        .filter(|line| line.contains(" SRCH "))
        .filter_map(connection_of)
        .collect::<Vec<_>>();
    assert!(!searched.is_empty());
    assert!(searched.iter().all(|connection| !bound.contains(connection)), "{log}");
}

fn connection_of(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| word.starts_with("conn="))
}

#[tokio::test]
async fn templates_read_one_entry() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.user_dn_template = Some("uid={username},ou=people,dc=example,dc=org".to_owned());
    let connector = connector(settings);
    assert_eq!(profile(&connector, "alice").await.groups, ["admins", "devs", "staff"]);
    for name in
        ["alice,ou=people,dc=example,dc=org", "nobody", "a+b=c", "alice@example.org", "#a\\"]
    {
        let found = refusal(login(&connector, name, "secret-alice")).await;
        assert_eq!(found, Refusal::UnknownUser, "{name}");
    }
    assert_eq!(refusal(login(&connector, "alice", "wrong")).await, Refusal::WrongPassword);
}
