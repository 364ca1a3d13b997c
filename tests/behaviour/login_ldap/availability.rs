//! Servers that are down, slow, hung or broken, and many people at once.

use std::time::{Duration, Instant};

use auth_core::connector::ldap::{DiagnoseUser, DiagnosisRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

#[tokio::test]
async fn a_killed_server_and_its_return() {
    let mut server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    connector.health().await.unwrap();
    profile(&connector, "alice").await;
    server.kill().unwrap();
    let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert_eq!(reason, "directory_unavailable", "{message}");
    assert_eq!(unavailable(connector.health()).await.0, "directory_unavailable");
    assert!(connector.pool_status()[0].down);
    server.start_again().unwrap();
    // At once: the only server is asked again even while it counts as down.
    profile(&connector, "alice").await;
    assert!(!connector.pool_status()[0].down);
}

/// A restart between two logins closes every pooled connection; nobody sees it.
#[tokio::test]
async fn a_restart_between_two_logins_is_not_seen() {
    let mut server = Slapd::start().unwrap();
    let connector = connector(settings(&server));
    profile(&connector, "alice").await;
    server.stop().unwrap();
    server.start_again().unwrap();
    profile(&connector, "alice").await;
}

#[tokio::test]
async fn a_hung_server_is_left_in_time() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.operation_timeout = Duration::from_millis(300);
    let connector = connector(settings);
    profile(&connector, "alice").await;
    server.pause().unwrap();
    let begun = Instant::now();
    let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert_eq!(reason, "directory_timeout", "{message}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // What timed out is not used again: late answers belong to nobody.
    assert_eq!(connector.pool_status()[0].searches.idle, 0);
    server.resume().unwrap();
    profile(&connector, "bob").await;
}

#[tokio::test]
async fn a_listener_that_never_answers() {
    let server = Slapd::start().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    for url in [format!("ldap://127.0.0.1:{port}"), format!("ldaps://127.0.0.1:{port}")] {
        let mut settings = settings_at(&server, &[&url]);
        settings.connect_timeout = Duration::from_millis(300);
        settings.operation_timeout = Duration::from_millis(300);
        let connector = connector(settings);
        let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
        assert_eq!(reason, "directory_timeout", "{message}");
        assert!(message.contains(&port.to_string()), "{message}");
    }
}

#[tokio::test]
async fn the_total_time_is_kept() {
    let server = Slapd::start().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ldap://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let mut settings = settings_at(&server, &[&url, &url, &url, &server.url()]);
    settings.total_timeout = Duration::from_millis(500);
    let connector = connector(settings);
    let begun = Instant::now();
    let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert_eq!(reason, "directory_timeout");
    assert!(message.contains("total_timeout"), "{message}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Answers that are no LDAP, or LDAP cut and bent: an error, never a login and never a crash.
#[tokio::test]
async fn a_server_that_answers_garbage() {
    let server = Slapd::start().unwrap();
    let answers: [&[u8]; 8] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        // A message with no operation in it.
        b"\x30\x03\x02\x01\x01",
        // A bind response that has no result in it.
        b"\x30\x05\x02\x01\x01\x61\x00",
        // A result code of the wrong type.
        b"\x30\x0c\x02\x01\x01\x61\x07\x04\x01\x00\x04\x00\x04\x00",
        // A diagnostic text that is no text.
        b"\x30\x0d\x02\x01\x01\x61\x08\x0a\x01\x00\x04\x00\x04\x01\xff",
        // Controls that are none.
        b"\x30\x10\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x02\x30\x00",
        // A good bind response to a request that was never made.
        b"\x30\x0c\x02\x01\x63\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
    ];
    for answer in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        let liar = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer).await;
                let _ = stream.read(&mut request).await;
            }
        });
        let mut settings = settings_at(&server, &[&url]);
        settings.operation_timeout = Duration::from_millis(500);
        let connector = connector(settings);
        let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
        assert!(
            ["directory_unavailable", "directory_timeout"].contains(&reason),
            "{answer:?}: {reason} {message}"
        );
        liar.abort();
    }
}

#[tokio::test]
async fn the_second_server_takes_over() {
    let mut first = Slapd::start().unwrap();
    let second = Slapd::start().unwrap();
    let connector = connector(settings_at(&first, &[&first.url(), &second.url()]));
    profile(&connector, "alice").await;
    assert!(!second.log().unwrap().contains("uid=alice"), "in order");
    first.kill().unwrap();
    profile(&connector, "alice").await;
    assert!(second.log().unwrap().contains("BIND dn=\"uid=alice"));
    connector.health().await.unwrap();

    // While it counts as down, the first is not asked, even if it is back.
    first.start_again().unwrap();
    let accepted = || first.log().unwrap().matches("ACCEPT from IP=").count();
    let before = accepted();
    profile(&connector, "bob").await;
    assert_eq!(accepted(), before);
    let status = connector.pool_status();
    assert!(status[0].down && !status[1].down, "{status:?}");

    let wrong = refusal(login(&connector, "bob", "wrong")).await;
    assert_eq!(wrong, Refusal::WrongPassword, "a judgement is final, no other server is asked");
}

#[tokio::test]
async fn a_refused_service_account_is_said_and_not_hammered() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.bind_password = Some(Secret::new("wrong".to_owned()));
    let connector = connector(settings);
    for _ in 0..10 {
        let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
        assert_eq!(reason, "directory_bind_refused");
        assert!(message.contains("bind_dn") && message.contains("cn=reader"), "{message}");
    }
    let binds = server.log().unwrap().matches("BIND dn=\"cn=reader").count();
    assert_eq!(binds, 1, "each try counts against the lockout of the account");
}

#[tokio::test]
async fn a_missing_base_is_said() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.base_dn = "ou=nowhere,dc=example,dc=org".to_owned();
    let connector = connector(settings);
    let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert_eq!(reason, "directory_search_failed");
    assert!(message.contains("base_dn"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_people_at_once_with_sixteen_connections() {
    let server = Slapd::start().unwrap();
    server.add_people("load", 200).unwrap();
    let connector = Arc::new(connector(settings(&server)));
    let logins: Vec<_> = (1..=200)
        .map(|number| {
            let connector = Arc::clone(&connector);
            tokio::spawn(async move {
                let uid = format!("load{number}");
                let found = profile(&connector, &uid).await;
                assert_eq!(found.username, uid);
                assert_eq!(refusal(login(&connector, &uid, "wrong")).await, Refusal::WrongPassword);
            })
        })
        .collect();
    for login in logins {
        login.await.unwrap();
    }
    let status = connector.pool_status();
    assert!(status[0].searches.idle <= 16 && status[0].binds.idle <= 16, "{status:?}");
    assert_eq!((status[0].searches.in_use, status[0].binds.in_use), (0, 0), "{status:?}");
    let connections = server.log().unwrap().matches("ACCEPT from").count();
    assert!(connections <= 16 + 16 + 4, "{connections} connections for a pool of 16 twice");
}

#[tokio::test]
async fn a_full_pool_is_waited_for_and_not_for_ever() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.pool_size = 1;
    settings.operation_timeout = Duration::from_millis(400);
    let connector = Arc::new(connector(settings));
    profile(&connector, "alice").await;
    server.pause().unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let connector = Arc::clone(&connector);
            tokio::spawn(
                async move { unavailable(login(&connector, "alice", "secret-alice")).await.0 },
            )
        })
        .collect();
    for waiting in waiting {
        let reason = waiting.await.unwrap();
        assert!(["directory_timeout", "directory_busy"].contains(&reason), "{reason}");
    }
    server.resume().unwrap();
    profile(&connector, "alice").await;
}

/// A request that its caller gave up leaves no half-used connection behind.
#[tokio::test]
async fn an_abandoned_login_harms_nobody() {
    let server = Slapd::start().unwrap();
    let mut settings = settings(&server);
    settings.pool_size = 1;
    let connector = connector(settings);
    profile(&connector, "alice").await;
    server.pause().unwrap();
    let abandoned = login(&connector, "bob", "secret-bob");
    assert!(tokio::time::timeout(Duration::from_millis(100), abandoned).await.is_err());
    server.resume().unwrap();
    for uid in ["alice", "carol", "dave"] {
        assert_eq!(profile(&connector, uid).await.username, uid);
    }
}

#[tokio::test]
async fn a_diagnosis_says_each_step() {
    let mut server = Slapd::start().unwrap();
    let user = |password: &str| {
        let password = Some(Secret::new(password.to_owned()));
        let user = DiagnoseUser { name: "alice".to_owned(), password };
        DiagnosisRequest { user: Some(user), failures_per_account: None }
    };
    let good = connector(settings_at(&server, &[&server.ldaps_url()]));
    let steps = good.diagnose(user("secret-alice"), now()).await;
    let names: Vec<_> = steps.iter().map(|step| step.step).collect();
    let all = [
        "resolve", "connect", "tls", "bind", "base_dn", "filter", "sample", "groups", "lockout",
        "user", "login",
    ];
    assert_eq!(names, all);
    assert!(steps.iter().all(|step| step.ok && step.repair.is_none()), "{steps:?}");
    let detail = |name: &str| &steps.iter().find(|step| step.step == name).unwrap().detail;
    assert!(detail("tls").contains(&server.certificate_sha256().unwrap()), "{}", detail("tls"));
    assert!(detail("tls").contains("localhost"), "{}", detail("tls"));
    assert!(detail("filter").contains("finds 14"), "{}", detail("filter"));
    assert!(detail("login").contains("staff"), "{}", detail("login"));

    let failing = async |change: &dyn Fn(&mut LdapSettings), step: &str, repair: &str| {
        let mut settings = settings_at(&server, &[&server.ldaps_url()]);
        change(&mut settings);
        let steps = connector(settings).diagnose(user("wrong"), now()).await;
        let failed = steps.iter().find(|step| !step.ok).unwrap();
        assert_eq!(failed.step, step, "{steps:?}");
        assert!(failed.repair.as_ref().unwrap().contains(repair), "{failed:?}");
    };
    let other = Slapd::start().unwrap();
    failing(&|s| s.ca_file = Some(other.ca_file()), "tls", "ca_file").await;
    failing(
        &|s| s.servers = vec![Url::parse("ldaps://host.invalid").unwrap()],
        "resolve",
        "servers",
    )
    .await;
    failing(&|s| s.bind_password = Some(Secret::new("x".into())), "bind", "bind_password").await;
    failing(&|s| s.base_dn = "ou=x,dc=example,dc=org".into(), "base_dn", "base_dn").await;
    failing(&|s| s.user_filter = "(uid=zzz)".into(), "filter", "user_filter").await;
    failing(&|s| s.attributes.id = "objectGUID".into(), "sample", "attributes").await;
    failing(&|s| s.login_attributes = vec!["mail".into()], "user", "login_attributes").await;
    failing(&|_| {}, "login", "password").await;
    // The directory locks after five wrong passwords: whoever may try ten can lock a colleague.
    for (ours, ok) in [(10, false), (5, false), (4, true)] {
        let request = DiagnosisRequest { user: None, failures_per_account: Some(ours) };
        let steps = good.diagnose(request, now()).await;
        let step = steps.iter().find(|step| step.step == "lockout").unwrap();
        assert_eq!(step.ok, ok, "{step:?}");
        assert!(step.detail.contains("after 5 wrong"), "{step:?}");
    }
    server.kill().unwrap();
    let steps = good.diagnose(DiagnosisRequest::default(), now()).await;
    assert_eq!(steps.last().unwrap().step, "connect");
    assert!(!steps.last().unwrap().ok);
}
