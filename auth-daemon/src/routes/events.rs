//! `GET /api/v1/events`: the stream of server-sent events for a client, with resume.
//!
//! Each event's id is its position in the stream. Who comes back with `Last-Event-ID` gets what
//! came after it; where that is older than what is kept, an event `resync` says so first, and the
//! client has to look at all its sessions anew. The stream ends after an hour, so that credentials
//! are judged again, and at once when the client is gone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use auth_core::handoff::outbox::{Channel, Destination};
use auth_core::store::OutboxEventRecord;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use futures::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep};

use super::provider::{authorization, failure};
use crate::app::App;
use crate::error::{self, PublicError};
use crate::extract::origin::RequestOrigin;

/// A comment is sent so often when nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Pause between looks at the store without a signal.
const POLL: Duration = Duration::from_millis(300);
/// A stream's longest life.
const LIFE: Duration = Duration::from_secs(3600);
/// Events of one look.
const BATCH: usize = 100;
/// Where the last event's id stands.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `GET /api/v1/events`.
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
) -> Result<Response, PublicError> {
    let client = match app.provider.authenticate_for_api(authorization(&headers), &origin).await {
        Ok(client) => client,
        Err(error) => return Ok(failure(&error)),
    };
    let Ok(permit) = Arc::clone(&app.streams).try_acquire_owned() else {
        return Err(PublicError::Unavailable(Duration::from_secs(30)));
    };
    let store = app.broker.store();
    let end = store.outbox_position().await?;
    let (position, resync) = match headers.get(LAST_EVENT_ID) {
        None => (end, false),
        Some(value) => {
            let asked: i64 = value
                .to_str()
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .filter(|position| *position >= 0)
                .ok_or(PublicError::BadRequest)?;
            let next = store.outbox_events(asked, 1).await?;
            // Positions have no gaps: if the next one kept is another, some are gone. One from
            // beyond the end is of another store.
            let first = next.first().and_then(|event| event.position).unwrap_or(end + 1);
            let lost = asked > end || first != asked + 1;
            (if asked > end { end } else { asked }, lost)
        }
    };
    let reader = Reader {
        destination: Destination { channel: Channel::Webhook, client: client.id().to_owned() },
        signal: store.outbox_signal(),
        ending: app.ending.clone(),
        position,
        resync,
        waiting: Vec::new(),
        began: Instant::now(),
        checked: Instant::now(),
        _permit: permit,
        app,
    };
    let sse = Sse::new(reader.events()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(sse.into_response())
}

struct Reader {
    app: Arc<App>,
    destination: Destination,
    signal: watch::Receiver<u64>,
    ending: watch::Receiver<bool>,
    position: i64,
    resync: bool,
    /// What was read and not sent, the next one last.
    waiting: Vec<OutboxEventRecord>,
    began: Instant,
    checked: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, |mut reader| async move {
            let event = reader.next().await?;
            Some((Ok(event), reader))
        })
    }

    /// The next event; none when the stream is over.
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.resync) {
            let id = self.position.to_string();
            return Some(Event::default().event("resync").id(id).data("{}"));
        }
        loop {
            if let Some(event) = self.waiting.pop() {
                self.position = event.position.unwrap_or(self.position);
                if self.destination.wants(&event) {
                    let id = self.position.to_string();
                    let told = self.app.provider.told(&self.destination.client, &event).await;
                    // A gone client, or an event that cannot be told: the client comes back to it.
                    let data = told.map_err(|error| error::of_provider(&error)).ok()??.to_string();
                    return Some(Event::default().event(event.kind.as_str()).id(id).data(data));
                }
                continue;
            }
            if *self.ending.borrow() || self.began.elapsed() > LIFE || !self.is_known().await {
                return None;
            }
            self.signal.mark_unchanged();
            match self.app.broker.store().outbox_events(self.position, BATCH).await {
                Ok(events) => self.waiting = events,
                Err(error) => {
                    tracing::error!(%error, "a stream of events ended");
                    return None;
                }
            }
            if !self.waiting.is_empty() {
                self.waiting.reverse();
                continue;
            }
            tokio::select! {
                () = sleep(POLL) => {}
                _ = self.ending.changed() => {}
                changed = self.signal.changed() => {
                    // Positions are given a moment after the event was written.
                    sleep(Duration::from_millis(if changed.is_ok() { 20 } else { 300 })).await;
                }
            }
        }
    }

    /// Whether the client is still there; asked for once a keep-alive.
    async fn is_known(&mut self) -> bool {
        if self.checked.elapsed() < KEEP_ALIVE {
            return true;
        }
        self.checked = Instant::now();
        match self.app.provider.client(&self.destination.client).await {
            Ok(client) => client.is_some(),
            Err(error) => {
                error::of_provider(&error);
                false
            }
        }
    }
}
