//! `serve`: the daemon.

use std::path::Path;
use std::sync::Arc;

use auth_core::audit::AuditRecord;

use super::load;
use crate::app::{self, App};
use crate::exit::Exit;
use crate::jobs;
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
        .with("file", path);
    event.log();
    store.append_audit(vec![event]).await?;
    let jobs = jobs::start(Arc::clone(&parts.broker), Arc::clone(&parts.provider));
    let app =
        Arc::new(App { broker: parts.broker, provider: parts.provider, site: parts.site, metrics });
    let listeners = vec![
        (public, routes::public(Arc::clone(&app))),
        (admin, routes::administration(Arc::clone(&app))),
    ];
    let outcome = server::serve(listeners, server::end_asked_for()).await;
    jobs.abort();
    store.close().await;
    tracing::info!(event = "stopped", "stopped");
    outcome.map(|()| Exit::Done)
}
