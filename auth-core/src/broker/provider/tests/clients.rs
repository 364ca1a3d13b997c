//! Clients in the store, and those of the configuration beside them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::handoff::oauth_error::OAuthErrorCode;
use crate::store::{ClientRecord, KeyStore as _};

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Whether these credentials are accepted: the request then fails for its missing grant.
async fn is_accepted(provider: &Provider, id: &str, secret: &str) -> bool {
    let error = provider.token(Some(&basic(id, secret)), &[], &origin()).await.unwrap_err();
    match error.code() {
        OAuthErrorCode::InvalidRequest => true,
        OAuthErrorCode::InvalidClient => {
            assert!(error.www_authenticate().unwrap().starts_with("Basic "));
            false
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_is_added_changed_and_removed() {
    let world = World::new().await;
    let provider = &world.provider;
    let secret = provider.add_client(settings("forum"), &origin()).await.unwrap().unwrap();
    assert!(is_accepted(provider, "forum", secret.expose()).await);
    assert!(!is_accepted(provider, "forum", SECRET).await);

    let rotated = provider.rotate_client_secret("forum", &origin()).await.unwrap();
    assert!(!is_accepted(provider, "forum", secret.expose()).await);
    assert!(is_accepted(provider, "forum", rotated.expose()).await);

    provider.remove_client("forum", &origin()).await.unwrap();
    assert!(!is_accepted(provider, "forum", rotated.expose()).await);
    for name in ["client.added", "client.secret_rotated", "client.removed"] {
        let events = world.events(name).await;
        assert_eq!(events.len(), 1, "{name}");
        assert!(!format!("{events:?}").contains(secret.expose()), "{name}");
    }
}

#[tokio::test]
async fn no_secret_is_stored_in_the_clear_or_opens_in_another_row() {
    let world = World::new().await;
    let secret = world.provider.add_client(settings("forum"), &origin()).await.unwrap().unwrap();
    let record = world.store.client("forum").await.unwrap().unwrap();
    assert!(!record.settings.to_string().contains(secret.expose()));
    let sealed = record.sealed_secret.clone().unwrap();
    assert!(!sealed.windows(8).any(|window| secret.expose().as_bytes().starts_with(window)));
    // An attacker who writes to the store copies the secret that he knows to another client.
    let victim = ClientRecord {
        id: "victim".to_owned(),
        settings: serde_json::to_value(settings("victim")).unwrap(),
        ..record
    };
    world.store.add_client(victim, Vec::new()).await.unwrap();
    world.clock.advance(seconds(3));
    let error = world
        .provider
        .token(Some(&basic("victim", secret.expose())), &[], &origin())
        .await
        .unwrap_err();
    assert_eq!(error.code(), OAuthErrorCode::ServerError);
    // The others go on.
    assert!(is_accepted(&world.provider, "forum", secret.expose()).await);
}

#[tokio::test]
async fn another_process_sees_a_change_within_two_seconds() {
    let world = World::new().await;
    let other = provider_over(&world.store, &world.clock, &world.ring);
    other.start().await.unwrap();
    let secret = world.provider.add_client(settings("forum"), &origin()).await.unwrap().unwrap();
    assert!(is_accepted(&other, "forum", secret.expose()).await, "at once when it is new");
    world.clock.advance(seconds(2));
    assert!(is_accepted(&other, "forum", secret.expose()).await);
    let rotated = world.provider.rotate_client_secret("forum", &origin()).await.unwrap();
    world.clock.advance(seconds(2));
    assert!(is_accepted(&other, "forum", rotated.expose()).await);
    assert!(!is_accepted(&other, "forum", secret.expose()).await);
    world.provider.remove_client("forum", &origin()).await.unwrap();
    world.clock.advance(seconds(2));
    assert!(!is_accepted(&other, "forum", rotated.expose()).await);
}

#[tokio::test]
async fn removing_a_client_ends_its_sessions() {
    let world = World::new().await;
    let secret = world.provider.add_client(settings("forum"), &origin()).await.unwrap().unwrap();
    let authorized = world.authorize("forum", &[]).await;
    let pairs = owned(&[
        ("grant_type", "authorization_code"),
        ("code", &authorized.code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", authorized.verifier.secret()),
    ]);
    let header = basic("forum", secret.expose());
    let answer = world.provider.token(Some(&header), &pairs, &origin()).await.unwrap();
    let access_token = answer.access_token.expose();
    assert!(world.provider.userinfo(Some(access_token)).await.is_ok());
    world.provider.remove_client("forum", &origin()).await.unwrap();
    assert!(world.provider.userinfo(Some(access_token)).await.is_err());
}

#[tokio::test]
async fn the_configuration_is_not_changed_by_commands() {
    let world = World::new().await;
    let provider = &world.provider;
    let taken = provider.add_client(settings("chat"), &origin()).await.unwrap_err();
    assert!(matches!(taken, ClientCommandError::Taken { .. }), "{taken}");
    let configured = provider.remove_client("chat", &origin()).await.unwrap_err();
    assert!(matches!(configured, ClientCommandError::Configured { .. }), "{configured}");
    let unknown = provider.rotate_client_secret("nobody", &origin()).await.unwrap_err();
    assert!(matches!(unknown, ClientCommandError::Unknown { .. }), "{unknown}");
    let public = ClientSettings { public: true, ..settings("phone") };
    assert!(provider.add_client(public, &origin()).await.unwrap().is_none());
    let no_secret = provider.rotate_client_secret("phone", &origin()).await.unwrap_err();
    assert!(matches!(no_secret, ClientCommandError::Public { .. }), "{no_secret}");
    let twice = provider.add_client(settings("phone"), &origin()).await.unwrap_err();
    assert!(matches!(twice, ClientCommandError::Taken { .. }), "{twice}");
    let invalid = ClientSettings { redirect_uris: Vec::new(), ..settings("bad") };
    let invalid = provider.add_client(invalid, &origin()).await.unwrap_err();
    assert!(matches!(invalid, ClientCommandError::Invalid(_)), "{invalid}");

    let listed = provider.list_clients().await.unwrap();
    let ids: Vec<_> = listed.iter().map(|one| (one.settings.id.as_str(), one.source)).collect();
    let file = ClientSource::Configuration;
    let expected = [
        ("app", file),
        ("chat", file),
        ("other", file),
        ("phone", ClientSource::Store),
        ("rsa", file),
    ];
    assert_eq!(ids, expected);
    assert_eq!(provider.show_client("phone").await.unwrap().source, ClientSource::Store);
    assert!(provider.show_client("nobody").await.is_err());
}

#[tokio::test]
async fn one_id_in_both_places_stops_the_start() {
    let world = World::new().await;
    let now = world.clock.now();
    let record = ClientRecord {
        id: "chat".to_owned(),
        settings: serde_json::to_value(settings("chat")).unwrap(),
        sealed_secret: None,
        created_at: now,
        updated_at: now,
    };
    let public = ClientSettings { public: true, ..settings("chat") };
    let record = ClientRecord { settings: serde_json::to_value(public).unwrap(), ..record };
    world.store.add_client(record, Vec::new()).await.unwrap();
    let again = provider_over(&world.store, &world.clock, &world.ring);
    let error = again.start().await.unwrap_err();
    assert!(error.to_string().contains("\"chat\""), "{error}");
    // Until then, the one of the configuration counts.
    world.clock.advance(seconds(3));
    assert!(is_accepted(&world.provider, "chat", SECRET).await);

    let twice = ProviderSettings::new(
        Url::parse("https://sso.example.com").unwrap(),
        vec![confidential(settings("chat")), confidential(settings("chat"))],
    );
    let made = Provider::new(
        Arc::clone(&world.store) as _,
        Arc::clone(&world.clock) as _,
        Arc::new(SystemRandom::new()),
        Arc::clone(&world.ring),
        twice,
    );
    assert!(matches!(made, Err(ProviderError::ClientTwice { .. })));
}

#[tokio::test]
async fn a_client_that_changed_while_the_person_signed_in() {
    let world = World::new().await;
    world.provider.add_client(settings("forum"), &origin()).await.unwrap();
    let pairs = owned(&[
        ("client_id", "forum"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid"),
    ]);
    let (request, _) = world.provider.begin_authorization(&pairs, &origin()).await.unwrap();
    world.provider.remove_client("forum", &origin()).await.unwrap();
    let policy = AuthenticationContext::Aal1;
    let session = world.session();
    let outcome =
        world.provider.authorize(&request, Some(&session), policy, &origin()).await.unwrap();
    assert!(matches!(outcome, AuthorizationOutcome::Page(_)), "{outcome:?}");
    let moved = ClientSettings {
        redirect_uris: vec!["https://new.example.com/cb".to_owned()],
        ..settings("forum")
    };
    world.provider.add_client(moved, &origin()).await.unwrap();
    let outcome =
        world.provider.authorize(&request, Some(&session), policy, &origin()).await.unwrap();
    assert!(matches!(outcome, AuthorizationOutcome::Page(_)), "{outcome:?}");
}
