//! Pushed requests, devices, signed client authentication, pairwise subjects, groups and claims.

use openidconnect::PrivateSigningKey as _;
use serde_json::json;

use super::*;
use crate::handoff::authorization::PageError;
use crate::handoff::client::{SubjectType, TokenEndpointAuthMethod};
use crate::handoff::device::GRANT_TYPE;
use crate::handoff::oauth_error::OAuthErrorCode;
use crate::handoff::signing_key::SigningKey;

fn eddsa(id: &str) -> ClientSettings {
    ClientSettings { id_token_signed_response_alg: Some(SigningAlgorithm::EdDsa), ..settings(id) }
}

fn payload(token: &Value) -> Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_pushed_request_is_read_once_and_by_its_client_alone() {
    let world = World::new().await;
    let (challenge, _) = PkceCodeChallenge::new_random_sha256();
    let form = |extra: &[(&str, &str)]| {
        let mut pairs = vec![
            ("client_id", "chat"),
            ("client_secret", SECRET),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", "pushed"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        pairs.retain(|(name, _)| !extra.iter().any(|(other, _)| other == name));
        pairs.extend_from_slice(extra);
        owned(&pairs)
    };
    let push = |pairs: Vec<(String, String)>| {
        let provider = Arc::clone(&world.provider);
        async move { provider.push_authorization(None, &pairs, &origin()).await }
    };
    let begin = |client: &'static str, reference: String| {
        let provider = Arc::clone(&world.provider);
        async move {
            // What stands beside the reference must not count.
            let pairs = owned(&[
                ("client_id", client),
                ("request_uri", &reference),
                ("redirect_uri", "https://evil.example/"),
                ("state", "changed"),
            ]);
            provider.begin_authorization(&pairs, &origin()).await
        }
    };
    let answer = push(form(&[])).await.unwrap();
    assert_eq!(answer["expires_in"], 90);
    let reference = answer["request_uri"].as_str().unwrap().to_owned();
    assert!(reference.starts_with("urn:ietf:params:oauth:request_uri:"));
    let (request, _) = begin("chat", reference.clone()).await.unwrap();
    assert_eq!((request.redirect_uri(), request.client()), (REDIRECT, "chat"));
    let refused = |answer| match answer {
        Err(AuthorizationFailure::Page(PageError::NoPushedRequest)) => (),
        other => panic!("{other:?}"),
    };
    refused(begin("chat", reference).await);
    let reference = push(form(&[])).await.unwrap()["request_uri"].as_str().unwrap().to_owned();
    refused(begin("other", reference).await);
    let reference = push(form(&[])).await.unwrap()["request_uri"].as_str().unwrap().to_owned();
    world.clock.advance(seconds(90));
    refused(begin("chat", reference).await);
    for (extra, code) in [
        (("client_secret", "wrong"), OAuthErrorCode::InvalidClient),
        (("redirect_uri", "https://evil.example/"), OAuthErrorCode::InvalidRequest),
        (("request_uri", "urn:x"), OAuthErrorCode::InvalidRequest),
        (("response_type", "token"), OAuthErrorCode::UnsupportedResponseType),
        (("scope", "nonsense"), OAuthErrorCode::InvalidScope),
        (("code_challenge_method", "plain"), OAuthErrorCode::InvalidRequest),
    ] {
        let error = push(form(&[extra])).await.unwrap_err();
        assert_eq!(error.code(), code, "{extra:?}");
    }
}

impl World {
    async fn begin_device(&self) -> Value {
        let pairs = owned(&[("client_id", "app"), ("scope", "openid email")]);
        let begun = self.provider.begin_device_authorization(None, &pairs, &origin()).await;
        serde_json::from_str(&begun.unwrap().body()).unwrap()
    }

    async fn poll(&self, device: &Value) -> Result<Value, OAuthErrorCode> {
        let code = device["device_code"].as_str().unwrap();
        let polled = self.post("app", &[("grant_type", GRANT_TYPE), ("device_code", code)]).await;
        polled.map_err(|error| error.code())
    }

    async fn prompt(&self, typed: &str) -> Option<Box<DevicePrompt>> {
        match self.provider.look_for_device(typed, &self.session()).await.unwrap() {
            DeviceLookup::Found(prompt) => Some(prompt),
            DeviceLookup::Unknown => None,
            DeviceLookup::Locked(until) => panic!("locked until {until}"),
        }
    }

    async fn answer(&self, prompt: &DevicePrompt, approve: bool) -> bool {
        let session = self.session();
        self.provider.answer_device(prompt, approve, &session, &origin()).await.unwrap()
    }
}

#[tokio::test]
async fn a_device_gets_its_tokens_once_a_person_agreed() {
    let world = World::new().await;
    let device = world.begin_device().await;
    assert_eq!((&device["expires_in"], &device["interval"]), (&json!(600), &json!(5)));
    assert_eq!(device["verification_uri"], "https://sso.example.com/device");
    assert_eq!(world.poll(&device).await, Err(OAuthErrorCode::AuthorizationPending));
    assert_eq!(world.poll(&device).await, Err(OAuthErrorCode::SlowDown));
    let typed = device["user_code"].as_str().unwrap().to_lowercase();
    let prompt = world.prompt(&typed).await.unwrap();
    assert_eq!((prompt.client.id(), prompt.grant.ip.as_deref()), ("app", Some("192.0.2.7")));
    assert!(world.answer(&prompt, true).await);
    assert!(!world.answer(&prompt, false).await, "answered already");
    assert!(world.prompt(&typed).await.is_none(), "an answered one is not shown again");
    world.clock.advance(seconds(5));
    let tokens = world.poll(&device).await.unwrap();
    assert_eq!(payload(&tokens["id_token"])["email"], "alice@example.com");
    assert!(world.refresh("app", &tokens["refresh_token"]).await.is_ok());
    world.clock.advance(seconds(5));
    assert_eq!(world.poll(&device).await, Err(OAuthErrorCode::InvalidGrant), "a second time");
    assert_eq!(world.events("device.approved").await.len(), 1);
    // The device code is no authorization code.
    let code = device["device_code"].as_str().unwrap();
    for uri in [REDIRECT, ""] {
        let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", uri)];
        assert!(world.post("app", &form).await.is_err());
    }
}

#[tokio::test]
async fn a_device_is_refused_expires_or_belongs_to_another() {
    let world = World::new().await;
    let device = world.begin_device().await;
    let prompt = world.prompt(device["user_code"].as_str().unwrap()).await.unwrap();
    assert!(world.answer(&prompt, false).await);
    assert_eq!(world.poll(&device).await, Err(OAuthErrorCode::AccessDenied));

    let device = world.begin_device().await;
    let code = device["device_code"].as_str().unwrap();
    let form = [("grant_type", GRANT_TYPE), ("device_code", code)];
    let stolen = world.post("chat", &form).await.unwrap_err();
    assert_eq!(stolen.code(), OAuthErrorCode::InvalidGrant);
    world.clock.advance(seconds(600));
    assert!(world.prompt(device["user_code"].as_str().unwrap()).await.is_none());
    assert_eq!(world.poll(&device).await, Err(OAuthErrorCode::ExpiredToken));

    let device = world.begin_device().await;
    let prompt = world.prompt(device["user_code"].as_str().unwrap()).await.unwrap();
    assert!(world.answer(&prompt, true).await);
    world.disable_account().await;
    assert_eq!(world.poll(&device).await, Err(OAuthErrorCode::InvalidGrant));

    let confidential = owned(&[("client_id", "chat"), ("client_secret", SECRET)]);
    let error = world.provider.begin_device_authorization(None, &confidential, &origin()).await;
    assert_eq!(error.unwrap_err().code(), OAuthErrorCode::UnauthorizedClient);
}

#[tokio::test]
async fn user_codes_are_guessed_a_few_times_only() {
    let world = World::new().await;
    let device = world.begin_device().await;
    for _ in 0..10 {
        assert!(world.prompt("BBBB-BBBB").await.is_none());
    }
    let right = device["user_code"].as_str().unwrap();
    let locked = world.provider.look_for_device(right, &world.session()).await.unwrap();
    assert!(matches!(locked, DeviceLookup::Locked(_)), "{locked:?}");
    // And devices are begun a bounded number of times by one source.
    let pairs = owned(&[("client_id", "app")]);
    let mut slowed = false;
    for _ in 0..70 {
        let begun = world.provider.begin_device_authorization(None, &pairs, &origin()).await;
        slowed |= begun.is_err_and(|error| error.code() == OAuthErrorCode::SlowDown);
    }
    assert!(slowed);
}

#[tokio::test]
async fn an_assertion_authenticates_once_and_a_secret_never() {
    let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let signed = ClientSettings {
        token_endpoint_auth_method: Some(TokenEndpointAuthMethod::PrivateKeyJwt),
        jwks: Some(json!({ "keys": [key.public_jwk()] })),
        ..eddsa("chat")
    };
    let world = World::with(vec![Client::new(signed, None).unwrap()]).await;
    let assertion = |jti: &str| {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let now = world.clock.now().seconds();
        let payload = json!({
            "iss": "chat", "sub": "chat", "aud": "https://sso.example.com/oauth2/token",
            "exp": now + 60, "jti": jti,
        });
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(json!({ "alg": "EdDSA" })), encode(payload));
        let signature = key.sign(&SigningAlgorithm::EdDsa.jws(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let redeem = |credentials: Vec<(&'static str, String)>| {
        let world = &world;
        async move {
            let authorized = world.authorize("chat", &[]).await;
            let mut pairs = owned(&[
                ("grant_type", "authorization_code"),
                ("code", &authorized.code),
                ("redirect_uri", authorized.redirect),
                ("code_verifier", authorized.verifier.secret()),
            ]);
            pairs.extend(credentials.into_iter().map(|(name, value)| (name.to_owned(), value)));
            world.provider.token(None, &pairs, &origin()).await.map_err(|error| error.code())
        }
    };
    let by = |text: String| {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned();
        vec![("client_assertion_type", kind), ("client_assertion", text)]
    };
    assert!(redeem(by(assertion("one"))).await.is_ok());
    let refused = Some(OAuthErrorCode::InvalidClient);
    assert_eq!(redeem(by(assertion("one"))).await.err(), refused, "a replay");
    assert!(redeem(by(assertion("two"))).await.is_ok());
    let secret = vec![("client_id", "chat".to_owned()), ("client_secret", SECRET.to_owned())];
    assert_eq!(redeem(secret).await.err(), refused);
    assert_eq!(redeem(vec![("client_id", "chat".to_owned())]).await.err(), refused);
    let mut with_type = by(assertion("three"));
    with_type[0].1 = "urn:other".to_owned();
    assert_eq!(redeem(with_type).await.err(), refused);
    let mut doubled = by(assertion("four"));
    doubled.push(("client_secret", SECRET.to_owned()));
    assert_eq!(redeem(doubled).await.err(), Some(OAuthErrorCode::InvalidRequest));
    let reasons: Vec<_> = world
        .events("client.authentication_refused")
        .await
        .into_iter()
        .filter_map(|event| event.reason)
        .collect();
    let missing = "client_assertion_missing";
    assert_eq!(reasons, ["client_assertion_replayed", missing, missing]);
}

#[tokio::test]
async fn two_sectors_know_one_person_by_two_subjects() {
    let pairwise = |id: &str, host: &str| {
        confidential(ClientSettings {
            subject_type: SubjectType::Pairwise,
            redirect_uris: vec![REDIRECT.replace("chat.example.com", host)],
            ..eddsa(id)
        })
    };
    let first =
        World::with(vec![pairwise("chat", "chat.example.com"), confidential(eddsa("open"))]);
    let world = first.await;
    let tokens = world.sign_in("chat").await;
    let subject = payload(&tokens["id_token"])["sub"].clone();
    assert_ne!(subject, json!(world.account.id.to_string()));
    let open = world.sign_in("open").await;
    assert_eq!(payload(&open["id_token"])["sub"], json!(world.account.id.to_string()));
    let userinfo = world.provider.userinfo(tokens["access_token"].as_str()).await.unwrap();
    assert_eq!(serde_json::to_value(userinfo).unwrap()["sub"], subject);
    assert_eq!(world.introspect("chat", &tokens["access_token"]).await["sub"], subject);
    assert_eq!(world.introspect("chat", &tokens["refresh_token"]).await["sub"], subject);
    let refreshed = world.refresh("chat", &tokens["refresh_token"]).await.unwrap();
    assert_eq!(payload(&refreshed["id_token"])["sub"], subject);
    // A hint leads back to the person all the same.
    let hint = refreshed["id_token"].as_str().unwrap();
    let silent = world.authorize("chat", &[("id_token_hint", hint), ("prompt", "none")]).await;
    assert!(!silent.code.is_empty());
    let logout = owned(&[("id_token_hint", hint)]);
    let request = world.provider.read_logout(&logout).await.unwrap().unwrap();
    assert_eq!(request.account, Some(world.account.id));
}

#[tokio::test]
async fn only_people_of_the_allowed_groups_come_in_and_stay_in() {
    let admins = ClientSettings { allowed_groups: Some(vec!["Staff".into()]), ..eddsa("chat") };
    let world = World::with(vec![confidential(admins)]).await;
    let tokens = world.sign_in("chat").await;
    let mut account = world.store.account(world.account.id).await.unwrap().unwrap();
    account.groups = vec!["guests".to_owned()];
    assert!(world.store.update_account(account.clone(), Vec::new()).await.unwrap());
    let error = world.refresh("chat", &tokens["refresh_token"]).await.unwrap_err();
    assert_eq!(error.code(), OAuthErrorCode::InvalidGrant);
    let pairs = owned(&[
        ("client_id", "chat"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid"),
    ]);
    let (request, _) = world.provider.begin_authorization(&pairs, &origin()).await.unwrap();
    let session = Session::resume(world.browser.clone(), account, world.clock.now()).unwrap();
    let context = AuthenticationContext::Aal1;
    let outcome = world.provider.authorize(&request, Some(&session), context, &origin()).await;
    let AuthorizationOutcome::Respond(response) = outcome.unwrap() else { panic!() };
    assert_eq!(value(&response, "error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn a_refreshed_answer_leaves_the_id_token_out_where_the_client_says_so() {
    let lean = ClientSettings { id_token_on_refresh: Some(false), ..eddsa("chat") };
    let world = World::with(vec![confidential(lean), confidential(eddsa("full"))]).await;
    for (client, expected) in [("chat", false), ("full", true)] {
        let tokens = world.sign_in(client).await;
        assert!(tokens.get("id_token").is_some(), "{client}");
        let refreshed = world.refresh(client, &tokens["refresh_token"]).await.unwrap();
        assert_eq!(refreshed.get("id_token").is_some(), expected, "{client}");
    }
}
