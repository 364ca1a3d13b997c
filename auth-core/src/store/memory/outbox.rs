//! The outbox: events of what changed, and their deliveries.

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use super::{MemoryStore, State};
use crate::audit::{AuditRecord, Outcome};
use crate::clock::Timestamp;
use crate::random::{Random as _, SystemRandom};
use crate::store::outbox::{EVENTS_KEPT_MILLIS, SECURITY_CHANGES};
use crate::store::{
    AccountId, AccountRecord, DeliveryOutcome, DeliveryRecord, NewDelivery, OutboxEventKind,
    OutboxEventRecord, OutboxLease, OutboxLoad, OutboxStore, SessionRecord, StoreError,
};

/// Events, deliveries and the lease.
#[derive(Clone, Default)]
pub(super) struct Outbox {
    events: Vec<OutboxEventRecord>,
    last_sequence: i64,
    position: i64,
    deliveries: Vec<DeliveryRecord>,
    last_delivery: i64,
    generation: i64,
    holder: Option<(Uuid, Timestamp)>,
    /// Number of the last event, for those who wait.
    signal: watch::Sender<u64>,
}

impl Outbox {
    fn add(&mut self, event: OutboxEventRecord) {
        self.last_sequence += 1;
        self.events.push(OutboxEventRecord { sequence: self.last_sequence, ..event });
        self.signal.send_modify(|number| *number += 1);
    }

    pub(super) fn is_held_by(&self, lease: OutboxLease) -> bool {
        self.holder.is_some() && self.generation == lease.generation
    }

    pub(super) fn deliver(&mut self, new: NewDelivery) {
        self.last_delivery += 1;
        self.deliveries.push(DeliveryRecord {
            id: self.last_delivery,
            destination: new.destination,
            subject: new.subject,
            body: new.body,
            created_at: new.created_at,
            due_at: new.due_at,
            expires_at: new.expires_at,
            attempts: 0,
            dead_at: new.dead.is_some().then_some(new.created_at),
            last_error: new.dead,
        });
        self.signal.send_modify(|number| *number += 1);
    }

    /// Removes what is kept no longer; how many rows.
    pub(super) fn purge(&mut self, now: Timestamp) -> u64 {
        let before = self.events.len() + self.deliveries.len();
        self.events.retain(|event| event.at.millis() + EVENTS_KEPT_MILLIS > now.millis());
        self.deliveries.retain(|delivery| delivery.expires_at > now);
        (before - self.events.len() - self.deliveries.len()) as u64
    }
}

impl State {
    /// Notes what a change of an account means for others.
    pub(super) fn account_event(&mut self, before: &AccountRecord, after: &AccountRecord) {
        let kind = match (before.active, after.active) {
            (true, false) => OutboxEventKind::AccountDisabled,
            (false, true) => OutboxEventKind::AccountEnabled,
            (true, true) if is_told_differently(before, after) => OutboxEventKind::AccountUpdated,
            _ => return,
        };
        let event = event(kind, after.updated_at, after.inactive_reason.clone());
        self.outbox.add(OutboxEventRecord {
            account: Some(after.id),
            numeric_id: Some(after.numeric_id),
            ..event
        });
    }

    /// Notes what the audit trail says of an account's protection.
    pub(super) fn security_event(&mut self, record: &AuditRecord) {
        let Some(name) = record.account.as_ref().filter(|_| record.outcome == Outcome::Success)
        else {
            return;
        };
        if !SECURITY_CHANGES.contains(&record.event.as_str()) {
            return;
        }
        let Some(account) = self.accounts.values().find(|account| account.username == *name) else {
            return;
        };
        let (account, numeric_id) = (Some(account.id), Some(account.numeric_id));
        let reason = Some(record.event.clone());
        let event = event(OutboxEventKind::SecurityChanged, record.at, reason);
        self.outbox.add(OutboxEventRecord { account, numeric_id, ..event });
    }

    /// Notes the end of a client's session.
    pub(super) fn session_event(&mut self, ended: &SessionRecord, at: Timestamp) {
        if ended.client.is_none() {
            return;
        }
        let numeric_id = self.accounts.get(&ended.account).map(|account| account.numeric_id);
        let event = event(OutboxEventKind::SessionRevoked, at, ended.revoked_reason.clone());
        self.outbox.add(OutboxEventRecord {
            account: Some(ended.account),
            numeric_id,
            client: ended.client.clone(),
            session: Some(ended.id),
            ..event
        });
    }

    /// Notes the end of all sessions of an account, or of everybody.
    pub(super) fn sessions_event(
        &mut self,
        account: Option<AccountId>,
        at: Timestamp,
        reason: &str,
    ) {
        let numeric_id =
            account.and_then(|id| self.accounts.get(&id)).map(|account| account.numeric_id);
        let event = event(OutboxEventKind::SessionsRevoked, at, Some(reason.to_owned()));
        self.outbox.add(OutboxEventRecord { account, numeric_id, ..event });
    }
}

fn event(kind: OutboxEventKind, at: Timestamp, reason: Option<String>) -> OutboxEventRecord {
    let mut id = [0u8; 16];
    SystemRandom::new().fill(&mut id);
    OutboxEventRecord {
        sequence: 0,
        position: None,
        id: Uuid::from_bytes(id).simple().to_string(),
        at,
        kind,
        account: None,
        numeric_id: None,
        client: None,
        session: None,
        reason,
    }
}

/// Whether clients are told something else of the account now.
fn is_told_differently(before: &AccountRecord, after: &AccountRecord) -> bool {
    before.username != after.username
        || before.email != after.email
        || before.email_verified != after.email_verified
        || before.first_name != after.first_name
        || before.last_name != after.last_name
        || before.nickname != after.nickname
        || before.position != after.position
        || before.locale != after.locale
        || before.roles != after.roles
        || before.groups != after.groups
}

#[async_trait]
impl OutboxStore for MemoryStore {
    fn outbox_signal(&self) -> watch::Receiver<u64> {
        // A closed store has nothing to say: the receiver of a sender that is gone.
        self.open().map_or_else(
            |_| watch::Sender::new(0).subscribe(),
            |state| state.outbox.signal.subscribe(),
        )
    }

    async fn hold_outbox(
        &self,
        holder: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<OutboxLease>, StoreError> {
        let mut state = self.open()?;
        let outbox = &mut state.outbox;
        match outbox.holder {
            Some((current, _)) if current == holder => {}
            Some((_, end)) if end > now => return Ok(None),
            _ => outbox.generation += 1,
        }
        outbox.holder = Some((holder, until));
        Ok(Some(OutboxLease { generation: outbox.generation }))
    }

    async fn release_outbox(&self, lease: OutboxLease) -> Result<(), StoreError> {
        let mut state = self.open()?;
        if state.outbox.is_held_by(lease)
            && let Some((holder, _)) = state.outbox.holder
        {
            state.outbox.holder = Some((holder, Timestamp::from_millis(0)));
        }
        Ok(())
    }

    async fn new_outbox_events(&self, limit: usize) -> Result<Vec<OutboxEventRecord>, StoreError> {
        let state = self.open()?;
        let new = state.outbox.events.iter().filter(|event| event.position.is_none());
        Ok(new.take(limit).cloned().collect())
    }

    async fn fan_out(
        &self,
        lease: OutboxLease,
        events: Vec<i64>,
        deliveries: Vec<NewDelivery>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let outbox = &mut state.outbox;
        if !outbox.is_held_by(lease) {
            return Ok(false);
        }
        for sequence in events {
            let found = outbox.events.iter_mut().find(|event| event.sequence == sequence);
            if let Some(event) = found.filter(|event| event.position.is_none()) {
                outbox.position += 1;
                event.position = Some(outbox.position);
            }
        }
        deliveries.into_iter().for_each(|new| outbox.deliver(new));
        Ok(true)
    }

    async fn due_deliveries(
        &self,
        destination: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let state = self.open()?;
        let mut seen = std::collections::HashSet::new();
        let pending = state
            .outbox
            .deliveries
            .iter()
            .filter(|one| one.destination == destination && one.dead_at.is_none());
        let heads = pending.filter(|one| seen.insert(one.subject.clone()));
        Ok(heads.filter(|one| one.due_at <= now).take(limit).cloned().collect())
    }

    async fn finish_delivery(
        &self,
        lease: OutboxLease,
        delivery: i64,
        outcome: DeliveryOutcome,
        further: Vec<NewDelivery>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let outbox = &mut state.outbox;
        let place =
            outbox.deliveries.iter().position(|one| one.id == delivery && one.dead_at.is_none());
        let Some(place) = place.filter(|_| outbox.is_held_by(lease)) else { return Ok(false) };
        match outcome {
            DeliveryOutcome::Done => {
                outbox.deliveries.remove(place);
            }
            DeliveryOutcome::Retry { due_at, error } => {
                if let Some(one) = outbox.deliveries.get_mut(place) {
                    one.attempts += 1;
                    one.due_at = due_at;
                    one.last_error = Some(error);
                }
            }
            DeliveryOutcome::Dead { at, error } => {
                if let Some(one) = outbox.deliveries.get_mut(place) {
                    one.attempts += 1;
                    one.dead_at = Some(at);
                    one.last_error = Some(error);
                }
            }
        }
        further.into_iter().for_each(|new| outbox.deliver(new));
        state.append(audit);
        Ok(true)
    }

    async fn outbox_events(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<OutboxEventRecord>, StoreError> {
        let state = self.open()?;
        let mut found: Vec<_> = state
            .outbox
            .events
            .iter()
            .filter(|event| event.position.is_some_and(|position| position > after))
            .cloned()
            .collect();
        found.sort_by_key(|event| event.position);
        found.truncate(limit);
        Ok(found)
    }

    async fn outbox_position(&self) -> Result<i64, StoreError> {
        Ok(self.open()?.outbox.position)
    }

    async fn outbox_load(&self) -> Result<Vec<OutboxLoad>, StoreError> {
        let state = self.open()?;
        let mut loads = std::collections::BTreeMap::new();
        for one in &state.outbox.deliveries {
            let load = loads.entry(one.destination.clone()).or_insert_with(|| OutboxLoad {
                destination: one.destination.clone(),
                pending: 0,
                dead: 0,
                oldest: None,
            });
            if one.dead_at.is_some() {
                load.dead += 1;
            } else {
                load.pending += 1;
                load.oldest = Some(load.oldest.map_or(one.created_at, |at| at.min(one.created_at)));
            }
        }
        Ok(loads.into_values().collect())
    }

    async fn deliveries(
        &self,
        destination: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let state = self.open()?;
        let of_it = state
            .outbox
            .deliveries
            .iter()
            .filter(|one| one.destination == destination && one.id > after);
        Ok(of_it.take(limit).cloned().collect())
    }

    async fn revive_deliveries(
        &self,
        destination: &str,
        now: Timestamp,
        audit: Vec<AuditRecord>,
    ) -> Result<u64, StoreError> {
        let mut state = self.open()?;
        let mut revived = 0;
        for one in &mut state.outbox.deliveries {
            if one.destination == destination && one.dead_at.is_some() {
                (one.dead_at, one.attempts, one.due_at) = (None, 0, now);
                revived += 1;
            }
        }
        state.append(audit);
        Ok(revived)
    }
}
