//! Sign-in against a real OpenLDAP server: what is accepted, what is refused and why, and what
//! happens when the server is not there.

mod active_directory;
mod availability;
mod credentials;
mod directory_server_389;
mod entries;
mod population;
mod service_records;
mod transport;

use std::future::Future;
use std::sync::Arc;

use auth_core::clock::{Clock as _, SystemClock, Timestamp};
use auth_core::connector::ldap::{LdapConnector, LdapSettings, Preset};
use auth_core::connector::{ConnectorError, Profile, Refusal, VerifiedIdentity};
use auth_core::random::SystemRandom;
use auth_core::secret::Secret;
use auth_tests::harness::slapd::{Slapd, SlapdOptions};
use url::Url;

/// Settings that fit a throw-away server, over plain LDAP on loopback.
fn settings(server: &Slapd) -> LdapSettings {
    settings_at(server, &[&server.url()])
}

fn settings_at(server: &Slapd, urls: &[&str]) -> LdapSettings {
    let servers = urls.iter().map(|url| Url::parse(url).unwrap()).collect();
    let mut settings = LdapSettings::new("corp", Preset::OpenLdap, servers, server.base_dn());
    settings.bind_dn = Some(server.bind_dn().to_owned());
    settings.bind_password = Some(Secret::new(server.bind_password().to_owned()));
    settings.ca_file = Some(server.ca_file());
    settings
}

fn connector(settings: LdapSettings) -> LdapConnector {
    LdapConnector::new(settings, Arc::new(SystemRandom::new())).unwrap()
}

fn now() -> Timestamp {
    SystemClock.now()
}

async fn login(
    connector: &LdapConnector,
    username: &str,
    password: &str,
) -> Result<VerifiedIdentity, ConnectorError> {
    connector.authenticate(username, &Secret::new(password.to_owned()), now()).await
}

async fn profile(connector: &LdapConnector, uid: &str) -> Profile {
    login(connector, uid, &format!("secret-{uid}")).await.unwrap().profile().clone()
}

/// The exact reason of a refusal; anything else fails the test.
async fn refusal(
    attempt: impl Future<Output = Result<VerifiedIdentity, ConnectorError>>,
) -> Refusal {
    match attempt.await {
        Err(ConnectorError::Refused { reason, .. }) => reason,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

/// The reason why nothing was judged; anything else fails the test.
async fn unavailable<T: std::fmt::Debug>(
    attempt: impl Future<Output = Result<T, ConnectorError>>,
) -> (&'static str, String) {
    match attempt.await {
        Err(ConnectorError::Unavailable { reason, message }) => (reason, message),
        other => panic!("expected no judgement, found {other:?}"),
    }
}
