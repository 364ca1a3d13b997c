//! The rest of the OpenID provider: pushed requests, devices, signed client authentication,
//! pairwise subjects, groups and claims of a client.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use auth_core::clock::{Clock as _, SystemClock};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::oidc::RelyingParty;
use auth_tests::harness::slapd::Slapd;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::site::{self, CLIENT, JANE, PASSWORD, REDIRECT, SCOPE, SECRET};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const TOOL: &str = "http://127.0.0.1/tool";

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_request_signs_in_once_and_cannot_be_changed() -> Result<()> {
    let daemon = site::start(site::daemon().client("other", SECRET, &[REDIRECT])).await?;
    let party = site::relying_party(&daemon).await?;
    let endpoint = party.endpoint("pushed_authorization_request_endpoint")?;
    let push = async |changes: &[(&str, &str)]| -> Result<Page> {
        let authorization = party.authorize(SCOPE);
        let mut pairs: Vec<(String, String)> =
            authorization.url.query_pairs().into_owned().collect();
        pairs.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        pairs.extend(changes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        party.authenticated(endpoint.clone(), &pairs).await
    };
    let authorization = party.authorize(SCOPE);
    let pairs: Vec<(String, String)> = authorization.url.query_pairs().into_owned().collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let pushed = party.authenticated(endpoint.clone(), &pairs).await?.expect(201)?;
    ensure!(pushed.header("cache-control").contains("no-store"), "{}", pushed.describe());
    let reference = pushed.json()?["request_uri"].as_str().context("request_uri")?.to_owned();
    let url = |client: &str, reference: &str| -> Result<Url> {
        let mut url = Url::parse(&daemon.url("/oauth2/authorize"))?;
        url.query_pairs_mut()
            .append_pair("client_id", client)
            .append_pair("request_uri", reference)
            .append_pair("redirect_uri", "https://evil.example/")
            .append_pair("state", "changed")
            .append_pair("scope", "openid groups");
        Ok(url)
    };
    let mut begun = authorization.clone();
    begun.url = url(CLIENT, &reference)?;
    let browser = Browser::new()?;
    let code = party.sign_in(&browser, &begun, "local", JANE, PASSWORD).await?;
    let tokens = party.exchange(&authorization, &code).await?;
    ensure!(tokens.scope.as_deref() == Some(SCOPE), "{:?}", tokens.scope);
    // It is used up; another client's, or nobody's, was never good.
    browser.get(url(CLIENT, &reference)?).await?.expect(400)?;
    let fresh =
        push(&[]).await?.expect(201)?.json()?["request_uri"].as_str().context("uri")?.to_owned();
    browser.get(url("other", &fresh)?).await?.expect(400)?;
    let unknown = format!("urn:ietf:params:oauth:request_uri:{}", "A".repeat(43));
    browser.get(url(CLIENT, &unknown)?).await?.expect(400)?;
    for (changes, error) in [
        ([("redirect_uri", "https://evil.example/")], "invalid_request"),
        ([("code_challenge_method", "plain")], "invalid_request"),
        ([("response_type", "token")], "unsupported_response_type"),
        ([("request_uri", "urn:x")], "invalid_request"),
        ([("scope", "nonsense")], "invalid_scope"),
    ] {
        let page = push(&changes).await?.expect(400)?;
        ensure!(page.json()?["error"] == error, "{changes:?}: {}", page.describe());
    }
    let anonymous = Browser::new()?.post(endpoint.as_str(), &pairs).await?.expect(401)?;
    ensure!(anonymous.json()?["error"] == "invalid_client");
    Ok(())
}

/// A tool without a browser.
struct Tool {
    party: RelyingParty,
    device: Value,
}

impl Tool {
    async fn begin(daemon: &Daemon) -> Result<Self> {
        let party = RelyingParty::discover(daemon.issuer(), "tool", None, TOOL).await?;
        let endpoint = party.endpoint("device_authorization_endpoint")?;
        let begun = party.authenticated(endpoint, &[("scope", "openid email")]).await?;
        ensure!(begun.header("cache-control").contains("no-store"), "{}", begun.describe());
        let device = begun.expect(200)?.json()?;
        Ok(Self { party, device })
    }

    async fn poll(&self) -> Result<Page> {
        let code = self.device["device_code"].as_str().context("device_code")?;
        self.party.token_request(&[("grant_type", DEVICE), ("device_code", code)]).await
    }

    /// Polls as it should until the answer is another than `error`.
    async fn poll_past(&self, error: &str) -> Result<Page> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let page = self.poll().await?;
            let told = page.json()?["error"].clone();
            if told != error && told != "slow_down" {
                return Ok(page);
            }
            ensure!(Instant::now() < deadline, "still {}", page.describe());
            tokio::time::sleep(Duration::from_millis(5100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_lets_a_device_in_and_nothing_happens_by_itself() -> Result<()> {
    let daemon = site::start(site::daemon().public_client("tool", &[TOOL])).await?;
    let tool = Tool::begin(&daemon).await?;
    ensure!(tool.poll().await?.expect(400)?.json()?["error"] == "authorization_pending");
    ensure!(tool.poll().await?.expect(400)?.json()?["error"] == "slow_down");
    let complete = tool.device["verification_uri_complete"].as_str().context("uri")?;
    let typed = tool.device["user_code"].as_str().context("code")?.to_owned();
    // The link leads to the sign-in, then to the form with the code in it, and no further.
    let browser = Browser::new()?;
    let page = browser.open(complete).await?.expect(200)?;
    let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?;
    let page = browser.follow(page, |_| false).await?.expect(200)?;
    let form = page.form_to("/device")?;
    ensure!(form.field("user_code").context("user_code")?.value == typed, "{}", page.describe());
    let csrf = form.field("csrf").context("csrf")?.value.clone();
    for fields in [
        vec![("csrf", "x"), ("user_code", typed.as_str()), ("decision", "approve")],
        vec![("csrf", csrf.as_str()), ("user_code", "BBBB-BBBB"), ("decision", "approve")],
    ] {
        let page = browser.post(daemon.url("/device"), &fields).await?;
        ensure!(page.status.is_client_error(), "{}", page.describe());
    }
    let question = browser.submit(&page, &form, &[("user_code", &typed)]).await?.expect(200)?;
    for told in ["tool", "127.0.0.1", typed.as_str(), JANE, "Did somebody send you"] {
        ensure!(question.body.contains(told), "{told}: {}", question.describe());
    }
    ensure!(tool.poll_past("slow_down").await?.json()?["error"] == "authorization_pending");
    let fields = [("csrf", csrf.as_str()), ("user_code", &typed), ("decision", "approve")];
    browser.post(daemon.url("/device"), &fields).await?.expect(200)?;
    let tokens = tool.poll_past("authorization_pending").await?.expect(200)?.json()?;
    let access = tokens["access_token"].as_str().context("token")?;
    let userinfo = tool.party.userinfo(access).await?.expect(200)?.json()?;
    ensure!(userinfo["email"] == "jane@example.org", "{userinfo}");
    ensure!(
        tool.poll_past("slow_down").await?.json()?["error"] == "invalid_grant",
        "a second time"
    );
    ensure!(site::events(&daemon, "device.approved").await?.len() == 1);
    // It ends with the browser session that let it in.
    let page = browser.get(daemon.url("/logout")).await?.expect(200)?;
    browser.submit(&page, &page.form_to("/logout")?, &[]).await?.expect(200)?;
    tool.party.userinfo(access).await?.expect(401)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_device_and_one_without_the_second_factor_stay_outside() -> Result<()> {
    let builder = site::daemon()
        .public_client("tool", &[TOOL])
        .toml("[[mfa.rule]]\nclient = \"tool\"\npolicy = \"required\"\n");
    let daemon = site::start(builder).await?;
    let tool = Tool::begin(&daemon).await?;
    let typed = tool.device["user_code"].as_str().context("code")?.to_owned();
    let browser = Browser::new()?;
    let page = site::attempt(&daemon, &browser, "local", JANE, PASSWORD).await?.expect(303)?;
    browser.follow(page, |_| false).await?.expect(200)?;
    let page = browser.get(daemon.url("/device")).await?.expect(200)?;
    let csrf = page.form_to("/device")?.field("csrf").context("csrf")?.value.clone();
    let fields = [("csrf", csrf.as_str()), ("user_code", &typed), ("decision", "approve")];
    // One factor is not enough for this client: a login comes, not an approval.
    let page = browser.post(daemon.url("/device"), &fields).await?.expect(200)?;
    page.form_to("/login/local")?;
    ensure!(tool.poll().await?.json()?["error"] == "authorization_pending");
    ensure!(site::events(&daemon, "device.approved").await?.is_empty());

    let plain = site::start(site::daemon().public_client("tool", &[TOOL])).await?;
    let tool = Tool::begin(&plain).await?;
    let typed = tool.device["user_code"].as_str().context("code")?.to_owned();
    let page = site::attempt(&plain, &browser, "local", JANE, PASSWORD).await?.expect(303)?;
    browser.follow(page, |_| false).await?.expect(200)?;
    let page = browser.get(plain.url("/device")).await?.expect(200)?;
    let csrf = page.form_to("/device")?.field("csrf").context("csrf")?.value.clone();
    let fields = [("csrf", csrf.as_str()), ("user_code", &typed), ("decision", "deny")];
    browser.post(plain.url("/device"), &fields).await?.expect(200)?;
    ensure!(tool.poll().await?.json()?["error"] == "access_denied");
    // Guessing: ten wrong codes in a row shut the door for this account.
    let mut last = None;
    for _ in 0..12 {
        let fields = [("csrf", csrf.as_str()), ("user_code", "BBBB-BBBB")];
        last = Some(browser.post(plain.url("/device"), &fields).await?);
    }
    let last = last.context("an answer")?.expect(429)?;
    ensure!(!last.header("retry-after").is_empty(), "{}", last.describe());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_signs_with_its_own_key_and_nothing_else_is_taken() -> Result<()> {
    let keys = Ed25519KeyPair::generate().map_err(|_| anyhow::anyhow!("no key"))?;
    let jwks = json!({ "keys": [{
        "kty": "OKP", "crv": "Ed25519", "kid": "k1",
        "x": URL_SAFE_NO_PAD.encode(keys.public_key().as_ref()),
    }] });
    let builder = site::daemon().file("jwks.json", &jwks.to_string()).toml(&format!(
        "[[client]]\nid = \"signer\"\nredirect_uris = [\"{REDIRECT}\"]\njwks_file = \"jwks.json\"\n\
         token_endpoint_auth_method = \"private_key_jwt\"\n"
    ));
    let daemon = site::start(builder).await?;
    let party = RelyingParty::discover(daemon.issuer(), "signer", None, REDIRECT).await?;
    let methods = party.document["token_endpoint_auth_methods_supported"].to_string();
    ensure!(methods.contains("private_key_jwt"), "{methods}");
    let now = SystemClock.now().seconds();
    let payload = |audience: &str, jti: &str| json!({ "iss": "signer", "sub": "signer", "aud": audience, "exp": now + 60, "jti": jti });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let sign = |payload: &Value| {
        let signed =
            format!("{}.{}", encode(&json!({ "alg": "EdDSA", "kid": "k1" })), encode(payload));
        let signature = keys.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    };
    let issuer = daemon.issuer().to_owned();
    let good = sign(&payload(&issuer, "one"));
    let browser = Browser::new()?;
    let authorization = party.authorize("openid");
    let code = party.sign_in(&browser, &authorization, "local", JANE, PASSWORD).await?;
    let redeem = async |assertion: &str| -> Result<Page> {
        let endpoint = party.endpoint("token_endpoint")?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &authorization.verifier),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ];
        let client = Browser::new()?;
        client.send(client.request(Method::POST, endpoint.as_str()).form(&form)).await
    };
    let header_of = |alg: &str| encode(&json!({ "alg": alg, "kid": "k1" }));
    let body = encode(&payload(&issuer, "two"));
    let hmac = {
        use aws_lc_rs::hmac;
        let signed = format!("{}.{body}", header_of("HS256"));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, jwks["keys"][0].to_string().as_bytes());
        format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(hmac::sign(&secret, signed.as_bytes()).as_ref())
        )
    };
    let mut expired = payload(&issuer, "three");
    expired["exp"] = json!(now - 120);
    let mut forever = payload(&issuer, "four");
    forever["exp"] = json!(now + 86_400);
    for bad in [
        format!("{}.{body}.", header_of("none")),
        hmac,
        sign(&payload("https://other.example.com", "five")),
        sign(&expired),
        sign(&forever),
        format!("{good}x"),
        "junk".to_owned(),
    ] {
        let page = redeem(&bad).await?.expect(401)?;
        ensure!(page.json()?["error"] == "invalid_client", "{bad}: {}", page.describe());
    }
    let page = redeem(&good).await?.expect(200)?;
    ensure!(page.json()?["id_token"].is_string());
    let page = redeem(&good).await?.expect(401)?;
    ensure!(page.json()?["error"] == "invalid_client", "a replay: {}", page.describe());
    let public = party.token_request(&[("grant_type", "refresh_token"), ("refresh_token", "x")]);
    public.await?.expect(401)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_have_their_own_subjects_groups_and_claims() -> Result<()> {
    let slapd = Slapd::start()?;
    let client = |id: &str, extra: &str| {
        format!(
            "[[client]]\nid = \"{id}\"\nsecret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT}\"]\n{extra}\n"
        )
    };
    let builder = site::daemon()
        .directory("corp", &slapd)
        .toml(&client("pair", "subject_type = \"pairwise\""))
        .toml(&client("narrow", "claims = [\"preferred_username\"]\nid_token_on_refresh = false"))
        .toml(&client("staff", "allowed_groups = [\"Staff\"]"))
        .toml(&client("closed", "allowed_groups = [\"nobody-is-in-it\"]"));
    let daemon = builder.start().await?;
    let browser = Browser::new()?;
    let mut told = std::collections::BTreeMap::new();
    for id in [CLIENT, "pair", "narrow", "staff"] {
        let party = RelyingParty::discover(daemon.issuer(), id, Some(SECRET), REDIRECT).await?;
        let authorization = party.authorize(SCOPE);
        let mut page = browser.get(&authorization.url).await?;
        if page.status == 200 {
            page = browser.sign_in(&page, "corp", "alice", "secret-alice").await?;
            page = browser.follow(page, |url| party.is_redirect_uri(url)).await?;
        }
        let code = party.code(&authorization, &page.location()?)?;
        let tokens = party.exchange(&authorization, &code).await?;
        let claims =
            party.verify(tokens.id_token.as_deref().context("ID token")?, &authorization.nonce)?;
        let userinfo = party.userinfo(&tokens.access_token).await?.expect(200)?.json()?;
        ensure!(userinfo["sub"] == claims.subject().as_str(), "{id}: {userinfo}");
        let introspected = party.introspect(&tokens.access_token).await?;
        ensure!(introspected["sub"] == userinfo["sub"], "{id}: {introspected}");
        let refreshed = party.refresh(site::refresh_token(&tokens)?).await?;
        ensure!(refreshed.id_token.is_some() == (id != "narrow"), "{id}");
        told.insert(id, userinfo);
    }
    ensure!(told["pair"]["sub"] != told[CLIENT]["sub"], "{told:?}");
    ensure!(told["staff"]["sub"] == told[CLIENT]["sub"], "{told:?}");
    ensure!(told["narrow"]["preferred_username"] == "alice", "{told:?}");
    for missing in ["email", "name", "groups", "roles"] {
        ensure!(told["narrow"].get(missing).is_none(), "{missing}: {told:?}");
        ensure!(told[CLIENT].get(missing).is_some(), "{missing}: {told:?}");
    }
    let party = RelyingParty::discover(daemon.issuer(), "closed", Some(SECRET), REDIRECT).await?;
    let authorization = party.authorize(SCOPE);
    let answer = browser.get(&authorization.url).await?.location()?;
    ensure!(answer.query_pairs().any(|(k, v)| k == "error" && v == "access_denied"), "{answer}");
    Ok(())
}
