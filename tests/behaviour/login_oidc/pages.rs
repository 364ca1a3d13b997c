//! The sign-in page with providers on it: buttons, hints, typed addresses, what was used last.

use anyhow::{Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::upstream_oidc::ScriptedProvider;
use reqwest::Url;

use super::given::{self, UP, scripted, through, whoami};
use crate::site;

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_address_leads_to_its_domain_s_provider() -> Result<()> {
    let (provider, daemon) = scripted("domains = [\"Example.COM\"]").await?;
    let browser = Browser::new()?;
    let page = browser.open(daemon.url("/login")).await?.expect(200)?;
    ensure!(page.body.contains("Upstream up"), "{}", page.describe());
    let form = page.form_to("/login")?;
    for stranger in ["ada@example.org", "ada@example.com@example.org", "ada", "ada@sub.example.com"]
    {
        let answer = browser.submit(&page, &form, &[("address", stranger)]).await?.expect(303)?;
        let same = browser.follow(answer, |_| false).await?.expect(200)?;
        same.form_to("/login/local")?;
    }
    let answer = browser.submit(&page, &form, &[("address", "ada@EXAMPLE.com")]).await?;
    let onward = answer.header("refresh").split_once("url=").map(|(_, url)| url.to_owned());
    let onward = daemon.url(&onward.unwrap_or_default());
    let departure = browser.get(&onward).await?.expect(303)?.location()?;
    ensure!(departure.as_str().starts_with(provider.issuer()), "{departure}");
    let hint = departure.query_pairs().find(|(name, _)| name == "login_hint");
    ensure!(hint.is_some_and(|(_, value)| value == "ada@EXAMPLE.com"), "{departure}");
    browser.open(departure).await?.expect(200)?;
    ensure!(whoami(&daemon, &browser).await?.as_deref() == Some("ada"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_way_in_is_marked_and_a_hint_goes_straight_there() -> Result<()> {
    let (provider, daemon) = scripted("").await?;
    let browser = Browser::new()?;
    let before = browser.open(daemon.url("/login")).await?.expect(200)?;
    ensure!(!before.body.contains("last used"), "{}", before.describe());
    through(&daemon, &browser, UP).await?.expect(200)?;
    let site_url = Url::parse(daemon.issuer())?;
    ensure!(browser.cookie(&site_url, "auth_last").as_deref() == Some(UP));
    let page = browser.get(daemon.url("/logout")).await?.expect(200)?;
    browser.submit(&page, &page.form_to("/logout")?, &[]).await?.expect(200)?;
    let page = browser.open(daemon.url("/login")).await?.expect(200)?;
    let (_, after) = page.body.split_once("Upstream up").unwrap_or_default();
    ensure!(after.starts_with(" <span class=\"tag\">last used"), "{}", page.describe());
    // The cookie decides nothing but that: nonsense in it does no harm.
    browser.set_cookie(&site_url, "auth_last=../../x<script>");
    let page = browser.open(daemon.url("/login")).await?.expect(200)?;
    ensure!(!page.body.contains("<script>") && !page.body.contains("last used"));

    let hinted = Browser::new()?.get(daemon.url("/login?connector=up")).await?.expect(303)?;
    ensure!(hinted.location()?.as_str().starts_with(provider.issuer()));
    let unknown = Browser::new()?.get(daemon.url("/login?connector=none")).await?;
    ensure!(unknown.status == 200, "{}", unknown.describe());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn order_and_pictures_are_the_configured_ones() -> Result<()> {
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
    let issuer = "http://127.0.0.1:9";
    let builder = site::daemon()
        .file("up.svg", svg)
        .toml(&given::connection(UP, issuer, "logo_file = \"up.svg\""))
        .toml(&given::connection("other", issuer, ""))
        .set("login.order", vec!["local", "other"]);
    let daemon = site::start(builder).await?;
    let browser = Browser::new()?;
    let page = browser.open(daemon.url("/login")).await?.expect(200)?;
    let at = |text: &str| page.body.find(text).unwrap_or(usize::MAX);
    ensure!(at("Local account") < at("Upstream other"), "{}", page.describe());
    ensure!(at("Upstream other") < at("/assets/logo/up\""), "{}", page.describe());
    ensure!(at("/assets/logo/up\"") < at("Upstream up"), "{}", page.describe());
    let logo = browser.get(daemon.url("/assets/logo/up")).await?.expect(200)?;
    ensure!(logo.body == svg && logo.header("content-type") == "image/svg+xml");
    // Opened by itself it can do nothing either.
    ensure!(logo.header("content-security-policy").contains("default-src 'none'"));
    browser.get(daemon.url("/assets/logo/other")).await?.expect(404)?;
    Ok(())
}

/// One way only: the sign-in page is skipped, also on the way of a client's request.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_request_survives_the_way_to_the_provider() -> Result<()> {
    let provider = ScriptedProvider::start("ada-1", &given::ada()).await?;
    let builder = given::daemon(provider.issuer(), "").set("password.enabled", false);
    let daemon = builder.start().await?;
    let party = site::relying_party(&daemon).await?;
    let browser = Browser::new()?;
    let authorization = party.authorize(site::SCOPE);
    let page = browser.get(&authorization.url).await?;
    let back = browser.follow(page, |url| party.is_redirect_uri(url)).await?;
    let code = party.code(&authorization, &back.location()?)?;
    let tokens = party.exchange(&authorization, &code).await?;
    let told = party.userinfo(&tokens.access_token).await?.json()?;
    ensure!(told["preferred_username"] == "ada", "{told}");

    // `prompt=login`: the provider has to ask anew and to say so.
    let mut fresh = party.authorize(site::SCOPE);
    fresh.url.query_pairs_mut().append_pair("prompt", "login");
    let page = browser.get(&fresh.url).await?;
    let back = browser.follow(page, |url| party.is_redirect_uri(url)).await?;
    party.code(&fresh, &back.location()?)?;
    for stale in [serde_json::json!(1_000_000), serde_json::Value::Null] {
        provider.edit(move |claims| drop(claims.insert("auth_time".into(), stale.clone())));
        let mut fresh = party.authorize(site::SCOPE);
        fresh.url.query_pairs_mut().append_pair("prompt", "login");
        let page = browser.get(&fresh.url).await?;
        let page = browser.follow(page, |url| party.is_redirect_uri(url)).await?;
        ensure!(page.status == 403, "{}", page.describe());
        ensure!(given::last_refusal(&daemon).await?.0 == "not_fresh");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn github_s_plain_oauth_signs_in_by_number() -> Result<()> {
    let provider = ScriptedProvider::start(
        "unused",
        &serde_json::json!({
            "id": 4711, "login": "octo", "name": "Octo Cat", "email": "shown@example.com",
        }),
    )
    .await?;
    provider.userinfo(serde_json::json!([
        { "email": "octo@example.com", "primary": true, "verified": true },
    ]));
    let builder = given::daemon(provider.issuer(), "preset = \"github\"");
    let daemon = site::start(builder).await?;
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    let shown = daemon.cli(&["user", "show", "octo", "--json"]).await?.success()?.json()?;
    ensure!(shown["identities"][0]["subject"] == "4711", "{shown}");
    ensure!(shown["email"] == "octo@example.com" && shown["nickname"] == "Octo Cat", "{shown}");
    // The name is given up and taken by somebody else: another number is another person.
    provider.userinfo(serde_json::json!([]));
    provider.person("unused", &serde_json::json!({ "id": 4712, "login": "octo" }));
    given::refused(&daemon, "username_taken").await?;
    Ok(())
}
