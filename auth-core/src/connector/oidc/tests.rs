//! The rules over bytes and claims, without a network.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::authorization::{AwayState, CallbackAnswer, depart};
use super::discovery::Provider;
use super::id_token::{Expected, VerifiedIdToken, verify};
use super::jwks::{KeySet, UnverifiedToken};
use super::profile;
use super::refusal::{OidcRefusal, Rejection};
use super::settings::OidcSettings;
use super::{Preset, logout};
use crate::clock::Timestamp;
use crate::connector::redirect::DepartureRequest;
use crate::random::SystemRandom;

const NOW: i64 = 1_764_000_000;

struct Signer(Ed25519KeyPair);

impl Signer {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    fn keys(&self) -> KeySet {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        let set = json!({ "keys": [
            { "kty": "unknown", "kid": "x" },
            { "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x },
        ] });
        KeySet::read(set.to_string().as_bytes()).unwrap()
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn settings() -> OidcSettings {
    let issuer = "https://idp.example".parse().unwrap();
    let back = "https://sso.example/oidc/up/callback".parse().unwrap();
    OidcSettings::new("up", Preset::Generic, Some(issuer), "broker", back).unwrap()
}

fn metadata() -> Value {
    json!({
        "issuer": "https://idp.example",
        "authorization_endpoint": "https://idp.example/authorize?tenant=1",
        "token_endpoint": "https://idp.example/token",
        "jwks_uri": "https://idp.example/jwks",
        "response_types_supported": ["code", "something new"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA", "something new"],
        "authorization_response_iss_parameter_supported": true,
    })
}

fn read(metadata: &Value, settings: &OidcSettings) -> Result<Provider, String> {
    Provider::read(metadata.to_string().as_bytes(), settings)
}

fn claims() -> Value {
    json!({
        "iss": "https://idp.example", "aud": "broker", "sub": "s-1", "nonce": "n",
        "iat": NOW, "exp": NOW + 60,
    })
}

fn judge(claims: &Value, fresh: bool) -> Result<VerifiedIdToken, Rejection> {
    let signer = Signer::new();
    let token = signer.token(&json!({ "alg": "EdDSA", "kid": "k" }), claims);
    let signed = UnverifiedToken::parse(&token)?.verify(&signer.keys())?;
    let settings = settings();
    let provider = read(&metadata(), &settings).unwrap();
    let expected = Expected {
        nonce: "n",
        departed_at: Timestamp::from_seconds(NOW - 5),
        fresh,
        access_token: Some("access"),
    };
    verify(signed, &provider, &settings, &expected, Timestamp::from_seconds(NOW))
}

fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn the_times_of_a_token_may_differ_by_the_skew_and_not_more() {
    let cases = [
        (json!({ "exp": NOW - 59 }), None),
        (json!({ "exp": NOW - 60 }), Some(OidcRefusal::TokenExpired)),
        (json!({ "iat": NOW + 60 }), None),
        (json!({ "iat": NOW + 61 }), Some(OidcRefusal::TokenNotYetValid)),
        (json!({ "iat": NOW - 65 }), None),
        (json!({ "iat": NOW - 66 }), Some(OidcRefusal::TokenTooOld)),
        (json!({ "nbf": NOW + 61 }), Some(OidcRefusal::TokenNotYetValid)),
        (json!({ "nbf": "soon" }), Some(OidcRefusal::MalformedToken)),
        (json!({ "exp": 1e300 }), Some(OidcRefusal::MalformedToken)),
        (json!({ "exp": f64::from(1_764_000_060_i32) + 0.5 }), None),
    ];
    for (changes, expected) in cases {
        let found = judge(&with(&changes), false).err().map(|rejection| rejection.rule);
        assert_eq!(found, expected, "{changes}");
    }
}

#[test]
fn a_fresh_sign_in_has_to_be_said() {
    assert_eq!(judge(&claims(), true).unwrap_err().rule, OidcRefusal::NotFresh);
    let stale = with(&json!({ "auth_time": NOW - 66 }));
    assert_eq!(judge(&stale, true).unwrap_err().rule, OidcRefusal::NotFresh);
    assert!(judge(&with(&json!({ "auth_time": NOW - 60 })), true).is_ok());
    assert!(judge(&stale, false).is_ok());
}

#[test]
fn headers_that_are_not_ours_to_trust() {
    let signer = Signer::new();
    let refused = |header: Value| {
        let token = signer.token(&header, &claims());
        match UnverifiedToken::parse(&token) {
            Err(rejection) => rejection.rule,
            Ok(token) => token.verify(&signer.keys()).unwrap_err().rule,
        }
    };
    for alg in ["none", "None", "HS256", "HS512", "ES512", "eddsa", ""] {
        let found = refused(json!({ "alg": alg, "kid": "k" }));
        assert_eq!(found, OidcRefusal::AlgorithmNotAllowed, "{alg:?}");
    }
    assert_eq!(refused(json!({ "kid": "k" })), OidcRefusal::MalformedToken);
    let critical = json!({ "alg": "EdDSA", "kid": "k", "crit": ["b64"], "b64": false });
    assert_eq!(refused(critical), OidcRefusal::MalformedToken);
    assert_eq!(refused(json!({ "alg": "EdDSA", "kid": "x" })), OidcRefusal::UnknownKey);
    assert_eq!(refused(json!({ "alg": "RS256", "kid": "k" })), OidcRefusal::BadSignature);
    // A key inside the token is nobody's.
    let own = json!({ "alg": "EdDSA", "kid": "other", "jwk": { "kty": "OKP" } });
    assert_eq!(refused(own), OidcRefusal::UnknownKey);
    // Without a key id every key of the set may fit.
    let token = signer.token(&json!({ "alg": "EdDSA" }), &claims());
    assert!(UnverifiedToken::parse(&token).unwrap().verify(&signer.keys()).is_ok());
    for junk in ["", "a", "a.b", "a.b.c", "..", "é.é.é", &"a".repeat(70_000)] {
        assert!(UnverifiedToken::parse(junk).is_err());
    }
}

#[test]
fn a_small_rsa_key_verifies_nothing() {
    use aws_lc_rs::rand::SystemRandom as AwsRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::RSA_PKCS1_SHA256;
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public = pair.public_key();
    let n = public.modulus().big_endian_without_leading_zero().to_vec();
    let e = encode(public.exponent().big_endian_without_leading_zero());
    let keys = |n: &[u8]| {
        let set = json!({ "keys": [{ "kty": "RSA", "kid": "r", "n": encode(n), "e": e }] });
        KeySet::read(set.to_string().as_bytes()).unwrap()
    };
    let signed = format!(
        "{}.{}",
        encode(json!({ "alg": "RS256", "kid": "r" }).to_string().as_bytes()),
        encode(claims().to_string().as_bytes())
    );
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &AwsRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    let token = format!("{signed}.{}", encode(&signature));
    assert!(UnverifiedToken::parse(&token).unwrap().verify(&keys(&n)).is_ok());
    let small = UnverifiedToken::parse(&token).unwrap().verify(&keys(&n[..128]));
    assert_eq!(small.unwrap_err().rule, OidcRefusal::BadSignature);
}

#[test]
fn metadata_is_of_the_configured_issuer_and_of_https() {
    let provider = read(&metadata(), &settings()).unwrap();
    assert!(provider.names_itself && provider.end_session.is_none());
    let entra = OidcSettings {
        issuer: "https://login.example/organizations/v2.0".parse().unwrap(),
        tenants: vec!["t-1".to_owned()],
        ..settings()
    };
    let template = |issuer: &str, settings: &OidcSettings| {
        let mut metadata = metadata();
        metadata["issuer"] = json!(issuer);
        read(&metadata, settings).map(|provider| provider.has_tenants())
    };
    assert_eq!(template("https://login.example/{tenantid}/v2.0", &entra), Ok(true));
    for foreign in [
        "https://evil.example/{tenantid}/v2.0",
        "https://login.example/{tenantid}",
        "https://login.example/{tenantid}/{tenantid}/v2.0",
        "https://login.example/x/{tenantid}/v2.0",
        "https://{tenantid}/v2.0",
    ] {
        assert!(template(foreign, &entra).is_err(), "{foreign}");
    }
    // Without a list of tenants nobody of a template comes in.
    let open = OidcSettings { tenants: Vec::new(), ..entra };
    assert!(template("https://login.example/{tenantid}/v2.0", &open).is_err());
    for (name, url) in [
        ("token_endpoint", "http://idp.example/token"),
        ("token_endpoint", "http://127.0.0.1/token"),
        ("jwks_uri", "https://u:p@idp.example/jwks"),
        ("authorization_endpoint", "data:text/html,x"),
        ("end_session_endpoint", "http://idp.example/end"),
    ] {
        let mut metadata = metadata();
        metadata[name] = json!(url);
        assert!(read(&metadata, &settings()).is_err(), "{name} {url}");
    }
}

#[test]
fn a_departure_carries_state_nonce_and_challenge_and_its_own_parameters_stay() {
    let settings = OidcSettings {
        authorization_parameters: vec![
            ("domain_hint".to_owned(), "x".to_owned()),
            ("nonce".to_owned(), "chosen".to_owned()),
            ("prompt".to_owned(), "none".to_owned()),
        ],
        ..settings()
    };
    let request = DepartureRequest { state: "st", fresh: true, login_hint: Some("a@b.c") };
    let endpoint = "https://idp.example/authorize?tenant=1".parse().unwrap();
    let now = Timestamp::from_seconds(NOW);
    let (url, away) = depart(
        &settings,
        &endpoint,
        "https://idp.example",
        true,
        request,
        &SystemRandom::new(),
        now,
    );
    let values = |name: &str| -> Vec<String> {
        let pairs = url.query_pairs().filter(|(key, _)| key == name);
        pairs.map(|(_, value)| value.into_owned()).collect()
    };
    assert_eq!(values("tenant"), ["1"]);
    assert_eq!(values("state"), ["st"]);
    assert_eq!(values("nonce"), std::slice::from_ref(&away.nonce));
    assert_eq!(values("code_challenge_method"), ["S256"]);
    assert_eq!(values("prompt"), ["login"]);
    assert_eq!(values("max_age"), ["0"]);
    assert_eq!(values("domain_hint"), ["x"]);
    assert_eq!(values("login_hint"), ["a@b.c"]);
    assert!(away.verifier.len() >= 43 && !url.as_str().contains(&away.verifier));
}

#[test]
fn answers_are_read_strictly() {
    let away = |names_itself| AwayState {
        nonce: "n".into(),
        verifier: "v".into(),
        issuer: "https://idp.example".into(),
        names_itself,
        fresh: false,
        at: Timestamp::from_seconds(NOW),
    };
    let read = |pairs: &[(&str, &str)]| CallbackAnswer::read(pairs.iter().copied());
    assert!(read(&[("code", "a"), ("code", "a")]).is_none());
    assert!(read(&[("state", &"x".repeat(9000))]).is_none());
    let unnamed = read(&[("code", "a"), ("session_state", "x")]).unwrap();
    assert_eq!(unnamed.code(&away(false)).unwrap(), "a");
    assert_eq!(unnamed.code(&away(true)).unwrap_err().rule, OidcRefusal::ResponseIssuer);
    let foreign = read(&[("code", "a"), ("iss", "https://evil.example")]).unwrap();
    assert_eq!(foreign.code(&away(false)).unwrap_err().rule, OidcRefusal::ResponseIssuer);
}

#[test]
fn an_address_is_verified_by_who_gave_it_only() {
    let map = settings().claims;
    let object = |value: Value| -> Map<String, Value> { value.as_object().cloned().unwrap() };
    let merged = |token: Value, userinfo: Value| {
        let mut claims = object(token);
        profile::merge(&mut claims, object(userinfo), "s", &map).unwrap();
        profile::profile(&claims, &map).unwrap()
    };
    let yes = json!({ "sub": "s", "email": "a@b.c", "email_verified": true });
    assert!(merged(json!({ "sub": "s" }), yes.clone()).email_verified);
    assert!(merged(json!({ "email": "a@b.c" }), yes.clone()).email_verified);
    assert!(!merged(json!({ "email": "other@b.c" }), yes.clone()).email_verified);
    let denied = json!({ "email": "a@b.c", "email_verified": false });
    assert!(!merged(denied, yes.clone()).email_verified);
    let without = json!({ "sub": "s", "email_verified": true });
    assert!(!merged(json!({ "email": "a@b.c" }), without).email_verified);
    for word in [json!(1), json!("yes"), json!("TRUE"), json!(null), json!([true])] {
        let claims = object(json!({ "email": "a@b.c", "email_verified": word }));
        assert!(!profile::profile(&claims, &map).unwrap().email_verified, "{word}");
    }
    // Another claim than `email` has nobody's word.
    let mut renamed = map.clone();
    renamed.email = "upn".to_owned();
    let claims = object(json!({ "upn": "a@b.c", "email_verified": true }));
    assert!(!profile::profile(&claims, &renamed).unwrap().email_verified);
}

#[test]
fn nested_claims_and_hostile_values_are_read_safely() {
    let mut map = settings().claims;
    map.groups = "realm_access.roles".to_owned();
    let claims = json!({
        "preferred_username": "  a  ", "given_name": ["x"], "family_name": "b\u{0}c",
        "locale": "x".repeat(2000), "realm_access": { "roles": ["r", 7, "", "s"] },
    });
    let profile = profile::profile(claims.as_object().unwrap(), &map).unwrap();
    assert_eq!((profile.username.as_str(), profile.groups), ("a", vec!["r".into(), "s".into()]));
    assert_eq!((profile.first_name, profile.last_name, profile.locale), (None, None, None));
}

#[test]
fn an_id_token_is_no_logout_token() {
    let signer = Signer::new();
    let settings = settings();
    let provider = read(&metadata(), &settings).unwrap();
    let judge = |claims: Value, typ: &str| {
        let token = signer.token(&json!({ "alg": "EdDSA", "kid": "k", "typ": typ }), &claims);
        let signed = UnverifiedToken::parse(&token).unwrap().verify(&signer.keys()).unwrap();
        logout::verify(&signed, &provider, &settings, Timestamp::from_seconds(NOW))
    };
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let mut right = with(&json!({ "events": event, "jti": "j" }));
    right.as_object_mut().unwrap().remove("nonce");
    let notice = judge(right.clone(), "logout+jwt").unwrap();
    assert_eq!((notice.subject.as_deref(), notice.session), (Some("s-1"), None));
    assert!(judge(right.clone(), "JWT").is_ok());
    for (claims, typ) in [
        (right, "at+jwt"),
        (with(&json!({ "events": event, "jti": "j" })), "JWT"),
        (claims(), "JWT"),
    ] {
        assert_eq!(judge(claims, typ).unwrap_err().rule, OidcRefusal::NoLogoutToken);
    }
}
