//! Hears of changes on other nodes: `LISTEN` on a connection of its own.
//!
//! Whoever changes what `access_token` answers notifies [`CHANNEL`] in the same transaction. The
//! listener proves that it hears by a heartbeat: a notification to itself. Notifications come in
//! the order of their commits, so one that came back shows that all earlier changes arrived. This
//! also finds out a connection that died silently, and a proxy that swallows notifications; in
//! both cases the cache stays bypassed and everything is read from the database.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use auth_core::store::{AccountId, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Notification};

use super::cache::TokenCache;
use super::error;
use super::target::Target;

/// Channel of changes. The payload is an account's id, or [`ALL`].
pub(super) const CHANNEL: &str = "auth_change";
/// Channel that says that there are new events in the outbox.
pub(super) const OUTBOX: &str = "auth_outbox";
/// Payload of a change that concerns every account.
pub(super) const ALL: &str = "*";

/// Pause between heartbeats while the cache is asked; below a third of its freshness.
const PAUSE: Duration = Duration::from_millis(300);
/// So many pauses between heartbeats while it is not.
const IDLE_PAUSES: u32 = 16;
/// A heartbeat that is not back after so long ends the connection.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(2);
/// Pause before the next attempt to connect.
const RECONNECT: Duration = Duration::from_millis(500);
/// An attempt to connect may take so long.
const CONNECT: Duration = Duration::from_secs(10);

/// The running listener.
pub(super) struct Listener {
    task: JoinHandle<()>,
}

impl Listener {
    /// Starts listening, and keeps at it until stopped or dropped.
    pub(super) fn start(
        mut target: Target,
        cache: Arc<TokenCache>,
        outbox: watch::Sender<u64>,
    ) -> Self {
        let name = target.config.get_application_name().unwrap_or_default();
        target.config.application_name(format!("{name} listener"));
        Self { task: tokio::spawn(async move { keep_listening(&target, &cache, &outbox).await }) }
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes the cache deaf however the listening ends, also when the task is aborted.
struct Hearing<'c>(&'c TokenCache);

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        self.0.deaf();
    }
}

async fn keep_listening(target: &Target, cache: &TokenCache, outbox: &watch::Sender<u64>) {
    let mut told = false;
    loop {
        let Err(error) = listen(target, cache, outbox, &mut told).await;
        if !told {
            told = true;
            tracing::warn!(
                %error,
                "changes on other nodes are not heard; access tokens are read from the database"
            );
        }
        sleep(RECONNECT).await;
    }
}

/// Listens until the connection fails.
async fn listen(
    target: &Target,
    cache: &TokenCache,
    outbox: &watch::Sender<u64>,
    told: &mut bool,
) -> Result<Infallible, StoreError> {
    let connecting = target.config.connect(target.tls.clone());
    let (client, mut connection) = timeout(CONNECT, connecting)
        .await
        .map_err(|_| error::timed_out("connecting"))?
        .map_err(|failed| error::statement(&failed))?;
    let hearing = Hearing(cache);
    let (echo, echoes) = watch::channel(0);
    let messages = async {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(heard))) if heard.channel() == OUTBOX => {
                    outbox.send_modify(|number| *number = number.wrapping_add(1));
                }
                Some(Ok(AsyncMessage::Notification(heard))) => note(cache, &echo, &heard),
                Some(Ok(_)) => {}
                Some(Err(failed)) => return error::statement(&failed),
                None => {
                    return StoreError::Unavailable { message: "connection closed".to_owned() };
                }
            }
        }
    };
    let ended = tokio::select! {
        error = messages => error,
        ended = heartbeats(&client, cache, echoes, told) => {
            let Err(error) = ended;
            error
        }
    };
    drop(hearing);
    Err(ended)
}

fn note(cache: &TokenCache, echo: &watch::Sender<u64>, notification: &Notification) {
    if notification.channel() != CHANNEL {
        // The other channel is the heartbeat's own.
        if let Ok(sent) = notification.payload().parse() {
            cache.heard(sent);
            echo.send_replace(sent);
        }
        return;
    }
    match notification.payload().parse() {
        Ok(account) => cache.account_changed(AccountId(account)),
        Err(_) => cache.everything_changed(),
    }
}

async fn heartbeats(
    client: &Client,
    cache: &TokenCache,
    mut echoes: watch::Receiver<u64>,
    told: &mut bool,
) -> Result<Infallible, StoreError> {
    let failed = |failed| error::statement(&failed);
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await.map_err(failed)?;
    let own: i32 = row.try_get(0).map_err(failed)?;
    let own = format!("auth_heartbeat_{own}");
    client
        .batch_execute(&format!("LISTEN {CHANNEL}; LISTEN {OUTBOX}; LISTEN {own}"))
        .await
        .map_err(failed)?;
    // What changed while nobody listened is not known.
    cache.everything_changed();
    let beat = client.prepare("SELECT pg_notify($1, $2)").await.map_err(failed)?;
    let mut quiet = 0_u32;
    loop {
        // Each beat is a transaction: while nobody asks the cache, a few are enough.
        quiet = if cache.take_asked() { 0 } else { quiet.wrapping_add(1) };
        if quiet < IDLE_PAUSES || quiet.is_multiple_of(IDLE_PAUSES) {
            let sent = cache.millis();
            let beating = async {
                client.query(&beat, &[&own, &sent.to_string()]).await.map_err(failed)?;
                let heard = echoes.wait_for(|echo| *echo >= sent).await;
                heard.map(drop).map_err(|_| error::closed())
            };
            let limit = timeout(HEARTBEAT_LIMIT, beating).await;
            limit.map_err(|_| error::timed_out("a notification to itself"))??;
            *told = false;
        }
        sleep(PAUSE).await;
    }
}
