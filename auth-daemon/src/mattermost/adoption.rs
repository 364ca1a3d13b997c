//! Moving existing accounts over: reads both sides for a plan, and carries out a plan that a
//! person read. Each account is looked at again just before it is changed.

use anyhow::Context as _;
use auth_core::audit::{AuditRecord, Origin};
use auth_core::clock::Timestamp;
use auth_core::handoff::mattermost::RemoteUser;
use auth_core::handoff::mattermost::adoption::{
    Adoption, AdoptionChoices, AdoptionPlan, plan, still_holds,
};
use auth_core::store::{AccountPage, AccountRecord, ClientAccountRecord, Store, StoreError};

use super::api::{Api, CallError};
use super::push::first_delivery;

/// Rows of one page of the store.
const PAGE: usize = 500;

/// Reads both sides and makes the plan; changes nothing.
pub(crate) async fn make_plan(
    store: &dyn Store,
    api: Api<'_>,
    client: &str,
    choices: &AdoptionChoices,
    now: Timestamp,
) -> anyhow::Result<AdoptionPlan> {
    let mut users: Vec<RemoteUser> = Vec::new();
    for page in 0.. {
        let mut read = api.users(page).await.context("reading the server's accounts")?;
        if read.is_empty() {
            break;
        }
        users.append(&mut read);
    }
    // An account that came while the pages were read may stand on two of them.
    users.sort_by(|a, b| a.id.cmp(&b.id));
    users.dedup_by(|a, b| a.id == b.id);
    let accounts = accounts(store).await?;
    let known = known(store, client).await?;
    let mut made = plan(&users, &accounts, &known, choices);
    made.client = client.to_owned();
    made.server = api.target.url.to_string();
    made.made_at = now.rfc3339();
    Ok(made)
}

/// All accounts of the store.
pub(crate) async fn accounts(store: &dyn Store) -> Result<Vec<AccountRecord>, StoreError> {
    let mut all: Vec<AccountRecord> = Vec::new();
    loop {
        let after = all.last().map(|last| last.username_key.clone());
        let mut page = store.accounts(AccountPage { after, limit: PAGE }).await?;
        let full = page.len() == PAGE;
        all.append(&mut page);
        if !full {
            return Ok(all);
        }
    }
}

async fn known(store: &dyn Store, client: &str) -> Result<Vec<ClientAccountRecord>, StoreError> {
    let mut all: Vec<ClientAccountRecord> = Vec::new();
    loop {
        let after = all.last().map(|last| last.account);
        let mut page = store.client_accounts(client, after, PAGE).await?;
        let full = page.len() == PAGE;
        all.append(&mut page);
        if !full {
            return Ok(all);
        }
    }
}

/// What became of one account of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// It signs in through us from now on, and its sessions are ended.
    Done,
    /// It did before.
    Already,
    /// Left alone, for this reason.
    Not(String),
}

/// Carries out one line of a plan. `dry_run` stops before the first change.
///
/// # Errors
/// When the store fails or the server does not answer: nothing further should be tried then.
pub(crate) async fn adopt(
    store: &dyn Store,
    api: Api<'_>,
    client: &str,
    adoption: &Adoption,
    dry_run: bool,
    origin: &Origin,
    now: Timestamp,
) -> anyhow::Result<Adopted> {
    let id = &adoption.mattermost.id;
    let user = match api.user(id).await {
        Err(CallError::NotFound) => return Ok(Adopted::Not("user_gone_there".to_owned())),
        other => other.with_context(|| format!("reading user {id}"))?,
    };
    let account = store.account(adoption.account.id).await?;
    let known = store.client_account(client, adoption.account.id).await?;
    match known.as_ref().and_then(|known| known.remote_id.as_deref()) {
        Some(held) if held == id => return Ok(Adopted::Already),
        Some(_) => return Ok(Adopted::Not("account_has_another_user_already".to_owned())),
        None => {}
    }
    if store.client_account_by_remote(client, id).await?.is_some() {
        return Ok(Adopted::Not("is_another_accounts_already".to_owned()));
    }
    if let Err(reason) = still_holds(adoption, &user, account.as_ref()) {
        return Ok(Adopted::Not(reason.to_owned()));
    }
    let Some(account) = account else { return Ok(Adopted::Not("account_gone_here".to_owned())) };
    if dry_run {
        return Ok(Adopted::Done);
    }
    // The server keeps each number unique: if another account has it, this is refused.
    match api.set_auth(id, account.numeric_id).await {
        Ok(()) => {}
        Err(CallError::Refused { status, id, .. }) => {
            return Ok(Adopted::Not(format!("refused_there ({status} {id})")));
        }
        Err(error) => return Err(error).with_context(|| format!("moving user {id}")),
    }
    let event = AuditRecord::new(now, "mattermost.adopted")
        .client(client)
        .account(&account.username)
        .from_request(origin)
        .with("user", id.as_str())
        .with("user_name", user.username.as_str())
        .with("user_email", user.email.as_str())
        .with("signed_in_by", user.auth_service.as_str())
        .with("numeric_id", account.numeric_id);
    let delivery = first_delivery(client, &account, now)?;
    store.pin_remote(client, account.id, id, now, vec![delivery], vec![event.clone()]).await?;
    event.log();
    // The old password is dead, but not what was signed in with it.
    api.end_sessions(id).await.with_context(|| format!("ending the sessions of user {id}"))?;
    Ok(Adopted::Done)
}
