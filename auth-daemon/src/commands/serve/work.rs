//! What a node does by itself under one configuration, and its end in order.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::Parts;
use crate::jobs::{self, directory_sync::ScheduledSyncs};
use crate::outbox::Worker;

/// Jobs, scheduled synchronisations, SAML connections and the worker of the outbox.
pub(super) struct Work {
    jobs: JoinHandle<()>,
    syncs: ScheduledSyncs,
    saml: JoinHandle<()>,
    outbox: JoinHandle<()>,
    end: watch::Sender<bool>,
}

impl Work {
    /// Starts everything.
    pub(super) fn start(parts: &mut Parts) -> Self {
        let worker = Arc::new(Worker {
            store: Arc::clone(parts.broker.store()),
            provider: Arc::clone(&parts.provider),
            targets: Arc::clone(&parts.targets),
            clock: Arc::clone(&parts.clock),
            random: Arc::clone(&parts.random),
        });
        let (end, ending) = watch::channel(false);
        Self {
            jobs: jobs::start(Arc::clone(&parts.broker), Arc::clone(&parts.provider)),
            syncs: jobs::directory_sync::start(&parts.broker, &parts.syncs),
            saml: jobs::saml_connections::start(std::mem::take(&mut parts.saml)),
            outbox: tokio::spawn(worker.run(ending)),
            end,
        }
    }

    /// Turns true when the end begins.
    pub(super) fn ending(&self) -> watch::Receiver<bool> {
        self.end.subscribe()
    }

    /// Ends the streams of events and lets the outbox finish; the listeners wait for requests
    /// under way.
    pub(super) fn begin_to_stop(&self) {
        self.end.send_replace(true);
    }

    /// Ends everything in order and waits for it.
    pub(super) async fn stop(self) {
        self.begin_to_stop();
        self.jobs.abort();
        self.saml.abort();
        self.syncs.stop().await;
        if let Err(error) = self.outbox.await {
            tracing::error!(%error, "the outbox's worker failed");
        }
    }
}
