//! The composition root: from the configuration to the parts that the routes and commands use.
//! No rules here.

mod clients;
mod connectors;
mod keys;
mod observe;
pub(crate) mod saml;
mod synchronisation;
pub(crate) mod upstream;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use auth_core::audit::Origin;
use auth_core::broker::provider::{Provider, ProviderError, ProviderSettings};
use auth_core::broker::{Broker, BrokerSettings, Connectors};
use auth_core::clock::{Clock, SystemClock, Timestamp};
use auth_core::connector::ldap::LdapConnector;
use auth_core::connector::password::PasswordRules;
use auth_core::connector::redirect::RedirectConnector;
use auth_core::factor::passkey::Passkeys;
use auth_core::key_ring::KeyRing;
use auth_core::random::{Random, SystemRandom};
use auth_core::session::SessionLifetime;
use auth_core::store::{Store, ThrottleRule};
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, watch};
use url::Url;
use uuid::Uuid;

use crate::config::{Config, Logo};
use crate::outbox::Targets;
pub(crate) use keys::{StartRefused, StorePlace, inspect};
pub(crate) use synchronisation::SyncPlan;

/// What the site is called and who stands before it.
pub(crate) struct Site {
    /// Issuer, without a trailing slash.
    pub(crate) public_url: Url,
    /// Whether it is reached by https, so that cookies carry `Secure` and the `__Host-` prefix.
    pub(crate) secure: bool,
    /// Peers whose `Forwarded` and `X-Forwarded-For` count.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Pictures of connectors.
    pub(crate) logos: BTreeMap<String, Logo>,
}

impl Site {
    /// Name of the session cookie.
    pub(crate) const fn session_cookie(&self) -> &'static str {
        if self.secure { "__Host-auth_session" } else { "auth_session" }
    }

    /// Name of the cookie that remembers how this browser signed in the last time.
    pub(crate) const fn last_used_cookie(&self) -> &'static str {
        if self.secure { "__Host-auth_last" } else { "auth_last" }
    }

    /// Name of the cookie by which a browser is known for the names that signed in there.
    pub(crate) const fn known_cookie(&self) -> &'static str {
        if self.secure { "__Host-auth_known" } else { "auth_known" }
    }

    /// Name of the cookie of a remembered device.
    pub(crate) const fn device_cookie(&self) -> &'static str {
        if self.secure { "__Host-auth_device" } else { "auth_device" }
    }

    /// Name of the cookie that binds pending logins to a browser.
    pub(crate) const fn login_cookie(&self) -> &'static str {
        if self.secure { "__Host-auth_login" } else { "auth_login" }
    }
}

/// What the routes share.
pub(crate) struct App {
    pub(crate) broker: Arc<Broker>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) password_rules: PasswordRules,
    pub(crate) site: Site,
    pub(crate) metrics: PrometheusHandle,
    /// How each directory is synchronised.
    pub(crate) syncs: Vec<SyncPlan>,
    /// When the daemon was started.
    pub(crate) started_at: Timestamp,
    pub(crate) targets: Arc<Targets>,
    /// Turns true when the daemon is asked to end.
    pub(crate) ending: watch::Receiver<bool>,
    /// A permit for each stream of events.
    pub(crate) streams: Arc<Semaphore>,
}

/// Streams of events at once.
pub(crate) const STREAMS: usize = 64;

/// Everything that is open: what `serve` serves and what the commands work on.
pub(crate) struct Parts {
    pub(crate) broker: Arc<Broker>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) password_rules: PasswordRules,
    pub(crate) site: Site,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) syncs: Vec<SyncPlan>,
    pub(crate) saml: Vec<saml::KeptConnection>,
    pub(crate) targets: Arc<Targets>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// Opens store and key ring and builds the parts. With `sign_in` people are to sign in: then the
/// SAML connections are made ready, for which metadata may be fetched.
///
/// # Errors
/// Says which setting is at fault; nothing is overwritten.
pub(crate) async fn open(config: Config, sign_in: bool) -> anyhow::Result<Parts> {
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    // All that the configuration alone can get wrong comes first: then nothing was opened yet.
    let place = keys::StorePlace::of(&config);
    let prepared = prepare(config, &random)?;
    let (store, ring) = keys::open_store(place, random.as_ref(), SystemClock.now()).await?;
    match assemble(prepared, sign_in, Arc::clone(&store), ring, random).await {
        Ok(parts) => Ok(parts),
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

/// Builds the parts that people sign in by anew, over the store and key ring of what runs.
///
/// # Errors
/// Says which setting is at fault; what runs is as it was.
pub(crate) async fn reopen(
    config: Config,
    store: Arc<dyn Store>,
    ring: Arc<KeyRing>,
) -> anyhow::Result<Parts> {
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    let prepared = prepare(config, &random)?;
    assemble(prepared, true, store, ring, random).await
}

/// What the configuration alone decides.
struct Prepared {
    password_rules: PasswordRules,
    site: Site,
    settings: BrokerSettings,
    provider_settings: ProviderSettings,
    passkeys: Option<Passkeys>,
    syncs: Vec<SyncPlan>,
    targets: Arc<Targets>,
    connectors: Connectors,
    connections: saml::Connections,
}

fn prepare(mut config: Config, random: &Arc<dyn Random>) -> anyhow::Result<Prepared> {
    let password_rules = connectors::password_rules(&config).map_err(refused)?;
    let site = Site {
        public_url: config.public_url.url().clone(),
        secure: config.public_url.is_https(),
        trusted_proxies: config.listen.trusted_proxies.clone(),
        logos: upstream::logos(&mut config),
    };
    let settings = broker_settings(&config);
    let passkeys = connectors::passkeys(&config).map_err(refused)?;
    let syncs = synchronisation::plans(&config);
    let targets = Arc::new(Targets::take(&mut config));
    let provider_settings = clients::provider_settings(&mut config)
        .map_err(|error| refused(anyhow::Error::new(error)))?;
    // From here on the configuration has no SAML connections any more.
    let connections = saml::Connections::new(std::mem::take(&mut config.saml), &config.public_url);
    let mut connectors = connectors::connectors(config, random).map_err(refused)?;
    connectors.redirects.extend(connections.places().map(RedirectConnector::Saml));
    Ok(Prepared {
        password_rules,
        site,
        settings,
        provider_settings,
        passkeys,
        syncs,
        targets,
        connectors,
        connections,
    })
}

async fn assemble(
    prepared: Prepared,
    sign_in: bool,
    store: Arc<dyn Store>,
    ring: Arc<KeyRing>,
    random: Arc<dyn Random>,
) -> anyhow::Result<Parts> {
    let Prepared {
        password_rules,
        site,
        settings,
        provider_settings,
        passkeys,
        syncs,
        targets,
        connectors,
        connections,
    } = prepared;
    let cabinet = saml::cabinet(Arc::clone(&store), Arc::clone(&ring));
    let saml = if sign_in { connections.prepare(cabinet).await? } else { Vec::new() };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut broker = Broker::new(Arc::clone(&store), Arc::clone(&ring), connectors, settings)
        .with_sources(Arc::clone(&clock), Arc::clone(&random));
    if let Some(passkeys) = passkeys {
        broker = broker.with_passkeys(passkeys);
    }
    let broker = Arc::new(broker);
    let made = Provider::new(
        store,
        Arc::clone(&clock),
        Arc::clone(&random),
        Arc::clone(&ring),
        provider_settings,
    );
    let started = match made {
        Ok(provider) => {
            let provider = Arc::new(provider.with_recheck(Arc::clone(&broker) as _));
            provider.start().await.map(|()| provider)
        }
        Err(error) => Err(error),
    };
    match started {
        Ok(provider) => Ok(Parts {
            broker,
            provider,
            password_rules,
            site,
            ring,
            syncs,
            saml,
            targets,
            clock,
            random,
        }),
        Err(error @ (ProviderError::ClientTwice { .. } | ProviderError::Issuer(_))) => {
            Err(refused(error.into()))
        }
        Err(other) => Err(anyhow::Error::new(other).context("clients and signing keys")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn refused(error: anyhow::Error) -> anyhow::Error {
    StartRefused(format!("{error:#}")).into()
}

fn broker_settings(config: &Config) -> BrokerSettings {
    BrokerSettings {
        session: SessionLifetime {
            idle_timeout: config.session.idle_timeout,
            absolute_timeout: config.session.absolute_timeout,
        },
        throttle: ThrottleRule {
            limit: i64::from(config.throttle.failures_per_account),
            lockout: config.throttle.lockout,
        },
        source_burst: config.throttle.source_burst,
        source_refill: std::time::Duration::from_secs(60)
            / config.throttle.source_per_minute.max(1),
        mfa: connectors::mfa_settings(config),
        recheck: connectors::recheck_times(config),
        rules: upstream::rules(config),
        role_rules: upstream::role_rules(config),
        home_realms: upstream::home_realms(config),
        ..BrokerSettings::default()
    }
}

/// The origin of what this command line does.
pub(crate) fn command_line_origin() -> Origin {
    Origin { ip: None::<IpAddr>, request_id: Uuid::now_v7().simple().to_string(), user_agent: None }
}

/// The connector of one directory alone, for a diagnosis; `None` when there is no such directory.
///
/// # Errors
/// Names the setting that is wrong.
pub(crate) fn directory(config: Config, id: &str) -> anyhow::Result<Option<LdapConnector>> {
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    let wanted = config.directories.into_iter().find(|directory| directory.id == id);
    wanted.map(|directory| connectors::directory_connector(directory, &random)).transpose()
}
