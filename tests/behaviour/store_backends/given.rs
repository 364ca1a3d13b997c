//! Stores on databases of a throw-away server, and what a client session needs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::{
    AccessTokenRecord, AccountId, AccountRecord, CodeRecord, CodeRedemption, LoginCompletion,
    LoginRecord, NewAccount, SessionId, SessionRecord, Store, StoreError, TokenIssue,
};
use auth_store::StoreOptions;
use auth_tests::harness::postgres::PostgresServer;

/// Bounds every wait for a condition.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

pub(super) fn options(server: &PostgresServer, database: &str) -> StoreOptions {
    StoreOptions { url: server.url(database), pool_size: Some(8), ..StoreOptions::default() }
}

/// Opens a store as one node does.
pub(super) async fn node(server: &PostgresServer, database: &str) -> Arc<dyn Store> {
    auth_store::open(&options(server, database), &[]).await.unwrap()
}

/// Asks until the answer is yes.
pub(super) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < LIMIT, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + seconds)
}

pub(super) fn hash(what: &str, n: u128) -> TokenHash {
    TokenHash::of(format!("{what} {n}").as_bytes())
}

fn id(kind: u128, n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128((kind << 64) + n)
}

pub(super) fn account(n: u128) -> AccountRecord {
    AccountRecord {
        id: AccountId(id(1, n)),
        numeric_id: 0,
        username: format!("Person{n}"),
        username_key: format!("person{n}"),
        email: None,
        email_key: None,
        email_verified: false,
        first_name: None,
        last_name: None,
        nickname: None,
        position: None,
        locale: None,
        active: true,
        inactive_reason: None,
        roles: vec!["member".to_owned()],
        groups: vec![],
        created_at: at(0),
        updated_at: at(0),
        last_login_at: None,
        checked_at: None,
        version: 0,
    }
}

pub(super) fn new_account(n: u128) -> NewAccount {
    NewAccount { account: account(n), identity: None, password: None }
}

fn session(n: u128, parent: Option<SessionId>) -> SessionRecord {
    SessionRecord {
        id: SessionId(id(if parent.is_some() { 3 } else { 2 }, n)),
        account: account(n).id,
        client: parent.map(|_| "chat".to_owned()),
        parent,
        kind: if parent.is_some() { "web" } else { "browser" }.to_owned(),
        connector: "local".to_owned(),
        amr: vec!["pwd".to_owned()],
        acr: "urn:auth:aal1".to_owned(),
        scope: String::new(),
        authenticated_at: at(0),
        created_at: at(0),
        last_seen_at: at(0),
        idle_timeout_millis: 0,
        expires_at: at(1_000_000),
        ip: None,
        user_agent: None,
        revoked_at: None,
        revoked_reason: None,
    }
}

/// A signed-in person with a client session.
pub(super) struct Client {
    pub(super) browser: SessionId,
    pub(super) session: SessionId,
    pub(super) access: TokenHash,
}

/// Signs person `n` in and redeems a code for a client session.
pub(super) async fn client(store: &dyn Store, n: u128) -> Result<Client, StoreError> {
    store.create_account(new_account(n), vec![]).await?;
    client_of_existing(store, n).await
}

async fn client_of_existing(store: &dyn Store, n: u128) -> Result<Client, StoreError> {
    let login = LoginRecord {
        handle: hash("login", n),
        browser: hash("browser", n),
        version: 1,
        state: "{}".to_owned(),
        created_at: at(0),
        expires_at: at(600),
    };
    store.add_login(login.clone()).await?;
    let browser = session(n, None);
    let completion = LoginCompletion {
        login,
        account: None,
        session: browser.clone(),
        replaces: None,
        factor: None,
        clear_throttle: vec![],
        audit: vec![],
    };
    assert!(store.complete_login(completion).await?, "the login completes");
    let code = CodeRecord {
        hash: hash("code", n),
        client: "chat".to_owned(),
        account: browser.account,
        session: browser.id,
        redirect_uri: "https://chat.example.org/callback".to_owned(),
        code_challenge: None,
        nonce: None,
        scope: "openid".to_owned(),
        created_at: at(0),
        expires_at: at(60),
        redeemed_for: None,
    };
    store.add_code(code.clone()).await?;
    let record = session(n, Some(browser.id));
    let access = AccessTokenRecord {
        hash: hash("access", n),
        session: record.id,
        scope: "openid".to_owned(),
        created_at: at(0),
        expires_at: at(3600),
    };
    let client = Client { browser: browser.id, session: record.id, access: access.hash };
    let issue = TokenIssue { access, refresh: None };
    let redemption = store.redeem_code(code.hash, record, issue, vec![]).await?;
    assert_eq!(redemption, CodeRedemption::Redeemed);
    Ok(client)
}
