//! `serve`: the daemon, and its reload at SIGHUP.

mod reload;
mod work;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::key_ring::KeyRing;
use auth_core::store::Store;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use super::load;
use crate::app::{self, App, Parts};
use crate::config::Config;
use crate::exit::Exit;
use crate::routes;
use crate::server::{self, CurrentRoutes, Listener, TlsFiles};
use crate::telemetry;
use reload::Fixed;
use work::Work;

/// Serves until the process is asked to end.
pub(crate) async fn run(file: Option<&Path>) -> anyhow::Result<Exit> {
    telemetry::start_log("info");
    // First of all: until it is received, a SIGHUP ends the process.
    let hangups = signal(SignalKind::hangup()).context("SIGHUP cannot be received")?;
    let loaded = match load(file) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    for warning in &loaded.warnings {
        tracing::warn!(event = "config.warning", warning = %warning, "configuration");
    }
    let path = loaded.path;
    let listen = loaded.config.listen.clone();
    // Bound first: an address in use is a mistake that must be told before anything is opened.
    let tls =
        listen.tls.map(|tls| TlsFiles { certificate: tls.certificate_file, key: tls.key_file });
    let public = Listener::bind("public", listen.public, tls)?;
    let admin = Listener::bind("admin", listen.admin, None)?;
    let metrics = telemetry::start_metrics()?;
    let fixed = Fixed::of(&loaded.config);
    let parts = open(loaded.config).await?;
    let store = Arc::clone(parts.broker.store());
    let event = AuditRecord::new(parts.broker.now(), "config.loaded")
        .from_request(&app::command_line_origin())
        .with("file", path.display().to_string());
    event.log();
    store.append_audit(vec![event]).await?;
    let serving = Serving::start(parts, metrics);
    let listeners = vec![(public, serving.public.clone()), (admin, serving.administration.clone())];
    let (end, ending) = watch::channel(false);
    let reloads = tokio::spawn(reload::at_hangup(hangups, path, fixed, serving, ending));
    let asked = async {
        server::end_asked_for().await;
        end.send_replace(true);
    };
    let outcome = server::serve(listeners, asked).await;
    end.send_replace(true);
    match reloads.await {
        Ok(serving) => serving.work.stop().await,
        Err(error) => tracing::error!(%error, "the task of the reloads failed"),
    }
    store.close().await;
    tracing::info!(event = "stopped", "stopped");
    outcome.map(|()| Exit::Done)
}

async fn open(config: Config) -> anyhow::Result<Parts> {
    app::saml::refuse_errors(&config)?;
    app::open(config, true).await
}

/// What is served under the present configuration.
struct Serving {
    store: Arc<dyn Store>,
    ring: Arc<KeyRing>,
    metrics: PrometheusHandle,
    public: CurrentRoutes,
    administration: CurrentRoutes,
    started_at: Timestamp,
    streams: Arc<Semaphore>,
    work: Work,
}

impl Serving {
    fn start(mut parts: Parts, metrics: PrometheusHandle) -> Self {
        let store = Arc::clone(parts.broker.store());
        let ring = Arc::clone(&parts.ring);
        let started_at = parts.broker.now();
        let streams = Arc::new(Semaphore::new(app::STREAMS));
        let work = Work::start(&mut parts);
        let app = app_of(parts, metrics.clone(), started_at, Arc::clone(&streams), &work);
        let public = CurrentRoutes::new(routes::public(Arc::clone(&app)));
        let administration = CurrentRoutes::new(routes::administration(app));
        Self { store, ring, metrics, public, administration, started_at, streams, work }
    }

    /// Serves `parts` from the next request on. The work of the old ones ends afterwards; for a
    /// moment both are there, as two nodes are, and leases keep them apart.
    async fn replace(&mut self, mut parts: Parts) {
        let new = Work::start(&mut parts);
        let streams = Arc::clone(&self.streams);
        let app = app_of(parts, self.metrics.clone(), self.started_at, streams, &new);
        self.public.replace(routes::public(Arc::clone(&app)));
        self.administration.replace(routes::administration(app));
        std::mem::replace(&mut self.work, new).stop().await;
    }
}

fn app_of(
    parts: Parts,
    metrics: PrometheusHandle,
    started_at: Timestamp,
    streams: Arc<Semaphore>,
    work: &Work,
) -> Arc<App> {
    Arc::new(App {
        broker: parts.broker,
        provider: parts.provider,
        password_rules: parts.password_rules,
        site: parts.site,
        metrics,
        syncs: parts.syncs,
        started_at,
        targets: parts.targets,
        ending: work.ending(),
        streams,
    })
}
