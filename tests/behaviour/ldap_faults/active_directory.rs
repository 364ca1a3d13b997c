//! What Active Directory does and no server here: ranges that nobody asked for, a cap on searches
//! without pages, sub-codes 525 and 532.

use auth_core::connector::Refusal;

use super::*;

const DOMAIN: &str = "DC=ad,DC=example,DC=test";
/// Members of the large group, and how many values one answer holds at most.
const MEMBERS: usize = 4000;
const VALUES: usize = 1500;
const CAP: usize = 1000;

fn sid(relative: u32) -> Vec<u8> {
    [&[1, 2, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0][..], &relative.to_le_bytes()].concat()
}

fn name(number: usize) -> String {
    format!("user{number:05}")
}

fn account(number: usize) -> Reply {
    let mut guid = [0u8; 16];
    guid[..8].copy_from_slice(&u64::try_from(number + 1).unwrap().to_be_bytes());
    let text = |value: &str| vec![value.as_bytes().to_vec()];
    Reply::Entry(
        format!("CN={},CN=Users,{DOMAIN}", name(number)),
        vec![
            ("objectGUID".to_owned(), vec![guid.to_vec()]),
            ("objectSid".to_owned(), vec![sid(5000 + u32::try_from(number).unwrap())]),
            ("sAMAccountName".to_owned(), text(&name(number))),
            ("primaryGroupID".to_owned(), text("513")),
            ("userAccountControl".to_owned(), text("512")),
        ],
    )
}

/// `member` of the large group from a value on, as much as one answer holds.
fn members(from: usize) -> Reply {
    let end = MEMBERS.min(from + VALUES);
    let values =
        (from..end).map(|n| format!("CN={},CN=Users,{DOMAIN}", name(n)).into_bytes()).collect();
    let last = if end == MEMBERS { "*".to_owned() } else { (end - 1).to_string() };
    Reply::Entry(
        format!("CN=large,CN=Users,{DOMAIN}"),
        vec![
            ("cn".to_owned(), vec![b"large".to_vec()]),
            // Beside the range the attribute itself comes without a value.
            ("member".to_owned(), Vec::new()),
            (format!("member;range={from}-{last}"), values),
        ],
    )
}

fn domain_controller(people: usize, request: &Request) -> Vec<Reply> {
    match &request.operation {
        Operation::Bind { dn, password } if dn.contains("user") => {
            let code = match password.as_str() {
                "expired" => "532",
                "unknown" => "525",
                _ => "52e",
            };
            let text = format!(
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data \
                 {code}, v1db1"
            );
            vec![Reply::Bound(49, text)]
        }
        Operation::Search { attributes, .. }
            if attributes.iter().any(|name| name.starts_with("member;range=")) =>
        {
            let from = attributes[0].trim_start_matches("member;range=").trim_end_matches("-*");
            vec![members(from.parse().unwrap()), Reply::done()]
        }
        Operation::Search { .. } if request.asks_for("member") => {
            vec![members(0), Reply::Done(0, String::new(), Some(Vec::new()))]
        }
        Operation::Search { filter, .. } if filter.contains("user00007") => {
            vec![account(7), Reply::done()]
        }
        Operation::Search { .. } if request.asks_for("objectGUID") => match request.paging {
            Some(_) => page(request, people, account),
            None => {
                let mut replies: Vec<Reply> = (0..people.min(CAP)).map(account).collect();
                replies.push(Reply::Done(4, String::new(), None));
                replies
            }
        },
        _ => super::sound(request),
    }
}

fn ad_settings(url: &str) -> LdapSettings {
    let mut settings = settings(&[url]);
    let changed = LdapSettings::new("corp", Preset::ActiveDirectory, Vec::new(), DOMAIN);
    settings.preset = changed.preset;
    settings.base_dn = changed.base_dn;
    settings.user_filter = changed.user_filter;
    settings.login_attributes = changed.login_attributes;
    settings.attributes = changed.attributes;
    settings.groups = changed.groups;
    settings.page_size = 1000;
    settings.operation_timeout = Duration::from_secs(5);
    settings
}

#[tokio::test]
async fn members_in_ranges_and_people_beyond_the_cap() {
    let server = FakeLdap::start(|request| domain_controller(2500, request)).await.unwrap();
    let (outcome, items) = read(&connector(ad_settings(server.url()))).await;
    let read = outcome.unwrap();
    assert_eq!(read.entries, 2500, "an unpaged search would have ended at {CAP}");
    let in_large = items.iter().filter(|item| match item {
        PopulationItem::Person(person) => person.profile.groups == ["large"],
        _ => false,
    });
    assert_eq!(in_large.count(), 2500, "every member of all three ranges");
    assert!(read.searches <= 3 + 10, "{read:?}");
}

#[tokio::test]
async fn a_range_that_never_ends_is_no_group() {
    let server = FakeLdap::start(|request| match &request.operation {
        Operation::Search { attributes, .. }
            if attributes.iter().any(|name| name.starts_with("member;range=")) =>
        {
            vec![Reply::done()]
        }
        _ => domain_controller(10, request),
    })
    .await
    .unwrap();
    assert_read_fails(&connector(ad_settings(server.url())), &["never ended", "member"]).await;
}

#[tokio::test]
async fn an_entry_whose_state_cannot_be_read_is_not_taken_for_usable() {
    let server = FakeLdap::start(|request| {
        let mut replies = domain_controller(3, request);
        for reply in &mut replies {
            if let Reply::Entry(dn, attributes) = reply
                && dn.contains("user00001")
            {
                attributes.retain(|(name, _)| name != "userAccountControl");
            }
        }
        replies
    })
    .await
    .unwrap();
    let (outcome, items) = read(&connector(ad_settings(server.url()))).await;
    assert_eq!(outcome.unwrap().unmappable, 1);
    let told = items.iter().any(|item| {
        matches!(item, PopulationItem::Unmappable { attribute, .. }
            if attribute == "userAccountControl")
    });
    assert!(told, "{items:?}");
}

#[tokio::test]
async fn sub_codes_that_only_the_real_one_sends() {
    let server = FakeLdap::start(|request| domain_controller(10, request)).await.unwrap();
    let connector = connector(ad_settings(server.url()));
    for (password, expected) in [
        ("expired", Refusal::PasswordExpired),
        ("unknown", Refusal::UnknownUser),
        ("other", Refusal::WrongPassword),
    ] {
        let password = Secret::new(password.to_owned());
        match connector.authenticate("user00007", &password, SystemClock.now()).await {
            Err(ConnectorError::Refused { reason, .. }) => assert_eq!(reason, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
    }
}
