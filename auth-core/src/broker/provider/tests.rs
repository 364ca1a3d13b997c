//! The provider over the memory store: what clients really get, and what they never get.

mod clients;
mod code_flow;
mod grants;
mod keys;
mod refresh;
mod sessions;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use openidconnect::{PkceCodeChallenge, PkceCodeVerifier};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::*;
use crate::audit::Origin;
use crate::handoff::acr::AuthenticationContext;
use crate::handoff::authorization::AuthorizationResponse;
use crate::handoff::client::{ClientSettings, SessionKind};
use crate::handoff::oauth_error::OAuthError;
use crate::handoff::signing_key::SigningAlgorithm;
use crate::key_ring::{HASH_KEY_NAME, HashKey};
use crate::random::SystemRandom;
use crate::secret::{Secret, TokenHash};
use crate::session::Session;
use crate::store::memory::MemoryStore;
use crate::store::{
    AccountRecord, AccountStore as _, AuditQuery, AuditStore as _, KeyStore as _, LoginCompletion,
    LoginRecord, LoginStore as _, NewAccount, Revocation, RevocationScope, SessionRecord,
    SessionStore as _,
};

const REDIRECT: &str = "https://chat.example.com/cb";
const SECRET: &str = "the-secret-of-all-test-clients";

struct ManualClock(AtomicI64);

impl ManualClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct World {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    ring: Arc<KeyRing>,
    provider: Arc<Provider>,
    account: AccountRecord,
    browser: SessionRecord,
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn origin() -> Origin {
    Origin {
        ip: "192.0.2.7".parse().ok(),
        request_id: "req-1".to_owned(),
        user_agent: Some("Chat server".to_owned()),
    }
}

fn settings(id: &str) -> ClientSettings {
    ClientSettings {
        id: id.to_owned(),
        redirect_uris: vec![REDIRECT.to_owned()],
        ..ClientSettings::default()
    }
}

fn confidential(settings: ClientSettings) -> Client {
    Client::new(settings, Some(Secret::new(SECRET.to_owned()))).unwrap()
}

/// `chat` (EdDSA), `rsa` (RS256), `other`, and the public `app`.
fn configured() -> Vec<Client> {
    let eddsa = Some(SigningAlgorithm::EdDsa);
    vec![
        confidential(ClientSettings { id_token_signed_response_alg: eddsa, ..settings("chat") }),
        confidential(settings("rsa")),
        confidential(ClientSettings { id_token_signed_response_alg: eddsa, ..settings("other") }),
        Client::new(
            ClientSettings {
                public: true,
                redirect_uris: vec!["http://127.0.0.1/cb".to_owned()],
                session_kind: SessionKind::Desktop,
                id_token_signed_response_alg: eddsa,
                ..settings("app")
            },
            None,
        )
        .unwrap(),
    ]
}

fn provider_over(
    store: &Arc<MemoryStore>,
    clock: &Arc<ManualClock>,
    ring: &Arc<KeyRing>,
) -> Provider {
    provider_of(store, clock, ring, configured())
}

fn provider_of(
    store: &Arc<MemoryStore>,
    clock: &Arc<ManualClock>,
    ring: &Arc<KeyRing>,
    clients: Vec<Client>,
) -> Provider {
    let issuer = Url::parse("https://sso.example.com").unwrap();
    Provider::new(
        Arc::clone(store) as _,
        Arc::clone(clock) as _,
        Arc::new(SystemRandom::new()),
        Arc::clone(ring),
        ProviderSettings::new(issuer, clients),
    )
    .unwrap()
}

impl World {
    async fn new() -> Self {
        Self::with(configured()).await
    }

    async fn with(clients: Vec<Client>) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock(AtomicI64::new(1_764_000_000_500)));
        let ring = Arc::new(KeyRing::generate(&SystemRandom::new(), clock.now()));
        let random = SystemRandom::new();
        let hash_key = HashKey::generate(&random).seal(&ring, &random);
        store.set_named_value(HASH_KEY_NAME, &hash_key).await.unwrap();
        let provider = provider_of(&store, &clock, &ring, clients);
        provider.start().await.unwrap();
        let new = NewAccount {
            account: crate::handoff::claims::tests::account(),
            identity: None,
            password: None,
        };
        let account = store.create_account(new, Vec::new()).await.unwrap();
        let browser = browser_session(&store, &account, 1, clock.now()).await;
        Self { store, clock, ring, provider: Arc::new(provider), account, browser }
    }

    fn session(&self) -> Session {
        Session::resume(self.browser.clone(), self.account.clone(), self.clock.now()).unwrap()
    }

    /// Asks for a code as `client`; PKCE is always used.
    async fn authorize(&self, client: &str, extra: &[(&str, &str)]) -> Authorized {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let redirect = if client == "app" { "http://127.0.0.1:40123/cb" } else { REDIRECT };
        let mut pairs = vec![
            ("client_id", client),
            ("redirect_uri", redirect),
            ("response_type", "code"),
            ("scope", "openid profile email groups"),
            ("state", "st=+/ate"),
            ("nonce", "n-0S6"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        pairs.extend_from_slice(extra);
        let (request, _) =
            self.provider.begin_authorization(&owned(&pairs), &origin()).await.unwrap();
        let outcome = self
            .provider
            .authorize(&request, Some(&self.session()), AuthenticationContext::Aal1, &origin())
            .await
            .unwrap();
        let AuthorizationOutcome::Respond(response) = outcome else { panic!("{outcome:?}") };
        Authorized { code: value(&response, "code").unwrap(), redirect, verifier, response }
    }

    async fn post(&self, client: &str, pairs: &[(&str, &str)]) -> Result<Value, OAuthError> {
        let mut pairs = pairs.to_vec();
        pairs.push(("client_id", client));
        if client != "app" {
            pairs.push(("client_secret", SECRET));
        }
        let response = self.provider.token(None, &owned(&pairs), &origin()).await?;
        Ok(serde_json::from_str(&response.body()).unwrap())
    }

    async fn redeem(&self, client: &str, from: &Authorized) -> Result<Value, OAuthError> {
        self.post(
            client,
            &[
                ("grant_type", "authorization_code"),
                ("code", &from.code),
                ("redirect_uri", from.redirect),
                ("code_verifier", from.verifier.secret()),
            ],
        )
        .await
    }

    async fn sign_in(&self, client: &str) -> Value {
        let authorized = self.authorize(client, &[]).await;
        self.redeem(client, &authorized).await.unwrap()
    }

    async fn refresh(&self, client: &str, token: &Value) -> Result<Value, OAuthError> {
        let token = token.as_str().unwrap();
        self.post(client, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    async fn is_active(&self, token: &Value) -> bool {
        self.introspect("chat", token).await["active"] == true
    }

    async fn introspect(&self, client: &str, token: &Value) -> Value {
        let pairs = owned(&[
            ("token", token.as_str().unwrap()),
            ("client_id", client),
            ("client_secret", SECRET),
        ]);
        let answer = self.provider.introspect(None, &pairs, &origin()).await.unwrap();
        serde_json::to_value(answer).unwrap()
    }

    async fn events(&self, name: &str) -> Vec<AuditRecord> {
        let query = AuditQuery { limit: 1000, ..AuditQuery::default() };
        let entries = self.store.audit(query).await.unwrap();
        entries.into_iter().map(|entry| entry.record).filter(|event| event.event == name).collect()
    }

    async fn disable_account(&self) {
        let mut account = self.store.account(self.account.id).await.unwrap().unwrap();
        account.active = false;
        account.updated_at = self.clock.now();
        assert!(self.store.update_account(account, Vec::new()).await.unwrap());
    }

    async fn revoke_browser_session(&self) {
        let revocation = Revocation {
            scope: RevocationScope::Session(self.browser.id),
            at: self.clock.now(),
            reason: "logout".to_owned(),
        };
        self.store.revoke_sessions(revocation, Vec::new()).await.unwrap();
    }
}

/// What a client has after the redirect.
struct Authorized {
    code: String,
    redirect: &'static str,
    verifier: PkceCodeVerifier,
    response: AuthorizationResponse,
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn value(response: &AuthorizationResponse, name: &str) -> Option<String> {
    response.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}

async fn browser_session(
    store: &MemoryStore,
    account: &AccountRecord,
    n: u128,
    now: Timestamp,
) -> SessionRecord {
    let template = crate::handoff::client_session::tests::browser_session(now);
    let session = SessionRecord {
        id: SessionId(Uuid::from_u128(n)),
        account: account.id,
        idle_timeout_millis: 0,
        ..template
    };
    let login = LoginRecord {
        handle: TokenHash::of(&n.to_be_bytes()),
        browser: TokenHash::of(b"browser"),
        version: 1,
        state: String::new(),
        created_at: now,
        expires_at: now + seconds(600),
    };
    store.add_login(login.clone()).await.unwrap();
    let completion = LoginCompletion {
        login,
        account: None,
        session: session.clone(),
        replaces: None,
        factor: None,
        clear_throttle: Vec::new(),
        audit: Vec::new(),
    };
    assert!(store.complete_login(completion).await.unwrap());
    session
}
