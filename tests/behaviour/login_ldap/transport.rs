//! TLS: what is trusted, and that nothing falls back to less.

use auth_tests::harness::slapd::SlapdOptions;

use super::*;

#[tokio::test]
async fn ldaps_and_starttls_with_an_own_authority() {
    let server = Slapd::start().unwrap();
    let ldaps = connector(settings_at(&server, &[&server.ldaps_url()]));
    assert_eq!(profile(&ldaps, "alice").await.username, "alice");

    let mut starttls = settings(&server);
    starttls.starttls = true;
    assert_eq!(profile(&connector(starttls), "alice").await.username, "alice");
    let log = server.log().unwrap();
    assert!(log.contains("STARTTLS") && log.contains("TLS established"), "{log}");

    // By host name as well as by address.
    let by_name = server.ldaps_url().replace("127.0.0.1", "localhost");
    assert_eq!(profile(&connector(settings_at(&server, &[&by_name])), "bob").await.username, "bob");
}

#[tokio::test]
async fn another_authority_is_not_trusted() {
    let server = Slapd::start().unwrap();
    let other = Slapd::start().unwrap();
    for (url, starttls) in [(server.ldaps_url(), false), (server.url(), true)] {
        let mut settings = settings_at(&server, &[&url]);
        settings.starttls = starttls;
        settings.ca_file = Some(other.ca_file());
        let connector = connector(settings);
        let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
        assert_eq!(reason, "directory_tls", "{message}");
        assert!(message.contains("UnknownIssuer"), "{message}");
    }
    assert!(!server.log().unwrap().contains("BIND dn=\"uid=alice"), "no password was sent");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let server = Slapd::start().unwrap();
    // Loopback too, but not a name of the certificate.
    let url = server.ldaps_url().replace("127.0.0.1", "127.0.0.2");
    let relay = relay_to(&server.ldaps_url(), "127.0.0.2:0").await;
    let url = url.replace(&port_of(&url), &relay.port().to_string());
    let connector = connector(settings_at(&server, &[&url]));
    let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert_eq!(reason, "directory_tls", "{message}");
}

#[tokio::test]
async fn a_pinned_certificate_replaces_the_authority() {
    let server = Slapd::start().unwrap();
    let other = Slapd::start().unwrap();
    let with_pin = |pin: String| {
        let mut settings = settings_at(&server, &[&server.ldaps_url()]);
        settings.ca_file = None;
        settings.pinned_certificate_sha256 = Some(pin);
        connector(settings)
    };
    let right = with_pin(server.certificate_sha256().unwrap().to_uppercase());
    assert_eq!(profile(&right, "alice").await.username, "alice");
    let wrong = with_pin(other.certificate_sha256().unwrap());
    let (reason, message) = unavailable(login(&wrong, "alice", "secret-alice")).await;
    assert_eq!(reason, "directory_tls", "{message}");
}

/// A server that offers no StartTLS gets no password, neither the person's nor our own.
#[tokio::test]
async fn starttls_never_falls_back() {
    let server =
        Slapd::start_with(&SlapdOptions { without_tls: true, ..SlapdOptions::default() }).unwrap();
    let mut starttls = settings(&server);
    starttls.starttls = true;
    let connector = connector(starttls);
    let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert_eq!(reason, "directory_tls", "{message}");
    assert!(message.contains("StartTLS"), "{message}");
    let log = server.log().unwrap();
    assert!(!log.contains("BIND dn=\"cn=reader") && !log.contains("uid=alice"), "{log}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_asked_for() {
    let server = Slapd::start_with(&SlapdOptions {
        extra_global: "TLSVerifyClient demand".to_owned(),
        ..SlapdOptions::default()
    })
    .unwrap();
    let mut with = settings_at(&server, &[&server.ldaps_url()]);
    with.client_certificate_file = Some(server.client_certificate_file());
    with.client_key_file = Some(server.client_key_file());
    assert_eq!(profile(&connector(with), "alice").await.username, "alice");

    let without = connector(settings_at(&server, &[&server.ldaps_url()]));
    let (reason, message) = unavailable(login(&without, "alice", "secret-alice")).await;
    assert!(["directory_tls", "directory_unavailable"].contains(&reason), "{message}");
}

#[tokio::test]
async fn a_port_without_tls_is_said() {
    let server = Slapd::start().unwrap();
    let url = server.url().replace("ldap://", "ldaps://");
    let connector = connector(settings_at(&server, &[&url]));
    let (reason, message) = unavailable(login(&connector, "alice", "secret-alice")).await;
    assert!(["directory_tls", "directory_unavailable"].contains(&reason), "{message}");
}

fn port_of(url: &str) -> String {
    Url::parse(url).unwrap().port().unwrap().to_string()
}

/// Forwards connections to `local` to the server at `url`.
async fn relay_to(url: &str, local: &str) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind(local).await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = format!("127.0.0.1:{}", port_of(url));
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                if let Ok(mut outbound) = tokio::net::TcpStream::connect(target).await {
                    let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
                }
            });
        }
    });
    address
}
