//! The worker: one at a time over all nodes, by a lease. It gives new events their places, writes
//! the deliveries that they mean, and makes those that are due, of each person one after the other
//! and of different people side by side.
//!
//! It is woken by the store and looks by itself several times a second, because another process
//! (the command line) may have written. What an attempt came to is written only if the lease is
//! still ours; if not, whoever took over makes the delivery again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use auth_core::broker::provider::{BackchannelTarget, Provider};
use auth_core::clock::{Clock, Timestamp};
use auth_core::handoff::outbox::{Channel, Destination, QUEUE_LENGTH, fan_out, notice, retry_at};
use auth_core::random::Random;
use auth_core::store::{
    DeliveryOutcome, DeliveryRecord, NewDelivery, OutboxEventRecord, OutboxLease, Store, StoreError,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::Targets;
use super::attempt::{Aftermath, Failure, post_logout_token, post_webhook};
use crate::mattermost::push;

/// How long the lease holds; a node that died is replaced after so long.
const LEASE: Duration = Duration::from_secs(5);
/// It is renewed when so much of it is left.
const RENEW: Duration = Duration::from_secs(3);
/// Pause between looks without a signal.
const POLL: Duration = Duration::from_millis(300);
/// Pause after a pass, so that many commits do not mean as many passes.
const BREATH: Duration = Duration::from_millis(20);
/// How long the list of those who listen is kept.
const LISTENERS: Duration = Duration::from_secs(2);
/// Pause of a destination after a failure that asked for none.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Events of one batch.
const BATCH: usize = 200;
/// Attempts under way at one destination.
const PARALLEL: usize = 4;
/// How long attempts under way may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// What the worker works with.
pub(crate) struct Worker {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) targets: Arc<Targets>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// What it remembers between passes. None of it has to outlive the process.
struct Memory {
    holder: Uuid,
    lease: Option<(OutboxLease, Timestamp)>,
    listeners: Arc<Vec<BackchannelTarget>>,
    destinations: Vec<Destination>,
    looked_at: Option<Instant>,
    waiting: HashMap<String, u64>,
    paused: HashMap<Destination, Timestamp>,
    under_way: HashMap<Destination, HashSet<i64>>,
    attempts: JoinSet<Finished>,
}

/// The end of an attempt.
struct Finished {
    destination: Destination,
    delivery: i64,
    paused_until: Option<Timestamp>,
}

impl Worker {
    /// Works until `ending` turns true.
    pub(crate) async fn run(self: Arc<Self>, mut ending: watch::Receiver<bool>) {
        let mut memory = Memory {
            holder: Uuid::now_v7(),
            lease: None,
            listeners: Arc::default(),
            destinations: Vec::new(),
            looked_at: None,
            waiting: HashMap::new(),
            paused: HashMap::new(),
            under_way: HashMap::new(),
            attempts: JoinSet::new(),
        };
        let mut signal = self.store.outbox_signal();
        let mut complained = false;
        while !*ending.borrow() {
            signal.mark_unchanged();
            match self.pass(&mut memory).await {
                Ok(()) => complained = false,
                Err(error) if !complained => {
                    tracing::error!(%error, "the outbox cannot be worked on");
                    complained = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(POLL) => {}
                changed = signal.changed() => {
                    if changed.is_err() {
                        sleep(POLL).await;
                    }
                }
                Some(finished) = memory.attempts.join_next() => memory.forget(finished),
                _ = ending.changed() => {}
            }
            sleep(BREATH).await;
        }
        let drained = async { while memory.attempts.join_next().await.is_some() {} };
        if timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("deliveries under way were cut off; they are made again");
        }
        if let Some((lease, _)) = memory.lease
            && let Err(error) = self.store.release_outbox(lease).await
        {
            tracing::warn!(%error, "the outbox was not handed over; it is free in a few seconds");
        }
    }

    async fn pass(self: &Arc<Self>, memory: &mut Memory) -> Result<(), StoreError> {
        while let Some(finished) = memory.attempts.try_join_next() {
            memory.forget(finished);
        }
        let Some(lease) = self.hold(memory).await? else { return Ok(()) };
        self.look_for_listeners(memory).await?;
        loop {
            let events = self.store.new_outbox_events(BATCH).await?;
            if events.is_empty() {
                break;
            }
            if !self.place(memory, lease, &events).await? {
                memory.lease = None;
                return Ok(());
            }
        }
        for destination in memory.destinations.clone() {
            self.begin_due(memory, lease, destination).await?;
        }
        Ok(())
    }

    /// The lease, renewed in time; none while another node has it.
    async fn hold(&self, memory: &mut Memory) -> Result<Option<OutboxLease>, StoreError> {
        let now = self.clock.now();
        if let Some((lease, until)) = memory.lease
            && until.since(now) > RENEW
        {
            return Ok(Some(lease));
        }
        let until = now + LEASE;
        let held = self.store.hold_outbox(memory.holder, now, until).await?;
        if held.is_some() && memory.lease.is_none() {
            tracing::info!(event = "outbox.held", "this node delivers events now");
        }
        memory.lease = held.map(|lease| (lease, until));
        Ok(held)
    }

    async fn look_for_listeners(&self, memory: &mut Memory) -> Result<(), StoreError> {
        if memory.looked_at.is_some_and(|at| at.elapsed() < LISTENERS) {
            return Ok(());
        }
        match self.provider.backchannel_targets().await {
            Ok(listeners) => memory.listeners = Arc::new(listeners),
            Err(error) => tracing::error!(%error, "clients with back-channel logout not read"),
        }
        memory.destinations = self.targets.destinations();
        memory.destinations.extend(memory.listeners.iter().map(|one| Destination {
            channel: Channel::BackchannelLogout,
            client: one.client.clone(),
        }));
        let load = self.store.outbox_load().await?;
        memory.waiting = load.into_iter().map(|one| (one.destination, one.pending)).collect();
        memory.looked_at = Some(Instant::now());
        Ok(())
    }

    /// Gives a batch of events their places and writes their deliveries.
    async fn place(
        &self,
        memory: &mut Memory,
        lease: OutboxLease,
        events: &[OutboxEventRecord],
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let mut deliveries: Vec<NewDelivery> = Vec::new();
        for event in events {
            let made = fan_out(event, &memory.destinations, now)
                .map_err(|error| StoreError::Corrupt { message: error.to_string() })?;
            deliveries.extend(made);
        }
        for delivery in &mut deliveries {
            let waiting = memory.waiting.entry(delivery.destination.clone()).or_default();
            *waiting += 1;
            if *waiting > QUEUE_LENGTH {
                delivery.dead = Some(format!("more than {QUEUE_LENGTH} deliveries wait"));
            }
        }
        let sequences = events.iter().map(|event| event.sequence).collect();
        self.store.fan_out(lease, sequences, deliveries).await
    }

    /// Begins attempts at what is due at a destination.
    async fn begin_due(
        self: &Arc<Self>,
        memory: &mut Memory,
        lease: OutboxLease,
        destination: Destination,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        if memory.paused.get(&destination).is_some_and(|until| *until > now) {
            return Ok(());
        }
        let under_way = memory.under_way.entry(destination.clone()).or_default();
        let free = PARALLEL.saturating_sub(under_way.len());
        if free == 0 {
            return Ok(());
        }
        let name = destination.to_string();
        let due = self.store.due_deliveries(&name, now, PARALLEL + under_way.len()).await?;
        let fresh: Vec<DeliveryRecord> =
            due.into_iter().filter(|one| !under_way.contains(&one.id)).take(free).collect();
        for delivery in fresh {
            under_way.insert(delivery.id);
            let (worker, listeners) = (Arc::clone(self), Arc::clone(&memory.listeners));
            let to = destination.clone();
            memory
                .attempts
                .spawn(async move { worker.attempt(lease, to, delivery, &listeners).await });
        }
        Ok(())
    }

    async fn attempt(
        &self,
        lease: OutboxLease,
        destination: Destination,
        delivery: DeliveryRecord,
        listeners: &[BackchannelTarget],
    ) -> Finished {
        let begun = Instant::now();
        let mut aftermath = Aftermath::default();
        let outcome = self.make(lease, &destination, &delivery, listeners, &mut aftermath).await;
        let now = self.clock.now();
        let channel = destination.channel;
        let (outcome, result, paused_until) = match outcome {
            Ok(()) => (DeliveryOutcome::Done, "delivered", None),
            Err(Failure::Permanent(error)) => {
                (DeliveryOutcome::Dead { at: now, error }, "dead", None)
            }
            Err(Failure::Temporary { retry_after, error }) => {
                let attempts = delivery.attempts + 1;
                let noise = self.noise();
                let at = retry_at(channel, delivery.created_at, attempts, retry_after, noise, now);
                let paused = now + retry_after.unwrap_or(AFTER_FAILURE).min(LONGEST_PAUSE);
                match at {
                    Some(due_at) => {
                        (DeliveryOutcome::Retry { due_at, error }, "failed", Some(paused))
                    }
                    None => (DeliveryOutcome::Dead { at: now, error }, "dead", Some(paused)),
                }
            }
        };
        if let DeliveryOutcome::Retry { error, .. } | DeliveryOutcome::Dead { error, .. } = &outcome
        {
            let attempts = delivery.attempts + 1;
            tracing::warn!(%destination, delivery = delivery.id, attempts, %error, result, "delivery failed");
        }
        let labels = [("channel", channel.as_str()), ("result", result)];
        metrics::counter!("auth_outbox_deliveries_total", &labels).increment(1);
        metrics::histogram!("auth_outbox_delivery_duration_seconds", "channel" => channel.as_str())
            .record(begun.elapsed().as_secs_f64());
        let Aftermath { further, audit } = aftermath;
        let told = audit.clone();
        match self.store.finish_delivery(lease, delivery.id, outcome, further, audit).await {
            Ok(true) => told.iter().for_each(auth_core::audit::AuditRecord::log),
            Ok(false) => tracing::info!(%destination, "another node delivers meanwhile"),
            Err(error) => tracing::error!(%error, %destination, "a delivery's end not stored"),
        }
        Finished { destination, delivery: delivery.id, paused_until }
    }

    async fn make(
        &self,
        lease: OutboxLease,
        destination: &Destination,
        delivery: &DeliveryRecord,
        listeners: &[BackchannelTarget],
        aftermath: &mut Aftermath,
    ) -> Result<(), Failure> {
        let event: OutboxEventRecord = serde_json::from_str(&delivery.body)
            .map_err(|error| Failure::Permanent(format!("the stored event: {error}")))?;
        let gone = || Failure::Permanent("the destination is not configured any more".to_owned());
        match destination.channel {
            Channel::Webhook => {
                let target = self.targets.webhooks.get(&destination.client).ok_or_else(gone)?;
                let body = self.provider.told(&destination.client, &event).await;
                let body = body.map_err(|error| Failure::temporary(error.to_string()))?;
                let body = body.ok_or_else(gone)?.to_string();
                post_webhook(&self.targets, target, &event, body, self.clock.now()).await
            }
            Channel::Notice => {
                let target = self.targets.notices.as_ref().ok_or_else(gone)?;
                let account = match event.account {
                    Some(id) => self.store.account(id).await,
                    None => Ok(None),
                };
                let account = account.map_err(|error| Failure::temporary(error.to_string()))?;
                // Whose account is gone has nobody to be told.
                let Some(account) = account else { return Ok(()) };
                let body = notice(&event, &account).to_string();
                post_webhook(&self.targets, target, &event, body, self.clock.now()).await
            }
            Channel::BackchannelLogout => {
                let provider = &self.provider;
                post_logout_token(&self.targets, provider, destination, listeners, &event).await
            }
            Channel::Mattermost => {
                let target = self.targets.mattermost.get(&destination.client).ok_or_else(gone)?;
                let push = push::Push {
                    store: self.store.as_ref(),
                    http: &self.targets.http,
                    target,
                    client: &destination.client,
                    lease,
                    now: self.clock.now(),
                };
                push.bring_up_to_date(&event, &delivery.subject, aftermath).await
            }
        }
    }

    fn noise(&self) -> u8 {
        let mut byte = [0];
        self.random.fill(&mut byte);
        byte[0]
    }
}

/// A destination is not left alone for longer by one answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

impl Memory {
    fn forget(&mut self, finished: Result<Finished, tokio::task::JoinError>) {
        match finished {
            Ok(Finished { destination, delivery, paused_until }) => {
                if let Some(under_way) = self.under_way.get_mut(&destination) {
                    under_way.remove(&delivery);
                }
                if let Some(until) = paused_until {
                    self.paused.insert(destination, until);
                }
            }
            Err(error) => {
                tracing::error!(%error, "an attempt's task failed");
                // Whose it was is not known: none may stay blocked by it.
                self.under_way.clear();
            }
        }
    }
}

/// Brings the gauges of the outbox up to date.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
pub(crate) async fn observe(store: &dyn Store, now: Timestamp) {
    let load = match store.outbox_load().await {
        Ok(load) => load,
        Err(error) => return tracing::warn!(%error, "the outbox not counted"),
    };
    for one in load {
        let age = one.oldest.map_or(0.0, |at| now.since(at).as_secs_f64());
        let label = || [("destination", one.destination.clone())];
        metrics::gauge!("auth_outbox_pending", &label()).set(one.pending as f64);
        metrics::gauge!("auth_outbox_dead", &label()).set(one.dead as f64);
        metrics::gauge!("auth_outbox_oldest_seconds", &label()).set(age);
    }
}
