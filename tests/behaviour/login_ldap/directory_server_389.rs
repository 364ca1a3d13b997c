//! Sign-in against a real 389 Directory Server. In a group of its own, because making one takes
//! half a minute: set `AUTH_TEST_389DS=1` to run it.

use auth_core::connector::ldap::{PersonState, Reading};
use auth_tests::harness::ds389::Ds389;
use auth_tests::harness::is_asked_for;

use super::*;

#[tokio::test]
async fn a_389_directory_server() {
    if !is_asked_for("AUTH_TEST_389DS") {
        eprintln!("skipped: takes half a minute; set AUTH_TEST_389DS=1 to run it");
        return;
    }
    // Whoever asks for it wants it: what is missing is a failure then.
    assert_eq!(Ds389::missing(), None);
    let server = Ds389::start().unwrap();
    let settings = || {
        let url = Url::parse(&server.url()).unwrap();
        let mut settings = LdapSettings::new("corp", Preset::Ds389, vec![url], server.base_dn());
        settings.bind_dn = Some(server.bind_dn().to_owned());
        settings.bind_password = Some(Secret::new(server.bind_password().to_owned()));
        settings
    };
    let connector = connector(settings());
    let alice = login(&connector, "alice", "secret-alice").await.unwrap();
    assert_eq!(alice.subject().len(), 35, "nsUniqueId: {}", alice.subject());
    // The plug-in resolves nested groups itself.
    assert_eq!(alice.profile().groups, ["all", "staff"]);
    assert_eq!(refusal(login(&connector, "alice", "wrong")).await, Refusal::WrongPassword);
    assert_eq!(
        refusal(login(&connector, "disabled", "secret-disabled")).await,
        Refusal::AccountDisabled
    );

    let first = population::read(&connector, Reading::Full).await.unwrap();
    assert_eq!(first.names(), ["alice", "bob", "carol", "disabled"]);
    population::assert_as_rechecked(&connector, &first).await;
    let inactive = first.people.values().filter(|p| p.state != PersonState::Active);
    assert_eq!(inactive.count(), 1);

    let bob = format!("dn: uid=bob,ou=people,{}\nchangetype: modify\n", server.base_dn());
    server.modify(&format!("{bob}replace: nsAccountLock\nnsAccountLock: true\n")).unwrap();
    let second = population::read(&connector, Reading::Since(first.position())).await.unwrap();
    assert!(second.read.incremental);
    let locked = second.people.values().find(|p| p.profile.username == "bob").unwrap();
    assert_eq!(locked.state, PersonState::Inactive("account_disabled"));
    population::assert_as_rechecked(&connector, &second).await;

    // Here a membership is in the person's entry, and moves its time.
    server
        .modify(&format!(
            "dn: cn=staff,{base}\nchangetype: modify\ndelete: member\n\
             member: uid=alice,ou=people,{base}\n",
            base = server.base_dn()
        ))
        .unwrap();
    let third = population::read(&connector, Reading::Since(second.position())).await.unwrap();
    let alice = third.people.values().find(|p| p.profile.username == "alice").unwrap();
    assert!(alice.profile.groups.is_empty(), "{third:?}");
}
