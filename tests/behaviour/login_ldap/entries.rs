//! Groups, roles, mapping, and reading a person again.

use auth_core::connector::Recheck;
use auth_core::connector::ldap::{GroupNames, GroupSource};

use super::*;

#[tokio::test]
async fn groups_are_right_at_the_first_login() {
    let server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    assert_eq!(profile(&connector, "alice").await.groups, ["admins", "devs", "staff"]);
    assert_eq!(profile(&connector, "carol").await.groups, ["auditors", "staff"]);
    assert!(profile(&connector, "gina").await.groups.is_empty());
    // platform is in engineering, which is in platform again.
    assert_eq!(profile(&connector, "dave").await.groups, ["devs", "engineering", "platform"]);
    // And a new membership counts at once.
    server
        .modify(
            "dn: cn=admins,ou=groups,dc=example,dc=org\nchangetype: modify\nadd: member\n\
             member: cn=Weiss\\, Zoe,ou=people,dc=example,dc=org\n",
        )
        .unwrap();
    assert_eq!(profile(&connector, "zoe").await.groups, ["admins"]);
}

#[tokio::test]
async fn groups_as_configured() {
    let server = Slapd::start().unwrap();
    let groups = async |change: fn(&mut LdapSettings), uid: &str| {
        let mut settings = settings(&server);
        change(&mut settings);
        profile(&connector(settings), uid).await.groups
    };
    assert_eq!(groups(|s| s.groups.nested = false, "dave").await, ["devs", "platform"]);
    assert_eq!(
        groups(|s| s.groups.member_uid_attribute = None, "dave").await,
        ["engineering", "platform"]
    );
    assert_eq!(
        groups(|s| s.groups.names = GroupNames::Dn, "bob").await,
        ["cn=staff,ou=groups,dc=example,dc=org"]
    );
    assert_eq!(
        groups(|s| s.groups.source = GroupSource::MemberOf, "alice").await,
        ["admins", "staff"]
    );
    assert_eq!(
        groups(|s| s.groups.source = GroupSource::MemberOf, "dave").await,
        ["engineering", "platform"]
    );
    assert!(groups(|s| s.groups.source = GroupSource::None, "alice").await.is_empty());
    assert!(
        groups(|s| s.groups.base_dn = Some("ou=people,dc=example,dc=org".into()), "alice")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn many_groups_come_in_pages() {
    let server = Slapd::start().unwrap();
    let ldif: String = (1..=60)
        .map(|number| {
            format!(
                "dn: cn=g{number},ou=groups,dc=example,dc=org\nchangetype: add\nobjectClass: groupOfNames\n\
                 cn: g{number}\nmember: uid=bob,ou=people,dc=example,dc=org\n\n"
            )
        })
        .collect();
    server.modify(&ldif).unwrap();
    let mut settings = settings(&server);
    settings.page_size = 7;
    assert_eq!(profile(&connector(settings), "bob").await.groups.len(), 61);
}

#[tokio::test]
async fn roles_come_from_filters_that_the_server_evaluates() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.admin_filter = Some("(memberOf=cn=admins,ou=groups,dc=example,dc=org)".to_owned());
    settings.guest_filter = Some("ou=partners".to_owned());
    let connector = connector(settings);
    assert_eq!(profile(&connector, "alice").await.roles, ["administrator"]);
    assert_eq!(profile(&connector, "gina").await.roles, ["guest"]);
    assert!(profile(&connector, "bob").await.roles.is_empty());
    server
        .modify(
            "dn: cn=admins,ou=groups,dc=example,dc=org\nchangetype: modify\nadd: member\n\
             member: uid=gina,ou=people,dc=example,dc=org\n",
        )
        .unwrap();
    assert_eq!(profile(&connector, "gina").await.roles, ["guest"], "a guest stays a guest");
}

#[tokio::test]
async fn only_who_matches_the_filter_comes_in() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.user_filter = "(memberOf=cn=staff,ou=groups,dc=example,dc=org)".to_owned();
    let connector = connector(settings);
    assert!(login(&connector, "bob", "secret-bob").await.is_ok());
    assert_eq!(refusal(login(&connector, "dave", "secret-dave")).await, Refusal::UnknownUser);
}

#[tokio::test]
async fn mapping_as_configured() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.attributes.nickname = Some("CN".to_owned());
    settings.attributes.claims.insert("department".into(), "departmentnumber".into());
    let connector = connector(settings);
    let alice = profile(&connector, "alice").await;
    assert_eq!(alice.nickname.as_deref(), Some("Alice Ångström"));
    assert_eq!(alice.claims["department"], ["42", "43"]);
    assert_eq!(profile(&connector, "nomail").await.email, None);
}

#[tokio::test]
async fn an_entry_without_the_id_is_nobody() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.attributes.id = "objectGUID".to_owned();
    let connector = connector(settings);
    assert_eq!(refusal(login(&connector, "alice", "secret-alice")).await, Refusal::MissingId);
    assert_eq!(refusal(login(&connector, "alice", "wrong")).await, Refusal::WrongPassword);
}

#[tokio::test]
async fn a_person_is_read_again_by_the_stable_id() {
    let server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    let subject = login(&connector, "bob", "secret-bob").await.unwrap().subject().to_owned();
    server
        .modify(
            "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: mail\nmail: b@example.org\n\n\
             dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modrdn\nnewrdn: uid=robert\ndeleteoldrdn: 1\n",
        )
        .unwrap();
    let Recheck::Present(present) = connector.recheck(&subject, now()).await.unwrap() else {
        panic!("bob was renamed, not gone");
    };
    let profile = present.profile;
    assert_eq!(profile.username, "robert");
    assert_eq!(profile.email.as_deref(), Some("b@example.org"));
    assert_eq!(profile.groups, ["staff"]);
}

#[tokio::test]
async fn gone_disabled_and_filtered_are_told_apart() {
    let server = Slapd::start().unwrap();
    let uuid = |uid: &str| server.attribute(&format!("uid={uid}"), "entryUUID").unwrap().remove(0);
    let gone = |reason| Ok::<_, String>(Recheck::Gone { reason });
    let mut settings = settings(&server);
    settings.user_filter = "(&(objectClass=person)(!(ou=partners)))".to_owned();
    let connector = connector(settings);
    let recheck = async |subject: &str| {
        connector.recheck(subject, now()).await.map_err(|error| error.to_string())
    };

    assert_eq!(recheck(&uuid("disabled")).await, gone("account_disabled"));
    assert_eq!(recheck(&uuid("gina")).await, gone("out_of_filter"));
    // Locked by wrong passwords, or a password to be changed: not gone.
    for uid in ["locked", "mustchange", "expired"] {
        assert!(matches!(recheck(&uuid(uid)).await, Ok(Recheck::Present(_))), "{uid}");
    }
    let carol = uuid("carol");
    server.modify("dn: uid=carol,ou=people,dc=example,dc=org\nchangetype: delete\n").unwrap();
    assert_eq!(recheck(&carol).await, gone("gone"));
    assert_eq!(recheck("*").await, gone("gone"), "an id is data and no filter");
}

/// A directory in which nothing can be seen proves nothing about anybody.
#[tokio::test]
async fn a_faulty_directory_makes_nobody_gone() {
    let server = Slapd::start().unwrap();
    let alice = server.attribute("uid=alice", "entryUUID").unwrap().remove(0);
    let check = async |change: fn(&mut LdapSettings), expected: &str| {
        let mut settings = settings(&server);
        change(&mut settings);
        let connector = connector(settings);
        let (reason, message) = unavailable(connector.recheck(&alice, now())).await;
        assert_eq!(reason, expected, "{message}");
        message
    };
    let failed = "directory_search_failed";
    let message = check(|s| s.base_dn = "ou=renamed,dc=example,dc=org".into(), failed).await;
    assert!(message.contains("base_dn"), "{message}");
    let message = check(|s| s.base_dn = "ou=policies,dc=example,dc=org".into(), failed).await;
    assert!(message.contains("user_filter"), "{message}");
    // Anonymous: this server lets nobody see anything without a bind.
    check(|s| (s.bind_dn, s.bind_password) = (None, None), failed).await;
    // The attribute of the user name can no longer be read.
    let message = check(|s| s.attributes.username = "carLicense".into(), failed).await;
    assert!(message.contains("carLicense"), "{message}");
    let message = check(|s| s.attributes.id = "objectGUID".into(), failed).await;
    assert!(message.contains("objectGUID"), "{message}");
}
