//! Refresh: rotation, lost answers, parallel workers, and the end of a reused family.

use async_trait::async_trait;

use super::*;
use crate::handoff::oauth_error::OAuthErrorCode;

async fn is_refused(world: &World, client: &str, token: &Value) -> bool {
    match world.refresh(client, token).await {
        Ok(_) => false,
        Err(error) => error.code() == OAuthErrorCode::InvalidGrant,
    }
}

#[tokio::test]
async fn a_refresh_gives_new_tokens_of_the_same_session() {
    let world = World::new().await;
    let first = world.sign_in("chat").await;
    world.clock.advance(seconds(500));
    let second = world.refresh("chat", &first["refresh_token"]).await.unwrap();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_ne!(first["access_token"], second["access_token"]);
    let sid = |answer: &Value| {
        let token = answer["id_token"].as_str().unwrap().to_owned();
        let payload = token.split('.').nth(1).unwrap().to_owned();
        let bytes =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload);
        serde_json::from_slice::<Value>(&bytes.unwrap()).unwrap()
    };
    let (before, after) = (sid(&first), sid(&second));
    for name in ["sid", "sub", "auth_time", "iss", "aud"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert!(before.get("nonce").is_some() && after.get("nonce").is_none());
    // The first access token lives out its own life.
    assert!(world.is_active(&first["access_token"]).await);
    world.clock.advance(seconds(100));
    assert!(!world.is_active(&first["access_token"]).await);
    assert!(world.is_active(&second["access_token"]).await);
}

#[tokio::test]
async fn a_lost_answer_signs_nobody_out() {
    let world = World::new().await;
    let first = world.sign_in("chat").await;
    let lost = world.refresh("chat", &first["refresh_token"]).await.unwrap();
    world.clock.advance(seconds(60));
    let sibling = world.refresh("chat", &first["refresh_token"]).await.unwrap();
    assert_ne!(lost["refresh_token"], sibling["refresh_token"]);
    let siblings = world.events("token.refresh_sibling").await;
    assert_eq!((siblings.len(), siblings[0].account.as_deref()), (1, Some("Alice")));
    world.refresh("chat", &sibling["refresh_token"]).await.unwrap();
}

#[tokio::test]
async fn after_a_minute_a_used_token_ends_the_family() {
    let world = World::new().await;
    let first = world.sign_in("chat").await;
    let second = world.refresh("chat", &first["refresh_token"]).await.unwrap();
    world.clock.advance(seconds(61));
    assert!(is_refused(&world, "chat", &first["refresh_token"]).await);
    assert!(is_refused(&world, "chat", &second["refresh_token"]).await);
    assert!(!world.is_active(&second["access_token"]).await);
    assert_eq!(world.events("token.refresh_reused").await.len(), 1);
    assert_eq!(world.events("session.revoked").await.len(), 1);
}

#[tokio::test]
async fn a_used_token_whose_successor_is_in_use_ends_the_family() {
    let world = World::new().await;
    let first = world.sign_in("chat").await;
    let second = world.refresh("chat", &first["refresh_token"]).await.unwrap();
    let third = world.refresh("chat", &second["refresh_token"]).await.unwrap();
    assert!(is_refused(&world, "chat", &first["refresh_token"]).await);
    assert!(is_refused(&world, "chat", &third["refresh_token"]).await);
    assert!(!world.is_active(&third["access_token"]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_workers_both_go_on() {
    let world = Arc::new(World::new().await);
    for _ in 0..25 {
        let token = Arc::new(world.sign_in("chat").await["refresh_token"].clone());
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (world, token) = (Arc::clone(&world), Arc::clone(&token));
                tokio::spawn(async move { world.refresh("chat", &token).await })
            })
            .collect();
        for task in tasks {
            let answer = task.await.unwrap().unwrap();
            assert!(world.is_active(&answer["access_token"]).await);
        }
    }
    assert_eq!(world.events("token.refresh_sibling").await.len(), 25 * 3);
    assert!(world.events("token.refresh_reused").await.is_empty());
}

#[tokio::test]
async fn another_client_gets_nothing_and_ends_nothing() {
    let world = World::new().await;
    let first = world.sign_in("chat").await;
    let second = world.refresh("chat", &first["refresh_token"]).await.unwrap();
    world.clock.advance(seconds(100));
    assert!(is_refused(&world, "other", &first["refresh_token"]).await);
    assert!(is_refused(&world, "other", &second["refresh_token"]).await);
    world.refresh("chat", &second["refresh_token"]).await.unwrap();
}

#[tokio::test]
async fn what_ends_the_session_ends_its_refresh_tokens() {
    for end in ["logout", "disabled", "session"] {
        let world = World::new().await;
        let answer = world.sign_in("chat").await;
        match end {
            "logout" => world.revoke_browser_session().await,
            "disabled" => world.disable_account().await,
            _ => world.clock.advance(seconds(30 * 86_400)),
        }
        assert!(is_refused(&world, "chat", &answer["refresh_token"]).await, "{end}");
        assert!(!world.is_active(&answer["access_token"]).await, "{end}");
        assert_eq!(world.events("token.refresh_refused").await.len(), 1, "{end}");
    }
}

#[tokio::test]
async fn a_client_session_outlives_the_browsers() {
    let world = World::new().await;
    let answer = world.sign_in("chat").await;
    // The browser session lasts an hour in these tests.
    world.clock.advance(seconds(7200));
    world.refresh("chat", &answer["refresh_token"]).await.unwrap();
}

#[tokio::test]
async fn a_refresh_may_narrow_the_scope_but_not_widen_it() {
    let world = World::new().await;
    let answer = world.sign_in("chat").await;
    let token = answer["refresh_token"].as_str().unwrap();
    let ask = async |scope| {
        let grant = ("grant_type", "refresh_token");
        world.post("chat", &[grant, ("refresh_token", token), ("scope", scope)]).await
    };
    let error = ask("openid admin").await.unwrap_err();
    assert_eq!(error.code(), OAuthErrorCode::InvalidScope);
    // That was no use of the token.
    let narrow = ask("openid").await.unwrap();
    assert_eq!(narrow["scope"], "openid");
    let userinfo = world.provider.userinfo(narrow["access_token"].as_str()).await.unwrap();
    assert_eq!(serde_json::to_value(userinfo).unwrap().as_object().unwrap().len(), 1);
    let wide = world.refresh("chat", &narrow["refresh_token"]).await.unwrap();
    assert_eq!(wide["scope"], answer["scope"]);
}

struct Scripted(RecheckVerdict);

#[async_trait]
impl AccountRecheck for Scripted {
    async fn recheck(&self, account: &AccountRecord, connector: &str) -> RecheckVerdict {
        assert_eq!((account.username.as_str(), connector), ("Alice", "corp"));
        self.0.clone()
    }
}

#[tokio::test]
async fn the_connector_is_asked_before_a_refresh() {
    let world = World::new().await;
    let answer = world.sign_in("chat").await;
    let ask = async |verdict: RecheckVerdict, token: &Value| {
        let provider = provider_over(&world.store, &world.clock, &world.ring)
            .with_recheck(Arc::new(Scripted(verdict)));
        provider.start().await.unwrap();
        let pairs = owned(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", token.as_str().unwrap()),
            ("client_id", "chat"),
            ("client_secret", SECRET),
        ]);
        provider
            .token(None, &pairs, &origin())
            .await
            .map(|answer| serde_json::from_str::<Value>(&answer.body()).unwrap())
    };
    let token = &answer["refresh_token"];
    let refused = RecheckVerdict::Refused { reason: "gone".to_owned() };
    assert_eq!(ask(refused, token).await.unwrap_err().code(), OAuthErrorCode::InvalidGrant);
    let error = ask(RecheckVerdict::Unavailable, token).await.unwrap_err();
    assert_eq!((error.code(), error.status()), (OAuthErrorCode::TemporarilyUnavailable, 503));
    // Neither was a use of the token.
    let second = ask(RecheckVerdict::Unchanged, token).await.unwrap();
    assert!(world.events("token.refresh_sibling").await.is_empty());
    let renamed = AccountRecord { username: "Alicia".to_owned(), ..world.account.clone() };
    let updated = RecheckVerdict::Updated(Box::new(renamed));
    let third = ask(updated, &second["refresh_token"]).await.unwrap();
    let payload = third["id_token"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    let engine = &base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = base64::Engine::decode(engine, payload).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["preferred_username"], "Alicia");
    assert_eq!(world.events("token.refresh_refused").await[0].reason.as_deref(), Some("gone"));
}
