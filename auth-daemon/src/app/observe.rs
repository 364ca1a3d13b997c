//! Gauges that are brought up to date when they are read.

use super::{App, SyncPlan};

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
        for plan in &self.syncs {
            self.observe_sync(plan).await;
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

    /// How old the last success is; of a directory that never was synchronised, since the start of
    /// the daemon, so that one alert rule is enough.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
    async fn observe_sync(&self, plan: &SyncPlan) {
        let directory = || plan.settings.directory.clone();
        let status = match self.broker.store().sync_status(&plan.settings.directory).await {
            Ok(status) => status,
            Err(error) => {
                tracing::warn!(%error, "state of the synchronisation not read");
                return;
            }
        };
        if !plan.is_scheduled() && status.succeeded_at.is_none() {
            return;
        }
        let age = self.broker.now().since(status.succeeded_at.unwrap_or(self.started_at));
        metrics::gauge!("auth_sync_last_success_age_seconds", "directory" => directory())
            .set(age.as_secs_f64());
        if let Some(at) = status.succeeded_at {
            metrics::gauge!("auth_sync_last_success_timestamp_seconds", "directory" => directory())
                .set(at.millis() as f64 / 1000.0);
        }
    }
}
