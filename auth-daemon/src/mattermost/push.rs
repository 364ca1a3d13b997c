//! Brings one account on a Mattermost server up to date. The gate was closed before: the event
//! was written with the change that it tells of, so whoever is out cannot come back meanwhile.

use std::time::Duration;

use auth_core::audit::AuditRecord;
use auth_core::clock::Timestamp;
use auth_core::handoff::mattermost::membership::{self, Membership};
use auth_core::handoff::mattermost::{self, RemoteUser};
use auth_core::handoff::outbox::{Channel, Destination, delivery};
use auth_core::store::{
    AccountRecord, ClientAccountRecord, NewDelivery, OutboxEventKind, OutboxEventRecord,
    OutboxLease, Store, StoreError,
};

use super::api::{Api, CallError};
use crate::outbound::Outbound;
use crate::outbox::{Aftermath, Failure, MattermostTarget};

/// Mattermost finishes a sign-in within thirty seconds after it asked us who it is, and switches
/// the account on by that; after so long it is looked at once more.
const LAST_SIGN_IN: Duration = Duration::from_secs(40);
/// Marks the deliveries that look once more, which must not hold up later ones.
const ONCE_MORE: &str = "/once-more";

/// One delivery under way.
pub(crate) struct Push<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) http: &'a Outbound,
    pub(crate) target: &'a MattermostTarget,
    pub(crate) client: &'a str,
    pub(crate) lease: OutboxLease,
    pub(crate) now: Timestamp,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Later { retry_after, error } => Self::Temporary { retry_after, error },
            other => Self::Permanent(other.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::temporary(error.to_string())
    }
}

/// The delivery that brings one account up to date, for those who just learned its id there.
pub(crate) fn first_delivery(
    client: &str,
    account: &AccountRecord,
    now: Timestamp,
) -> Result<NewDelivery, serde_json::Error> {
    let event = OutboxEventRecord {
        sequence: 0,
        position: None,
        id: String::new(),
        at: now,
        kind: OutboxEventKind::AccountUpdated,
        account: Some(account.id),
        numeric_id: Some(account.numeric_id),
        client: Some(client.to_owned()),
        session: None,
        reason: None,
    };
    let body = serde_json::to_string(&event)?;
    Ok(delivery(&destination(client), &account.id.to_string(), body, now))
}

fn destination(client: &str) -> Destination {
    Destination { channel: Channel::Mattermost, client: client.to_owned() }
}

impl Push<'_> {
    /// Does what the event calls for, as both sides are now.
    pub(crate) async fn bring_up_to_date(
        &self,
        event: &OutboxEventRecord,
        subject: &str,
        aftermath: &mut Aftermath,
    ) -> Result<(), Failure> {
        let api = Api { http: self.http, target: self.target };
        let Some(id) = event.account else {
            return Ok(api.end_all_sessions().await?);
        };
        let Some(account) = self.store.account(id).await? else { return Ok(()) };
        let known = self.store.client_account(self.client, id).await?;
        let Some((known, remote_id)) = known.and_then(|one| {
            let remote_id = one.remote_id.clone()?;
            Some((one, remote_id))
        }) else {
            if event.kind == OutboxEventKind::AccountDisabled {
                aftermath.audit.push(self.finding(&account, "not_known_there"));
            }
            return Ok(());
        };
        let remote = match api.user(&remote_id).await {
            Err(CallError::NotFound) => {
                aftermath.audit.push(self.finding(&account, "gone_there"));
                return Err(Failure::Permanent(format!("user {remote_id} is gone there")));
            }
            other => other?,
        };
        // Looking once more, only what came back matters.
        let kind = match subject.ends_with(ONCE_MORE) {
            true => OutboxEventKind::AccountUpdated,
            false => event.kind,
        };
        let known = self.perform(&api, kind, &account, &remote, known, aftermath).await?;
        let deactivated_now = remote.delete_at == 0 && !account.active;
        if deactivated_now {
            let body = serde_json::to_string(event)
                .map_err(|error| Failure::Permanent(error.to_string()))?;
            let subject = format!("{id}{ONCE_MORE}");
            let mut again = delivery(&destination(self.client), &subject, body, self.now);
            again.due_at = self.now + LAST_SIGN_IN;
            aftermath.further.push(again);
        }
        if account.active && (remote.delete_at == 0 || known.deactivated) {
            self.bring_memberships(&api, &account, &remote.id, known).await?;
        }
        Ok(())
    }

    async fn perform(
        &self,
        api: &Api<'_>,
        kind: OutboxEventKind,
        account: &AccountRecord,
        remote: &RemoteUser,
        mut known: ClientAccountRecord,
        aftermath: &mut Aftermath,
    ) -> Result<ClientAccountRecord, Failure> {
        let calls = mattermost::plan(account, remote, known.deactivated, kind);
        // Noted before the call: if we end between the two, it is still known whose doing it was.
        let deactivated = match account.active {
            false => known.deactivated || remote.delete_at == 0,
            true => known.deactivated && remote.delete_at != 0,
        };
        if deactivated != known.deactivated {
            known.deactivated = deactivated;
            known = self.write(known).await?;
        }
        for call in calls {
            let name = match call {
                mattermost::Push::Deactivate => {
                    api.set_active(&remote.id, false).await?;
                    "mattermost.deactivated"
                }
                mattermost::Push::Activate => {
                    api.set_active(&remote.id, true).await?;
                    "mattermost.activated"
                }
                mattermost::Push::EndSessions => {
                    api.end_sessions(&remote.id).await?;
                    "mattermost.sessions_ended"
                }
                mattermost::Push::Patch(fields) => {
                    api.patch(&remote.id, fields).await?;
                    "mattermost.profile_changed"
                }
            };
            aftermath.audit.push(self.event(name, account).with("user", remote.id.as_str()));
        }
        Ok(known)
    }

    /// Adds what the groups bring, and takes away what we added and they bring no more.
    async fn bring_memberships(
        &self,
        api: &Api<'_>,
        account: &AccountRecord,
        user: &str,
        mut known: ClientAccountRecord,
    ) -> Result<(), Failure> {
        let wanted = membership::wanted(&account.groups, &self.target.memberships);
        let mut ours = membership::noted(&known.memberships);
        if wanted.is_empty() && ours.is_empty() {
            return Ok(());
        }
        let changes = membership::changes(&wanted, &ours);
        for one in changes.wanted {
            let Some((kind, id)) = place(api, &one).await? else {
                return Err(Failure::temporary(format!("there is no {}", describe(&one))));
            };
            if api.is_member(kind, &id, user).await? {
                continue;
            }
            // Noted first: a note too many takes nobody out who was not put in by us, because
            // the person is no member now.
            if !ours.contains(&one) {
                ours.push(one);
                known.memberships = membership::note(&ours);
                known = self.write(known).await?;
            }
            api.add_member(kind, &id, user).await?;
        }
        for one in changes.surplus {
            if let Some((kind, id)) = place(api, &one).await? {
                match api.remove_member(kind, &id, user).await {
                    Ok(()) | Err(CallError::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            ours.retain(|held| *held != one);
            known.memberships = membership::note(&ours);
            known = self.write(known).await?;
        }
        Ok(())
    }

    async fn write(&self, mut record: ClientAccountRecord) -> Result<ClientAccountRecord, Failure> {
        record.updated_at = self.now;
        if self.store.update_client_account(self.lease, record.clone()).await? {
            record.version += 1;
            Ok(record)
        } else {
            Err(Failure::temporary("another node works on this account"))
        }
    }

    fn event(&self, name: &str, account: &AccountRecord) -> AuditRecord {
        AuditRecord::new(self.now, name).client(self.client).account(&account.username)
    }

    fn finding(&self, account: &AccountRecord, reason: &str) -> AuditRecord {
        self.event("mattermost.not_pushed", account).failed(reason)
    }
}

/// What a membership is of: `teams` or `channels`, and the id. `None` when it is not there.
async fn place(
    api: &Api<'_>,
    membership: &Membership,
) -> Result<Option<(&'static str, String)>, CallError> {
    let found = async {
        let team = api.team_id(&membership.team).await?;
        match &membership.channel {
            None => Ok(("teams", team)),
            Some(channel) => Ok(("channels", api.channel_id(&team, channel).await?)),
        }
    };
    match found.await {
        Ok(found) => Ok(Some(found)),
        Err(CallError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn describe(membership: &Membership) -> String {
    match &membership.channel {
        None => format!("team {:?}", membership.team),
        Some(channel) => format!("channel {channel:?} in team {:?}", membership.team),
    }
}
