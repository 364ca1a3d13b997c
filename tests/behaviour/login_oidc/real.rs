//! Against npm's `oidc-provider`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::upstream_oidc::UpstreamProvider;
use serde_json::json;
use url::Url;

use super::given::{self, UP, whoami};
use crate::site;

async fn both(more: &str) -> Result<Option<(UpstreamProvider, Daemon)>> {
    let Some(mut upstream) = UpstreamProvider::prepare()? else { return Ok(None) };
    let daemon = site::start(given::daemon(&upstream.issuer(), more)).await?;
    let accounts = json!({
        "alice-7": {
            "preferred_username": "alice", "email": "alice@example.com", "email_verified": true,
            "given_name": "Alice", "family_name": "Archer", "groups": ["staff", "ops"],
        },
        "bob-8": { "preferred_username": "bob", "email": "bob@example.com" },
    });
    upstream.start(daemon.issuer(), UP, &accounts).await?;
    Ok(Some((upstream, daemon)))
}

/// From our sign-in page through the provider's form and back.
async fn log_in(daemon: &Daemon, browser: &Browser, name: &str) -> Result<Page> {
    let page = given::through(daemon, browser, UP).await?.expect(200)?;
    let form = page.forms()?.into_iter().next().context("no form upstream")?;
    let answer = browser.submit(&page, &form, &[("name", name)]).await?;
    browser.follow(answer, |_| false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_comes_back_to_the_same_account() -> Result<()> {
    let Some((_upstream, daemon)) = both("").await? else { return Ok(()) };
    let browser = Browser::new()?;
    log_in(&daemon, &browser, "alice-7").await?.expect(200)?;
    ensure!(whoami(&daemon, &browser).await?.as_deref() == Some("alice"));
    let shown = daemon.cli(&["user", "show", "alice", "--json"]).await?.success()?.json()?;
    ensure!(shown["identities"] == json!([{ "connector": UP, "subject": "alice-7" }]), "{shown}");
    ensure!(shown["email"] == "alice@example.com" && shown["first_name"] == "Alice", "{shown}");
    ensure!(shown["groups"] == json!(["staff", "ops"]), "{shown}");

    let again = Browser::new()?;
    log_in(&daemon, &again, "alice-7").await?.expect(200)?;
    ensure!(whoami(&daemon, &again).await?.as_deref() == Some("alice"));
    let created = site::events(&daemon, "account.created").await?;
    ensure!(created.iter().filter(|event| event["account"] == "alice").count() == 1);
    ensure!(site::events(&daemon, "login.accepted").await?.len() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_declines_upstream_is_not_signed_in() -> Result<()> {
    let Some((_upstream, daemon)) = both("").await? else { return Ok(()) };
    let browser = Browser::new()?;
    log_in(&daemon, &browser, "cancel").await?.expect(403)?;
    ensure!(whoami(&daemon, &browser).await?.is_none());
    let (reason, detail) = given::last_refusal(&daemon).await?;
    ensure!(reason == "denied_upstream" && detail.contains("The person declined"), "{detail}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_upstream_ends_the_session_here() -> Result<()> {
    let Some((mut upstream, daemon)) = both("sign_out_upstream = true").await? else {
        return Ok(());
    };
    let (browser, other) = (Browser::new()?, Browser::new()?);
    log_in(&daemon, &browser, "alice-7").await?.expect(200)?;
    log_in(&daemon, &other, "alice-7").await?.expect(200)?;

    // Here first: the page leads on to the provider's sign-out, with the ID token as a hint.
    let page = browser.get(daemon.url("/logout")).await?.expect(200)?;
    let form = page.form_to("/logout")?;
    let page = browser.submit(&page, &form, &[]).await?.expect(200)?;
    ensure!(whoami(&daemon, &browser).await?.is_none());
    let target = page.header("refresh").split_once("url=").context("no refresh")?.1.to_owned();
    ensure!(target.starts_with(&upstream.issuer()), "{target}");
    ensure!(target.contains("id_token_hint="), "{target}");
    let page = browser.open(target).await?.expect(200)?;
    let form = page.forms()?.into_iter().next().context("no sign-out form")?;
    let fields: Vec<(String, String)> =
        form.filled(&[])?.into_iter().chain([("logout".to_owned(), "yes".to_owned())]).collect();
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let done = browser.post(&form.action, &fields).await?;
    ensure!(done.location()?.as_str().starts_with(&daemon.url("/login")), "{}", done.describe());

    // The provider tells us of the session of its own that ended; the other browser's stays.
    upstream.wait_for("backchannel.success", Duration::from_secs(10)).await?;
    ensure!(whoami(&daemon, &other).await?.as_deref() == Some("alice"));
    Ok(())
}

/// Another site than ours (`127.0.0.1` against `localhost`), a real browser, its cookies and its
/// content policy: by button, by a typed address, and linking from the account's page.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_goes_there_and_back() -> Result<()> {
    let Some((_upstream, daemon)) = both("domains = [\"example.com\"]").await? else {
        return Ok(());
    };
    let upstream_form = |url: &Url| url.path().starts_with("/interaction/");
    let account = |url: &Url| url.path() == "/account";

    let chromium = Chromium::start().await?;
    chromium.goto(&daemon.url("/login")).await?;
    chromium.wait_for_css("a[href^='/login/up?']").await?.click().await?;
    chromium.wait_for_url(upstream_form).await?;
    chromium.type_into("name", "alice-7").await?;
    chromium.wait_for_css("button").await?.click().await?;
    chromium.wait_for_url(account).await?;
    let page = chromium.source().await?;
    ensure!(page.contains("alice@example.com"), "{page}");

    // A typed address: a form whose way leads off our site, without script and within the policy.
    let chromium = Chromium::start().await?;
    chromium.goto(&daemon.url("/login")).await?;
    chromium.type_into("address", "alice@example.com").await?;
    chromium.wait_for_css("#home-realm button").await?.click().await?;
    chromium.wait_for_url(upstream_form).await?;
    let hinted = chromium.wait_for_css("input[name='name']").await?;
    ensure!(hinted.attr("value").await?.as_deref() == Some("alice@example.com"), "no login_hint");

    // Linking from the account's page.
    let chromium = Chromium::start().await?;
    chromium.goto(&daemon.url("/login/local")).await?;
    chromium.type_into("username", site::JANE).await?;
    chromium.type_into("password", site::PASSWORD).await?;
    chromium.wait_for_css("form[action='/login/local'] button").await?.click().await?;
    chromium.wait_for_url(account).await?;
    chromium.goto(&daemon.url("/account/identities")).await?;
    chromium.screenshot("identities").await?;
    // The account above holds this identity: another one of the provider's is linked.
    chromium.wait_for_css("input[value='link'] ~ button").await?.click().await?;
    chromium.wait_for_url(upstream_form).await?;
    chromium.type_into("name", "bob-8").await?;
    chromium.wait_for_css("button").await?.click().await?;
    chromium.wait_for_url(|url| url.path() == "/account/identities").await?;
    ensure!(chromium.source().await?.contains("bob-8"));
    let shown = daemon.cli(&["user", "show", site::JANE, "--json"]).await?.success()?.json()?;
    ensure!(shown["identities"].as_array().is_some_and(|list| list.len() == 2), "{shown}");
    Ok(())
}
