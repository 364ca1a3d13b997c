//! Faults of a directory: whatever it does, nobody is called gone, nobody is let in, and the error
//! says what to do.

mod active_directory;
mod real_servers;

use std::sync::Arc;
use std::time::Duration;

use auth_core::clock::{Clock as _, SystemClock};
use auth_core::connector::ldap::{
    LdapConnector, LdapSettings, PopulationItem, PopulationRead, Preset, Reading,
};
use auth_core::connector::{ConnectorError, Recheck};
use auth_core::random::SystemRandom;
use auth_core::secret::Secret;
use auth_tests::harness::fake_ldap::{FakeLdap, Operation, Reply, Request};
use tokio::sync::mpsc;
use url::Url;

const BASE: &str = "dc=example,dc=org";
/// How many people a fake directory has, and how many a page.
const PEOPLE: usize = 25;
const PAGE: u32 = 10;

fn uuid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn person(number: usize) -> Reply {
    let uid = format!("p{number}");
    Reply::entry(
        &format!("uid={uid},{BASE}"),
        &[("entryUUID", &[&uuid(number)]), ("uid", &[&uid]), ("mail", &[&format!("{uid}@x.org")])],
    )
}

/// What a sound directory answers: a base, no groups, people in pages; every bind is good.
fn sound(request: &Request) -> Vec<Reply> {
    match &request.operation {
        Operation::Bind { .. } => vec![Reply::Bound(0, String::new())],
        Operation::Search { base, .. } if base.is_empty() => {
            vec![Reply::entry("", &[("namingContexts", &[BASE])]), Reply::done()]
        }
        Operation::Search { .. } if request.asks_for("1.1") => {
            vec![Reply::entry(BASE, &[]), Reply::done()]
        }
        Operation::Search { .. } if request.asks_for("member") => vec![Reply::done()],
        Operation::Search { .. } if request.paging.is_some() => page(request, PEOPLE, person),
        // Looking for anybody, at most one.
        Operation::Search { attributes, .. } if attributes == &["entryUUID"] => {
            vec![person(0), Reply::Done(4, String::new(), None)]
        }
        Operation::Search { filter, .. } => {
            let found = (0..PEOPLE).find(|&number| {
                filter.contains(&uuid(number)) || filter.contains(&format!("p{number}"))
            });
            found.map(person).into_iter().chain([Reply::done()]).collect()
        }
        Operation::Other => Vec::new(),
    }
}

/// One page of `count` entries.
fn page(request: &Request, count: usize, entry: impl Fn(usize) -> Reply) -> Vec<Reply> {
    let size = request.paging.as_ref().map_or(count, |(size, _)| usize::try_from(*size).unwrap());
    let begin = request.page() * size;
    let mut replies: Vec<Reply> = (begin..count.min(begin + size)).map(entry).collect();
    let more = begin + size < count;
    let cookie = if more { (request.page() + 1).to_string().into_bytes() } else { Vec::new() };
    replies.push(Reply::Done(0, String::new(), Some(cookie)));
    replies
}

fn settings(urls: &[&str]) -> LdapSettings {
    let servers = urls.iter().map(|url| Url::parse(url).unwrap()).collect();
    let mut settings = LdapSettings::new("corp", Preset::OpenLdap, servers, BASE);
    settings.bind_dn = Some("cn=reader".to_owned());
    settings.bind_password = Some(Secret::new("secret".to_owned()));
    settings.page_size = PAGE;
    settings.connect_timeout = Duration::from_millis(500);
    settings.operation_timeout = Duration::from_millis(500);
    settings
}

fn connector(settings: LdapSettings) -> LdapConnector {
    LdapConnector::new(settings, Arc::new(SystemRandom::new())).unwrap()
}

async fn read(
    connector: &LdapConnector,
) -> (Result<PopulationRead, ConnectorError>, Vec<PopulationItem>) {
    let (items, mut pages) = mpsc::channel(4);
    let collect = async {
        let mut all = Vec::new();
        while let Some(page) = pages.recv().await {
            all.extend(page);
        }
        all
    };
    tokio::join!(connector.read_people(Reading::Full, SystemClock.now(), items), collect)
}

/// The read fails with all of `words` in its message, and proves nothing about anybody.
async fn assert_read_fails(connector: &LdapConnector, words: &[&str]) {
    let (outcome, items) = read(connector).await;
    match outcome {
        Err(ConnectorError::Unavailable { message, .. }) => {
            for word in words {
                assert!(message.contains(word), "{word:?} is not in {message:?}");
            }
        }
        other => panic!("expected an error with {words:?}, found {other:?}"),
    }
    let gone = items.iter().any(|item| matches!(item, PopulationItem::Gone { .. }));
    assert!(!gone, "{words:?}: somebody was called gone");
}

/// Nobody is called gone, and nobody gets in.
async fn assert_no_harm(connector: &LdapConnector, subject: &str) {
    match connector.recheck(subject, SystemClock.now()).await {
        Err(ConnectorError::Unavailable { .. }) => {}
        other => panic!("a recheck said {other:?}"),
    }
    let password = Secret::new("whatever".to_owned());
    match connector.authenticate("p1", &password, SystemClock.now()).await {
        Err(ConnectorError::Unavailable { .. }) => {}
        other => panic!("a login said {other:?}"),
    }
}

/// A directory that is sound but for what `fault` answers.
async fn faulty(
    fault: impl Fn(&Request) -> Option<Vec<Reply>> + Send + Sync + 'static,
) -> FakeLdap {
    FakeLdap::start(move |request| fault(request).unwrap_or_else(|| sound(request))).await.unwrap()
}

/// The second page of people goes wrong in this way.
async fn second_page(words: &[&str], replies: impl Fn() -> Vec<Reply> + Send + Sync + 'static) {
    let server =
        faulty(move |request| (request.asks_for("mail") && request.page() == 1).then(&replies))
            .await;
    let connector = connector(settings(&[server.url()]));
    let words: Vec<&str> = words.iter().copied().chain(["reading people, page 2", "10"]).collect();
    assert_read_fails(&connector, &words).await;
    // The same server is sound for one person: nobody is punished for the read.
    let again = connector.recheck(&uuid(3), SystemClock.now()).await.unwrap();
    assert!(matches!(again, Recheck::Present(_)), "{again:?}");
}

fn result(code: u8, text: &str) -> Vec<Reply> {
    vec![person(11), Reply::Done(code, text.to_owned(), None)]
}

#[tokio::test]
async fn a_sound_directory_is_read() {
    let server = faulty(|_| None).await;
    let (outcome, items) = read(&connector(settings(&[server.url()]))).await;
    let read = outcome.unwrap();
    assert_eq!((read.entries, items.len()), (25, 25));
    assert!(read.searches <= 3 + 10);
}

#[tokio::test]
async fn limits_in_the_middle() {
    second_page(&["size limit", "paging"], || result(4, "")).await;
    second_page(&["time limit"], || result(3, "")).await;
    second_page(&["administrative limit", "page_size"], || result(11, "")).await;
    second_page(&["may not search here"], || result(50, "")).await;
}

#[tokio::test]
async fn a_server_that_has_no_time() {
    second_page(&["busy"], || result(51, "")).await;
    second_page(&["unavailable"], || result(52, "")).await;
    second_page(&["result 80"], || result(80, "internal")).await;
}

#[tokio::test]
async fn a_referral_in_the_middle() {
    second_page(&["refers to another", "global catalog"], || result(10, "")).await;
}

#[tokio::test]
async fn references_between_entries_are_not_followed_and_do_no_harm() {
    let server = faulty(|request| {
        let mut replies = sound(request);
        let elsewhere = vec!["ldap://elsewhere.example/dc=x".to_owned()];
        request.asks_for("mail").then(|| {
            replies.insert(0, Reply::Reference(elsewhere));
            replies
        })
    })
    .await;
    let (outcome, items) = read(&connector(settings(&[server.url()]))).await;
    outcome.unwrap();
    assert_eq!(items.len(), 25);
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle() {
    second_page(&["closed"], || vec![person(11), Reply::Close]).await;
    // In the middle of a message.
    second_page(&["closed"], || {
        vec![person(11), Reply::Raw(vec![0x30, 0x82, 0x01, 0x00, 0x02]), Reply::Close]
    })
    .await;
    // Notice of disconnection (RFC 4511 section 4.4.1), then the end.
    let mut notice = b"\x30\x24\x02\x01\x00\x78\x1f\x0a\x01\x34\x04\x00\x04\x00\x8a\x16".to_vec();
    notice.extend(b"1.3.6.1.4.1.1466.20036");
    second_page(&["closed"], move || vec![Reply::Raw(notice.clone()), Reply::Close]).await;
}

#[tokio::test]
async fn a_server_that_hangs_in_the_middle() {
    second_page(&["no answer within"], || vec![person(11), Reply::Hang]).await;
}

#[tokio::test]
async fn a_slow_server_is_waited_for_within_the_limit() {
    let server = faulty(|request| {
        let mut replies = vec![Reply::Wait(Duration::from_millis(150))];
        replies.extend(sound(request));
        Some(replies)
    })
    .await;
    let (outcome, items) = read(&connector(settings(&[server.url()]))).await;
    outcome.unwrap();
    assert_eq!(items.len(), 25);
}

#[tokio::test]
async fn garbage_in_the_middle() {
    let garbage: [&[u8]; 4] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        // An entry whose DN is no text.
        b"\x30\x0c\x02\x01\x04\x64\x07\x04\x01\xff\x30\x00\x30\x00",
        // A message that is no answer to a search.
        b"\x30\x03\x02\x01\x04",
    ];
    for bytes in garbage {
        let server = faulty(move |request| {
            (request.asks_for("mail") && request.page() == 1)
                .then(|| vec![Reply::Raw(bytes.to_vec()), Reply::Hang])
        })
        .await;
        assert_read_fails(&connector(settings(&[server.url()])), &["reading people, page 2"]).await;
    }
}

#[tokio::test]
async fn pages_that_are_cut() {
    // Success, but no longer a page: the rest is missing without a word.
    second_page(&["stopped paging in the middle"], || vec![person(11), Reply::done()]).await;
    // Pages without end.
    let server = faulty(|request| {
        (request.asks_for("mail")).then(|| vec![Reply::Done(0, String::new(), Some(vec![b'1']))])
    })
    .await;
    let connector = connector(settings(&[server.url()]));
    assert_read_fails(&connector, &["empty pages without end"]).await;
}

#[tokio::test]
async fn a_server_that_cannot_page() {
    let server = faulty(|request| {
        (request.asks_for("mail") && request.paging.is_some())
            .then(|| (0..PEOPLE).map(person).chain([Reply::done()]).collect())
    })
    .await;
    let (outcome, items) = read(&connector(settings(&[server.url()]))).await;
    assert_eq!(outcome.unwrap().entries, 25);
    assert_eq!(items.len(), 25);
}

#[tokio::test]
async fn a_fault_while_groups_or_roles_are_read() {
    let server = faulty(|request| request.asks_for("member").then(|| result(51, ""))).await;
    assert_read_fails(&connector(settings(&[server.url()])), &["reading groups", "busy"]).await;

    let server = faulty(|request| {
        let by_role = matches!(&request.operation,
            Operation::Search { filter, .. } if filter.contains("partners"));
        by_role.then(|| result(50, ""))
    })
    .await;
    let mut with_roles = settings(&[server.url()]);
    with_roles.guest_filter = Some("(ou=partners)".to_owned());
    assert_read_fails(&connector(with_roles), &["who has a role", "may not search"]).await;
}

#[tokio::test]
async fn a_service_account_that_is_locked() {
    let text =
        "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 775, v1db1";
    let server = faulty(move |request| {
        matches!(request.operation, Operation::Bind { .. })
            .then(|| vec![Reply::Bound(49, text.to_owned())])
    })
    .await;
    let connector = connector(settings(&[server.url()]));
    assert_read_fails(&connector, &["service account", "account_locked", "bind_dn"]).await;
    assert_no_harm(&connector, &uuid(1)).await;
    let binds = server.seen().len();
    assert_eq!(binds, 1, "each try counts against its lockout");
}

#[tokio::test]
async fn a_base_without_anybody_and_ids_that_nobody_shows() {
    let server = faulty(|request| request.asks_for("mail").then(|| vec![Reply::done()])).await;
    let nobody = connector(settings(&[server.url()]));
    assert_read_fails(&nobody, &["finds nobody", "base_dn", "user_filter"]).await;

    let server = faulty(|request| {
        let bare = |number| Reply::entry(&format!("uid=p{number},{BASE}"), &[("uid", &["p"])]);
        (request.asks_for("mail") && request.paging.is_some()).then(|| page(request, 25, bare))
    })
    .await;
    let no_ids = connector(settings(&[server.url()]));
    assert_read_fails(&no_ids, &["none of 25 entries", "attributes.id", "entryUUID"]).await;

    let server = faulty(|request| {
        request.asks_for("1.1").then(|| vec![Reply::Done(32, String::new(), None)])
    })
    .await;
    assert_read_fails(&connector(settings(&[server.url()])), &["base_dn"]).await;
}

#[tokio::test]
async fn nobody_is_gone_on_the_word_of_one_of_two_servers() {
    let full = faulty(|_| None).await;
    // A replica that lacks person 3.
    let lacking = || {
        faulty(|request| {
            let about_three = matches!(&request.operation,
                Operation::Search { filter, .. } if filter.contains(&uuid(3)));
            about_three.then(|| vec![Reply::done()])
        })
    };
    let (one, two) = (lacking().await, lacking().await);
    let recheck =
        async |urls: &[&str]| connector(settings(urls)).recheck(&uuid(3), SystemClock.now()).await;
    let gone = |answer| matches!(answer, Ok(Recheck::Gone { reason: "gone" }));
    let message = |answer: Result<Recheck, ConnectorError>| answer.unwrap_err().to_string();
    let disagree = message(recheck(&[one.url(), full.url()]).await);
    assert!(disagree.contains("disagree") && disagree.contains("replication"), "{disagree}");
    let dead = "ldap://127.0.0.1:1";
    let unconfirmed = message(recheck(&[one.url(), dead]).await);
    assert!(unconfirmed.contains("no other server confirms"), "{unconfirmed}");
    assert!(gone(recheck(&[one.url(), two.url()]).await));
    assert!(gone(recheck(&[one.url()]).await));
    assert!(matches!(recheck(&[full.url(), one.url()]).await, Ok(Recheck::Present(_))));
}

#[tokio::test]
async fn the_second_server_is_read_when_the_first_is_down() {
    let good = faulty(|_| None).await;
    let hung = faulty(|_| Some(vec![Reply::Hang])).await;
    for bad in [hung.url(), "ldap://127.0.0.1:1"] {
        let (outcome, _) = read(&connector(settings(&[bad, good.url()]))).await;
        assert_eq!(outcome.unwrap().server.trim_end_matches('/'), good.url());
    }
    let connector = connector(settings(&[hung.url(), "ldap://127.0.0.1:1"]));
    assert_read_fails(&connector, &["no answer within", "cannot connect"]).await;
    assert_no_harm(&connector, &uuid(1)).await;
}

#[tokio::test]
async fn a_read_that_nobody_takes_any_more() {
    let server = faulty(|_| None).await;
    let connector = connector(settings(&[server.url()]));
    let (items, pages) = mpsc::channel(1);
    drop(pages);
    let outcome = connector.read_people(Reading::Full, SystemClock.now(), items).await;
    assert!(outcome.unwrap_err().to_string().contains("given up"));
}
