//! Reading everybody: exactly what a recheck of each would say, in few searches; and what changed.

use std::collections::BTreeMap;

use auth_core::connector::Recheck;
use auth_core::connector::ldap::{
    DirectoryPerson, GroupNames, GroupSource, PersonState, PopulationItem, PopulationRead,
    ReadPosition, Reading,
};
use tokio::sync::mpsc;

use super::*;

/// What a read brought, by stable id.
#[derive(Debug)]
pub(crate) struct Population {
    pub(crate) people: BTreeMap<String, DirectoryPerson>,
    pub(crate) unmappable: Vec<String>,
    pub(crate) gone: Vec<(String, &'static str)>,
    pub(crate) read: PopulationRead,
}

pub(crate) async fn read(
    connector: &LdapConnector,
    reading: Reading<'_>,
) -> Result<Population, ConnectorError> {
    let (items, mut pages) = mpsc::channel(2);
    let collect = async {
        let (mut people, mut unmappable, mut gone) = (BTreeMap::new(), Vec::new(), Vec::new());
        while let Some(page) = pages.recv().await {
            for item in page {
                match item {
                    PopulationItem::Person(person) => {
                        assert!(people.insert(person.subject.clone(), *person).is_none());
                    }
                    PopulationItem::Unmappable { dn, attribute, .. } => {
                        unmappable.push(format!("{dn} {attribute}"));
                    }
                    PopulationItem::Gone { subject, reason } => gone.push((subject, reason)),
                }
            }
        }
        (people, unmappable, gone)
    };
    let (read, (people, unmappable, gone)) =
        tokio::join!(connector.read_people(reading, now(), items), collect);
    read.map(|read| Population { people, unmappable, gone, read })
}

impl Population {
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.people.values().map(|person| person.profile.username.as_str()).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn position(&self) -> &ReadPosition {
        self.read.position.as_ref().unwrap()
    }
}

/// Everybody of a full read is what a recheck makes of them.
pub(crate) async fn assert_as_rechecked(connector: &LdapConnector, population: &Population) {
    for (subject, person) in &population.people {
        match (connector.recheck(subject, now()).await.unwrap(), person.state) {
            (Recheck::Present(present), PersonState::Active) => {
                assert_eq!(present.profile, person.profile, "{}", person.dn);
                assert_eq!(present.password_changed_at, person.changed_password_at);
            }
            (Recheck::Gone { reason }, PersonState::Inactive(word)) => {
                assert_eq!(reason, word, "{}", person.dn);
            }
            (recheck, state) => panic!("{}: {recheck:?}, but {state:?}", person.dn),
        }
    }
}

#[tokio::test]
async fn everybody_as_a_recheck_maps_them() {
    let server = Slapd::start().unwrap();
    let changes: [fn(&mut LdapSettings); 8] = [
        |_| {},
        |s| s.page_size = 3,
        |s| s.groups.nested = false,
        |s| s.groups.names = GroupNames::Dn,
        |s| s.groups.source = GroupSource::MemberOf,
        |s| {
            s.groups.source = GroupSource::MemberOf;
            s.groups.nested = false;
        },
        |s| s.groups.source = GroupSource::None,
        |s| {
            s.admin_filter = Some("(memberOf=cn=admins,ou=groups,dc=example,dc=org)".into());
            s.guest_filter = Some("ou=partners".into());
            s.groups.filter = "(!(cn=platform))".into();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut settings = settings(&server);
        change(&mut settings);
        let pages = 14_u64.div_ceil(u64::from(settings.page_size));
        let connector = connector(settings);
        let population = read(&connector, Reading::Full).await.unwrap();
        assert_eq!(population.read.entries, 14, "{number}");
        assert_eq!(population.people.len(), 14, "{number}: {:?}", population.names());
        assert!(!population.read.incremental);
        assert!(population.read.searches <= pages + 10, "{number}: {:?}", population.read);
        assert_as_rechecked(&connector, &population).await;
    }
}

#[tokio::test]
async fn many_people_cost_pages_and_not_searches_for_each() {
    let server = Slapd::start().unwrap();
    server.add_people("many", 700).unwrap();
    let mut settings = settings(&server);
    settings.page_size = 100;
    settings.admin_filter = Some("(memberOf=cn=admins,ou=groups,dc=example,dc=org)".into());
    let connector = connector(settings);
    let before = server.log().unwrap().matches(" SRCH base=").count();
    let population = read(&connector, Reading::Full).await.unwrap();
    let searches = server.log().unwrap().matches(" SRCH base=").count() - before;
    assert_eq!(population.people.len(), 714);
    assert!(searches <= 8 + 10, "{searches} searches");
    assert_eq!(u64::try_from(searches).unwrap(), population.read.searches, "all are counted");
}

#[tokio::test]
async fn an_entry_that_cannot_be_mapped_is_told_and_not_left_out() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.attributes.username = "mail".to_owned();
    let population = read(&connector(settings), Reading::Full).await.unwrap();
    assert_eq!(population.unmappable, ["uid=nomail,ou=people,dc=example,dc=org mail"]);
    assert_eq!((population.read.entries, population.read.unmappable), (14, 1));
}

/// The position fits nothing but the settings and the server that it was made with.
#[tokio::test]
async fn a_position_that_does_not_fit_makes_a_full_read() {
    let server = Slapd::start().unwrap();
    let other = Slapd::start().unwrap();
    let first = read(&connector(settings(&server)), Reading::Full).await.unwrap();
    let again = async |settings: LdapSettings| {
        read(&connector(settings), Reading::Since(first.position())).await.unwrap()
    };
    assert!(again(settings(&server)).await.read.incremental);
    assert!(!again(settings(&other)).await.read.incremental);
    let mut filtered = settings(&server);
    filtered.user_filter = "(&(objectClass=person)(!(uid=bob)))".to_owned();
    let population = again(filtered).await;
    assert!(!population.read.incremental);
    assert_eq!(population.people.len(), 13);
}

#[tokio::test]
async fn what_changed_by_content_synchronisation() {
    let server = Slapd::start_with(&SlapdOptions {
        extra_database: "syncprov-sessionlog 1000\n".to_owned(),
        ..SlapdOptions::default()
    })
    .unwrap();
    let connector = connector(settings(&server));
    let first = read(&connector, Reading::Full).await.unwrap();
    let json = serde_json::to_string(first.position()).unwrap();
    assert!(json.contains("sync_refresh"), "{json}");
    let position: ReadPosition = serde_json::from_str(&json).unwrap();

    let second = read(&connector, Reading::Since(&position)).await.unwrap();
    assert!(second.read.incremental);
    assert!(second.people.is_empty() && second.gone.is_empty(), "{second:?}");

    let carol = server.attribute("uid=carol", "entryUUID").unwrap().remove(0);
    server
        .modify(
            "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: mail\n\
             mail: b@example.org\n",
        )
        .unwrap();
    server.add_people("new", 1).unwrap();
    let third = read(&connector, Reading::Since(second.position())).await.unwrap();
    assert!(third.read.incremental);
    assert_eq!(third.names(), ["bob", "new1"]);
    assert_as_rechecked(&connector, &third).await;

    // Carol is in groups: that is more than a change of her entry.
    server.modify("dn: uid=new1,ou=people,dc=example,dc=org\nchangetype: delete\n").unwrap();
    let new1 = third.people.values().find(|p| p.profile.username == "new1").unwrap();
    let fourth = read(&connector, Reading::Since(third.position())).await.unwrap();
    assert!(fourth.read.incremental, "{fourth:?}");
    assert_eq!(fourth.gone, [(new1.subject.clone(), "gone")]);

    server.modify("dn: uid=carol,ou=people,dc=example,dc=org\nchangetype: delete\n").unwrap();
    let fifth = read(&connector, Reading::Since(fourth.position())).await.unwrap();
    assert!(!fifth.read.incremental, "refint took her out of groups");
    assert!(!fifth.people.contains_key(&carol));

    // A cookie from before everything that the server remembers is answered by everybody.
    let json = json.replace("csn=20", "csn=19");
    let old: ReadPosition = serde_json::from_str(&json).unwrap();
    let sixth = read(&connector, Reading::Since(&old)).await.unwrap();
    assert!(!sixth.read.incremental);
}

/// Without content synchronisation: by the time of the entry. Groups and roles are compared whole.
#[tokio::test]
async fn what_changed_by_time() {
    let options = SlapdOptions { without_sync: true, ..SlapdOptions::default() };
    let server = Slapd::start_with(&options).unwrap();
    by_time(&server).await;
}

async fn by_time(server: &Slapd) {
    let mut settings = settings(server);
    settings.user_filter = "(&(objectClass=person)(!(title=left)))".to_owned();
    settings.admin_filter = Some("(memberOf=cn=admins,ou=groups,dc=example,dc=org)".into());
    let connector = connector(settings);
    let first = read(&connector, Reading::Full).await.unwrap();
    let json = serde_json::to_string(first.position()).unwrap();
    assert!(json.contains("modify_timestamp"), "{json}");
    let modify = |uid: &str, title: &str| {
        server
            .modify(&format!(
                "dn: uid={uid},ou=people,dc=example,dc=org\nchangetype: modify\nreplace: title\n\
                 title: {title}\n"
            ))
            .unwrap();
    };
    modify("bob", "boss");
    modify("carol", "left");
    let carol = server.attribute("uid=carol", "entryUUID").unwrap().remove(0);
    let second = read(&connector, Reading::Since(first.position())).await.unwrap();
    assert!(second.read.incremental);
    assert!(second.names().contains(&"bob"), "{second:?}");
    assert!(second.gone.contains(&(carol, "out_of_filter")), "{second:?}");
    assert_as_rechecked(&connector, &second).await;

    // On this server a membership moves nothing in the person's entry.
    let member = |change: &str| {
        server
            .modify(&format!(
                "dn: cn=admins,ou=groups,dc=example,dc=org\nchangetype: modify\n{change}: member\n\
                 member: uid=bob,ou=people,dc=example,dc=org\n"
            ))
            .unwrap();
    };
    let bob = server.attribute("uid=bob", "entryUUID").unwrap().remove(0);
    let mut position = second.read.position.unwrap();
    for (change, groups, roles) in
        [("add", &["admins", "staff"][..], &["administrator"][..]), ("delete", &["staff"], &[])]
    {
        member(change);
        let population = read(&connector, Reading::Since(&position)).await.unwrap();
        assert!(!population.read.incremental, "{change}");
        let profile = &population.people[&bob].profile;
        assert_eq!(profile.groups, groups, "{change}");
        assert_eq!(profile.roles, roles, "{change}");
        position = population.read.position.unwrap();
    }
    server.modify("dn: cn=devs,ou=groups,dc=example,dc=org\nchangetype: delete\n").unwrap();
    let population = read(&connector, Reading::Since(&position)).await.unwrap();
    assert!(!population.read.incremental, "a deleted group");
}
