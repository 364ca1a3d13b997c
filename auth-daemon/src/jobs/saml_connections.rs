//! Keeps SAML connections up to date: reads metadata of URLs again when its time has come, and
//! follows what changed in the store.
//!
//! Every node looks; when one has read a URL, the others see the time of that in the store and let
//! it be. What cannot be read changes nothing, and is tried again at growing distances.

use std::time::Duration;

use auth_core::broker::saml_cabinet::Takeover;
use auth_core::clock::{Clock as _, SystemClock, Timestamp};
use auth_core::random::{Random as _, SystemRandom};
use tokio::task::JoinHandle;

use crate::app::saml::KeptConnection;

/// How often the store is asked whether something changed.
const LOOK: Duration = Duration::from_secs(2);
/// The first distance after a failure; it doubles up to the period.
const FIRST_RETRY: Duration = Duration::from_secs(15);
/// Metadata whose end is so near is told in the log.
const ENDS_SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// Starts the job; aborting the handle ends it.
pub(crate) fn start(connections: Vec<KeptConnection>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut all: Vec<Watched> = connections.into_iter().map(Watched::new).collect();
        if all.is_empty() {
            return;
        }
        loop {
            for one in &mut all {
                one.look().await;
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

struct Watched {
    connection: KeptConnection,
    failures: u32,
    not_before: Option<Timestamp>,
    /// A share of the period, so that nodes do not all ask at once.
    share: u8,
    /// The last problem, so that it is told once.
    told: Option<String>,
    /// The end that the log was told of.
    told_end: Option<Timestamp>,
}

impl Watched {
    fn new(connection: KeptConnection) -> Self {
        Self {
            connection,
            failures: 0,
            not_before: None,
            share: share(),
            told: None,
            told_end: None,
        }
    }

    async fn look(&mut self) {
        let now = SystemClock.now();
        match self.connection.due_at().await {
            Ok(Some(at)) if self.is_time(at, now) => self.refresh(now).await,
            Ok(_) => {}
            Err(error) => return self.tell("not known whether metadata is to be read", &error),
        }
        match self.connection.follow().await {
            Ok(()) => self.told = None,
            Err(error) => self.tell("a changed connection cannot be used", &error),
        }
        self.watch_the_end(now);
    }

    fn is_time(&self, at: Timestamp, now: Timestamp) -> bool {
        let spread = self.connection.period() / 10 * u32::from(self.share) / 255;
        at + spread <= now && self.not_before.is_none_or(|begin| begin <= now)
    }

    async fn refresh(&mut self, now: Timestamp) {
        let id = self.connection.id().to_owned();
        let outcome = self.connection.refresh().await;
        let result = match &outcome {
            Ok(Some(Takeover::Pending(_))) => "pending",
            Ok(_) => "read",
            Err(_) => "failed",
        };
        metrics::counter!("auth_saml_metadata_refreshes_total", "connector" => id.clone(), "result" => result)
            .increment(1);
        match outcome {
            Ok(taken) => {
                (self.failures, self.not_before, self.share) = (0, None, share());
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                metrics::gauge!("auth_saml_metadata_last_success_timestamp_seconds", "connector" => id.clone())
                    .set(now.seconds() as f64);
                if let Some(Takeover::Pending(refusal)) = taken {
                    tracing::warn!(
                        event = "saml.metadata_pending",
                        connection = id,
                        reason = %refusal,
                        "changed metadata waits for `saml approve-keys`; the old keys stay in force"
                    );
                }
            }
            Err(error) => {
                let wait = FIRST_RETRY * 2u32.saturating_pow(self.failures.min(16));
                self.failures += 1;
                self.not_before = Some(now + wait.min(self.connection.period()));
                tracing::error!(
                    event = "saml.metadata_refresh_failed",
                    connection = id,
                    error = format!("{error:#}"),
                    "metadata not read again; what was there before stays in force"
                );
            }
        }
    }

    fn tell(&mut self, what: &str, error: &anyhow::Error) {
        let text = format!("{error:#}");
        if self.told.as_ref() != Some(&text) {
            let connection = self.connection.id();
            tracing::error!(event = "saml.connection_failed", connection, error = text, "{what}");
            self.told = Some(text);
        }
    }

    fn watch_the_end(&mut self, now: Timestamp) {
        let end = self.connection.valid_until();
        let is_near = end.is_some_and(|end| end <= now + ENDS_SOON);
        if is_near && self.told_end != end {
            tracing::warn!(
                event = "saml.metadata_ends_soon",
                connection = self.connection.id(),
                valid_until = end.map(Timestamp::rfc3339),
                "nobody signs in after this moment unless newer metadata is there"
            );
            self.told_end = end;
        }
    }
}

fn share() -> u8 {
    let mut byte = [0];
    SystemRandom::new().fill(&mut byte);
    byte[0]
}
