//! From the configuration to the synchronisations of the directories.

use std::sync::Arc;

use auth_core::broker::Broker;
use auth_core::clock::{Clock, SystemClock};
use auth_core::directory_sync::{Brake, DirectorySync, SyncSettings};
use auth_core::random::{Random, SystemRandom};

use crate::config::{Config, Directory, Schedule};

/// How a directory is synchronised.
#[derive(Clone, Debug)]
pub(crate) struct SyncPlan {
    /// When.
    pub(crate) schedule: Schedule,
    /// By which settings.
    pub(crate) settings: SyncSettings,
}

impl SyncPlan {
    /// Whether the daemon runs it by itself.
    pub(crate) const fn is_scheduled(&self) -> bool {
        !matches!(self.schedule, Schedule::Off)
    }

    /// The synchronisation over the broker's store.
    pub(crate) fn synchronisation(&self, broker: &Broker) -> DirectorySync {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
        DirectorySync::new(Arc::clone(broker.store()), clock, random, self.settings.clone())
    }
}

/// One for each directory, in the order of the file.
pub(super) fn plans(config: &Config) -> Vec<SyncPlan> {
    let holder = holder();
    let plan = |directory: &Directory| {
        let brake = directory.sync.brake;
        SyncPlan {
            schedule: directory.sync.schedule.clone(),
            settings: SyncSettings {
                directory: directory.id.clone(),
                brake: Brake {
                    share: brake.share.value(),
                    people: brake.people,
                    window: brake.window,
                },
                administrators: config.admin.accounts.clone(),
                full_every: directory.sync.full_every,
                holder: holder.clone(),
            },
        }
    };
    config.directories.iter().map(plan).collect()
}

/// Host and process, for those who ask who is at it.
fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "unknown host" } else { host };
    format!("{host}, process {}", std::process::id())
}
