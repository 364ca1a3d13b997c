//! Passkeys in Chromium with a virtual authenticator, on `localhost`, where WebAuthn works.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::oidc::RelyingParty;
use auth_tests::harness::slapd::Slapd;
use fantoccini::Locator;
use serde_json::json;

use crate::pages::answer_everything;
use crate::second_factor::code;
use crate::site::{self, JANE, PASSWORD, SECRET};

/// Types name and password; what comes then is the caller's.
async fn by_password(chromium: &Chromium, daemon: &Daemon, connector: &str) -> Result<()> {
    chromium.client.goto(&daemon.url(&format!("/login/{connector}"))).await?;
    let (name, password) =
        if connector == "corp" { ("alice", "secret-alice") } else { (JANE, PASSWORD) };
    chromium.type_into("username", name).await?;
    chromium.type_into("password", password).await?;
    chromium.wait_for_css("form[action^='/login/'] button").await?.click().await?;
    Ok(())
}

async fn press_passkey(chromium: &Chromium) -> Result<()> {
    // Shown by the script alone.
    chromium.wait_for_css("form#passkey:not([hidden]) button").await?.click().await?;
    Ok(())
}

async fn arrives(chromium: &Chromium, path: &str) -> Result<()> {
    chromium.wait_for_url(|url| url.path() == path).await.map(drop)
}

/// Pictures at both sizes, and that nobody has to scroll sideways.
async fn look(chromium: &Chromium, name: &str) -> Result<()> {
    for phone in [true, false] {
        let width = if phone { "phone" } else { "desk" };
        if phone {
            chromium.phone().await?
        } else {
            chromium.desktop().await?
        }
        chromium.screenshot(&format!("{name}-{width}")).await?;
        ensure!(chromium.sideways_overflow().await? == 0, "{name} is too wide for a {width}");
    }
    Ok(())
}

/// Those of every site, not of the present page's alone.
async fn forget_cookies(chromium: &Chromium) -> Result<()> {
    chromium.devtools("Network.clearBrowserCookies", json!({})).await.map(drop)
}

/// Signs in and adds a passkey by self-service.
async fn add_passkey(chromium: &Chromium, daemon: &Daemon, connector: &str) -> Result<()> {
    by_password(chromium, daemon, connector).await?;
    arrives(chromium, "/account").await?;
    chromium.client.goto(&daemon.url("/account/security/passkey")).await?;
    chromium.wait_for_css("form#passkey:not([hidden])").await?;
    look(chromium, "add-passkey").await?;
    chromium.type_into("name", "Work laptop").await?;
    press_passkey(chromium).await?;
    // The account's first factor comes with recovery codes.
    chromium.wait_for_css(".recovery-code").await?;
    let link = chromium.client.find(Locator::Css("a.button")).await?;
    link.click().await?;
    arrives(chromium, "/account/security").await
}

async fn reasons(daemon: &Daemon, event: &str) -> Result<Vec<String>> {
    let events = site::events(daemon, event).await?;
    let reasons = events.iter().filter_map(|event| event["reason"].as_str().map(str::to_owned));
    Ok(reasons.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_set_up_at_sign_in_and_is_the_second_step_from_then_on() -> Result<()> {
    let daemon = site::start(site::daemon().set("mfa.policy", "required")).await?;
    let chromium = Chromium::start().await?;
    let authenticator = chromium.add_authenticator().await?;
    by_password(&chromium, &daemon, "local").await?;
    chromium.wait_for_css("#totp-secret").await?;
    look(&chromium, "enrol-both").await?;
    chromium.type_into("name", "Work laptop").await?;
    press_passkey(&chromium).await?;
    chromium.wait_for_css(".recovery-code").await?;
    chromium.client.find(Locator::Css("a.button")).await?.click().await?;
    arrives(&chromium, "/account").await?;
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    ensure!(shown["factors"][0]["kind"] == "passkey", "{shown}");
    ensure!(shown["factors"][0]["name"] == "Work laptop", "{shown}");

    forget_cookies(&chromium).await?;
    by_password(&chromium, &daemon, "local").await?;
    arrives(&chromium, "/login/continue").await?;
    look(&chromium, "factor-passkey").await?;
    press_passkey(&chromium).await?;
    arrives(&chromium, "/account").await?;
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    ensure!(!shown["factors"][0]["last_used_at"].is_null(), "{shown}");

    // An account with a passkey alone: no other way gets past the second step.
    let stranger = Browser::new()?;
    let page = site::attempt(&daemon, &stranger, "local", JANE, PASSWORD).await?.expect(303)?;
    let page = stranger.follow(page, |_| false).await?.expect(200)?;
    let code = page.form_to("/login/factor")?;
    stranger.submit(&page, &code, &[("code", "123456")]).await?.expect(401)?;
    let page = stranger.submit(&page, &code, &[("code", "0123-4567-89ab-cdef")]).await?;
    let form = page.expect(401)?.form_to("/login/passkey")?;
    let token = form.field("csrf").context("csrf")?.value.clone();
    for junk in ["", "{}", "null", "[1]", "{\"id\":\"x\"}"] {
        let fields = [("csrf", token.as_str()), ("credential", junk)];
        let answer = stranger.post(daemon.url("/login/passkey"), &fields).await?;
        ensure!(answer.status.is_client_error(), "{}", answer.describe());
    }
    ensure!(stranger.get(daemon.url("/account")).await?.status == 303, "signed in without it");

    // The user is verified each time, or the browser gives nothing.
    chromium.set_user_verified(&authenticator, false).await?;
    forget_cookies(&chromium).await?;
    by_password(&chromium, &daemon, "local").await?;
    arrives(&chromium, "/login/continue").await?;
    press_passkey(&chromium).await?;
    chromium.wait_for_css("#passkey-error:not([hidden])").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_enrolment_and_the_second_step_work_without_script() -> Result<()> {
    let daemon = site::start(site::daemon().set("mfa.policy", "required")).await?;
    let chromium = Chromium::start().await?;
    chromium.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await?;
    by_password(&chromium, &daemon, "local").await?;
    chromium.wait_for_css("#totp-secret").await?;
    let passkey = chromium.client.find(Locator::Css("form#passkey")).await?;
    ensure!(!passkey.is_displayed().await?, "a form that does nothing without script is shown");
    ensure!(chromium.client.find(Locator::Css("#code")).await?.is_displayed().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_alone_signs_in_where_it_is_allowed() -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let redirect = format!("http://{}/callback", listener.local_addr()?);
    tokio::spawn(answer_everything(listener));
    let builder = site::daemon()
        .set("mfa.policy", "optional")
        .set("mfa.passwordless", true)
        .client("far", SECRET, &[&redirect]);
    let daemon = site::start(builder).await?;
    let party = RelyingParty::discover(daemon.issuer(), "far", Some(SECRET), &redirect).await?;
    let chromium = Chromium::start().await?;
    let authenticator = chromium.add_authenticator().await?;
    add_passkey(&chromium, &daemon, "local").await?;
    look(&chromium, "security").await?;

    forget_cookies(&chromium).await?;
    let authorization = party.authorize(site::SCOPE);
    let url = format!("{}&acr_values=urn%3Aauth%3Aaal2", authorization.url);
    chromium.client.goto(&url).await?;
    chromium.wait_for_css("form#passkey:not([hidden])").await?;
    look(&chromium, "login-passkey").await?;
    press_passkey(&chromium).await?;
    let answer = chromium.wait_for_url(|url| url.path() == "/callback").await?;
    let query: HashMap<_, _> = answer.query_pairs().into_owned().collect();
    let given = query.get("code").context("no code")?;
    let tokens = party.exchange(&authorization, given).await?;
    let id_token = tokens.id_token.as_deref().context("ID token")?;
    let claims = party.verify(id_token, &authorization.nonce)?;
    ensure!(claims.auth_context_ref().is_some_and(|acr| acr.as_str() == "urn:auth:aal2"));
    let methods: Vec<&str> =
        claims.auth_method_refs().into_iter().flatten().map(|method| method.as_str()).collect();
    ensure!(methods.contains(&"mfa") && methods.contains(&"user"), "{methods:?}");
    ensure!(methods.contains(&"hwk") || methods.contains(&"swk"), "{methods:?}");
    ensure!(!methods.contains(&"pwd"), "{methods:?}");

    // A copy of the key whose counter lags behind: refused, and told to whoever looks.
    let credential = chromium.credentials(&authenticator).await?.pop().context("a credential")?;
    ensure!(credential["signCount"].as_i64() > Some(1), "{credential}");
    let mut copy = credential.clone();
    copy["signCount"] = json!(0);
    chromium.put_credential(&authenticator, &copy).await?;
    forget_cookies(&chromium).await?;
    chromium.client.goto(&daemon.url("/login")).await?;
    press_passkey(&chromium).await?;
    chromium.wait_for_css("#notice").await?;
    ensure!(reasons(&daemon, "factor.clone_suspected").await? == ["passkey_counter_behind"]);
    let refused = site::events(&daemon, "login.refused").await?;
    let last = refused.last().context("no refusal")?;
    ensure!(last["connector"] == "passkey" && last["account"] == JANE, "{last}");

    // The true one still works, after a disabled account was refused and let in again.
    chromium.put_credential(&authenticator, &credential).await?;
    daemon.cli(&["user", "disable", JANE]).await?.success()?;
    chromium.client.goto(&daemon.url("/login")).await?;
    press_passkey(&chromium).await?;
    chromium.wait_for_css("#notice").await?;
    daemon.cli(&["user", "enable", JANE]).await?.success()?;
    chromium.client.goto(&daemon.url("/login")).await?;
    press_passkey(&chromium).await?;
    arrives(&chromium, "/account").await?;

    // Removed by its owner, it is nothing.
    chromium.client.goto(&daemon.url("/account/security")).await?;
    chromium.wait_for_css("details summary").await?.click().await?;
    look(&chromium, "security-open").await?;
    chromium.wait_for_css("button[value=remove]").await?.click().await?;
    chromium.wait_for_css("#no-factor").await?;
    forget_cookies(&chromium).await?;
    chromium.client.goto(&daemon.url("/login")).await?;
    press_passkey(&chromium).await?;
    chromium.wait_for_css("#notice").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_gone_from_the_directory_does_not_return_by_a_passkey() -> Result<()> {
    let slapd = Slapd::start()?;
    let builder = site::daemon()
        .set("mfa.policy", "optional")
        .set("mfa.passwordless", true)
        .directory("corp", &slapd);
    let daemon = site::start(builder).await?;
    let chromium = Chromium::start().await?;
    chromium.add_authenticator().await?;
    add_passkey(&chromium, &daemon, "corp").await?;
    forget_cookies(&chromium).await?;
    chromium.client.goto(&daemon.url("/login")).await?;
    press_passkey(&chromium).await?;
    arrives(&chromium, "/account").await?;
    let accepted = site::events(&daemon, "login.accepted").await?;
    ensure!(accepted.last().is_some_and(|event| event["connector"] == "corp"), "{accepted:?}");

    forget_cookies(&chromium).await?;
    slapd.modify(&format!("dn: {}\nchangetype: delete\n", dn_of(&slapd, "alice")?))?;
    chromium.client.goto(&daemon.url("/login")).await?;
    press_passkey(&chromium).await?;
    chromium.wait_for_css("#notice").await?;
    ensure!(reasons(&daemon, "login.refused").await?.contains(&"gone".to_owned()));

    let mut slapd = slapd;
    slapd.stop()?;
    chromium.client.goto(&daemon.url("/login")).await?;
    press_passkey(&chromium).await?;
    let reference = chromium.wait_for_css("code").await?.text().await?;
    ensure!(reference.starts_with("unavailable"), "{reference}");
    Ok(())
}

fn dn_of(slapd: &Slapd, uid: &str) -> Result<String> {
    let values = slapd.attribute(&format!("uid={uid}"), "dn")?;
    values.into_iter().next().context("a DN")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_the_second_step_are_looked_at() -> Result<()> {
    let builder = site::daemon()
        .set("mfa.policy", "required")
        .set("mfa.remember_device", "30d")
        .toml("[mfa.grace]\nlogins = 3\ndays = 7");
    let daemon = site::start(builder).await?;
    let chromium = Chromium::start().await?;
    by_password(&chromium, &daemon, "local").await?;
    chromium.wait_for_css("form[action='/login/enrol/later']").await?;
    look(&chromium, "enrol-later").await?;
    let later = "form[action='/login/enrol/later'] button";
    chromium.wait_for_css(later).await?.click().await?;
    arrives(&chromium, "/account").await?;
    for (path, name) in [("", "security-none"), ("/password", "change-password")] {
        chromium.client.goto(&daemon.url(&format!("/account/security{path}"))).await?;
        chromium.wait_for_css("h1").await?;
        look(&chromium, name).await?;
    }
    chromium.client.goto(&daemon.url("/account/security/totp")).await?;
    let secret = chromium.wait_for_css("#totp-secret").await?.text().await?;
    look(&chromium, "add-totp").await?;
    chromium.type_into("code", &code(&secret, 0)?).await?;
    chromium.wait_for_css("form[action='/account/security/totp'] button").await?.click().await?;
    chromium.wait_for_css(".recovery-code").await?;
    look(&chromium, "recovery-codes").await?;

    forget_cookies(&chromium).await?;
    by_password(&chromium, &daemon, "local").await?;
    chromium.wait_for_css("form[action='/login/factor'] input[name=remember]").await?;
    look(&chromium, "factor-remember").await?;
    chromium.wait_for_css("input[name=remember]").await?.click().await?;
    chromium.type_into("code", &code(&secret, 1)?).await?;
    chromium.wait_for_css("form[action='/login/factor'] button").await?.click().await?;
    arrives(&chromium, "/account").await?;
    chromium.client.goto(&daemon.url("/account/security")).await?;
    chromium.wait_for_css(".device").await?;
    look(&chromium, "security-devices").await?;
    Ok(())
}
