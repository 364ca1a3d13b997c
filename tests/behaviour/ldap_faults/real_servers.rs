//! Faults of a real server: killed, hung, with another certificate, renamed, hidden.

use auth_tests::harness::slapd::{Slapd, SlapdOptions};

use super::*;

fn slapd_settings(server: &Slapd, url: &str) -> LdapSettings {
    let mut settings = settings(&[url]);
    settings.bind_dn = Some(server.bind_dn().to_owned());
    settings.bind_password = Some(Secret::new(server.bind_password().to_owned()));
    settings.ca_file = Some(server.ca_file());
    settings
}

fn alice(server: &Slapd) -> String {
    server.attribute("uid=alice", "entryUUID").unwrap().remove(0)
}

/// Takes the first page, then does something to the server, then the rest.
async fn in_the_middle(
    connector: &LdapConnector,
    mut fault: impl FnMut(),
) -> Result<PopulationRead, ConnectorError> {
    let (items, mut pages) = mpsc::channel::<Vec<PopulationItem>>(1);
    let take = async {
        let mut count = 0;
        while let Some(page) = pages.recv().await {
            if count == 0 {
                fault();
            }
            count += page.len();
        }
        count
    };
    let (outcome, count) =
        tokio::join!(connector.read_people(Reading::Full, SystemClock.now(), items), take);
    assert!(count > 0, "the fault came before the first page");
    outcome
}

#[tokio::test]
async fn killed_in_mid_page() {
    let mut server = Slapd::start().unwrap();
    server.add_people("many", 400).unwrap();
    let connector = connector(slapd_settings(&server, &server.url()));
    let subject = alice(&server);
    let outcome = in_the_middle(&connector, || server.kill().unwrap()).await;
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains("reading people, page"), "{message}");
    assert_no_harm(&connector, &subject).await;
    server.start_again().unwrap();
    assert_eq!(read(&connector).await.0.unwrap().entries, 414);
}

#[tokio::test]
async fn half_open_in_mid_page() {
    let server = Slapd::start().unwrap();
    server.add_people("many", 400).unwrap();
    let connector = connector(slapd_settings(&server, &server.url()));
    let subject = alice(&server);
    let outcome = in_the_middle(&connector, || server.pause().unwrap()).await;
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains("no answer within"), "{message}");
    assert_no_harm(&connector, &subject).await;
    server.resume().unwrap();
    assert_eq!(read(&connector).await.0.unwrap().entries, 414);
}

#[tokio::test]
async fn certificates_that_are_not_right() {
    let server = Slapd::start().unwrap();
    let other = Slapd::start().unwrap();
    let subject = alice(&server);
    let mut wrong = slapd_settings(&server, &server.ldaps_url());
    wrong.ca_file = Some(other.ca_file());
    let wrong = connector(wrong);
    assert_read_fails(&wrong, &["UnknownIssuer"]).await;
    assert_no_harm(&wrong, &subject).await;

    let mut pinned = slapd_settings(&server, &server.ldaps_url());
    pinned.pinned_certificate_sha256 = Some(other.certificate_sha256().unwrap());
    let pinned = connector(pinned);
    assert_read_fails(&pinned, &["TLS"]).await;
    assert_no_harm(&pinned, &subject).await;
}

#[tokio::test]
async fn a_certificate_that_expired() {
    let options = SlapdOptions { expired_certificate: true, ..SlapdOptions::default() };
    let server = Slapd::start_with(&options).unwrap();
    let subject = alice(&server);
    for (url, starttls) in [(server.ldaps_url(), false), (server.url(), true)] {
        let mut settings = slapd_settings(&server, &url);
        settings.starttls = starttls;
        let connector = connector(settings);
        assert_read_fails(&connector, &["Expired"]).await;
        assert_no_harm(&connector, &subject).await;
    }
    // What `ldap test` makes of it: the facts, and what to do.
    let connector = connector(slapd_settings(&server, &server.ldaps_url()));
    let steps = connector.diagnose(Default::default(), SystemClock.now()).await;
    let tls = steps.iter().find(|step| step.step == "tls").unwrap();
    assert!(!tls.ok && tls.detail.contains("SHA-256"), "{tls:?}");
    assert!(tls.detail.contains("expired"), "{tls:?}");
    assert!(tls.repair.as_ref().unwrap().contains("renew"), "{tls:?}");
}

#[tokio::test]
async fn starttls_that_is_refused() {
    let options = SlapdOptions { without_tls: true, ..SlapdOptions::default() };
    let server = Slapd::start_with(&options).unwrap();
    let mut settings = slapd_settings(&server, &server.url());
    settings.starttls = true;
    let connector = connector(settings);
    assert_read_fails(&connector, &["StartTLS", "ldaps://"]).await;
    assert_no_harm(&connector, &alice(&server)).await;
}

#[tokio::test]
async fn a_base_that_was_renamed_or_is_empty() {
    let server = Slapd::start().unwrap();
    let subject = alice(&server);
    for (base, word) in
        [("ou=renamed,dc=example,dc=org", "base_dn"), ("ou=policies,dc=example,dc=org", "nobody")]
    {
        let mut settings = slapd_settings(&server, &server.url());
        settings.base_dn = base.to_owned();
        let connector = connector(settings);
        assert_read_fails(&connector, &[word]).await;
        match connector.recheck(&subject, SystemClock.now()).await {
            Err(ConnectorError::Unavailable { .. }) => {}
            other => panic!("{base}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn attributes_that_can_no_longer_be_read() {
    for hidden in ["entryUUID", "uid", "objectClass", "entry"] {
        let options = SlapdOptions {
            first_access: format!("access to attrs={hidden} by * none\n"),
            ..SlapdOptions::default()
        };
        let subject = uuid(1);
        let server = Slapd::start_with(&options).unwrap();
        let connector = connector(slapd_settings(&server, &server.url()));
        assert_read_fails(&connector, &["service account"]).await;
        // Nobody has that id; but where nobody's id can be seen that proves nothing.
        if hidden != "uid" {
            match connector.recheck(&subject, SystemClock.now()).await {
                Err(ConnectorError::Unavailable { .. }) => {}
                other => panic!("{hidden}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_size_limit_without_leave_to_page() {
    let server = Slapd::start().unwrap();
    server.add_people("many", 600).unwrap();
    // This account has no limits of its own: 500 entries, paged or not.
    let mut settings = slapd_settings(&server, &server.url());
    settings.bind_dn = Some("uid=alice,ou=people,dc=example,dc=org".to_owned());
    settings.bind_password = Some(Secret::new("secret-alice".to_owned()));
    assert_read_fails(&connector(settings), &["size limit", "service account"]).await;
}

#[tokio::test]
async fn a_bind_account_that_a_password_policy_locked() {
    let server = Slapd::start().unwrap();
    let mut settings = slapd_settings(&server, &server.url());
    settings.bind_dn = Some("uid=locked,ou=people,dc=example,dc=org".to_owned());
    settings.bind_password = Some(Secret::new("secret-locked".to_owned()));
    let connector = connector(settings);
    assert_read_fails(&connector, &["service account", "account_locked"]).await;
    assert_no_harm(&connector, &alice(&server)).await;
}
