use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::handoff::client::ClientSettings;
use crate::handoff::client::tests::{confidential, public, settings};
use crate::handoff::issuer::Issuer;
use crate::handoff::parameters::Parameters;
use crate::store::{AccountRecord, SessionId, SessionRecord};

const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "https://chat.example.com/cb";

fn issuer() -> Issuer {
    Issuer::new(&url::Url::parse("https://sso.example.com").unwrap())
}

fn base() -> Vec<(&'static str, &'static str)> {
    vec![
        ("client_id", "chat"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid"),
        ("state", "s=+/ &%"),
    ]
}

fn read(
    client: &Client,
    pairs: &[(&str, &str)],
) -> Result<AuthorizationRequest, AuthorizationRefusal> {
    let owned: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    AuthorizationRequest::read(&Parameters::new(&owned), client, &issuer(), NOW)
}

fn with(extra: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let mut pairs = base();
    for (name, value) in extra {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    pairs
}

fn error_code(client: &Client, pairs: &[(&str, &str)]) -> &'static str {
    match read(client, pairs).unwrap_err() {
        AuthorizationRefusal::Page(error) => panic!("shown on a page: {error}"),
        AuthorizationRefusal::Client { error, response } => {
            let get = |name| response.parameters.iter().find(|(n, _)| *n == name).map(|(_, v)| v);
            assert_eq!(response.redirect_uri, REDIRECT);
            assert_eq!(get("error").unwrap(), error.code.as_str());
            assert_eq!(get("state").unwrap(), "s=+/ &%");
            assert_eq!(get("iss").unwrap(), "https://sso.example.com");
            error.code.as_str()
        }
    }
}

#[test]
fn reads_a_full_request() {
    let client = confidential(settings("chat"));
    let request = read(
        &client,
        &with(&[
            ("scope", "openid email unknown"),
            ("nonce", "n-0S6"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("prompt", "login consent"),
            ("max_age", "300"),
            ("acr_values", "urn:auth:aal2"),
            ("login_hint", "alice"),
            ("ui_locales", "de-AT en <x>"),
            ("response_mode", "form_post"),
            ("display", "popup"),
        ]),
    )
    .unwrap();
    assert_eq!(request.scope.to_string(), "openid email");
    assert_eq!(request.state.as_deref(), Some("s=+/ &%"));
    assert_eq!(request.prompt, [Prompt::Login, Prompt::Consent]);
    assert_eq!(request.max_age, Some(300));
    assert_eq!(request.minimum_acr, Some(AuthenticationContext::Aal2));
    assert_eq!(request.ui_locales, ["de-AT", "en"]);
    assert_eq!(request.response_mode, ResponseMode::FormPost);
    let kept = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<AuthorizationRequest>(&kept).unwrap(), request);
}

#[test]
fn without_a_proven_address_the_error_is_shown_on_a_page() {
    let client = confidential(settings("chat"));
    let long = "x".repeat(4097);
    let cases: [(Vec<(&str, &str)>, PageError); 5] = [
        (with(&[("redirect_uri", "")]), PageError::NoRedirectUri),
        (with(&[("redirect_uri", "https://chat.example.com/cb/")]), PageError::WrongRedirectUri),
        ([base(), vec![("redirect_uri", REDIRECT)]].concat(), PageError::NoRedirectUri),
        ([base(), vec![("state", "other")]].concat(), PageError::BadState),
        (
            base()
                .into_iter()
                .map(|(n, v)| if n == "state" { (n, &*long) } else { (n, v) })
                .collect(),
            PageError::BadState,
        ),
    ];
    for (pairs, expected) in cases {
        match read(&client, &pairs).unwrap_err() {
            AuthorizationRefusal::Page(error) => assert_eq!(error, expected),
            AuthorizationRefusal::Client { error, .. } => panic!("sent to the client: {error:?}"),
        }
    }
    let longest = "x".repeat(4096);
    let pairs: Vec<(&str, &str)> = base()
        .into_iter()
        .map(|(n, v)| if n == "state" { (n, &*longest) } else { (n, v) })
        .collect();
    assert_eq!(read(&client, &pairs).unwrap().state, Some(longest));
}

#[test]
fn errors_that_the_client_is_told() {
    let client = confidential(settings("chat"));
    for (extra, code) in [
        (&[("response_type", "")][..], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_type", "code id_token")], "unsupported_response_type"),
        (&[("scope", "")], "invalid_scope"),
        (&[("scope", "unknown")], "invalid_scope"),
        (&[("scope", "openid\u{7f}")], "invalid_scope"),
        (&[("request", "x")], "request_not_supported"),
        (&[("request_uri", "x")], "request_uri_not_supported"),
        (&[("registration", "x")], "registration_not_supported"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("prompt", "create")], "invalid_request"),
        (&[("max_age", "-1")], "invalid_request"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("code_challenge", CHALLENGE)], "invalid_request"),
        (&[("code_challenge_method", "S256")], "invalid_request"),
        (&[("code_challenge", CHALLENGE), ("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge", "short"), ("code_challenge_method", "S256")], "invalid_request"),
    ] {
        assert_eq!(error_code(&client, &with(extra)), code, "{extra:?}");
    }
    let repeated = [base(), vec![("nonce", "1"), ("nonce", "2")]].concat();
    assert_eq!(error_code(&client, &repeated), "invalid_request");
}

#[test]
fn public_clients_need_a_challenge() {
    let client = public(settings("chat"));
    assert_eq!(error_code(&client, &base()), "invalid_request");
    let good = with(&[("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]);
    assert!(read(&client, &good).is_ok());
}

#[test]
fn the_state_travels_byte_for_byte() {
    let client = confidential(settings("chat"));
    let request = read(&client, &base()).unwrap();
    let code = crate::secret::Token::generate(&crate::random::SystemRandom::new());
    let mut response = AuthorizationResponse::code(&request, &code, Some(&issuer()));
    let location = url::Url::parse(&response.location()).unwrap();
    let state = location.query_pairs().find(|(name, _)| name == "state").unwrap().1;
    assert_eq!(state, "s=+/ &%");
    assert!(response.location().starts_with("https://chat.example.com/cb?code="));
    assert!(!format!("{response:?}").contains(code.expose()));
    response.redirect_uri.push_str("?tenant=1");
    assert!(response.location().starts_with("https://chat.example.com/cb?tenant=1&code="));
}

fn session(change: impl FnOnce(&mut SessionRecord)) -> Session {
    let account = crate::handoff::claims::tests::account();
    let mut record = SessionRecord {
        id: SessionId(Uuid::from_u128(7)),
        account: account.id,
        client: None,
        parent: None,
        kind: crate::session::BROWSER.to_owned(),
        connector: "corp".to_owned(),
        amr: vec!["pwd".to_owned()],
        acr: "urn:auth:aal1".to_owned(),
        scope: String::new(),
        authenticated_at: NOW - Duration::from_secs(100),
        created_at: NOW - Duration::from_secs(100),
        last_seen_at: NOW,
        idle_timeout_millis: 0,
        expires_at: NOW + Duration::from_secs(3600),
        ip: None,
        user_agent: None,
        revoked_at: None,
        revoked_reason: None,
    };
    change(&mut record);
    let account = AccountRecord { id: record.account, ..account };
    Session::resume(record, account, NOW).unwrap()
}

fn decision(
    pairs: &[(&'static str, &'static str)],
    client: ClientSettings,
    session: Option<&Session>,
) -> AuthorizationDecision {
    let client = confidential(client);
    let request = read(&client, &with(pairs)).unwrap();
    decide(&request, &client, session, AuthenticationContext::Aal1, NOW)
}

fn reason(decision: &AuthorizationDecision) -> Option<(SignInReason, bool)> {
    match decision {
        AuthorizationDecision::SignIn(demand) => Some((demand.reason, demand.reauthenticate)),
        AuthorizationDecision::IssueCode => None,
        AuthorizationDecision::Refuse(error) => panic!("{error:?}"),
    }
}

#[test]
fn sessions_against_requests() {
    let old = session(|_| ());
    let fresh = session(|record| record.authenticated_at = NOW);
    let strong = session(|record| record.acr = "urn:auth:aal2".to_owned());
    let elsewhere = ClientSettings { connectors: Some(vec!["okta".into()]), ..settings("chat") };
    let here = ClientSettings { connectors: Some(vec!["corp".into()]), ..settings("chat") };
    let chat = settings("chat");
    for (pairs, client, session, expected) in [
        (&[][..], &chat, None, Some((SignInReason::NoSession, false))),
        (&[], &chat, Some(&old), None),
        (&[], &here, Some(&old), None),
        (&[], &elsewhere, Some(&old), Some((SignInReason::Connector, true))),
        (&[("prompt", "login")], &chat, Some(&old), Some((SignInReason::PromptLogin, true))),
        (&[("prompt", "login")], &chat, Some(&fresh), None),
        (&[("prompt", "consent")], &chat, Some(&old), None),
        (
            &[("prompt", "select_account")],
            &chat,
            Some(&old),
            Some((SignInReason::SelectAccount, true)),
        ),
        (&[("prompt", "select_account")], &chat, Some(&fresh), None),
        (&[("max_age", "100")], &chat, Some(&old), None),
        (&[("max_age", "99")], &chat, Some(&old), Some((SignInReason::MaxAge, true))),
        (&[("max_age", "0")], &chat, Some(&old), Some((SignInReason::MaxAge, true))),
        (&[("max_age", "0")], &chat, Some(&fresh), None),
        (
            &[("acr_values", "urn:auth:aal2")],
            &chat,
            Some(&old),
            Some((SignInReason::StepUp, false)),
        ),
        (
            &[("acr_values", "urn:auth:aal2")],
            &chat,
            Some(&fresh),
            Some((SignInReason::StepUp, false)),
        ),
        (&[("acr_values", "urn:auth:aal2")], &chat, Some(&strong), None),
        (&[("acr_values", "urn:auth:aal1")], &chat, Some(&strong), None),
        (&[("prompt", "none")], &chat, Some(&old), None),
    ] {
        let decided = decision(pairs, client.clone(), session);
        assert_eq!(reason(&decided), expected, "{pairs:?}");
    }
}

#[test]
fn silent_requests_never_lead_to_a_page() {
    let old = session(|_| ());
    for (pairs, session) in [
        (&[("prompt", "none")][..], None),
        (&[("prompt", "none"), ("max_age", "10")], Some(&old)),
        (&[("prompt", "none"), ("acr_values", "urn:auth:aal2")], Some(&old)),
    ] {
        match decision(pairs, settings("chat"), session) {
            AuthorizationDecision::Refuse(error) => {
                assert_eq!(error.code, AuthorizationErrorCode::LoginRequired, "{pairs:?}");
            }
            other => panic!("{pairs:?}: {other:?}"),
        }
    }
}

#[test]
fn the_policy_is_not_weakened_by_the_client() {
    let client = confidential(settings("chat"));
    let weak = session(|_| ());
    for acr_values in ["urn:auth:aal1", "phr", "urn:auth:aal2"] {
        let request = read(&client, &with(&[("acr_values", acr_values)])).unwrap();
        let decided = decide(&request, &client, Some(&weak), AuthenticationContext::Aal2, NOW);
        let AuthorizationDecision::SignIn(demand) = decided else { panic!("{decided:?}") };
        assert_eq!(demand.minimum_acr, AuthenticationContext::Aal2, "{acr_values}");
    }
}

#[test]
fn a_hint_at_somebody_else() {
    let client = confidential(settings("chat"));
    let old = session(|_| ());
    let ask = |pairs, hint| {
        let request = read(&client, &with(pairs)).unwrap().with_account_hint(hint);
        decide(&request, &client, Some(&old), AuthenticationContext::Aal1, NOW)
    };
    let same = AccountHint::Account(old.account().id);
    let other = AccountHint::Account(AccountId(Uuid::from_u128(99)));
    assert_eq!(ask(&[], same), AuthorizationDecision::IssueCode);
    assert_eq!(ask(&[], AccountHint::Unreadable), AuthorizationDecision::IssueCode);
    assert_eq!(reason(&ask(&[], other)), Some((SignInReason::OtherAccount, true)));
    for hint in [other, AccountHint::Unreadable] {
        let silent = ask(&[("prompt", "none")], hint);
        assert!(matches!(silent, AuthorizationDecision::Refuse(_)), "{silent:?}");
    }
}
