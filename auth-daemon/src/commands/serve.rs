//! `serve`: the daemon, and its reload at SIGHUP.

mod reload;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use auth_core::audit::AuditRecord;
use auth_core::key_ring::KeyRing;
use auth_core::store::Store;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::load;
use crate::app::{self, App, Parts};
use crate::exit::Exit;
use crate::jobs;
use crate::routes;
use crate::server::{self, CurrentRoutes, Listener, TlsFiles};
use crate::telemetry;
use reload::Fixed;

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
    let mut config = loaded.config;
    app::saml::refuse_errors(&config)?;
    let (connections, public_url) = (std::mem::take(&mut config.saml), config.public_url.clone());
    let parts = app::open(config).await?;
    let store = Arc::clone(parts.broker.store());
    let cabinet = app::saml::cabinet(Arc::clone(&store), Arc::clone(&parts.ring));
    match app::saml::prepare(&connections, &public_url, &cabinet).await {
        Ok(complete) if complete.is_empty() => {}
        Ok(_) => tracing::warn!(
            event = "saml.sign_in_unavailable",
            "the sign-in page does not offer SAML connections in this version"
        ),
        Err(error) => {
            store.close().await;
            return Err(error);
        }
    }
    let event = AuditRecord::new(parts.broker.now(), "config.loaded")
        .from_request(&app::command_line_origin())
        .with("file", path.display().to_string());
    event.log();
    store.append_audit(vec![event]).await?;
    let serving = Serving::start(parts, metrics);
    let listeners = vec![(public, serving.public.clone()), (admin, serving.administration.clone())];
    let reloads = tokio::spawn(reload::at_hangup(hangups, path, fixed, serving));
    let outcome = server::serve(listeners, server::end_asked_for()).await;
    reloads.abort();
    // The jobs end with the task that held them.
    let _ = reloads.await;
    store.close().await;
    tracing::info!(event = "stopped", "stopped");
    outcome.map(|()| Exit::Done)
}

/// What is served under the present configuration.
struct Serving {
    store: Arc<dyn Store>,
    ring: Arc<KeyRing>,
    metrics: PrometheusHandle,
    public: CurrentRoutes,
    administration: CurrentRoutes,
    jobs: Jobs,
}

/// Ends the jobs when dropped.
struct Jobs(JoinHandle<()>);

impl Drop for Jobs {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Serving {
    fn start(parts: Parts, metrics: PrometheusHandle) -> Self {
        let store = Arc::clone(parts.broker.store());
        let ring = Arc::clone(&parts.ring);
        let jobs = Jobs(jobs::start(Arc::clone(&parts.broker), Arc::clone(&parts.provider)));
        let app = app_of(parts, metrics.clone());
        let public = CurrentRoutes::new(routes::public(Arc::clone(&app)));
        let administration = CurrentRoutes::new(routes::administration(app));
        Self { store, ring, metrics, public, administration, jobs }
    }

    /// Serves `parts` from the next request on.
    fn replace(&mut self, parts: Parts) {
        self.jobs = Jobs(jobs::start(Arc::clone(&parts.broker), Arc::clone(&parts.provider)));
        let app = app_of(parts, self.metrics.clone());
        self.public.replace(routes::public(Arc::clone(&app)));
        self.administration.replace(routes::administration(app));
    }
}

fn app_of(parts: Parts, metrics: PrometheusHandle) -> Arc<App> {
    Arc::new(App {
        broker: parts.broker,
        provider: parts.provider,
        password_rules: parts.password_rules,
        site: parts.site,
        metrics,
    })
}
