//! Holding the lease of a directory while a run goes on.
//!
//! The lease is renewed three times in its life. That it was lost is noticed here early; that no
//! late batch writes anything is the store's check of the generation.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::store::{Store, SyncLease};

/// How long a lease lasts without being renewed: a dead node's work is taken over after so long.
pub(super) const LIFETIME: Duration = Duration::from_secs(15);
const RENEWALS: u32 = 3;

/// Renews a lease until it is dropped.
#[derive(Debug)]
pub(super) struct LeaseKeeper {
    renewing: JoinHandle<()>,
    lost: watch::Receiver<bool>,
}

impl LeaseKeeper {
    /// Begins to renew.
    pub(super) fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>, lease: SyncLease) -> Self {
        let (told, lost) = watch::channel(false);
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LIFETIME / RENEWALS).await;
                match store.renew_sync_lease(&lease, clock.now() + LIFETIME).await {
                    Ok(true) => {}
                    Ok(false) => {
                        told.send_replace(true);
                        return;
                    }
                    // It may come back in time; if not, somebody else takes over.
                    Err(error) => tracing::warn!(%error, "the lease was not renewed"),
                }
            }
        });
        Self { renewing, lost }
    }

    /// Whether somebody else has taken the lease.
    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}
