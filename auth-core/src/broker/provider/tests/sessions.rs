//! Sessions of a chat server without OpenID Connect, and of a reverse proxy.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::handoff::client::ClientKind;
use crate::handoff::forward_auth::ProtectedUrl;
use crate::handoff::oauth_error::OAuthErrorCode;
use crate::handoff::session_api::Standing;
use crate::secret::Token;

fn chat() -> ClientSettings {
    ClientSettings {
        kind: ClientKind::SessionApi,
        session_lifetime: Some(seconds(7200)),
        session_idle_timeout: Some(seconds(1800)),
        ..settings("chat")
    }
}

fn wiki() -> Client {
    let settings = ClientSettings {
        kind: ClientKind::ForwardAuth,
        hosts: vec!["wiki.example.com".into(), "docs.example.com".into()],
        redirect_uris: Vec::new(),
        ..settings("wiki")
    };
    Client::new(settings, None).unwrap()
}

fn basic(client: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client}:{SECRET}")))
}

impl World {
    async fn chat(settings: ClientSettings) -> Self {
        let other = ClientSettings { id: "second".to_owned(), ..chat() };
        let clients = vec![
            confidential(settings),
            confidential(other),
            confidential(ClientSettings { id: "oidc".to_owned(), ..super::settings("oidc") }),
            wiki(),
        ];
        Self::with(clients).await
    }

    async fn exchange(&self, client: &str, extra: &[(&str, &str)]) -> ExchangedSession {
        let authorized = self.authorize(client, &[]).await;
        let mut request = json!({
            "code": authorized.code,
            "redirect_uri": authorized.redirect,
            "code_verifier": authorized.verifier.secret(),
        });
        for (name, value) in extra {
            request[name] = json!(value);
        }
        let request = serde_json::from_value(request).unwrap();
        let made = self.provider.exchange_session(Some(&basic(client)), request, &origin()).await;
        made.unwrap()
    }

    async fn check(&self, client: &str, token: &str) -> Standing {
        let request = serde_json::from_value(json!({ "tokens": [token] })).unwrap();
        let checked =
            self.provider.check_sessions(Some(&basic(client)), request, &origin()).await.unwrap();
        let [standing] = checked.try_into().unwrap();
        standing
    }

    async fn extend(&self, client: &str, token: &str) -> Result<Timestamp, SessionApiError> {
        let request = serde_json::from_value(json!({ "token": token })).unwrap();
        self.provider.extend_session(Some(&basic(client)), request, &origin()).await
    }

    async fn revoke(&self, client: &str, request: Value) -> Result<(), SessionApiError> {
        let request = serde_json::from_value(request).unwrap();
        self.provider.revoke_client_sessions(Some(&basic(client)), request, &origin()).await
    }
}

#[tokio::test]
async fn a_code_becomes_a_session_that_is_checked_extended_and_ended() {
    let world = World::chat(chat()).await;
    let made = world.exchange("chat", &[]).await;
    assert_eq!(made.account.username.as_deref(), Some("Alice"));
    assert_eq!(made.expires_at, world.clock.now() + seconds(1800));
    let token = made.token.expose();
    let standing = world.check("chat", token).await;
    assert!(standing.active);
    assert_eq!(standing.session, Some(made.session.to_string()));
    assert_eq!(standing.account.unwrap().email.as_deref(), Some("alice@example.com"));
    assert_eq!(standing.expires_at, Some(made.expires_at.rfc3339()));

    world.clock.advance(seconds(1700));
    let extended = world.extend("chat", token).await.unwrap();
    assert_eq!(extended, world.clock.now() + seconds(1800), "use moves the idle end");
    for _ in 0..3 {
        world.clock.advance(seconds(1700));
        world.extend("chat", token).await.unwrap();
    }
    // Four times 1700 seconds: use does not move the absolute end.
    assert!(world.check("chat", token).await.active);
    world.clock.advance(seconds(400));
    assert_eq!(world.check("chat", token).await, Standing::default());
    assert!(matches!(world.extend("chat", token).await, Err(SessionApiError::SessionOver)));
    assert_eq!(world.events("session.issued").await.len(), 1);
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends() {
    let world = World::chat(chat()).await;
    let made = world.exchange("chat", &[]).await;
    world.clock.advance(seconds(1799));
    assert!(world.check("chat", made.token.expose()).await.active, "a check is no use");
    world.clock.advance(seconds(1));
    assert_eq!(world.check("chat", made.token.expose()).await, Standing::default());
    assert!(world.extend("chat", made.token.expose()).await.is_err());
}

#[tokio::test]
async fn kinds_have_lengths_of_their_own() {
    let settings = ClientSettings { session_lifetime: None, session_idle_timeout: None, ..chat() };
    let mut world = World::chat(settings.clone()).await;
    let issuer = Url::parse("https://sso.example.com").unwrap();
    let mut provider = ProviderSettings::new(issuer, vec![confidential(settings)]);
    provider.session_lengths = SessionLengths {
        web: seconds(100),
        mobile: seconds(200),
        desktop: seconds(300),
        sso: seconds(400),
    };
    let (store, clock, ring) = (&world.store, &world.clock, &world.ring);
    let (store, clock) = (Arc::clone(store) as _, Arc::clone(clock) as _);
    let random = Arc::new(SystemRandom::new());
    let provider = Provider::new(store, clock, random, Arc::clone(ring), provider).unwrap();
    world.provider = Arc::new(provider);
    let now = world.clock.now();
    for (kind, length) in [("web", 100), ("mobile", 200), ("desktop", 300), ("sso", 400)] {
        let made = world.exchange("chat", &[("kind", kind)]).await;
        assert_eq!(made.expires_at, now + seconds(length), "{kind}");
        let stored = world.store.session(made.session).await.unwrap().unwrap();
        assert_eq!((stored.kind.as_str(), stored.expires_at), (kind, made.expires_at));
    }
    let made = world.exchange("chat", &[]).await;
    assert_eq!(made.expires_at, now + seconds(100), "the client's own kind");
}

#[tokio::test]
async fn a_client_sees_and_ends_sessions_of_its_own_only() {
    let world = World::chat(chat()).await;
    let made = world.exchange("chat", &[]).await;
    let token = made.token.expose();
    assert_eq!(world.check("second", token).await, Standing::default());
    assert!(world.extend("second", token).await.is_err());
    world.revoke("second", json!({ "token": token })).await.unwrap();
    world.revoke("second", json!({ "account": "Alice", "all": true })).await.unwrap();
    assert!(world.check("chat", token).await.active, "a stranger ended it");
    let list = |client: &'static str, account: Value| {
        let request = serde_json::from_value(json!({ "account": account })).unwrap();
        let provider = Arc::clone(&world.provider);
        async move {
            let listed =
                provider.list_client_sessions(Some(&basic(client)), request, &origin()).await;
            listed.unwrap().into_iter().map(|entry| entry.session).collect::<Vec<_>>()
        }
    };
    let own = vec![made.session.to_string()];
    assert_eq!(list("chat", json!("alice")).await, own);
    assert_eq!(list("chat", json!(world.account.id.to_string())).await, own);
    assert_eq!(list("chat", serde_json::to_value(&made.account).unwrap()).await, own);
    assert_eq!(list("chat", json!("nobody")).await, Vec::<String>::new());
    assert_eq!(list("second", json!("alice")).await, Vec::<String>::new());

    let again = world.exchange("chat", &[]).await;
    world.revoke("chat", json!({ "token": token })).await.unwrap();
    assert!(!world.check("chat", token).await.active);
    assert!(world.check("chat", again.token.expose()).await.active, "one was to end");
    let elsewhere = world.exchange("second", &[]).await;
    world.revoke("chat", json!({ "account": "alice" })).await.unwrap();
    assert!(!world.check("chat", again.token.expose()).await.active);
    assert!(world.check("second", elsewhere.token.expose()).await.active);
    let browser = world.store.session(world.browser.id).await.unwrap().unwrap();
    assert_eq!(browser.revoked_at, None);
    world.revoke("second", json!({ "account": "alice", "all": true })).await.unwrap();
    assert!(!world.check("second", elsewhere.token.expose()).await.active);
    let browser = world.store.session(world.browser.id).await.unwrap().unwrap();
    assert_eq!(browser.revoked_reason.as_deref(), Some("logout_everywhere"));
    for wrong in [json!({}), json!({ "all": true }), json!({ "token": "x", "account": "y" })] {
        let answer = world.revoke("chat", wrong.clone()).await;
        assert!(matches!(answer, Err(SessionApiError::Request(_))), "{wrong}");
    }
}

#[tokio::test]
async fn a_code_works_once_and_only_with_what_it_was_made_for() {
    let world = World::chat(chat()).await;
    let authorized = world.authorize("chat", &[]).await;
    let verifier = authorized.verifier.secret().clone();
    let exchange = |client: &'static str, redirect_uri: &str, verifier: Option<&str>| {
        let request = json!({
            "code": authorized.code, "redirect_uri": redirect_uri, "code_verifier": verifier,
        });
        let request = serde_json::from_value(request).unwrap();
        let provider = Arc::clone(&world.provider);
        async move { provider.exchange_session(Some(&basic(client)), request, &origin()).await }
    };
    for (client, uri, verifier) in [
        ("second", REDIRECT, Some(verifier.as_str())),
        ("chat", "https://chat.example.com/other", Some(verifier.as_str())),
        ("chat", REDIRECT, None),
        ("chat", REDIRECT, Some(&*"a".repeat(43))),
    ] {
        let answer = exchange(client, uri, verifier).await;
        assert!(matches!(answer, Err(SessionApiError::Code)), "{client} {uri} {verifier:?}");
    }
    let made = exchange("chat", REDIRECT, Some(&verifier)).await.unwrap();
    let again = exchange("chat", REDIRECT, Some(&verifier)).await;
    assert!(matches!(again, Err(SessionApiError::Code)));
    assert!(!world.check("chat", made.token.expose()).await.active, "a replay ends the session");
    let wrong = Some(format!("Basic {}", STANDARD.encode("chat:wrong")));
    for authorization in [None, wrong, Some(basic("oidc")), Some(basic("nobody"))] {
        let request = serde_json::from_value(json!({ "tokens": [] })).unwrap();
        let authorization = authorization.as_deref();
        let answer = world.provider.check_sessions(authorization, request, &origin()).await;
        assert!(matches!(answer, Err(SessionApiError::Client)), "{authorization:?}");
    }
}

#[tokio::test]
async fn the_other_endpoints_do_not_serve_this_kind_of_client() {
    let world = World::chat(chat()).await;
    let authorized = world.authorize("chat", &[]).await;
    let error = world.redeem("chat", &authorized).await.unwrap_err();
    assert_eq!(error.code(), OAuthErrorCode::UnauthorizedClient);
    let made = world.exchange("chat", &[]).await;
    let pairs =
        owned(&[("token", made.token.expose()), ("client_id", "chat"), ("client_secret", SECRET)]);
    let error = world.provider.revoke(None, &pairs, &origin()).await.unwrap_err();
    assert_eq!(error.code(), OAuthErrorCode::UnauthorizedClient);
}

#[tokio::test]
async fn what_ends_the_account_or_the_browser_ends_the_session() {
    let world = World::chat(chat()).await;
    let made = world.exchange("chat", &[]).await;
    world.revoke_browser_session().await;
    assert!(!world.check("chat", made.token.expose()).await.active);
    let world = World::chat(chat()).await;
    let made = world.exchange("chat", &[]).await;
    world.disable_account().await;
    assert!(!world.check("chat", made.token.expose()).await.active);
}

/// A connector that says what it is told to say.
struct Scripted(Mutex<RecheckVerdict>);

#[async_trait]
impl AccountRecheck for Scripted {
    async fn recheck(&self, _: &AccountRecord, _: &str) -> RecheckVerdict {
        self.0.lock().clone()
    }
}

#[tokio::test]
async fn the_directory_is_asked_before_a_session_is_extended() {
    let mut world =
        World::chat(ClientSettings { allowed_groups: Some(vec!["staff".to_owned()]), ..chat() })
            .await;
    let made = world.exchange("chat", &[]).await;
    let token = made.token.expose().to_owned();
    let directory = Arc::new(Scripted(Mutex::new(RecheckVerdict::Unchanged)));
    let provider = Arc::into_inner(world.provider).unwrap();
    world.provider = Arc::new(provider.with_recheck(Arc::clone(&directory) as _));
    let say = |verdict| *directory.0.lock() = verdict;
    assert!(world.extend("chat", &token).await.is_ok());
    say(RecheckVerdict::Unavailable);
    let answer = world.extend("chat", &token).await;
    assert!(matches!(answer, Err(SessionApiError::Provider(ProviderError::ConnectorUnavailable))));
    let moved = AccountRecord { groups: vec!["guests".to_owned()], ..world.account.clone() };
    say(RecheckVerdict::Updated(Box::new(moved)));
    assert!(matches!(world.extend("chat", &token).await, Err(SessionApiError::SessionOver)));
    say(RecheckVerdict::Refused { reason: "gone".to_owned() });
    assert!(matches!(world.extend("chat", &token).await, Err(SessionApiError::SessionOver)));
    let reasons: Vec<_> =
        world.events("session.extend_refused").await.into_iter().filter_map(|e| e.reason).collect();
    assert_eq!(reasons, ["group_not_allowed", "gone"]);
}

#[tokio::test]
async fn a_reverse_proxy_is_answered_by_host_and_cookie() {
    let world = World::chat(chat()).await;
    let url = |text: &str| ProtectedUrl::parse(text).unwrap();
    let page = url("https://wiki.example.com/a?b=c");
    let ask = |url: ProtectedUrl, token: Option<Token>| {
        let provider = Arc::clone(&world.provider);
        async move { provider.forward_auth(&url, token.as_ref(), &origin()).await.unwrap() }
    };
    let ForwardAuthAnswer::SignIn { url: login } = ask(page.clone(), None).await else { panic!() };
    assert_eq!(
        login,
        "https://sso.example.com/forward-auth/login?url=https%3A%2F%2Fwiki.example.com%2Fa%3Fb%3Dc"
    );
    let elsewhere = ask(url("https://evil.example/"), None).await;
    assert_eq!(elsewhere, ForwardAuthAnswer::UnknownHost);

    let client = world.provider.client_of_host(&page).await.unwrap().unwrap();
    let secret = Token::generate(&SystemRandom::new());
    let request = world.provider.forward_auth_request(&client, &page, &secret, "state");
    let pairs: Vec<(String, String)> =
        Url::parse(&request).unwrap().query_pairs().into_owned().collect();
    let (request, _) = world.provider.begin_authorization(&pairs, &origin()).await.unwrap();
    let session = world.session();
    let outcome = world
        .provider
        .authorize(&request, Some(&session), AuthenticationContext::Aal1, &origin())
        .await
        .unwrap();
    let AuthorizationOutcome::Respond(response) = outcome else { panic!("{outcome:?}") };
    assert_eq!(response.redirect_uri, "https://wiki.example.com/.auth/callback");
    let code = || Token::parse(&value(&response, "code").unwrap()).unwrap();
    let open = |url: ProtectedUrl, secret: Token, code: Token| {
        let (provider, client) = (Arc::clone(&world.provider), Arc::clone(&client));
        async move { provider.open_forward_auth_session(&client, &url, &code, &secret, &origin()).await }
    };
    let again = || Token::parse(secret.expose()).unwrap();
    let other = Token::generate(&SystemRandom::new());
    assert!(open(page.clone(), other, code()).await.unwrap().is_none(), "another browser");
    let docs = url("https://docs.example.com/");
    assert!(open(docs.clone(), again(), code()).await.unwrap().is_none(), "another host");
    let opened = open(page.clone(), again(), code()).await.unwrap().unwrap();
    let cookie = || Some(Token::parse(opened.token.expose()).unwrap());
    let ForwardAuthAnswer::Allow(headers) = ask(page.clone(), cookie()).await else { panic!() };
    assert_eq!(headers[0], ("remote-user", "Alice".to_owned()));
    assert!(matches!(ask(docs, cookie()).await, ForwardAuthAnswer::Allow(_)), "the same client");
    let elsewhere = ask(url("https://evil.example/"), cookie()).await;
    assert_eq!(elsewhere, ForwardAuthAnswer::UnknownHost);
    // The token of another kind of client opens nothing here.
    let chat = world.exchange("chat", &[]).await;
    let answer = ask(page.clone(), Some(chat.token)).await;
    assert!(matches!(answer, ForwardAuthAnswer::SignIn { .. }));
    world.disable_account().await;
    assert!(matches!(ask(page, cookie()).await, ForwardAuthAnswer::SignIn { .. }));
}
