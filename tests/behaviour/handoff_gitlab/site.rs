//! A Mattermost server and a daemon that know each other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use auth_core::clock::{Clock as _, SystemClock};
use auth_tests::harness::daemon::{Builder, Daemon};
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::mattermost::{ADMIN_TOKEN, Mattermost, User};
use toml::Table;

use crate::site::{self, PASSWORD};

/// Client id of the Mattermost server.
pub(super) const MM: &str = "mm";
pub(super) const MM_SECRET: &str = "mattermost-secret-of-the-tests-0123";
/// Bounds every wait for a condition.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// The table of the client, with keys of its own.
pub(super) fn client(mattermost: &Mattermost, more: &str) -> Table {
    let uris: Vec<toml::Value> = mattermost.redirect_uris().map(toml::Value::from).to_vec();
    let mut table: Table = more.parse().expect("keys of a client");
    table.insert("id".into(), MM.into());
    table.insert("kind".into(), "gitlab".into());
    table.insert("secret".into(), MM_SECRET.into());
    table.insert("redirect_uris".into(), toml::Value::Array(uris));
    table
}

/// The keys that switch the push on.
pub(super) fn push(mattermost: &Mattermost) -> String {
    format!("[mattermost]\nurl = \"{}\"\ntoken = \"{ADMIN_TOKEN}\"\n", mattermost.site())
}

/// A daemon with this client, not started yet.
pub(super) fn builder(mattermost: &Mattermost, more: &str) -> Builder {
    site::daemon().array_entry("client", client(mattermost, more))
}

/// Both, with the local person `jane`.
pub(super) async fn start(more: fn(&Mattermost) -> String) -> Result<(Daemon, Mattermost)> {
    let mattermost = Mattermost::start().await?;
    let daemon = site::start(builder(&mattermost, &more(&mattermost))).await?;
    mattermost.connect(daemon.issuer(), MM, MM_SECRET);
    Ok((daemon, mattermost))
}

/// Begins at Mattermost; gives the daemon's sign-in page or, with a session, the last redirect.
pub(super) async fn begin(mattermost: &Mattermost, browser: &Browser, query: &str) -> Result<Page> {
    let page = browser.get(format!("{}/oauth/gitlab/login{query}", mattermost.site())).await?;
    browser.follow(page, is_back).await
}

/// Whether an address is Mattermost's again.
pub(super) fn is_back(url: &reqwest::Url) -> bool {
    url.path().ends_with("/gitlab/complete")
}

/// Signs a local person in to Mattermost; gives Mattermost's own last answer.
pub(super) async fn sign_in(
    mattermost: &Mattermost,
    browser: &Browser,
    username: &str,
) -> Result<Page> {
    let page = begin(mattermost, browser, "").await?;
    let page = browser.sign_in(&page, "local", username, PASSWORD).await?;
    finish(browser, page).await
}

/// Follows the redirects to Mattermost and lets it exchange the code.
pub(super) async fn finish(browser: &Browser, page: Page) -> Result<Page> {
    let page = browser.follow(page, is_back).await?;
    let back = page.location().with_context(|| page.describe())?;
    ensure!(is_back(&back), "{}", page.describe());
    browser.get(back).await
}

/// Signs in and expects Mattermost to be content.
pub(super) async fn signed_in(mattermost: &Mattermost, username: &str) -> Result<User> {
    let page = sign_in(mattermost, &Browser::new()?, username).await?;
    ensure!(page.status == 307, "{}", page.describe());
    mattermost.user(username)
}

/// The number of an account.
pub(super) async fn number(daemon: &Daemon, username: &str) -> Result<i64> {
    let shown = daemon.cli(&["user", "show", username, "--json"]).await?.success()?.json()?;
    shown["numeric_id"].as_i64().context("numeric_id")
}

/// What Debian's `oathtool` makes of a seed for the time step `steps` from now.
pub(super) fn code(secret: &str, steps: i64) -> Result<String> {
    let at = SystemClock.now().seconds() + 30 * steps;
    let output = std::process::Command::new("oathtool")
        .args(["--totp", "--base32", "--now", &format!("@{at}"), &secret.replace(' ', "")])
        .output()
        .context("oathtool")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
