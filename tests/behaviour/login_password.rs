//! Signing in with a local password: accepted, refused, throttled, rehashed; who learns what.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use auth_tests::harness::http::{Browser, Page};

use crate::site::{self, JANE, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_the_account_page_knows_them() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let browser = Browser::new()?;
    let page = site::attempt(&daemon, &browser, "local", JANE, PASSWORD).await?.expect(303)?;
    let page = browser.follow(page, |_| false).await?.expect(200)?;
    ensure!(page.url.path() == "/account", "{}", page.url);
    ensure!(page.body.contains("jane@example.org"), "{}", page.describe());
    let accepted = site::events(&daemon, "login.accepted").await?;
    ensure!(accepted.len() == 1 && accepted[0]["account"] == JANE, "{accepted:?}");
    ensure!(accepted[0]["connector"] == "local" && accepted[0]["ip"] == "127.0.0.1");
    ensure!(accepted[0]["request_id"].as_str().is_some_and(|id| !id.is_empty()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_type_the_address_instead_of_the_name() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let browser = Browser::new()?;
    for name in ["JANE", " jane ", "Jane@Example.org"] {
        site::attempt(&daemon, &browser, "local", name, PASSWORD).await?.expect(303)?;
    }
    Ok(())
}

/// What a stranger sees of a refusal, without what differs by chance or echoes the request.
fn shape(page: &Page, typed: &str) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = page
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id", "content-length"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    headers.sort();
    let mut body = page.body.replace(typed, "NAME");
    if let Some(at) = body.find("name=\"csrf\" value=\"") {
        let start = at + "name=\"csrf\" value=\"".len();
        let end = body[start..].find('"').map_or(body.len(), |end| start + end);
        body.replace_range(start..end, "CSRF");
    }
    while let Some(at) = body.find("?login=") {
        let start = at + 1;
        let end = body[start..].find('"').map_or(body.len(), |end| start + end);
        body.replace_range(start..end, "HANDLE");
    }
    (page.status.as_u16(), headers, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_looks_alike() -> Result<()> {
    let daemon = site::start(site::daemon().set("throttle.failures_per_account", 3)).await?;
    daemon.create_user("gone", "gone@example.org", PASSWORD).await?;
    daemon.create_user("shut", "shut@example.org", PASSWORD).await?;
    daemon.cli(&["user", "disable", "gone"]).await?.success()?;
    for _ in 0..3 {
        site::attempt(&daemon, &Browser::new()?, "local", "shut", "wrong").await?.expect(401)?;
    }
    let cases = [
        (JANE, "wrong password here"),
        ("nobody", "wrong password here"),
        ("gone", PASSWORD),
        ("gone", "wrong password here"),
        ("shut", PASSWORD),
        (JANE, "x"),
    ];
    let mut seen = Vec::new();
    for (name, password) in cases {
        let begun = Instant::now();
        let browser = Browser::new()?;
        let page = browser.open(daemon.url("/login/local")).await?.expect(200)?;
        let page = browser.sign_in(&page, "local", name, password).await?;
        ensure!(begun.elapsed() >= Duration::from_millis(300), "{name}: sooner than the floor");
        seen.push((name, shape(&page, name)));
    }
    let (_, first) = &seen[0];
    for (name, shape) in &seen {
        ensure!(shape == first, "{name} looks different:\n{shape:#?}\n{first:#?}");
    }
    let reasons: Vec<String> = site::events(&daemon, "login.refused")
        .await?
        .iter()
        .filter_map(|event| event["reason"].as_str().map(str::to_owned))
        .collect();
    for reason in ["wrong_password", "unknown_user", "account_inactive", "throttled"] {
        ensure!(reasons.iter().any(|known| known == reason), "{reason} not in {reasons:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_shuts_after_wrong_passwords_and_opens_by_itself() -> Result<()> {
    let builder =
        site::daemon().set("throttle.failures_per_account", 3).set("throttle.lockout", "2s");
    let daemon = site::start(builder).await?;
    for name in ["jane", "JANE", "CORP\\jane"] {
        site::attempt(&daemon, &Browser::new()?, "local", name, "wrong").await?.expect(401)?;
    }
    site::attempt(&daemon, &Browser::new()?, "local", JANE, PASSWORD).await?.expect(401)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let page = site::attempt(&daemon, &Browser::new()?, "local", JANE, PASSWORD).await?;
        if page.status == 303 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "still shut: {}", page.describe());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_guesses_do_not_slip_through_together() -> Result<()> {
    let daemon = site::start(site::daemon().set("throttle.failures_per_account", 3)).await?;
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let browser = Browser::new()?;
        let page = browser.open(daemon.url("/login/local")).await?.expect(200)?;
        guesses.spawn(async move { browser.sign_in(&page, "local", JANE, "wrong").await });
    }
    while let Some(page) = guesses.join_next().await {
        page??.expect(401)?;
    }
    let refused = site::events(&daemon, "login.refused").await?;
    let judged = refused.iter().filter(|event| event["reason"] == "wrong_password").count();
    ensure!(judged == 3, "{judged} guesses were judged");
    ensure!(refused.len() == 20, "{} events for 20 attempts", refused.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_answers_are_refused_with_a_code() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let browser = Browser::new()?;
    let url = daemon.url("/login/local");
    let page = browser.open(&url).await?.expect(200)?;
    let csrf = page.form_to("/login/local")?.field("csrf").context("csrf")?.value.clone();
    let post = |fields: Vec<(&'static str, String)>| {
        browser.send(browser.request(reqwest::Method::POST, &url).form(&fields))
    };
    let name = ("username", JANE.to_owned());
    let password = ("password", PASSWORD.to_owned());
    post(vec![name.clone(), password.clone()]).await?.expect(400)?;
    let bad = post(vec![name.clone(), password.clone(), ("csrf", "x".into())]).await?;
    let bad = bad.expect(403)?.json()?;
    ensure!(bad["code"] == "form_expired" && bad["request_id"].is_string(), "{bad}");
    let long = post(vec![name.clone(), ("password", "x".repeat(100_000)), ("csrf", csrf.clone())]);
    ensure!(long.await?.expect(413)?.json()?["code"] == "payload_too_large");
    let json = browser.request(reqwest::Method::POST, &url).json(&serde_json::json!({}));
    ensure!(browser.send(json).await?.expect(415)?.json()?["code"] == "unsupported_media_type");
    for odd in ["", "a\0b"] {
        post(vec![name.clone(), ("password", odd.into()), ("csrf", csrf.clone())])
            .await?
            .expect(401)?;
    }
    // The form is still good after all that.
    post(vec![name, password, ("csrf", csrf)]).await?.expect(303)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_parameters_rehash_at_the_next_login() -> Result<()> {
    let mut daemon = site::start(site::daemon()).await?;
    let stored = |daemon: &auth_tests::harness::daemon::Daemon| -> Result<String> {
        let file = rusqlite::Connection::open(daemon.folder().join("auth.db"))?;
        Ok(file.query_row("SELECT hash FROM password", [], |row| row.get(0))?)
    };
    ensure!(stored(&daemon)?.contains("m=8192,t=1"), "{}", stored(&daemon)?);
    daemon.stop().await?;
    let config = std::fs::read_to_string(daemon.config())?;
    std::fs::write(daemon.config(), config.replace("iterations = 1", "iterations = 2"))?;
    daemon.restart().await?;
    site::attempt(&daemon, &Browser::new()?, "local", JANE, PASSWORD).await?.expect(303)?;
    ensure!(stored(&daemon)?.contains("m=8192,t=2"), "{}", stored(&daemon)?);
    site::attempt(&daemon, &Browser::new()?, "local", JANE, PASSWORD).await?.expect(303)?;
    Ok(())
}
