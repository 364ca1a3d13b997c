//! A SIGHUP reads the configuration again: as a whole, or not at all.

use std::time::Duration;

use anyhow::{Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::oidc::RelyingParty;

use crate::site::{self, JANE, PASSWORD};

const LIMIT: Duration = Duration::from_secs(30);
const SECOND: &str = "second-secret-of-the-tests-0123456789";

/// Writes `text` behind the configuration, sends SIGHUP, and waits for what is logged.
async fn reload(daemon: &mut Daemon, text: &str, expected: &str) -> Result<String> {
    let path = daemon.config().to_owned();
    let before = daemon.log().iter().filter(|line| line.contains(expected)).count();
    std::fs::write(&path, text)?;
    daemon.signal("HUP")?;
    let seen = std::cell::Cell::new(0);
    daemon
        .wait_for_log(expected, LIMIT, |line| {
            seen.set(seen.get() + usize::from(line.contains(expected)));
            line.contains(expected) && seen.get() > before
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_effect_as_a_whole_or_not_at_all() -> Result<()> {
    let mut daemon = site::start(site::daemon()).await?;
    let original = std::fs::read_to_string(daemon.config())?;
    let browser = Browser::new()?;
    site::sign_in(&site::relying_party(&daemon).await?, &browser).await?;
    let client = format!(
        "\n[[client]]\nid = \"second\"\nkind = \"oidc\"\nsecret = \"{SECOND}\"\nredirect_uris = [\"{}\"]\n",
        site::REDIRECT
    );

    // A file that is wrong, or that changes what only a restart can, leaves everything as it was.
    for (wrong, word) in [
        (format!("{original}{client}nonsense = 1\n"), "nonsense"),
        (format!("{original}{client}").replace("auth.db", "other.db"), "storage"),
        ("[".to_owned(), "configuration not reloaded"),
    ] {
        let line = reload(&mut daemon, &wrong, "config.reload_failed").await?;
        ensure!(line.contains(word), "{word:?} not in {line}");
        let page = Browser::new()?.open(second(&daemon).await?.authorize(site::SCOPE).url).await?;
        page.expect(400)?;
    }

    reload(&mut daemon, &format!("{original}{client}"), "config.reloaded\"").await?;
    let (_, tokens) = site::sign_in(&second(&daemon).await?, &Browser::new()?).await?;
    ensure!(tokens.id_token.is_some(), "no ID token");
    // Who was signed in still is, on the connection that was open.
    browser.open(daemon.url("/account")).await?.expect(200)?;
    site::attempt(&daemon, &Browser::new()?, "local", JANE, PASSWORD).await?.expect(303)?;
    let events = site::events(&daemon, "config.reloaded").await?;
    ensure!(events.len() == 4, "{events:?}");
    ensure!(events.iter().filter(|event| event["outcome"] == "failed").count() == 3, "{events:?}");
    Ok(())
}

async fn second(daemon: &Daemon) -> Result<RelyingParty> {
    RelyingParty::discover(daemon.issuer(), "second", Some(SECOND), site::REDIRECT).await
}
