//! The authorization code flow, verified by openidconnect as a relying party would.

use chrono::DateTime;
use openidconnect::core::{
    CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreTokenResponse,
};
use openidconnect::{
    AccessTokenHash, ClientId, JsonWebKeySet, Nonce, OAuth2TokenResponse as _, TokenResponse as _,
};

use super::*;
use crate::handoff::authorization::{AuthorizationErrorCode, PageError, SignInReason};
use crate::handoff::oauth_error::OAuthErrorCode;

async fn metadata(world: &World) -> (CoreProviderMetadata, CoreJsonWebKeySet) {
    let discovery = serde_json::to_string(world.provider.discovery()).unwrap();
    let jwks = serde_json::to_string(&world.provider.jwks().await.unwrap()).unwrap();
    (serde_json::from_str(&discovery).unwrap(), serde_json::from_str(&jwks).unwrap())
}

#[tokio::test]
async fn a_relying_party_accepts_what_it_gets() {
    let world = World::new().await;
    let (metadata, jwks) = metadata(&world).await;
    for (client, algorithm) in [
        ("chat", CoreJwsSigningAlgorithm::EdDsa),
        ("rsa", CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256),
        ("app", CoreJwsSigningAlgorithm::EdDsa),
    ] {
        let authorized = world.authorize(client, &[]).await;
        assert_eq!(value(&authorized.response, "state").unwrap(), "st=+/ate");
        assert_eq!(value(&authorized.response, "iss").unwrap(), metadata.issuer().as_str());
        let answer = world.redeem(client, &authorized).await.unwrap();
        let answer: CoreTokenResponse = serde_json::from_value(answer).unwrap();
        assert_eq!(answer.expires_in(), Some(seconds(600)));
        let now = world.clock.now();
        let keys = JsonWebKeySet::new(jwks.keys().clone());
        let verifier = CoreIdTokenVerifier::new_public_client(
            ClientId::new(client.to_owned()),
            metadata.issuer().clone(),
            keys,
        )
        .set_allowed_algs([algorithm.clone()])
        .set_time_fn(move || DateTime::from_timestamp(now.seconds(), 0).unwrap());
        let id_token: &CoreIdToken = answer.id_token().unwrap();
        let claims = id_token.claims(&verifier, &Nonce::new("n-0S6".to_owned())).unwrap();
        let key = id_token.signing_key(&verifier).unwrap();
        let at_hash = AccessTokenHash::from_token(answer.access_token(), &algorithm, key).unwrap();
        assert_eq!(claims.access_token_hash(), Some(&at_hash));
        assert_eq!(claims.subject().as_str(), world.account.id.to_string());
        assert_eq!(claims.preferred_username().unwrap().as_str(), "Alice");
        let authenticated_at = world.browser.authenticated_at.seconds();
        assert_eq!(claims.auth_time().unwrap().timestamp(), authenticated_at);
        assert!(id_token.claims(&verifier, &Nonce::new("other".to_owned())).is_err());
    }
    let issued = world.events("session.issued").await;
    assert_eq!(issued.len(), 3);
    assert_eq!(issued[0].account.as_deref(), Some("Alice"));
    assert_eq!(issued[0].client.as_deref(), Some("chat"));
    assert_eq!(issued[2].detail["kind"], "desktop");
}

#[tokio::test]
async fn userinfo_says_what_the_scope_grants() {
    let world = World::new().await;
    let authorized = world.authorize("chat", &[]).await;
    let answer = world.redeem("chat", &authorized).await.unwrap();
    let userinfo = world.provider.userinfo(answer["access_token"].as_str()).await.unwrap();
    let userinfo = serde_json::to_value(userinfo).unwrap();
    assert_eq!(userinfo["email"], "alice@example.com");
    assert_eq!(userinfo["groups"], serde_json::json!(["staff", "secret"]));
    for bearer in [None, Some(""), Some("x"), answer["refresh_token"].as_str()] {
        let error = world.provider.userinfo(bearer).await.unwrap_err();
        assert_eq!(error.code(), OAuthErrorCode::InvalidToken);
    }
}

#[tokio::test]
async fn without_openid_there_is_neither_id_token_nor_userinfo() {
    let world = World::new().await;
    let pairs = owned(&[
        ("client_id", "chat"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "email"),
    ]);
    let (request, _) = world.provider.begin_authorization(&pairs, &origin()).await.unwrap();
    let outcome = world
        .provider
        .authorize(&request, Some(&world.session()), AuthenticationContext::Aal1, &origin())
        .await
        .unwrap();
    let AuthorizationOutcome::Respond(response) = outcome else { panic!("{outcome:?}") };
    let code = value(&response, "code").unwrap();
    let pairs =
        [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", REDIRECT)];
    let answer = world.post("chat", &pairs).await.unwrap();
    assert_eq!((answer.get("id_token"), &answer["scope"]), (None, &"email".into()));
    let error = world.provider.userinfo(answer["access_token"].as_str()).await.unwrap_err();
    assert_eq!((error.code(), error.status()), (OAuthErrorCode::InsufficientScope, 403));
}

#[tokio::test]
async fn a_replayed_code_kills_what_it_gave() {
    let world = World::new().await;
    let authorized = world.authorize("chat", &[]).await;
    let answer = world.redeem("chat", &authorized).await.unwrap();
    assert!(world.is_active(&answer["access_token"]).await);
    // Long after the code expired, too.
    world.clock.advance(seconds(300));
    let error = world.redeem("chat", &authorized).await.unwrap_err();
    assert_eq!(error.code(), OAuthErrorCode::InvalidGrant);
    assert!(!world.is_active(&answer["access_token"]).await);
    let error = world.refresh("chat", &answer["refresh_token"]).await.unwrap_err();
    assert_eq!(error.code(), OAuthErrorCode::InvalidGrant);
    let replayed = world.events("code.replayed").await;
    assert_eq!((replayed.len(), replayed[0].account.as_deref()), (1, Some("Alice")));
    assert_eq!(world.events("session.revoked").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_parallel_redemptions_one_wins_at_most_and_nothing_survives() {
    let world = Arc::new(World::new().await);
    for _ in 0..20 {
        let authorized = Arc::new(world.authorize("chat", &[]).await);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (world, authorized) = (Arc::clone(&world), Arc::clone(&authorized));
                tokio::spawn(async move { world.redeem("chat", &authorized).await })
            })
            .collect();
        let mut won = Vec::new();
        for task in tasks {
            won.extend(task.await.unwrap().ok());
        }
        assert_eq!(won.len(), 1);
        assert!(!world.is_active(&won[0]["access_token"]).await);
    }
}

#[tokio::test]
async fn codes_that_are_not_redeemed() {
    let world = World::new().await;
    let refused = async |client: &str, pairs: &[(&str, &str)]| {
        let error = world.post(client, pairs).await.unwrap_err();
        assert_eq!(error.code(), OAuthErrorCode::InvalidGrant, "{client} {pairs:?}");
    };
    let grant = ("grant_type", "authorization_code");
    let made = world.authorize("chat", &[]).await;
    let (code, uri) = (("code", made.code.as_str()), ("redirect_uri", REDIRECT));
    let verifier = ("code_verifier", made.verifier.secret().as_str());
    let wrong = "a".repeat(43);
    refused("other", &[grant, code, uri, verifier]).await;
    refused("chat", &[grant, code, verifier]).await;
    refused("chat", &[grant, code, ("redirect_uri", "https://evil.example/"), verifier]).await;
    refused("chat", &[grant, code, uri]).await;
    refused("chat", &[grant, code, uri, ("code_verifier", &wrong)]).await;
    refused("chat", &[grant, ("code", "junk"), uri, verifier]).await;
    refused("chat", &[grant, ("code", &wrong), uri, verifier]).await;
    // None of these spoiled it for its owner.
    world.redeem("chat", &made).await.unwrap();
    assert_eq!(world.events("session.issue_refused").await.len(), 6);

    let late = world.authorize("chat", &[]).await;
    world.clock.advance(seconds(60));
    assert_eq!(world.redeem("chat", &late).await.unwrap_err().status(), 400);
}

#[tokio::test]
async fn pkce_cannot_be_left_out_or_slipped_in() {
    let world = World::new().await;
    let begin = async |pairs: &[(&str, &str)]| {
        world.provider.begin_authorization(&owned(pairs), &origin()).await
    };
    let base = [
        ("redirect_uri", "http://127.0.0.1:1/cb"),
        ("response_type", "code"),
        ("scope", "openid"),
        ("client_id", "app"),
    ];
    let plain = [&base[..], &[("code_challenge", "a")], &[("code_challenge_method", "plain")]];
    for pairs in [base.to_vec(), plain.concat()] {
        let failure = begin(&pairs).await.unwrap_err();
        let AuthorizationFailure::Respond(response) = failure else { panic!("{failure:?}") };
        assert_eq!(value(&response, "error").unwrap(), "invalid_request");
    }
    // A code without challenge, and a verifier from somewhere else.
    let pairs = [
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid"),
        ("client_id", "chat"),
    ];
    let (request, _) = begin(&pairs).await.unwrap();
    let outcome = world
        .provider
        .authorize(&request, Some(&world.session()), AuthenticationContext::Aal1, &origin())
        .await
        .unwrap();
    let AuthorizationOutcome::Respond(response) = outcome else { panic!("{outcome:?}") };
    let code = value(&response, "code").unwrap();
    let (_, verifier) = PkceCodeChallenge::new_random_sha256();
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", verifier.secret()),
    ];
    let error = world.post("chat", &pairs).await.unwrap_err();
    assert_eq!(error.code(), OAuthErrorCode::InvalidGrant);
}

#[tokio::test]
async fn what_ends_between_code_and_token_ends_the_code() {
    for end in ["logout", "disabled"] {
        let world = World::new().await;
        let authorized = world.authorize("chat", &[]).await;
        match end {
            "logout" => world.revoke_browser_session().await,
            _ => world.disable_account().await,
        }
        let error = world.redeem("chat", &authorized).await.unwrap_err();
        assert_eq!(error.code(), OAuthErrorCode::InvalidGrant, "{end}");
        assert!(world.events("session.issued").await.is_empty(), "{end}");
    }
}

#[tokio::test]
async fn strangers_see_a_page_and_are_sent_nowhere() {
    let world = World::new().await;
    for (pairs, expected) in [
        (vec![], PageError::NoClient),
        (vec![("client_id", "nobody"), ("redirect_uri", REDIRECT)], PageError::UnknownClient),
        (vec![("client_id", "chat")], PageError::NoRedirectUri),
        (
            vec![("client_id", "chat"), ("redirect_uri", "https://evil.example/cb")],
            PageError::WrongRedirectUri,
        ),
    ] {
        let failure =
            world.provider.begin_authorization(&owned(&pairs), &origin()).await.unwrap_err();
        let AuthorizationFailure::Page(error) = failure else { panic!("{failure:?}") };
        assert_eq!(error, expected);
    }
    // Only requests of known clients reach the trail.
    assert_eq!(world.events("authorization.refused").await.len(), 2);
}

#[tokio::test]
async fn sessions_that_do_not_suffice_lead_to_a_sign_in() {
    let world = World::new().await;
    let pairs = |extra: &[(&'static str, &'static str)]| {
        let base = [
            ("client_id", "chat"),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", "openid"),
        ];
        owned(&[&base[..], extra].concat())
    };
    let begin = async |extra: &[(&'static str, &'static str)]| {
        world.provider.begin_authorization(&pairs(extra), &origin()).await.unwrap().0
    };
    let ask = async |request: &_, session: Option<&Session>| {
        let policy = AuthenticationContext::Aal1;
        world.provider.authorize(request, session, policy, &origin()).await.unwrap()
    };
    let session = world.session();
    let plain = begin(&[]).await;
    let AuthorizationOutcome::SignIn(demand) = ask(&plain, None).await else { panic!() };
    assert_eq!(demand.reason, SignInReason::NoSession);
    let login = begin(&[("prompt", "login")]).await;
    let AuthorizationOutcome::SignIn(demand) = ask(&login, Some(&session)).await else { panic!() };
    assert_eq!((demand.reason, demand.reauthenticate), (SignInReason::PromptLogin, true));
    let silent = begin(&[("prompt", "none")]).await;
    let AuthorizationOutcome::Respond(response) = ask(&silent, None).await else { panic!() };
    assert_eq!(value(&response, "error").unwrap(), AuthorizationErrorCode::LoginRequired.as_str());
    let AuthorizationOutcome::Respond(response) = ask(&silent, Some(&session)).await else {
        panic!()
    };
    assert!(value(&response, "code").is_some());
}

#[tokio::test]
async fn an_id_token_hint_names_whose_session_is_wanted() {
    let world = World::new().await;
    let id_token = world.sign_in("chat").await["id_token"].as_str().unwrap().to_owned();
    world.authorize("chat", &[("prompt", "none"), ("id_token_hint", &id_token)]).await;
    let someone =
        AccountRecord { id: crate::store::AccountId(Uuid::from_u128(5)), ..world.account.clone() };
    let record = SessionRecord { account: someone.id, ..world.browser.clone() };
    let session = Session::resume(record, someone, world.clock.now()).unwrap();
    // Somebody else's session; another client's hint; no hint of ours at all.
    for (client, hint, session) in [
        ("chat", id_token.as_str(), &session),
        ("other", &id_token, &world.session()),
        ("chat", "a.b.c", &world.session()),
    ] {
        let pairs = owned(&[
            ("client_id", client),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", "openid"),
            ("prompt", "none"),
            ("id_token_hint", hint),
        ]);
        let (request, _) = world.provider.begin_authorization(&pairs, &origin()).await.unwrap();
        let policy = AuthenticationContext::Aal1;
        let outcome =
            world.provider.authorize(&request, Some(session), policy, &origin()).await.unwrap();
        let AuthorizationOutcome::Respond(response) = outcome else { panic!("{outcome:?}") };
        assert_eq!(value(&response, "error").as_deref(), Some("login_required"), "{client} {hint}");
    }
}
