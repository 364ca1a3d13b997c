//! Sign-in against a real Active Directory domain controller (Samba). One server for all, because
//! a domain takes seconds to make.

use auth_core::connector::Recheck;
use auth_core::connector::ldap::{GroupNames, GroupSource, ReadPosition, Reading};
use auth_tests::harness::in_ci;
use auth_tests::harness::samba::SambaAd;

use super::*;

fn ad_settings(server: &SambaAd) -> LdapSettings {
    let url = Url::parse(&server.ldaps_url()).unwrap();
    let mut settings =
        LdapSettings::new("corp", Preset::ActiveDirectory, vec![url], server.base_dn());
    settings.bind_dn = Some(server.bind_dn().to_owned());
    settings.bind_password = Some(Secret::new(server.bind_password().to_owned()));
    settings.ca_file = Some(server.ca_file());
    settings
}

fn right(name: &str) -> String {
    format!("Secret-{name}!")
}

#[tokio::test]
async fn a_domain_controller() {
    if let Some(missing) = SambaAd::missing() {
        assert!(!in_ci(), "{missing}");
        eprintln!("skipped: {missing}");
        return;
    }
    let server = SambaAd::start().unwrap();
    names_ids_and_groups(&server).await;
    states_of_accounts(&server).await;
    everybody(&server).await;
    for way in [Way::UpdateSequence, Way::Replication] {
        changes(&server, way).await;
    }
    who_may_not_replicate(&server).await;
    reading_again(&server).await;
    ways_to_connect(&server).await;
    lockout(&server).await;
}

async fn names_ids_and_groups(server: &SambaAd) {
    let connector = connector(ad_settings(server));
    let first = login(&connector, "alice", &right("alice")).await.unwrap();
    assert_eq!(first.subject().len(), 36, "a GUID: {}", first.subject());
    for name in ["ALICE", "ADTEST\\alice", "alice@ad.example.test"] {
        let again = login(&connector, name, &right("alice")).await.unwrap();
        assert_eq!(again.subject(), first.subject(), "{name}");
        assert_eq!(again.profile(), first.profile(), "{name}");
    }
    let alice = first.profile();
    assert_eq!(alice.username, "alice");
    assert_eq!(alice.email.as_deref(), Some("alice@example.test"));
    // Nested three deep, and the primary group, which stands in no `member`, with its own groups.
    assert_eq!(alice.groups, ["Domain Users", "Users", "inner", "middle", "outer"]);
    let carol = login(&connector, "carol", &right("carol")).await.unwrap();
    assert_eq!(carol.profile().groups, ["Domain Users", "Users", "outer"]);

    let mut direct = ad_settings(server);
    direct.groups.nested = false;
    direct.groups.names = GroupNames::Dn;
    direct.admin_filter =
        Some(format!("(memberOf:1.2.840.113556.1.4.1941:=CN=outer,CN=Users,{})", server.base_dn()));
    direct.user_dn_template = Some("{username}@ad.example.test".to_owned());
    let connector = super::connector(direct);
    let alice = login(&connector, "alice", &right("alice")).await.unwrap();
    let base = server.base_dn();
    assert_eq!(
        alice.profile().groups,
        [format!("CN=Domain Users,CN=Users,{base}"), format!("CN=inner,CN=Users,{base}")]
    );
    assert_eq!(alice.profile().roles, ["administrator"]);
}

async fn states_of_accounts(server: &SambaAd) {
    let connector = connector(ad_settings(server));
    let cases = [
        ("disabled", Refusal::AccountDisabled),
        ("mustchange", Refusal::PasswordMustChange),
        ("accexpired", Refusal::AccountExpired),
        ("hours", Refusal::LogonHours),
        ("wkst", Refusal::Workstation),
    ];
    for (name, reason) in cases {
        assert_eq!(refusal(login(&connector, name, &right(name))).await, reason, "{name}");
    }
    for name in ["disabled", "mustchange", "alice"] {
        // Nobody learns of a state before the password is right.
        assert_eq!(
            refusal(login(&connector, name, "wrong")).await,
            Refusal::WrongPassword,
            "{name}"
        );
    }
    assert_eq!(refusal(login(&connector, "nobody", "wrong")).await, Refusal::UnknownUser);
    assert_eq!(refusal(login(&connector, "alice", "")).await, Refusal::EmptyPassword);
    assert_eq!(refusal(login(&connector, "a*", &right("alice"))).await, Refusal::UnknownUser);
    // A computer's or service's account is no person.
    assert_eq!(refusal(login(&connector, "DC1$", "wrong")).await, Refusal::UnknownUser);
}

async fn everybody(server: &SambaAd) {
    let base = server.base_dn();
    let changes: [&dyn Fn(&mut LdapSettings); 6] = [
        &|_| {},
        &|s| s.page_size = 3,
        &|s| s.groups.nested = false,
        &|s| s.groups.source = GroupSource::MemberOf,
        &|s| {
            s.groups.filter = "(&(objectClass=group)(!(cn=middle)))".to_owned();
            s.groups.names = GroupNames::Dn;
        },
        &|s| {
            s.admin_filter =
                Some(format!("(memberOf:1.2.840.113556.1.4.1941:=CN=outer,CN=Users,{base})"));
            s.guest_filter = Some("(sAMAccountName=bob)".to_owned());
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut settings = ad_settings(server);
        change(&mut settings);
        let pages = 12_u64.div_ceil(u64::from(settings.page_size));
        let connector = connector(settings);
        let population = population::read(&connector, Reading::Full).await.unwrap();
        // Eight people of the test, and the four accounts of every domain.
        assert_eq!(population.people.len(), 12, "{number}: {:?}", population.names());
        assert!(population.read.searches <= 30 + pages, "{number}: {:?}", population.read);
        population::assert_as_rechecked(&connector, &population).await;
    }
}

/// How changes are found. Both are bound to the server's invocation id.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// By update sequence numbers: the id is not the one that the control names.
    UpdateSequence,
    /// By the DirSync control: the service account is an administrator.
    Replication,
}

async fn changes(server: &SambaAd, way: Way) {
    let base = server.base_dn();
    let mut settings = ad_settings(server);
    let (word, leaver) = match way {
        Way::UpdateSequence => ("update_sequence", "leaver1"),
        Way::Replication => ("replication", "leaver2"),
    };
    if way == Way::UpdateSequence {
        settings.attributes.id = "objectSid".to_owned();
    } else {
        settings.base_dn = format!("CN=Users,{base}");
    }
    let add = |name: &str| {
        server
            .modify(&format!(
                "dn: CN={name},CN=Users,{base}\nchangetype: add\nobjectClass: user\n\
                 sAMAccountName: {name}\n\n"
            ))
            .unwrap();
    };
    add(leaver);
    settings.user_filter =
        "(&(objectCategory=person)(objectClass=user)(!(description=left)))".to_owned();
    let connector = connector(settings);
    let first = population::read(&connector, Reading::Full).await.unwrap();
    let json = serde_json::to_string(first.position()).unwrap();
    assert!(json.contains(word), "{json}");
    let id = |name: &str| {
        let mut people = first.people.values();
        people.find(|person| person.profile.username == name).unwrap().subject.clone()
    };
    let modify = |name: &str, change: &str| {
        let ldif = format!("dn: CN={name},CN=Users,{base}\nchangetype: modify\n{change}\n");
        server.modify(&ldif).unwrap();
    };
    let quiet = population::read(&connector, Reading::Since(first.position())).await.unwrap();
    assert!(quiet.read.incremental);
    assert!(quiet.people.is_empty() && quiet.gone.is_empty(), "{quiet:?}");

    modify("alice", &format!("replace: title\ntitle: boss {leaver}"));
    modify("hours", "replace: description\ndescription: left");
    modify("disabled", &format!("replace: title\ntitle: away {leaver}"));
    let second = population::read(&connector, Reading::Since(quiet.position())).await.unwrap();
    assert!(second.read.incremental);
    assert_eq!(second.names(), ["alice", "disabled"], "{second:?}");
    assert_eq!(second.gone, [(id("hours"), "out_of_filter")]);
    population::assert_as_rechecked(&connector, &second).await;
    modify("hours", "delete: description");

    server.modify(&format!("dn: CN={leaver},CN=Users,{base}\nchangetype: delete\n\n")).unwrap();
    let third = population::read(&connector, Reading::Since(second.position())).await.unwrap();
    assert!(third.read.incremental);
    assert_eq!(third.names(), ["hours"]);
    assert_eq!(third.gone, [(id(leaver), "gone")]);

    // A membership moves nothing in the person's entry.
    let member = |change: &str| {
        modify("outer", &format!("{change}: member\nmember: CN=hours,CN=Users,{base}"));
    };
    member("add");
    let fourth = population::read(&connector, Reading::Since(third.position())).await.unwrap();
    assert!(!fourth.read.incremental);
    let groups = &fourth.people[&id("hours")].profile.groups;
    assert!(groups.contains(&"outer".to_owned()), "{groups:?}");
    member("delete");

    // A number of another server, and one from the time before a restore, are worth nothing.
    let changed = |from: &str, to: &str| -> ReadPosition {
        let json = serde_json::to_string(fourth.position()).unwrap();
        let changed = with_inserted(&json, from, to);
        assert_ne!(json, changed);
        serde_json::from_str(&changed).unwrap()
    };
    let odd = match way {
        Way::UpdateSequence => changed("\"usn\":", "9"),
        Way::Replication => changed("\"cookie\":\"", "AAAA"),
    };
    for position in [changed("\"invocation\":\"", "00"), odd] {
        let read = population::read(&connector, Reading::Since(&position)).await.unwrap();
        assert!(!read.read.incremental);
    }
}

/// Who moves out of the base is gone at once; an ordinary service account, which would see neither
/// that nor deletions, goes by update sequence numbers.
async fn who_may_not_replicate(server: &SambaAd) {
    let base = server.base_dn();
    let settings = || {
        let mut settings = ad_settings(server);
        settings.base_dn = format!("CN=Users,{base}");
        settings
    };
    let administrator = connector(settings());
    let mut settings = settings();
    settings.bind_dn = Some("carol@ad.example.test".to_owned());
    settings.bind_password = Some(Secret::new(right("carol")));
    let ordinary = connector(settings);
    let before = population::read(&administrator, Reading::Full).await.unwrap();
    let seen = population::read(&ordinary, Reading::Full).await.unwrap();
    assert_eq!(before.names(), seen.names());
    let json = serde_json::to_string(seen.position()).unwrap();
    assert!(json.contains("update_sequence"), "{json}");
    // A position of another way of finding changes is worth nothing.
    let read = population::read(&ordinary, Reading::Since(before.position())).await.unwrap();
    assert!(!read.read.incremental);

    let of_wkst = |read: &population::Population| {
        let mut people = read.people.values();
        people.find(|person| person.profile.username == "wkst").map(|it| it.subject.clone())
    };
    let subject = of_wkst(&before).unwrap();
    server
        .modify(&format!(
            "dn: OU=left,{base}\nchangetype: add\nobjectClass: organizationalUnit\n\n\
             dn: CN=wkst,CN=Users,{base}\nchangetype: modrdn\nnewrdn: CN=wkst\ndeleteoldrdn: 1\n\
             newsuperior: OU=left,{base}\n\n"
        ))
        .unwrap();
    let after = population::read(&administrator, Reading::Since(before.position())).await.unwrap();
    assert!(after.read.incremental);
    assert!(after.gone.contains(&(subject, "out_of_filter")), "{:?}", after.gone);
    assert!(after.people.is_empty(), "{:?}", after.names());
}

/// Puts `inserted` behind `mark`.
fn with_inserted(text: &str, mark: &str, inserted: &str) -> String {
    text.replacen(mark, &format!("{mark}{inserted}"), 1)
}

async fn reading_again(server: &SambaAd) {
    let mut by_name = ad_settings(server);
    by_name.attributes.id = "sAMAccountName".to_owned();
    let by_name = connector(by_name);
    let check = async |name: &str, reason: Option<&'static str>| match by_name
        .recheck(name, now())
        .await
        .unwrap()
    {
        Recheck::Present(present) => {
            assert_eq!((present.profile.username.as_str(), None), (name, reason));
        }
        Recheck::Gone { reason: found } => assert_eq!(Some(found), reason, "{name}"),
    };
    check("alice", None).await;
    check("mustchange", None).await;
    check("disabled", Some("account_disabled")).await;
    check("accexpired", Some("account_expired")).await;
    check("nobody", Some("gone")).await;

    let connector = connector(ad_settings(server));
    let bob = login(&connector, "bob", &right("bob")).await.unwrap();
    server
        .modify(&format!(
            "dn: CN=bob,CN=Users,{base}\nchangetype: modrdn\nnewrdn: CN=Robert\ndeleteoldrdn: 1\n\n\
             dn: CN=Robert,CN=Users,{base}\nchangetype: modify\nreplace: sAMAccountName\n\
             sAMAccountName: robert\n",
            base = server.base_dn()
        ))
        .unwrap();
    let Recheck::Present(present) = connector.recheck(bob.subject(), now()).await.unwrap() else {
        panic!("renamed, not gone");
    };
    let profile = present.profile;
    assert_eq!(profile.username, "robert");
    assert_eq!(profile.groups, bob.profile().groups);
}

async fn ways_to_connect(server: &SambaAd) {
    let mut starttls = ad_settings(server);
    starttls.servers = vec![Url::parse(&server.url()).unwrap()];
    starttls.starttls = true;
    assert!(login(&connector(starttls), "alice", &right("alice")).await.is_ok());

    // This server wants TLS, and says so.
    let mut plain = ad_settings(server);
    plain.servers = vec![Url::parse(&server.url()).unwrap()];
    let (reason, message) = unavailable(login(&connector(plain), "alice", &right("alice"))).await;
    assert_eq!(reason, "directory_bind_refused");
    assert!(message.contains("TLS"), "{message}");

    let mut catalog = ad_settings(server);
    catalog.servers = vec![Url::parse(&format!("{}:3269", server.ldaps_url())).unwrap()];
    catalog.base_dn = String::new();
    assert!(login(&connector(catalog), "alice", &right("alice")).await.is_ok());

    let mut anonymous = ad_settings(server);
    (anonymous.bind_dn, anonymous.bind_password) = (None, None);
    let (reason, message) = unavailable(login(&connector(anonymous), "alice", "x")).await;
    assert_eq!(reason, "directory_search_failed", "{message}");
    assert!(message.contains("bind_dn"), "{message}");
}

async fn lockout(server: &SambaAd) {
    let connector = connector(ad_settings(server));
    let carol = login(&connector, "carol", &right("carol")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(refusal(login(&connector, "carol", "wrong")).await, Refusal::WrongPassword);
    }
    assert_eq!(refusal(login(&connector, "carol", &right("carol"))).await, Refusal::AccountLocked);
    // Locked by wrong passwords is not gone.
    let again = connector.recheck(carol.subject(), now()).await.unwrap();
    assert!(matches!(again, Recheck::Present(_)), "{again:?}");
}
