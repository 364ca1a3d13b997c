//! Many local accounts at once, written through the store: the same record and password hash as the
//! one that the command line made, under other names.

use anyhow::{Context, Result};
use auth_core::account::{email_key, normalise};
use auth_core::connector::LOCAL;
use auth_core::store::{AccountId, IdentityRecord, NewAccount};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::site::{PERSON, Site};

/// Makes accounts with the password of [`PERSON`]; returns their user names.
pub(super) async fn create(site: &Site, count: usize) -> Result<Vec<String>> {
    let store = auth_store::open(&site.store(), &[]).await?;
    let model = store.account_by_username(&normalise(PERSON)).await?.context("no account")?;
    let password = store.password(model.id).await?.context("no password")?;
    let names: Vec<String> = (0..count).map(|number| format!("{PERSON}-{number}")).collect();
    let mut tasks = JoinSet::new();
    for name in &names {
        let (mut account, mut password) = (model.clone(), password.clone());
        let email = format!("{name}@example.org");
        account.id = AccountId(Uuid::now_v7());
        account.username_key = normalise(name);
        account.username.clone_from(name);
        account.email_key = email_key(&email);
        account.email = Some(email);
        password.account = account.id;
        let identity = IdentityRecord {
            connector: LOCAL.into(),
            subject: account.id.to_string(),
            account: account.id,
            linked_at: account.created_at,
        };
        let new = NewAccount { account, identity: Some(identity), password: Some(password) };
        let store = store.clone();
        tasks.spawn(async move { store.create_account(new, Vec::new()).await });
    }
    while let Some(made) = tasks.join_next().await {
        made??;
    }
    store.close().await;
    Ok(names)
}
