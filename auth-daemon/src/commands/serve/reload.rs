//! A reload: the configuration is read again at SIGHUP, and takes effect as a whole or not at all.
//!
//! Store, key ring, listeners and issuer stay what they were at the start; a file that changes one of
//! them is refused, for half of a new configuration would be worse than the old one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_core::audit::AuditRecord;
use auth_core::clock::{Clock as _, SystemClock};
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use super::Serving;
use crate::app::{self, Parts, StorePlace};
use crate::config::{Config, Loaded};

/// What only a restart changes.
pub(super) struct Fixed {
    public: SocketAddr,
    admin: SocketAddr,
    tls: Option<[PathBuf; 2]>,
    public_url: String,
    place: StorePlace,
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        let tls = config.listen.tls.clone();
        Self {
            public: config.listen.public,
            admin: config.listen.admin,
            tls: tls.map(|tls| [tls.certificate_file, tls.key_file]),
            public_url: config.public_url.url().to_string(),
            place: StorePlace::of(config),
        }
    }

    /// The first setting that differs.
    fn changed(&self, other: &Self) -> Option<&'static str> {
        [
            ("public_url", self.public_url == other.public_url),
            ("listen.public", self.public == other.public),
            ("listen.admin", self.admin == other.admin),
            ("listen.tls", self.tls == other.tls),
            ("storage or keys", self.place == other.place),
        ]
        .into_iter()
        .find_map(|(name, same)| (!same).then_some(name))
    }
}

/// Reloads at every SIGHUP until the end begins; gives back what is served then.
pub(super) async fn at_hangup(
    mut hangups: Signal,
    path: PathBuf,
    fixed: Fixed,
    mut serving: Serving,
    mut ending: watch::Receiver<bool>,
) -> Serving {
    loop {
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => {
                serving.work.begin_to_stop();
                return serving;
            }
            Some(()) = hangups.recv() => {}
        }
        let event = match reload(&path, &fixed, &mut serving).await {
            Ok(()) => {
                tracing::info!(event = "config.reloaded", file = %path.display(), "configuration reloaded");
                AuditRecord::new(SystemClock.now(), "config.reloaded")
            }
            Err(problem) => {
                tracing::error!(
                    event = "config.reload_failed",
                    file = %path.display(),
                    problem = %problem,
                    "configuration not reloaded; the old one stays in force"
                );
                AuditRecord::new(SystemClock.now(), "config.reloaded").failed("configuration")
            }
        };
        let event = event
            .from_request(&app::command_line_origin())
            .with("file", path.display().to_string());
        event.log();
        if let Err(error) = serving.store.append_audit(vec![event]).await {
            tracing::error!(%error, "a reload has no audit event");
        }
    }
}

async fn reload(path: &Path, fixed: &Fixed, serving: &mut Serving) -> Result<(), String> {
    let Loaded { config, warnings, .. } =
        Config::load(Some(path)).map_err(|errors| errors.to_string())?;
    if let Some(setting) = fixed.changed(&Fixed::of(&config)) {
        return Err(format!("{setting} changed: that takes effect at a restart only"));
    }
    for warning in &warnings {
        tracing::warn!(event = "config.warning", warning = %warning, "configuration");
    }
    let parts = reopen(config, serving).await.map_err(|error| format!("{error:#}"))?;
    serving.replace(parts).await;
    Ok(())
}

async fn reopen(config: Config, serving: &Serving) -> anyhow::Result<Parts> {
    app::saml::refuse_errors(&config)?;
    let (store, ring) = (Arc::clone(&serving.store), Arc::clone(&serving.ring));
    app::reopen(config, store, ring).await
}
