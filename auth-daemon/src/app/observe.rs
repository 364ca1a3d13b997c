//! Gauges that are brought up to date when they are read.

use super::App;

impl App {
    /// Reads what the gauges show.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
    pub(crate) async fn observe(&self) {
        let connectors = self.broker.connectors();
        if let Some(local) = &connectors.local {
            metrics::gauge!("auth_hash_queue").set(local.pool().queue_length() as f64);
        }
        for directory in &connectors.directories {
            for server in directory.pool_status() {
                for (pool, status) in [("search", &server.searches), ("bind", &server.binds)] {
                    for (state, count) in [("in_use", status.in_use), ("idle", status.idle)] {
                        metrics::gauge!(
                            "auth_ldap_pool_connections",
                            "directory" => directory.id().to_owned(),
                            "server" => server.url.to_string(),
                            "pool" => pool,
                            "state" => state,
                        )
                        .set(count as f64);
                    }
                }
            }
        }
        crate::outbox::observe(self.broker.store().as_ref(), self.broker.now()).await;
        match self.broker.store().count_sessions(self.broker.now()).await {
            Ok(counts) => {
                for (kind, count) in counts {
                    metrics::gauge!("auth_sessions", "kind" => kind).set(count as f64);
                }
            }
            Err(error) => tracing::warn!(%error, "sessions not counted"),
        }
    }
}
