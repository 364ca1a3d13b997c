//! The pages in a real browser: without script, on a phone's width, by keyboard alone, across
//! sites, with screenshots to look at.

use anyhow::{Context, Result, ensure};
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::slapd::Slapd;
use fantoccini::key::Key;
use serde_json::json;
use std::collections::HashMap;

use crate::site::{self, JANE, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_by_keyboard_on_a_desk_and_on_a_phone() -> Result<()> {
    let slapd = Slapd::start()?;
    let daemon = site::start(site::daemon().directory("corp", &slapd)).await?;
    let chromium = Chromium::start().await?;
    // The pages have no script; this proves that none is needed.
    chromium.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await?;
    for phone in [false, true] {
        if phone {
            chromium.phone().await?
        } else {
            chromium.desktop().await?
        }
        let width = if phone { "phone" } else { "desk" };
        chromium.client.goto(&daemon.url("/login")).await?;
        chromium.wait_for_css("#username").await?;
        chromium.screenshot(&format!("login-{width}")).await?;
        chromium.client.active_element().await?.send_keys("alice").await?;
        type_keys(&chromium, &[Key::Tab.into(), 'x', Key::Enter.into()]).await?;
        chromium.wait_for_css("[role=alert]").await?;
        chromium.screenshot(&format!("login-refused-{width}")).await?;
        // The name is kept and the password field has the focus.
        chromium.client.active_element().await?.send_keys("secret-alice").await?;
        type_keys(&chromium, &[Key::Enter.into()]).await?;
        chromium.wait_for_url(|url| url.path() == "/account").await?;
        chromium.screenshot(&format!("account-{width}")).await?;
        for (path, name) in
            [("/account/sessions", "sessions"), ("/logout", "logout"), ("/nowhere", "not-found")]
        {
            chromium.client.goto(&daemon.url(path)).await?;
            chromium.wait_for_css("h1").await?;
            chromium.screenshot(&format!("{name}-{width}")).await?;
        }
        chromium.client.goto(&daemon.url("/logout")).await?;
        chromium.wait_for_css("form button").await?.click().await?;
        chromium.wait_for_css("h1").await?;
        chromium.client.goto(&daemon.url("/account")).await?;
        chromium.wait_for_url(|url| url.path() == "/login").await?;
    }
    Ok(())
}

async fn type_keys(chromium: &Chromium, keys: &[char]) -> Result<()> {
    for key in keys {
        chromium.client.active_element().await?.send_keys(&key.to_string()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_wider_than_a_phone() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let chromium = Chromium::start().await?;
    chromium.phone().await?;
    for path in ["/login", "/login/local", "/nowhere"] {
        chromium.client.goto(&daemon.url(path)).await?;
        chromium.wait_for_css("h1").await?;
        let overflow = chromium.sideways_overflow().await?;
        ensure!(overflow == 0, "{path} is {overflow} pixels too wide");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_set_up_on_a_phone() -> Result<()> {
    let daemon = site::start(site::daemon().set("mfa.policy", "required")).await?;
    let chromium = Chromium::start().await?;
    for phone in [true, false] {
        if phone {
            chromium.phone().await?
        } else {
            chromium.desktop().await?
        }
        chromium.client.delete_all_cookies().await?;
        chromium.client.goto(&daemon.url("/login")).await?;
        chromium.type_into("username", JANE).await?;
        chromium.type_into("password", PASSWORD).await?;
        chromium.wait_for_css("form button").await?.click().await?;
        chromium.wait_for_css("#totp-secret").await?;
        chromium.wait_for_css(".qr svg").await?;
        chromium.screenshot(&format!("enrol-{}", if phone { "phone" } else { "desk" })).await?;
        ensure!(chromium.sideways_overflow().await? == 0, "the page is too wide");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_follows_the_redirect_to_a_chat_server_on_another_site() -> Result<()> {
    // Chromium applies form-action to the redirects after a form's post.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let redirect = format!("http://{}/callback", listener.local_addr()?);
    tokio::spawn(answer_everything(listener));
    let daemon = site::start(site::daemon().client("far", site::SECRET, &[&redirect])).await?;
    let party = auth_tests::harness::oidc::RelyingParty::discover(
        daemon.issuer(),
        "far",
        Some(site::SECRET),
        &redirect,
    )
    .await?;
    for mode in ["query", "form_post"] {
        let chromium = Chromium::start().await?;
        let authorization = party.authorize(site::SCOPE);
        let url = format!("{}&response_mode={mode}", authorization.url);
        chromium.client.goto(&url).await?;
        chromium.type_into("username", JANE).await?;
        chromium.type_into("password", PASSWORD).await?;
        chromium.wait_for_css("form button").await?.click().await?;
        if mode == "form_post" {
            chromium.wait_for_css("input[name=code]").await?;
            chromium.screenshot("form-post").await?;
            chromium.wait_for_css("form button").await?.click().await?;
        }
        let answer = chromium.wait_for_url(|url| url.path() == "/callback").await?;
        if mode == "query" {
            let query: HashMap<_, _> = answer.query_pairs().into_owned().collect();
            let code = query.get("code").context("no code")?;
            party.exchange(&authorization, code).await?;
        }
    }
    Ok(())
}

/// A chat server that says yes to everything.
pub(crate) async fn answer_everything(listener: tokio::net::TcpListener) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = vec![0u8; 16 * 1024];
            let _ = stream.read(&mut request).await;
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 16\r\nConnection: close\r\n\r\n<h1>Signed</h1>\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}
