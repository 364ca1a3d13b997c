//! The sessions API as a chat server without OpenID Connect uses it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::{Builder, Daemon};
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::oidc::RelyingParty;
use auth_tests::harness::slapd::Slapd;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::site::{self, JANE, PASSWORD, SECRET};

const PLAIN: &str = "plain";
const REDIRECT: &str = "http://127.0.0.1:9/plain";

fn client(extra: &str) -> String {
    format!(
        "[[client]]\nid = \"{PLAIN}\"\nkind = \"session-api\"\nsecret = \"{SECRET}\"\n\
         redirect_uris = [\"{REDIRECT}\"]\n{extra}\n"
    )
}

fn with_chat(builder: Builder, extra: &str) -> Builder {
    builder.toml(&client(extra))
}

struct Chat<'a> {
    daemon: &'a Daemon,
    http: Browser,
}

impl<'a> Chat<'a> {
    fn of(daemon: &'a Daemon) -> Result<Self> {
        Ok(Self { daemon, http: Browser::new()? })
    }

    async fn call(&self, name: &str, body: Value) -> Result<Page> {
        let url = self.daemon.url(&format!("/api/v1/sessions/{name}"));
        let request = self.http.request(Method::POST, url).basic_auth(PLAIN, Some(SECRET));
        self.http.send(request.json(&body)).await
    }

    /// Where a browser is sent to; the protocol of the chat server has no scope and no PKCE.
    fn authorize(&self) -> Result<Url> {
        let mut url = Url::parse(&self.daemon.url("/oauth2/authorize"))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", PLAIN)
            .append_pair("redirect_uri", REDIRECT)
            .append_pair("state", "xyz");
        Ok(url)
    }

    async fn code(
        &self,
        browser: &Browser,
        connector: &str,
        name: &str,
        password: &str,
    ) -> Result<String> {
        let mut page = browser.get(self.authorize()?).await?;
        if page.status == 200 {
            page = browser.sign_in(&page, connector, name, password).await?;
        }
        let page = browser.follow(page, |url| url.as_str().starts_with(REDIRECT)).await?;
        let answer = page.location()?;
        ensure!(answer.query_pairs().any(|(key, value)| key == "state" && value == "xyz"));
        let code = answer.query_pairs().find(|(key, _)| key == "code");
        Ok(code.with_context(|| answer.to_string())?.1.into_owned())
    }

    async fn exchange(&self, code: &str) -> Result<Page> {
        self.call("exchange", json!({ "code": code, "redirect_uri": REDIRECT })).await
    }

    async fn sign_in(&self, browser: &Browser) -> Result<Value> {
        let code = self.code(browser, "local", JANE, PASSWORD).await?;
        self.exchange(&code).await?.expect(200)?.json()
    }

    async fn standing(&self, token: &Value) -> Result<Value> {
        let answer = self.call("check", json!({ "tokens": [token] })).await?.expect(200)?.json()?;
        Ok(answer["sessions"][0].clone())
    }

    async fn is_active(&self, token: &Value) -> Result<bool> {
        Ok(self.standing(token).await?["active"] == true)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_exchanged_checked_extended_listed_and_revoked() -> Result<()> {
    let daemon = site::start(with_chat(site::daemon(), "session_idle_timeout = \"30m\"")).await?;
    let chat = Chat::of(&daemon)?;
    let browser = Browser::new()?;
    let made = chat.sign_in(&browser).await?;
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    for name in ["id", "numeric_id", "username", "email"] {
        ensure!(made["account"][name] == shown[name], "{name}: {made} {shown}");
    }
    let standing = chat.standing(&made["token"]).await?;
    ensure!(standing["active"] == true && standing["session"] == made["session"], "{standing}");
    ensure!(standing["account"] == made["account"], "{standing}");
    ensure!(standing["expires_at"] == made["expires_at"], "{standing}");

    // A batch, in order, with what is none of ours between.
    let second = chat.sign_in(&browser).await?;
    let tokens = json!({ "tokens": [made["token"], "junk", second["token"], "A".repeat(43)] });
    let batch = chat.call("check", tokens).await?.expect(200)?.json()?;
    let active: Vec<bool> = batch["sessions"]
        .as_array()
        .context("sessions")?
        .iter()
        .map(|standing| standing["active"] == true)
        .collect();
    ensure!(active == [true, false, true, false], "{batch}");
    ensure!(batch["sessions"][1]["account"].is_null(), "{batch}");
    let many = json!({ "tokens": vec!["x"; 1001] });
    chat.call("check", many).await?.expect(400)?;

    let extended = chat.call("extend", json!({ "token": made["token"] })).await?.expect(200)?;
    ensure!(extended.json()?["expires_at"].is_string());
    let listed = chat.call("list", json!({ "account": JANE })).await?.expect(200)?.json()?;
    ensure!(listed["sessions"].as_array().is_some_and(|list| list.len() == 2), "{listed}");
    ensure!(!listed.to_string().contains(made["token"].as_str().context("token")?));

    chat.call("revoke", json!({ "token": made["token"] })).await?.expect(204)?;
    ensure!(!chat.is_active(&made["token"]).await? && chat.is_active(&second["token"]).await?);
    let over = chat.call("extend", json!({ "token": made["token"] })).await?.expect(404)?;
    let problem = over.json()?;
    ensure!(over.header("content-type") == "application/problem+json", "{}", over.describe());
    ensure!(problem["code"] == "session_over" && problem["request_id"].is_string(), "{problem}");
    chat.call("revoke", json!({ "token": made["token"] })).await?.expect(204)?;
    chat.call("revoke", json!({ "account": made["account"]["id"] })).await?.expect(204)?;
    ensure!(!chat.is_active(&second["token"]).await?);
    // The browser is signed in still.
    browser.get(daemon.url("/account")).await?.expect(200)?;
    let third = chat.sign_in(&browser).await?;
    chat.call("revoke", json!({ "account": JANE, "all": true })).await?.expect(204)?;
    ensure!(!chat.is_active(&third["token"]).await?);
    browser.get(daemon.url("/account")).await?.expect(303)?;
    let issued = site::events(&daemon, "session.issued").await?;
    let to_chat = issued.iter().filter(|event| event["detail"]["kind"] == "web").count();
    ensure!(to_chat == 3, "{issued:?}");
    let log = daemon.log().join("\n");
    for secret in [made["token"].as_str().context("token")?, SECRET] {
        ensure!(!log.contains(secret), "the log holds a secret");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_is_seen_at_the_next_check() -> Result<()> {
    let daemon = site::start(with_chat(site::daemon(), "")).await?;
    let chat = Chat::of(&daemon)?;
    let browser = Browser::new()?;
    // Each is looked at before, so that a cache would be warm.
    let live = async |chat: &Chat<'_>| -> Result<Value> {
        let made = chat.sign_in(&browser).await?;
        ensure!(chat.is_active(&made["token"]).await?);
        Ok(made)
    };
    let made = live(&chat).await?;
    let page = browser.get(daemon.url("/logout")).await?.expect(200)?;
    browser.submit(&page, &page.form_to("/logout")?, &[]).await?.expect(200)?;
    ensure!(!chat.is_active(&made["token"]).await?, "signed out");

    let made = live(&chat).await?;
    let page = browser.get(daemon.url("/account/sessions")).await?.expect(200)?;
    let form = page.forms()?.pop().context("form")?;
    browser.submit(&page, &form, &[]).await?.expect(303)?;
    ensure!(!chat.is_active(&made["token"]).await?, "signed out everywhere");

    for command in [
        &["session", "revoke", "--user", JANE][..],
        &["session", "revoke", "--all"],
        &["user", "disable", JANE],
    ] {
        let made = live(&chat).await?;
        daemon.cli(command).await?.success()?;
        ensure!(!chat.is_active(&made["token"]).await?, "{command:?}");
        let extended = chat.call("extend", json!({ "token": made["token"] })).await?;
        ensure!(extended.status == 404, "{command:?}: {}", extended.describe());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_go_by_kind_and_unused_sessions_end() -> Result<()> {
    let builder = site::daemon().set("session.kinds.mobile", "2s").set("session.kinds.web", "1h");
    let daemon = site::start(with_chat(builder, "session_idle_timeout = \"10m\"")).await?;
    let chat = Chat::of(&daemon)?;
    let browser = Browser::new()?;
    let code = chat.code(&browser, "local", JANE, PASSWORD).await?;
    let body = json!({ "code": code, "redirect_uri": REDIRECT, "kind": "mobile" });
    let short = chat.call("exchange", body).await?.expect(200)?.json()?;
    let long = chat.sign_in(&browser).await?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while chat.is_active(&short["token"]).await? {
        ensure!(Instant::now() < deadline, "the mobile session does not end");
        chat.call("extend", json!({ "token": short["token"] })).await?;
    }
    ensure!(chat.is_active(&long["token"]).await?);
    // As if nobody had used it for a while.
    let idle = |minutes: i64| -> Result<()> {
        let store = rusqlite::Connection::open(daemon.folder().join("auth.db"))?;
        store.busy_timeout(Duration::from_secs(5))?;
        let sql = "UPDATE session SET last_seen_at = last_seen_at - ?1 WHERE client = ?2";
        store.execute(sql, rusqlite::params![minutes * 60_000, PLAIN])?;
        Ok(())
    };
    idle(9)?;
    ensure!(chat.is_active(&long["token"]).await?);
    chat.call("extend", json!({ "token": long["token"] })).await?.expect(200)?;
    idle(9)?;
    ensure!(chat.is_active(&long["token"]).await?, "the use did not count");
    idle(2)?;
    ensure!(!chat.is_active(&long["token"]).await?, "eleven minutes without use");
    chat.call("extend", json!({ "token": long["token"] })).await?.expect(404)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_credentials_and_bodies_are_refused_as_problems() -> Result<()> {
    let builder = with_chat(site::daemon(), "").toml(&client("").replace(PLAIN, "second"));
    let daemon = site::start(builder).await?;
    let chat = Chat::of(&daemon)?;
    let browser = Browser::new()?;
    let code = chat.code(&browser, "local", JANE, PASSWORD).await?;
    let problem = async |page: Page, status: u16, word: &str| -> Result<()> {
        let page = page.expect(status)?;
        ensure!(page.header("content-type") == "application/problem+json", "{}", page.describe());
        ensure!(page.json()?["code"] == word, "{}", page.describe());
        Ok(())
    };
    let elsewhere = json!({ "code": code, "redirect_uri": "http://127.0.0.1:9/other" });
    problem(chat.call("exchange", elsewhere).await?, 400, "invalid_code").await?;
    let url = daemon.url("/api/v1/sessions/exchange");
    let body = json!({ "code": code, "redirect_uri": REDIRECT });
    let thief = chat.http.request(Method::POST, &url).basic_auth("second", Some(SECRET));
    problem(chat.http.send(thief.json(&body)).await?, 400, "invalid_code").await?;
    let made = chat.exchange(&code).await?.expect(200)?.json()?;
    problem(chat.exchange(&code).await?, 400, "invalid_code").await?;
    ensure!(!chat.is_active(&made["token"]).await?, "a replayed code leaves its session");
    ensure!(site::events(&daemon, "code.replayed").await?.len() == 1);
    problem(chat.exchange("junk").await?, 400, "invalid_code").await?;

    let bare = chat.http.request(Method::POST, &url).json(&body);
    let page = chat.http.send(bare).await?;
    ensure!(page.header("www-authenticate").starts_with("Basic"), "{}", page.describe());
    problem(page, 401, "client_refused").await?;
    // A secret in the body or the URL is none.
    let in_url = format!("{url}?client_id={PLAIN}&client_secret={SECRET}");
    let page = chat.http.send(chat.http.request(Method::POST, in_url).json(&body)).await?;
    problem(page, 401, "client_refused").await?;
    for body in [json!({}), json!([]), json!({ "tokens": "x" }), json!({ "tokens": [1] })] {
        problem(chat.call("check", body).await?, 400, "bad_request").await?;
    }
    problem(chat.call("revoke", json!({})).await?, 400, "bad_request").await?;
    let text = chat.http.request(Method::POST, &url).basic_auth(PLAIN, Some(SECRET)).body("x");
    problem(chat.http.send(text).await?, 415, "unsupported_media_type").await?;
    // The code is of no use at the token endpoint, nor the client.
    let party = RelyingParty::discover(daemon.issuer(), PLAIN, Some(SECRET), REDIRECT).await?;
    let code = chat.code(&browser, "local", JANE, PASSWORD).await?;
    let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", REDIRECT)];
    let page = party.token_request(&form).await?.expect(400)?;
    ensure!(page.json()?["error"] == "unauthorized_client", "{}", page.describe());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_asked_again_when_a_session_is_extended() -> Result<()> {
    let slapd = Slapd::start()?;
    let ca = slapd.ca_file();
    let builder = site::daemon().toml(&format!(
        "[[directory]]\nid = \"corp\"\npreset = \"openldap\"\nservers = [\"{}\"]\nca_file = \"{}\"\n\
         bind_dn = \"{}\"\nbind_password = \"{}\"\nbase_dn = \"{}\"\nrecheck_after = \"1s\"\n\
         recheck_grace = \"1s\"\n",
        slapd.ldaps_url(),
        ca.display(),
        slapd.bind_dn(),
        slapd.bind_password(),
        slapd.base_dn(),
    ));
    let daemon = with_chat(builder, "").start().await?;
    let chat = Chat::of(&daemon)?;
    let code = chat.code(&Browser::new()?, "corp", "bob", "secret-bob").await?;
    let made = chat.exchange(&code).await?.expect(200)?.json()?;
    ensure!(made["account"]["groups"].to_string().contains("staff"), "{made}");
    chat.call("extend", json!({ "token": made["token"] })).await?.expect(200)?;
    slapd.modify("dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: delete\n")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let page = chat.call("extend", json!({ "token": made["token"] })).await?;
        if page.status == 404 {
            break;
        }
        ensure!(Instant::now() < deadline, "still extended: {}", page.describe());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(!chat.is_active(&made["token"]).await?, "gone from the directory");
    Ok(())
}
