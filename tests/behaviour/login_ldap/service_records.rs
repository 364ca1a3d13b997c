//! Servers that the DNS names: their order, what is refused, and the way back when it fails.

use auth_tests::harness::fake_dns::{FakeDns, SrvRecord};

use super::*;

fn record(service: &str, priority: u16, port: u16, target: &str) -> SrvRecord {
    let name = format!("{service}._tcp.example.test");
    SrvRecord { name, priority, port, target: target.to_owned() }
}

fn port(url: &str) -> u16 {
    Url::parse(url).unwrap().port().unwrap()
}

fn by_dns(server: &Slapd, dns: &FakeDns) -> LdapSettings {
    let mut settings = settings_at(server, &["srv://example.test"]);
    settings.name_servers = vec![dns.address()];
    settings.connect_timeout = std::time::Duration::from_secs(2);
    settings
}

#[tokio::test]
async fn the_servers_of_a_domain() {
    let server = Slapd::start().unwrap();
    let secure = port(&server.ldaps_url());
    let dns = FakeDns::start(vec![
        record("_ldaps", 20, secure, "dc1.example.test"),
        // First in the order, and nothing listens there.
        record("_ldaps", 10, 1, "dc0.example.test"),
        // A stranger's host, however good its certificate is.
        record("_ldaps", 0, secure, "dc1.evil.test"),
    ])
    .await
    .unwrap();
    let connector = connector(by_dns(&server, &dns));
    assert_eq!(profile(&connector, "alice").await.username, "alice");
    let urls: Vec<String> = connector.pool_status().into_iter().map(|one| one.url).collect();
    assert_eq!(urls, ["ldaps://dc0.example.test:1", &format!("ldaps://dc1.example.test:{secure}")]);

    // What changes in the DNS is seen, and what was known last serves while it does not answer.
    dns.set(vec![record("_ldaps", 0, secure, "dc1.example.test")]);
    profile(&connector, "alice").await;
    assert_eq!(connector.pool_status().len(), 1);
    drop(dns);
    profile(&connector, "alice").await;
}

#[tokio::test]
async fn starttls_and_a_domain_that_announces_plain_ports_only() {
    let server = Slapd::start().unwrap();
    let plain = port(&server.url());
    let dns = FakeDns::start(vec![record("_ldap", 0, plain, "dc1.example.test.")]).await.unwrap();
    let mut settings = by_dns(&server, &dns);
    settings.starttls = true;
    assert_eq!(profile(&connector(settings), "alice").await.username, "alice");

    // Without StartTLS: the port that is TLS from the first byte, never the plain one.
    let connector = connector(by_dns(&server, &dns));
    let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert_eq!(reason, "directory_unavailable", "{message}");
    assert!(message.contains("ldaps://dc1.example.test:636"), "{message}");
    assert!(!server.log().unwrap().contains("BIND dn=\"cn=reader\" mech=SIMPLE ssf=0"), "in clear");
}

#[tokio::test]
async fn what_the_dns_cannot_be_believed() {
    let server = Slapd::start().unwrap();
    let secure = port(&server.ldaps_url());
    let dns = FakeDns::start(Vec::new()).await.unwrap();
    let connector = connector(by_dns(&server, &dns));
    let (_, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert!(message.contains("_ldaps._tcp.example.test"), "{message}");
    let steps = connector.diagnose(Default::default(), now()).await;
    assert_eq!((steps.len(), steps[0].step, steps[0].ok), (1, "resolve", false), "{steps:?}");

    dns.set(vec![record("_ldaps", 0, secure, "dc1.evil.test")]);
    let (_, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert!(message.contains("dc1.evil.test") && message.contains("outside"), "{message}");

    // A host of the domain, but the certificate is for another.
    dns.set(vec![record("_ldaps", 0, secure, "dc9.example.test")]);
    let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert_eq!(reason, "directory_tls", "{message}");
    assert!(message.contains("not valid for name"), "{message}");
    assert!(!server.log().unwrap().contains("dn=\"uid=alice"), "no password was sent");
}
