//! Just before a first sign-in: the account is made on the Mattermost server, bound to its number,
//! so that its id there is known from then on. Without that a later disabling could not reach it,
//! because Mattermost never tells which account belongs to which number.

use std::time::Duration;

use auth_core::audit::{AuditRecord, Origin};
use auth_core::broker::provider::GitlabIdentity;
use auth_core::clock::Timestamp;
use auth_core::handoff::gitlab::Person;
use auth_core::handoff::mattermost::new_user;
use auth_core::store::{Store, StoreError};
use tokio::time::timeout;

use super::api::{Api, CallError};
use super::push::first_delivery;
use crate::outbox::Targets;

/// The server waits for our answer meanwhile, thirty seconds at most.
const PATIENCE: Duration = Duration::from_secs(8);

/// Makes the account there if it is not known yet. Whatever goes wrong, the sign-in goes on:
/// Mattermost then decides by itself, and the audit trail says that the push will not reach it.
pub(crate) async fn prepare(
    store: &dyn Store,
    targets: &Targets,
    identity: &GitlabIdentity,
    origin: &Origin,
    now: Timestamp,
) {
    let client = identity.client().id();
    let Some(target) = targets.mattermost.get(client).filter(|target| target.create_accounts)
    else {
        return;
    };
    let api = Api { http: &targets.http, target };
    let made = timeout(PATIENCE, make(store, api, identity, now)).await;
    let reason = match made {
        Ok(Ok(_)) => return,
        Ok(Err(Refusal::Store(error))) => {
            tracing::error!(%error, "an account's id at a client not stored");
            "store"
        }
        Ok(Err(Refusal::Call(CallError::Refused { status, id, .. }))) => {
            tracing::warn!(client, status, id, "an account was not made before its sign-in");
            "exists_there_already"
        }
        Ok(Err(Refusal::Call(error))) => {
            tracing::warn!(client, %error, "an account was not made before its sign-in");
            "not_reached"
        }
        Err(_) => "timeout",
    };
    let event = AuditRecord::new(now, "mattermost.not_known")
        .failed(reason)
        .client(client)
        .account(&identity.account().username)
        .from_request(origin);
    event.log();
    if let Err(error) = store.append_audit(vec![event]).await {
        tracing::error!(%error, "audit event not stored");
    }
}

enum Refusal {
    Store(StoreError),
    Call(CallError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn is_known(
    store: &dyn Store,
    client: &str,
    identity: &GitlabIdentity,
) -> Result<bool, StoreError> {
    let known = store.client_account(client, identity.account().id).await?;
    Ok(known.is_some_and(|known| known.remote_id.is_some()))
}

async fn make(
    store: &dyn Store,
    api: Api<'_>,
    identity: &GitlabIdentity,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (client, account) = (identity.client().id(), identity.account());
    if is_known(store, client, identity).await? {
        return Ok(());
    }
    let Ok(person) = Person::of(account) else { return Ok(()) };
    let username = identity.username();
    // A bot or a password account may have the name there: then with the number behind it, as the
    // sign-in itself would get another one too.
    let numbered = format!("{}-{}", username.get(..46).unwrap_or(username), account.numeric_id);
    let mut made = api.create_user(new_user(account, username, person.email())).await;
    if matches!(made, Err(CallError::Refused { .. })) {
        made = api.create_user(new_user(account, &numbered, person.email())).await;
    }
    if matches!(made, Err(CallError::Refused { .. })) && is_known(store, client, identity).await? {
        // Another sign-in of the same person came first.
        return Ok(());
    }
    let remote = made.map_err(Refusal::Call)?;
    let delivery = first_delivery(client, account, now)
        .map_err(|error| Refusal::Store(StoreError::Corrupt { message: error.to_string() }))?;
    let event = AuditRecord::new(now, "mattermost.created")
        .client(client)
        .account(&account.username)
        .with("user", remote.id.as_str());
    let audit = vec![event.clone()];
    store.pin_remote(client, account.id, &remote.id, now, vec![delivery], audit).await?;
    event.log();
    Ok(())
}
