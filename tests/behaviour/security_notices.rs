//! Changes of people's protection are told to the site, signed, whoever made them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::html;
use auth_tests::harness::http::Browser;
use auth_tests::harness::receiver::Receiver;
use serde_json::Value;

use crate::second_factor::{code, password_passed};
use crate::site::{self, JANE};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const LIMIT: Duration = Duration::from_secs(20);

async fn start(receiver: &Receiver, chat: &Receiver) -> Result<Daemon> {
    let toml = format!(
        "[notices]\nwebhook = {{ url = \"{}\", secret = \"{SECRET}\" }}\n[[client]]\nid = \"hears\"\n\
         secret = \"{}\"\nredirect_uris = [\"{}\"]\nwebhook = {{ url = \"{}\", secret = \"{SECRET}\" }}\n",
        receiver.url(),
        site::SECRET,
        site::REDIRECT,
        chat.url(),
    );
    site::start(site::daemon().set("mfa.policy", "optional").toml(&toml)).await
}

/// The changes that were told of, in their order.
fn changes(receiver: &Receiver) -> Result<Vec<String>> {
    let told = receiver.taken().into_iter().map(|posted| {
        let event = posted.verified(SECRET)?;
        ensure!(event["type"] == "account.security_changed", "{event}");
        let data = &event["data"];
        ensure!(data["username"] == JANE && data["email"] == "jane@example.org", "{event}");
        ensure!(data["account"].is_string() && event["timestamp"].is_string(), "{event}");
        Ok(data["change"].as_str().context("change")?.to_owned())
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_site_hears_of_every_change_of_protection() -> Result<()> {
    let (receiver, chat) = (Receiver::start().await?, Receiver::start().await?);
    let mut daemon = start(&receiver, &chat).await?;
    let browser = Browser::new()?;
    password_passed(&daemon, &browser).await?;
    ensure!(receiver.posted().is_empty(), "a sign-in changes no protection");

    let page = browser.get(daemon.url("/account/security/totp")).await?.expect(200)?;
    let secret = html::text_of(&page.body, "totp-secret")?.context("no seed")?;
    let form = page.form_to("/account/security/totp")?;
    browser.submit(&page, &form, &[("code", &code(&secret, 0)?)]).await?;
    receiver.wait("added", LIMIT, |r| r.taken().len() == 1).await?;
    ensure!(changes(&receiver)? == ["factor.added"], "{:?}", changes(&receiver)?);
    ensure!(!receiver.taken()[0].body.contains(&secret), "the seed is told");

    // The site's program is away: what happens meanwhile, also on the command line and over a
    // restart, is told afterwards, in its order.
    receiver.answer(503);
    daemon.cli(&["user", "reset-mfa", JANE]).await?.success()?;
    let change = ["user", "set-password", JANE, "--password-stdin"];
    daemon.cli_with_input(&change, "another good passphrase").await?.success()?;
    receiver.wait("tried", LIMIT, |r| r.posted().iter().any(|posted| posted.status == 503)).await?;
    daemon.kill()?;
    daemon.restart().await?;
    receiver.answer(200);
    receiver.wait("all", LIMIT, |r| r.taken().len() == 3).await?;
    let all = ["factor.added", "account.factors_reset", "account.password_changed"];
    ensure!(changes(&receiver)? == all, "{:?}", changes(&receiver)?);
    ensure!(!receiver.taken()[2].body.contains("passphrase"), "the password is told");

    // Chat servers hear of the sessions that ended, and nothing of factors and passwords.
    let heard: Vec<Value> =
        chat.taken().iter().map(|posted| posted.verified(SECRET)).collect::<Result<_>>()?;
    ensure!(!heard.is_empty(), "the chat server heard of nothing");
    let security = |event: &Value| event["type"] == "account.security_changed";
    ensure!(!heard.iter().any(security), "{heard:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_needs_a_secret() -> Result<()> {
    let check = ["config", "check", "--offline"];
    let without = "[notices]\nwebhook = { url = \"https://mail.example.com/notices\" }\n";
    let out = site::daemon().toml(without).run(&check).await?.expect(78)?;
    ensure!(out.stdout.contains("notices.webhook.secret_file"), "{}{}", out.stdout, out.stderr);
    Ok(())
}
