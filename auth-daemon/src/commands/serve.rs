//! `serve`: the daemon.

use std::path::Path;
use std::sync::Arc;

use auth_core::audit::AuditRecord;
use tokio::sync::{Semaphore, watch};

use super::load;
use crate::app::{self, App};
use crate::exit::Exit;
use crate::jobs;
use crate::outbox::Worker;
use crate::routes;
use crate::server::{self, Listener, TlsFiles};
use crate::telemetry;

/// Serves until the process is asked to end.
pub(crate) async fn run(file: Option<&Path>) -> anyhow::Result<Exit> {
    telemetry::start_log("info");
    let loaded = match load(file) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    for warning in &loaded.warnings {
        tracing::warn!(event = "config.warning", warning = %warning, "configuration");
    }
    let path = loaded.path.display().to_string();
    let listen = loaded.config.listen.clone();
    // Bound first: an address in use is a mistake that must be told before anything is opened.
    let tls =
        listen.tls.map(|tls| TlsFiles { certificate: tls.certificate_file, key: tls.key_file });
    let public = Listener::bind("public", listen.public, tls)?;
    let admin = Listener::bind("admin", listen.admin, None)?;
    let metrics = telemetry::start_metrics()?;
    let parts = app::open(loaded.config).await?;
    let store = Arc::clone(parts.broker.store());
    let event = AuditRecord::new(parts.broker.now(), "config.loaded")
        .from_request(&app::command_line_origin())
        .with("file", path);
    event.log();
    store.append_audit(vec![event]).await?;
    let jobs = jobs::start(Arc::clone(&parts.broker), Arc::clone(&parts.provider));
    let worker = Arc::new(Worker {
        store: Arc::clone(&store),
        provider: Arc::clone(&parts.provider),
        targets: Arc::clone(&parts.targets),
        clock: parts.clock,
        random: parts.random,
    });
    let (end, ending) = watch::channel(false);
    let worker = tokio::spawn(worker.run(ending.clone()));
    let app = Arc::new(App {
        broker: parts.broker,
        provider: parts.provider,
        site: parts.site,
        metrics,
        targets: parts.targets,
        ending,
        streams: Arc::new(Semaphore::new(app::STREAMS)),
    });
    let listeners = vec![
        (public, routes::public(Arc::clone(&app))),
        (admin, routes::administration(Arc::clone(&app))),
    ];
    // Streams of events end first: the listeners wait for requests under way.
    let asked = async {
        server::end_asked_for().await;
        end.send_replace(true);
    };
    let outcome = server::serve(listeners, asked).await;
    end.send_replace(true);
    jobs.abort();
    if let Err(error) = worker.await {
        tracing::error!(%error, "the outbox's worker failed");
    }
    store.close().await;
    tracing::info!(event = "stopped", "stopped");
    outcome.map(|()| Exit::Done)
}
