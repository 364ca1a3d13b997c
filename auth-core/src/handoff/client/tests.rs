use super::*;
use crate::clock::Timestamp;
use crate::handoff::oauth_error::OAuthErrorCode;
use crate::handoff::parameters::Parameters;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) fn settings(id: &str) -> ClientSettings {
    ClientSettings {
        id: id.to_owned(),
        redirect_uris: vec!["https://chat.example.com/cb".to_owned()],
        ..ClientSettings::default()
    }
}

pub(crate) fn confidential(settings: ClientSettings) -> Client {
    Client::new(settings, Some(Secret::new("s3cr%t+ &=:x".to_owned()))).unwrap()
}

pub(crate) fn public(settings: ClientSettings) -> Client {
    Client::new(ClientSettings { public: true, ..settings }, None).unwrap()
}

#[test]
fn settings_round_trip_and_refuse_unknown_keys() {
    let json = serde_json::json!({
        "id": "chat", "kind": "oidc", "redirect_uris": ["https://chat.example.com/cb"],
        "access_token_lifetime": "5m", "session_kind": "mobile", "session_lifetime": "30d",
        "id_token_signed_response_alg": "EdDSA", "token_endpoint_auth_method": "client_secret_post",
        "connectors": ["corp"], "groups": ["staff"],
    });
    let settings: ClientSettings = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(settings.access_token_lifetime, Some(Duration::from_secs(300)));
    assert_eq!(serde_json::to_value(&settings).unwrap(), json);
    let unknown = serde_json::json!({ "id": "chat", "redirect_uri": "x" });
    assert!(serde_json::from_value::<ClientSettings>(unknown).is_err());
}

#[test]
fn settings_that_make_no_client_name_the_key() {
    let check = |change: fn(&mut ClientSettings), secret: Option<&str>, key: &str| {
        let mut changed = settings("chat");
        change(&mut changed);
        let secret = secret.map(|text| Secret::new(text.to_owned()));
        assert_eq!(Client::new(changed, secret).unwrap_err().key, key);
    };
    let secret = Some("secret");
    check(|s| s.id = "Chat".to_owned(), secret, "id");
    check(|s| s.id = "a".repeat(33), secret, "id");
    check(|s| s.redirect_uris.clear(), secret, "redirect_uris");
    check(|s| s.redirect_uris = vec!["http://chat.example/".into()], secret, "redirect_uris");
    check(
        |s| s.post_logout_redirect_uris = vec!["javascript:alert(1)".into()],
        secret,
        "post_logout_redirect_uris",
    );
    check(
        |s| s.access_token_lifetime = Some(Duration::from_secs(29)),
        secret,
        "access_token_lifetime",
    );
    check(|s| s.session_lifetime = Some(Duration::ZERO), secret, "session_lifetime");
    check(|s| s.scopes = Some(vec!["a b".into()]), secret, "scopes");
    check(|s| s.connectors = Some(vec![]), secret, "connectors");
    check(|_| (), None, "secret");
    check(|_| (), Some(""), "secret");
    check(|s| s.public = true, secret, "secret");
    check(
        |s| {
            s.public = true;
            s.token_endpoint_auth_method = Some(TokenEndpointAuthMethod::ClientSecretPost);
        },
        None,
        "token_endpoint_auth_method",
    );
}

#[test]
fn redirect_uris_match_exactly() {
    let client = confidential(settings("chat"));
    assert!(client.allows_redirect_uri("https://chat.example.com/cb"));
    for uri in [
        "",
        "https://chat.example.com/cb/",
        "https://chat.example.com/cb?x=1",
        "https://chat.example.com/cb#",
        "https://CHAT.example.com/cb",
        "https://chat.example.com:443/cb",
        "https://chat.example.com/x/../cb",
        "https://chat.example.com/%63b",
        "https://chat.example.com.evil.example/cb",
        "http://chat.example.com/cb",
    ] {
        assert!(!client.allows_redirect_uri(uri), "{uri}");
    }
}

#[test]
fn loopback_ports_are_for_public_clients() {
    let loopback =
        ClientSettings { redirect_uris: vec!["http://127.0.0.1/cb".to_owned()], ..settings("app") };
    assert!(public(loopback.clone()).allows_redirect_uri("http://127.0.0.1:40000/cb"));
    assert!(!confidential(loopback).allows_redirect_uri("http://127.0.0.1:40000/cb"));
}

fn judge(
    client: &Client,
    header: Option<&str>,
    form: &[(&str, &str)],
) -> Result<Result<(), AuthenticationFailure>, OAuthErrorCode> {
    let form: Vec<(String, String)> =
        form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let expected = ExpectedAssertion { audiences: &[], now: Timestamp::from_seconds(0) };
    ClientCredentials::read(header, &Parameters::new(&form))
        .map(|credentials| {
            client.authenticate(&credentials, expected).map(|once| assert!(once.is_none()))
        })
        .map_err(|error| error.code())
}

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

#[test]
fn a_secret_by_header_or_form() {
    let client = confidential(settings("chat"));
    let secret = "s3cr%t+ &=:x";
    let encoded = "s3cr%25t%2B+%26%3D%3Ax";
    assert_eq!(judge(&client, Some(&basic(&format!("chat:{encoded}"))), &[]), Ok(Ok(())));
    assert_eq!(judge(&client, Some(&basic(&format!("chat:{secret}"))), &[]), Ok(Ok(())));
    let lower_case_unpadded = basic(&format!("chat:{encoded}")).replacen("Basic", "basic", 1);
    let lower_case_unpadded = lower_case_unpadded.trim_end_matches('=');
    assert_eq!(judge(&client, Some(lower_case_unpadded), &[("client_id", "chat")]), Ok(Ok(())));
    let form = [("client_id", "chat"), ("client_secret", secret)];
    assert_eq!(judge(&client, None, &form), Ok(Ok(())));
}

#[test]
fn wrong_or_missing_secrets() {
    let client = confidential(settings("chat"));
    let wrong = Ok(Err(AuthenticationFailure::WrongSecret));
    assert_eq!(judge(&client, Some(&basic("chat:wrong")), &[]), wrong);
    assert_eq!(judge(&client, None, &[("client_id", "chat"), ("client_secret", "x")]), wrong);
    let missing = Ok(Err(AuthenticationFailure::MissingSecret));
    assert_eq!(judge(&client, Some(&basic("chat:")), &[]), missing);
    assert_eq!(judge(&client, None, &[("client_id", "chat")]), missing);
    assert_eq!(judge(&client, None, &[("client_id", "chat"), ("client_secret", "")]), missing);
}

#[test]
fn malformed_or_doubled_credentials() {
    let client = confidential(settings("chat"));
    let invalid_client = Err(OAuthErrorCode::InvalidClient);
    let invalid_request = Err(OAuthErrorCode::InvalidRequest);
    for header in ["Basic", "Basic !!!", "Bearer abc", &basic("no colon"), &basic("%zz:x")] {
        assert_eq!(judge(&client, Some(header), &[]), invalid_client, "{header}");
    }
    assert_eq!(judge(&client, None, &[]), invalid_client);
    let header = basic("chat:s3cr%25t%2B+%26%3D%3Ax");
    for form in [
        &[("client_id", "other")][..],
        &[("client_secret", "s3cr%t+ &=:x")],
        &[("client_id", "chat"), ("client_id", "chat")],
    ] {
        assert_eq!(judge(&client, Some(&header), form), invalid_request, "{form:?}");
    }
    let assertion = [("client_id", "chat"), ("client_assertion", "x")];
    assert_eq!(judge(&client, None, &assertion), invalid_client);
}

#[test]
fn a_registered_method_is_the_only_one() {
    let only = |method| {
        confidential(ClientSettings {
            token_endpoint_auth_method: Some(method),
            ..settings("chat")
        })
    };
    let header = basic("chat:s3cr%25t%2B+%26%3D%3Ax");
    let form = [("client_id", "chat"), ("client_secret", "s3cr%t+ &=:x")];
    let basic_only = only(TokenEndpointAuthMethod::ClientSecretBasic);
    let post_only = only(TokenEndpointAuthMethod::ClientSecretPost);
    let wrong = Ok(Err(AuthenticationFailure::WrongMethod));
    assert_eq!(judge(&basic_only, Some(&header), &[]), Ok(Ok(())));
    assert_eq!(judge(&basic_only, None, &form), wrong);
    assert_eq!(judge(&post_only, None, &form), Ok(Ok(())));
    assert_eq!(judge(&post_only, Some(&header), &[]), wrong);
}

#[test]
fn each_kind_of_client_takes_its_own_settings_only() {
    let key_of = |settings: ClientSettings, secret: Option<&str>| {
        let secret = secret.map(|text| Secret::new(text.to_owned()));
        Client::new(settings, secret).err().map(|error| error.key)
    };
    let proxy = || ClientSettings {
        kind: ClientKind::ForwardAuth,
        hosts: vec!["wiki.example.com".into()],
        redirect_uris: Vec::new(),
        ..settings("wiki")
    };
    assert_eq!(key_of(proxy(), None), None);
    assert_eq!(key_of(proxy(), Some("s")), Some("secret"));
    assert_eq!(key_of(ClientSettings { hosts: Vec::new(), ..proxy() }, None), Some("hosts"));
    let uris = vec!["https://wiki.example.com/cb".to_owned()];
    let with_uris = ClientSettings { redirect_uris: uris, ..proxy() };
    assert_eq!(key_of(with_uris, None), Some("redirect_uris"));
    let host = vec!["https://wiki.example.com".to_owned()];
    assert_eq!(key_of(ClientSettings { hosts: host, ..proxy() }, None), Some("hosts"));
    let oidc = ClientSettings { hosts: vec!["a".into()], ..settings("chat") };
    assert_eq!(key_of(oidc, Some("s")), Some("hosts"));

    let chat = || ClientSettings { kind: ClientKind::SessionApi, ..settings("chat") };
    assert_eq!(key_of(chat(), Some("s")), None);
    let post = Some(TokenEndpointAuthMethod::ClientSecretPost);
    let posting = ClientSettings { token_endpoint_auth_method: post, ..chat() };
    assert_eq!(key_of(posting, Some("s")), Some("token_endpoint_auth_method"));
    let public = ClientSettings { public: true, ..chat() };
    assert_eq!(key_of(public, None), Some("token_endpoint_auth_method"));
    let pairwise = SubjectType::Pairwise;
    assert_eq!(
        key_of(ClientSettings { subject_type: pairwise, ..chat() }, Some("s")),
        Some("subject_type")
    );
    let two_hosts = ClientSettings {
        subject_type: pairwise,
        redirect_uris: vec!["https://a.example/".into(), "https://b.example/".into()],
        ..settings("chat")
    };
    assert_eq!(key_of(two_hosts, Some("s")), Some("subject_type"));
    let keys = |jwks| ClientSettings {
        token_endpoint_auth_method: Some(TokenEndpointAuthMethod::PrivateKeyJwt),
        jwks,
        ..settings("chat")
    };
    assert_eq!(key_of(keys(None), None), Some("jwks"));
    assert_eq!(key_of(keys(Some(serde_json::json!({ "keys": [] }))), None), Some("jwks"));
    assert_eq!(key_of(keys(None), Some("s")), Some("secret"));
    let unused = ClientSettings { jwks: Some(serde_json::json!({})), ..settings("chat") };
    assert_eq!(key_of(unused, Some("s")), Some("jwks"));
    let claims = |names: &[&str]| ClientSettings {
        claims: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..settings("chat")
    };
    assert_eq!(key_of(claims(&["email"]), Some("s")), None);
    assert_eq!(key_of(claims(&["name", "department"]), Some("s")), None);
    for no_claim in ["", "e mail", "sub", "aud"] {
        assert_eq!(key_of(claims(&[no_claim]), Some("s")), Some("claims"), "{no_claim}");
    }
    assert_eq!(key_of(claims(&[]), Some("s")), Some("claims"));
}

#[test]
fn a_public_client_has_no_secret() {
    let client = public(settings("app"));
    assert_eq!(judge(&client, None, &[("client_id", "app")]), Ok(Ok(())));
    assert_eq!(judge(&client, Some(&basic("app:")), &[]), Ok(Ok(())));
    let form = [("client_id", "app"), ("client_secret", "x")];
    assert_eq!(judge(&client, None, &form), Ok(Err(AuthenticationFailure::UnexpectedSecret)));
}
