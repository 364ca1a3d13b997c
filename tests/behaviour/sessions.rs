//! The browser's session: its cookie, its end, and who sees it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;

use crate::site::{self, JANE, PASSWORD};

async fn signed_in(daemon: &Daemon, browser: &Browser) -> Result<()> {
    let page = site::attempt(daemon, browser, "local", JANE, PASSWORD).await?.expect(303)?;
    browser.follow(page, |_| false).await?.expect(200)?;
    Ok(())
}

async fn is_signed_in(daemon: &Daemon, browser: &Browser) -> Result<bool> {
    let page = browser.get(daemon.url("/account")).await?;
    Ok(page.status == 200)
}

fn session_cookie(daemon: &Daemon, browser: &Browser) -> Result<String> {
    browser.cookie(&daemon.url("/").parse()?, "auth_session").context("no session cookie")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_guarded_and_only_its_hash_is_stored() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let browser = Browser::new()?;
    let page = site::attempt(&daemon, &browser, "local", JANE, PASSWORD).await?.expect(303)?;
    let cookies: Vec<&str> =
        page.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()).collect();
    let cookie =
        cookies.iter().find(|cookie| cookie.starts_with("auth_session=")).context("set")?;
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        ensure!(cookie.contains(part), "{part} not in {cookie}");
    }
    ensure!(!cookie.contains("Domain"), "{cookie}");
    let secret = session_cookie(&daemon, &browser)?;
    let login = browser.cookie(&daemon.url("/").parse()?, "auth_login").context("login cookie")?;
    for name in ["auth.db", "auth.db-wal"] {
        let bytes = std::fs::read(daemon.folder().join(name)).unwrap_or_default();
        for secret in [&secret, &login] {
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            ensure!(!found, "{name} holds a cookie's secret");
        }
    }
    ensure!(daemon.log().iter().all(|line| !line.contains(&secret) && !line.contains(PASSWORD)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_login_gets_a_new_id_and_the_old_one_is_dead() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let browser = Browser::new()?;
    signed_in(&daemon, &browser).await?;
    let old = session_cookie(&daemon, &browser)?;
    signed_in(&daemon, &browser).await?;
    let new = session_cookie(&daemon, &browser)?;
    ensure!(old != new, "the id stayed the same");
    let thief = Browser::new()?;
    thief.set_cookie(&daemon.url("/").parse()?, &format!("auth_session={old}; Path=/"));
    ensure!(!is_signed_in(&daemon, &thief).await?, "the old id still works");
    ensure!(is_signed_in(&daemon, &browser).await?);
    // A fixed id is not taken over either.
    let victim = Browser::new()?;
    let planted = "AAAAAAAAAAAAAAAAAAAAAA";
    victim.set_cookie(&daemon.url("/").parse()?, &format!("auth_session={planted}; Path=/"));
    signed_in(&daemon, &victim).await?;
    ensure!(session_cookie(&daemon, &victim)? != planted, "a planted id was taken over");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_needs_the_forms_token_and_ends_the_session() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let browser = Browser::new()?;
    signed_in(&daemon, &browser).await?;
    let secret = session_cookie(&daemon, &browser)?;
    browser.post(daemon.url("/logout"), &[("csrf", "guess")]).await?.expect(403)?;
    ensure!(is_signed_in(&daemon, &browser).await?, "a forged form signed out");
    let page = browser.get(daemon.url("/logout")).await?.expect(200)?;
    browser.submit(&page, &page.form_to("/logout")?, &[]).await?.expect(200)?;
    let thief = Browser::new()?;
    thief.set_cookie(&daemon.url("/").parse()?, &format!("auth_session={secret}; Path=/"));
    ensure!(!is_signed_in(&daemon, &thief).await?, "the session outlived its logout");
    ensure!(site::events(&daemon, "logout").await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_absolute_timeout_ends_a_session() -> Result<()> {
    let builder =
        site::daemon().set("session.idle_timeout", "2h").set("session.absolute_timeout", "1h");
    let refused = builder.run(&["config", "check", "--offline"]).await?;
    ensure!(refused.code == 78, "idle above absolute: {refused:?}");
    let daemon = site::start(site::daemon().set("session.absolute_timeout", "2s")).await?;
    let browser = Browser::new()?;
    signed_in(&daemon, &browser).await?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_signed_in(&daemon, &browser).await? {
        ensure!(Instant::now() < deadline, "the session does not end");
    }
    // The cookie is cut to whole seconds, so the session itself may have a moment left.
    loop {
        let list = daemon.cli(&["session", "list", "--json"]).await?.success()?.json()?;
        if list == serde_json::json!([]) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "an expired session is listed: {list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_sessions_and_the_next_request_sees_it() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let browser = Browser::new()?;
    let end = |arguments: &'static [&'static str]| daemon.cli(arguments);
    signed_in(&daemon, &browser).await?;
    let list = daemon.cli(&["session", "list", "--json"]).await?.success()?.json()?;
    let session = list.as_array().and_then(|list| list.first()).context("no session")?;
    ensure!(session["account"] == JANE && session["kind"] == "browser", "{session}");
    let secret = session_cookie(&daemon, &browser)?;
    ensure!(!list.to_string().contains(&secret), "the listing shows a secret");
    end(&["session", "revoke", "--user", JANE, "--dry-run"]).await?.success()?;
    ensure!(is_signed_in(&daemon, &browser).await?, "--dry-run ended a session");
    end(&["session", "revoke", "--user", JANE]).await?.success()?;
    ensure!(!is_signed_in(&daemon, &browser).await?, "revoked by user");

    signed_in(&daemon, &browser).await?;
    let list = daemon.cli(&["session", "list", "--json"]).await?.success()?.json()?;
    let id = list[0]["id"].as_str().context("id")?.to_owned();
    daemon.cli(&["session", "revoke", &id]).await?.success()?;
    ensure!(!is_signed_in(&daemon, &browser).await?, "revoked by id");

    signed_in(&daemon, &browser).await?;
    end(&["user", "disable", JANE]).await?.success()?;
    ensure!(!is_signed_in(&daemon, &browser).await?, "disabled");
    end(&["user", "enable", JANE]).await?.success()?;
    ensure!(!is_signed_in(&daemon, &browser).await?, "enabling brought the session back");

    signed_in(&daemon, &browser).await?;
    let new = "eighteen loud otters";
    daemon
        .cli_with_input(&["user", "set-password", JANE, "--password-stdin"], new)
        .await?
        .success()?;
    ensure!(!is_signed_in(&daemon, &browser).await?, "password changed");
    site::attempt(&daemon, &browser, "local", JANE, PASSWORD).await?.expect(401)?;
    site::attempt(&daemon, &browser, "local", JANE, new).await?.expect(303)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_ends_only_their_own_sessions() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    daemon.create_user("joe", "joe@example.org", PASSWORD).await?;
    let (jane, joe) = (Browser::new()?, Browser::new()?);
    signed_in(&daemon, &jane).await?;
    let page = site::attempt(&daemon, &joe, "local", "joe", PASSWORD).await?.expect(303)?;
    joe.follow(page, |_| false).await?.expect(200)?;
    let list = daemon.cli(&["session", "list", "--user", "joe", "--json"]).await?.success()?;
    let other = list.json()?[0]["id"].as_str().context("id")?.to_owned();
    let page = jane.get(daemon.url("/account/sessions")).await?.expect(200)?;
    let form = &page.forms()?[0];
    let csrf = form.field("csrf").context("csrf")?.value.clone();
    let url = daemon.url("/account/sessions");
    jane.post(&url, &[("csrf", &csrf), ("session", &other)]).await?.expect(404)?;
    ensure!(is_signed_in(&daemon, &joe).await?, "ended another person's session");
    jane.post(&url, &[("csrf", "x"), ("session", "all")]).await?.expect(403)?;
    jane.post(&url, &[("csrf", &csrf), ("session", "all")]).await?.expect(303)?;
    ensure!(!is_signed_in(&daemon, &jane).await? && is_signed_in(&daemon, &joe).await?);
    Ok(())
}
