//! Back-channel logout: what a logout token has to say.

use anyhow::{Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::upstream_oidc::Signing;
use serde_json::{Value, json};

use super::given::{UP, scripted, through, whoami};
use crate::site;

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_ends_the_sessions_that_it_names() -> Result<()> {
    let (provider, daemon) = scripted("").await?;
    let mut browsers = Vec::new();
    for sid in ["s-1", "s-2", "s-3"] {
        provider.edit(move |claims| drop(claims.insert("sid".into(), json!(sid))));
        let browser = Browser::new()?;
        through(&daemon, &browser, UP).await?.expect(200)?;
        browsers.push(browser);
    }
    let url = daemon.url("/oidc/up/backchannel-logout");
    let stranger = Browser::new()?;
    let post = async |claims: Value| -> Result<String> {
        let token = provider.logout_token(&claims)?;
        stranger.post(&url, &[("logout_token", &token)]).await?.expect(200)?;
        Ok(token)
    };
    let token = post(json!({ "sid": "s-1" })).await?;
    ensure!(whoami(&daemon, &browsers[0]).await?.is_none());
    ensure!(whoami(&daemon, &browsers[1]).await?.is_some());
    // Once only.
    stranger.post(&url, &[("logout_token", &token)]).await?.expect(400)?;
    // Both names have to match.
    post(json!({ "sub": "somebody-else", "sid": "s-2" })).await?;
    ensure!(whoami(&daemon, &browsers[1]).await?.is_some());
    post(json!({ "sub": "ada-1" })).await?;
    for browser in &browsers {
        ensure!(whoami(&daemon, browser).await?.is_none());
    }
    let ended = site::events(&daemon, "session.revoked").await?;
    let upstream = |event: &&Value| event["detail"]["reason"] == "upstream_logout";
    ensure!(ended.iter().filter(upstream).count() == 3, "{ended:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_logout_token_ends_nothing() -> Result<()> {
    let (provider, daemon) = scripted("").await?;
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    let url = daemon.url("/oidc/up/backchannel-logout");
    let cases: Vec<(Value, &str)> = vec![
        (json!({ "sub": "ada-1", "nonce": "n" }), "no_logout_token"),
        (json!({ "sub": "ada-1", "events": null }), "no_logout_token"),
        (json!({ "sub": "ada-1", "events": { "x": {} } }), "no_logout_token"),
        (json!({ "sub": "ada-1", "jti": null }), "no_logout_token"),
        (json!({}), "no_logout_token"),
        (json!({ "sub": "ada-1", "iss": "https://evil.example" }), "wrong_issuer"),
        (json!({ "sub": "ada-1", "aud": "another-client" }), "wrong_audience"),
        (json!({ "sub": "ada-1", "exp": 1 }), "token_expired"),
        (json!({ "sub": "ada-1", "iat": 9_999_999_999_i64 }), "token_not_yet_valid"),
    ];
    for (claims, reason) in cases {
        let token = provider.logout_token(&claims)?;
        browser.post(&url, &[("logout_token", &token)]).await?.expect(400)?;
        let refused = site::events(&daemon, "upstream_logout.refused").await?;
        let found = refused.last().map(|event| event["reason"].clone()).unwrap_or_default();
        ensure!(found == reason, "{claims}: {found}");
    }
    for signing in [Signing::None, Signing::Hs256WithPublicKey, Signing::WrongKey] {
        provider.sign(signing);
        let token = provider.logout_token(&json!({ "sub": "ada-1" }))?;
        browser.post(&url, &[("logout_token", &token)]).await?.expect(400)?;
    }
    browser.post(&url, &[("logout_token", "junk")]).await?.expect(400)?;
    browser
        .post(daemon.url("/oidc/none/backchannel-logout"), &[("logout_token", "x")])
        .await?
        .expect(404)?;
    ensure!(whoami(&daemon, &browser).await?.is_some(), "signed out by junk");
    Ok(())
}
