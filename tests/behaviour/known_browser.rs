//! A browser on which a person signed in before: the guesses of others neither slow it nor shut it,
//! and it gives nobody more guesses than that.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::{Builder, Daemon};
use auth_tests::harness::http::Browser;
use auth_tests::harness::slapd::Slapd;

use crate::second_factor;
use crate::site::{self, JANE, PASSWORD};

const COOKIE: &str = "auth_known";
const LIMIT: u32 = 3;

fn builder() -> Builder {
    site::daemon().set("throttle.failures_per_account", LIMIT)
}

/// Lets a source cause four refusals at once, and then hardly any.
fn impatient() -> Builder {
    builder().set("throttle.source_burst", 4).set("throttle.source_per_minute", 1)
}

/// The status of an answer to the sign-in form.
async fn answer(daemon: &Daemon, browser: &Browser, name: &str, password: &str) -> Result<u16> {
    Ok(site::attempt(daemon, browser, "local", name, password).await?.status.as_u16())
}

async fn known(daemon: &Daemon, name: &str) -> Result<Browser> {
    let browser = Browser::new()?;
    ensure!(answer(daemon, &browser, name, PASSWORD).await? == 303, "the first sign-in");
    Ok(browser)
}

fn cookie_of(daemon: &Daemon, browser: &Browser) -> Result<String> {
    browser.cookie(&daemon.url("").parse()?, COOKIE).context("no cookie of a known browser")
}

/// A browser that shows a cookie which it may not have got itself.
fn showing(daemon: &Daemon, cookie: &str) -> Result<Browser> {
    let browser = Browser::new()?;
    browser.set_cookie(&daemon.url("").parse()?, &format!("{COOKIE}={cookie}; Path=/"));
    Ok(browser)
}

/// Uses up what this source may get wrong.
async fn shut(daemon: &Daemon, name: &str) -> Result<()> {
    for _ in 0..LIMIT {
        ensure!(answer(daemon, &Browser::new()?, name, "wrong").await? == 401);
    }
    ensure!(answer(daemon, &Browser::new()?, name, PASSWORD).await? == 401, "{name} is not shut");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_behind_the_same_address_shuts_out_strangers_only() -> Result<()> {
    let daemon = site::start(builder()).await?;
    let browser = known(&daemon, JANE).await?;
    let first = cookie_of(&daemon, &browser)?;
    shut(&daemon, JANE).await?;
    for spelling in ["jane", "JANE", " Jane "] {
        ensure!(answer(&daemon, &browser, spelling, PASSWORD).await? == 303, "{spelling:?}");
    }
    ensure!(cookie_of(&daemon, &browser)? == first, "the browser stays the same one");
    // Her success is none of the strangers'.
    ensure!(answer(&daemon, &Browser::new()?, JANE, PASSWORD).await? == 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_everywhere_slow_strangers_only() -> Result<()> {
    let daemon = site::start(builder()).await?;
    let browser = known(&daemon, JANE).await?;
    let from = |last| Browser::from_address(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    // The delay doubles with each.
    for source in 2..9 {
        ensure!(answer(&daemon, &from(source)?, JANE, "wrong").await? == 401);
    }
    let stranger = from(20)?;
    let (page, url) = (stranger.open(daemon.url("/login/local")).await?.expect(200)?, "local");
    let slowed = tokio::spawn(async move { stranger.sign_in(&page, url, JANE, "wrong").await });
    // Judged while that one still waits: the counter says that it was counted.
    let counted = || -> Result<i64> {
        let file = rusqlite::Connection::open(daemon.folder().join("auth.db"))?;
        let sql = "SELECT max(count) FROM throttle WHERE key LIKE 'password-all:%'";
        Ok(file.query_row(sql, [], |row| row.get(0))?)
    };
    while counted()? < 8 {
        tokio::task::yield_now().await;
    }
    ensure!(answer(&daemon, &browser, JANE, PASSWORD).await? == 303);
    ensure!(!slowed.is_finished(), "the stranger was not slowed, so this test shows nothing");
    slowed.await??.expect(401)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_has_to_wait_does_not_keep_out_who_signed_in_there() -> Result<()> {
    let daemon = site::start(impatient()).await?;
    let browser = known(&daemon, JANE).await?;
    for number in 0..5 {
        answer(&daemon, &Browser::new()?, &format!("nobody{number}"), "wrong").await?;
    }
    ensure!(answer(&daemon, &Browser::new()?, JANE, PASSWORD).await? == 429);
    ensure!(answer(&daemon, &browser, JANE, PASSWORD).await? == 303);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_browser_has_its_own_hard_stop_and_no_second_one() -> Result<()> {
    let daemon = site::start(builder()).await?;
    let browser = known(&daemon, JANE).await?;
    for _ in 0..LIMIT {
        ensure!(answer(&daemon, &browser, JANE, "wrong").await? == 401);
    }
    ensure!(answer(&daemon, &browser, JANE, PASSWORD).await? == 401, "no hard stop");
    let refused = site::events(&daemon, "login.refused").await?;
    ensure!(refused.last().is_some_and(|event| event["reason"] == "throttled"), "{refused:?}");
    // A copy of the cookie is the same browser; who has none is a stranger with a count of theirs.
    let copy = showing(&daemon, &cookie_of(&daemon, &browser)?)?;
    ensure!(answer(&daemon, &copy, JANE, PASSWORD).await? == 401, "a copy counts anew");
    ensure!(answer(&daemon, &Browser::new()?, JANE, PASSWORD).await? == 303);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_browser_has_to_wait_as_a_source_does() -> Result<()> {
    let daemon = site::start(impatient()).await?;
    let browser = known(&daemon, JANE).await?;
    for _ in 0..5 {
        ensure!(answer(&daemon, &browser, JANE, "wrong").await? == 401);
    }
    ensure!(answer(&daemon, &browser, JANE, PASSWORD).await? == 429, "refusals without end");
    // By its own count: the address is as free as before.
    ensure!(answer(&daemon, &Browser::new()?, JANE, PASSWORD).await? == 303);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_good_for_its_own_name_and_daemon_and_for_no_session() -> Result<()> {
    let daemon = site::start(builder()).await?;
    daemon.create_user("mallory", "mallory@example.org", PASSWORD).await?;
    let mallory = known(&daemon, "mallory").await?;
    let own = cookie_of(&daemon, &mallory)?;
    let elsewhere = site::start(builder()).await?;
    let foreign = cookie_of(&elsewhere, &known(&elsewhere, JANE).await?)?;
    shut(&daemon, JANE).await?;
    ensure!(answer(&daemon, &mallory, JANE, PASSWORD).await? == 401, "another name's cookie");
    let garbled = format!("{}{}", if own.starts_with('A') { 'B' } else { 'A' }, &own[1..]);
    for cookie in [foreign.as_str(), &own, &garbled, "", "x", &"A.".repeat(2000)] {
        let browser = showing(&daemon, cookie)?;
        ensure!(answer(&daemon, &browser, JANE, PASSWORD).await? == 401, "{cookie:.60}");
        ensure!(browser.get(daemon.url("/account")).await?.status == 303, "a session by {cookie}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_alone_makes_no_known_browser() -> Result<()> {
    let daemon = site::start(builder().set("mfa.policy", "required")).await?;
    let url = daemon.url("").parse()?;
    let browser = Browser::new()?;
    second_factor::password_passed(&daemon, &browser).await?;
    ensure!(browser.cookie(&url, COOKIE).is_none(), "known before the second factor");
    let (_, recovery) = second_factor::enrol(&daemon, &browser).await?;
    cookie_of(&daemon, &browser)?;
    shut(&daemon, JANE).await?;
    let page = second_factor::password_passed(&daemon, &browser).await?;
    let form = page.form_to("/login/factor")?;
    browser.submit(&page, &form, &[("code", &recovery[0])]).await?.expect(303)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_knows_the_browser_by_the_name_that_is_typed() -> Result<()> {
    const SECRET: &str = "secret-alice";
    let slapd = Slapd::start()?;
    let daemon = site::start(builder().directory("corp", &slapd)).await?;
    let browser = Browser::new()?;
    let answer = async |browser: &Browser, name: &str, password: &str| -> Result<u16> {
        Ok(site::attempt(&daemon, browser, "corp", name, password).await?.status.as_u16())
    };
    ensure!(answer(&browser, "alice", SECRET).await? == 303);
    ensure!(answer(&browser, "alice@example.org", SECRET).await? == 303);
    // Fewer than the directory itself allows.
    for _ in 0..LIMIT {
        ensure!(answer(&Browser::new()?, "alice", "wrong").await? == 401);
    }
    ensure!(answer(&Browser::new()?, "alice", SECRET).await? == 401, "not shut");
    for name in ["alice", "ALICE", "alice@example.org"] {
        ensure!(answer(&browser, name, SECRET).await? == 303, "{name}");
    }
    Ok(())
}
