//! The answer belongs to one departure of one browser.

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::http::Browser;
use reqwest::Url;

use super::given::{UP, scripted, through, whoami};
use crate::site;

/// Goes to the provider and stops before the callback; gives its address.
async fn stop_at_callback(
    daemon: &auth_tests::harness::daemon::Daemon,
    browser: &Browser,
) -> Result<Url> {
    let page = browser.get(daemon.url(&format!("/login/{UP}"))).await?;
    let stopped = browser.follow(page, |url| url.path().ends_with("/callback")).await?;
    stopped.location()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_judged_once_and_in_its_own_browser_only() -> Result<()> {
    let (_provider, daemon) = scripted("").await?;
    let (mine, theirs) = (Browser::new()?, Browser::new()?);
    let callback = stop_at_callback(&daemon, &mine).await?;

    // Another browser, with and without a login of its own (login CSRF both ways).
    theirs.get(&callback).await?.expect(400).context("without a cookie")?;
    let other = stop_at_callback(&daemon, &theirs).await?;
    theirs.get(&callback).await?.expect(400).context("with a cookie")?;
    ensure!(whoami(&daemon, &theirs).await?.is_none());
    let reasons = site::events(&daemon, "login.refused").await?;
    ensure!(reasons.iter().any(|event| event["reason"] == "login_of_another_browser"));

    // The state of the one with the code of the other.
    let code = |url: &Url| {
        url.query_pairs().find(|(name, _)| name == "code").map(|(_, value)| value.into_owned())
    };
    let mut mixed = callback.clone();
    let pairs: Vec<(String, String)> = callback
        .query_pairs()
        .map(|(name, value)| match &*name {
            "code" => ("code".to_owned(), code(&other).unwrap_or_default()),
            _ => (name.into_owned(), value.into_owned()),
        })
        .collect();
    mixed.query_pairs_mut().clear().extend_pairs(&pairs);
    // PKCE: the provider gives nothing for a code that was asked for with another verifier.
    mine.get(&mixed).await?.expect(403)?;
    ensure!(whoami(&daemon, &mine).await?.is_none());
    // That used the departure up: the right answer comes too late.
    mine.get(&callback).await?.expect(403)?;
    ensure!(whoami(&daemon, &mine).await?.is_none());

    let third = Browser::new()?;
    let callback = stop_at_callback(&daemon, &third).await?;
    let done = third.get(&callback).await?.expect(303)?;
    third.follow(done, |_| false).await?.expect(200)?;
    third.get(&callback).await?.expect(403).context("a replay")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_good_for_its_own_departure_and_connection() -> Result<()> {
    let (_provider, daemon) = scripted("").await?;
    let browser = Browser::new()?;
    let first = stop_at_callback(&daemon, &browser).await?;
    // Changed in its last character, of another connection, without a state at all.
    let state = first.query_pairs().find(|(name, _)| name == "state").context("no state")?.1;
    let forged = format!("{}{}", &state[..state.len() - 1], "_");
    let changed = first.as_str().replace(&*state, &forged);
    ensure!(changed != first.as_str());
    browser.get(&changed).await?.expect(403)?;
    browser.get(first.as_str().replace("/oidc/up/", "/oidc/other/")).await?.expect(404)?;
    let bare = first.as_str().replace("state=", "other=");
    browser.get(bare).await?.expect(403)?;
    // A second departure of the same login makes the first one's answer worthless.
    let login = state.split('.').next().context("a handle")?.to_owned();
    let page = browser.get(daemon.url(&format!("/login/{UP}?login={login}"))).await?;
    let stopped = browser.follow(page, |url| url.path().ends_with("/callback")).await?;
    browser.get(&first).await?.expect(403)?;
    let done = browser.get(stopped.location()?).await?.expect(303)?;
    browser.follow(done, |_| false).await?.expect(200)?;
    ensure!(whoami(&daemon, &browser).await?.as_deref() == Some("ada"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_id_changes_and_a_second_factor_is_still_asked_for() -> Result<()> {
    let provider =
        auth_tests::harness::upstream_oidc::ScriptedProvider::start("ada-1", &super::given::ada())
            .await?;
    // What the provider says of factors counts for nothing unless somebody decided so.
    provider.edit(|claims| {
        claims.insert("amr".into(), serde_json::json!(["pwd", "otp", "mfa"]));
        claims.insert("acr".into(), serde_json::json!("urn:auth:aal2"));
    });
    let builder = super::given::daemon(provider.issuer(), "").set("mfa.policy", "required");
    let daemon = site::start(builder).await?;
    let browser = Browser::new()?;
    let page = through(&daemon, &browser, UP).await?.expect(200)?;
    ensure!(page.url.path() == "/login/continue", "{}", page.describe());
    page.form_to("/login/enrol")?;
    ensure!(whoami(&daemon, &browser).await?.is_none(), "in without a second factor");
    Ok(())
}
