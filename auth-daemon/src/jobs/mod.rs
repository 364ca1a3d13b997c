//! What a node does by itself: removing what has expired, and replacing signing keys in time.

pub(crate) mod directory_sync;
pub(crate) mod saml_connections;

use std::sync::Arc;
use std::time::Duration;

use auth_core::audit::Origin;
use auth_core::broker::Broker;
use auth_core::broker::provider::Provider;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// How often expired rows are removed.
const PURGE: Duration = Duration::from_secs(5 * 60);

/// Starts the jobs; aborting the handle ends them.
pub(crate) fn start(broker: Arc<Broker>, provider: Arc<Provider>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let origin = Origin { ip: None, request_id: "job".to_owned(), user_agent: None };
        let mut ticks = interval(PURGE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match broker.purge().await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(event = "purged", rows, "expired rows removed"),
                Err(error) => tracing::error!(%error, "expired rows not removed"),
            }
            if let Err(error) = provider.rotate_due_signing_keys(&origin).await {
                tracing::error!(%error, "signing keys not rotated");
            }
        }
    })
}
