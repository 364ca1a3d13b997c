//! Introspection and revocation: a client rules over its own tokens alone.

use super::*;
use crate::handoff::oauth_error::OAuthErrorCode;

async fn revoke(world: &World, client: &str, token: &Value, hint: Option<&str>) {
    let token = token.as_str().unwrap();
    let mut pairs = vec![("token", token), ("client_id", client)];
    if client != "app" {
        pairs.push(("client_secret", SECRET));
    }
    pairs.extend(hint.map(|hint| ("token_type_hint", hint)));
    world.provider.revoke(None, &owned(&pairs), &origin()).await.unwrap();
}

#[tokio::test]
async fn introspection_of_own_tokens() {
    let world = World::new().await;
    let answer = world.sign_in("chat").await;
    let access = world.introspect("chat", &answer["access_token"]).await;
    assert_eq!(access["active"], true);
    assert_eq!((&access["username"], &access["client_id"]), (&"Alice".into(), &"chat".into()));
    assert_eq!(access["exp"], world.clock.now().seconds() + 600);
    assert_eq!(access["token_type"], "Bearer");
    let refresh = world.introspect("chat", &answer["refresh_token"]).await;
    assert_eq!((&refresh["active"], refresh.get("token_type")), (&true.into(), None));
    assert_eq!(refresh["sid"], access["sid"]);
}

#[tokio::test]
async fn introspection_of_anything_else_says_nothing() {
    let world = World::new().await;
    let answer = world.sign_in("chat").await;
    let inactive = serde_json::json!({ "active": false });
    for token in [&answer["access_token"], &answer["refresh_token"]] {
        assert_eq!(world.introspect("other", token).await, inactive);
    }
    for junk in ["junk", &"a".repeat(43)] {
        assert_eq!(world.introspect("chat", &junk.into()).await, inactive);
    }
    world.revoke_browser_session().await;
    assert_eq!(world.introspect("chat", &answer["access_token"]).await, inactive);
}

#[tokio::test]
async fn introspection_wants_a_client_that_proves_itself() {
    let world = World::new().await;
    let token = world.sign_in("app").await["access_token"].as_str().unwrap().to_owned();
    for pairs in [
        &[("token", token.as_str())][..],
        &[("token", &token), ("client_id", "app")],
        &[("token", &token), ("client_id", "chat")],
        &[("token", &token), ("client_id", "chat"), ("client_secret", "wrong")],
        &[("token", &token), ("client_id", "nobody"), ("client_secret", SECRET)],
    ] {
        let error = world.provider.introspect(None, &owned(pairs), &origin()).await.unwrap_err();
        assert_eq!((error.code(), error.status()), (OAuthErrorCode::InvalidClient, 401));
    }
    let refused = world.events("client.authentication_refused").await;
    let reasons: Vec<_> = refused.iter().filter_map(|event| event.reason.as_deref()).collect();
    assert_eq!(reasons, ["client_secret_missing", "client_secret_wrong"]);
    let pairs = owned(&[("client_id", "chat"), ("client_secret", SECRET)]);
    let error = world.provider.introspect(None, &pairs, &origin()).await.unwrap_err();
    assert_eq!(error.code(), OAuthErrorCode::InvalidRequest);
}

#[tokio::test]
async fn an_access_token_is_revoked_alone() {
    let world = World::new().await;
    for hint in [None, Some("access_token"), Some("refresh_token"), Some("unknown")] {
        let answer = world.sign_in("chat").await;
        revoke(&world, "chat", &answer["access_token"], hint).await;
        assert!(!world.is_active(&answer["access_token"]).await, "{hint:?}");
        world.refresh("chat", &answer["refresh_token"]).await.unwrap();
    }
    assert_eq!(world.events("token.revoked").await.len(), 4);
}

#[tokio::test]
async fn a_refresh_token_is_revoked_with_its_session() {
    let world = World::new().await;
    for hint in [None, Some("access_token"), Some("refresh_token")] {
        let answer = world.sign_in("chat").await;
        revoke(&world, "chat", &answer["refresh_token"], hint).await;
        assert!(!world.is_active(&answer["access_token"]).await, "{hint:?}");
        let error = world.refresh("chat", &answer["refresh_token"]).await.unwrap_err();
        assert_eq!(error.code(), OAuthErrorCode::InvalidGrant);
        // Again: nothing happens.
        revoke(&world, "chat", &answer["refresh_token"], hint).await;
    }
    let revoked = world.events("session.revoked").await;
    assert_eq!(revoked.len(), 3);
    assert_eq!(revoked[0].reason.as_deref(), Some("revoked_by_client"));
}

#[tokio::test]
async fn tokens_of_another_client_are_left_alone() {
    let world = World::new().await;
    let answer = world.sign_in("chat").await;
    for client in ["other", "app"] {
        revoke(&world, client, &answer["access_token"], None).await;
        revoke(&world, client, &answer["refresh_token"], Some("refresh_token")).await;
        revoke(&world, client, &"junk".into(), None).await;
    }
    assert!(world.is_active(&answer["access_token"]).await);
    world.refresh("chat", &answer["refresh_token"]).await.unwrap();
    assert_eq!(world.events("token.revoke_refused").await.len(), 4);
}

#[tokio::test]
async fn a_public_client_gives_its_own_tokens_back() {
    let world = World::new().await;
    let answer = world.sign_in("app").await;
    revoke(&world, "app", &answer["refresh_token"], None).await;
    assert!(world.refresh("app", &answer["refresh_token"]).await.is_err());
}
