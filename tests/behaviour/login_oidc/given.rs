//! What these tests begin with: a daemon with one connection `up`.

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::daemon::{Builder, Daemon};
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::upstream_oidc::{CLIENT_ID, CLIENT_SECRET, ScriptedProvider};
use serde_json::{Value, json};

use crate::site;

/// The connection's id.
pub(super) const UP: &str = "up";

/// A daemon with the connection `up` to `issuer`; `more` is TOML of that connection.
pub(super) fn daemon(issuer: &str, more: &str) -> Builder {
    site::daemon().toml(&connection(UP, issuer, more))
}

/// `[[oidc]]` of one connection.
pub(crate) fn connection(id: &str, issuer: &str, more: &str) -> String {
    let head = format!(
        "[[oidc]]\nid = \"{id}\"\nlabel = \"Upstream {id}\"\nissuer = \"{issuer}\"\n\
         client_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\ntimeout = \"2s\"\n"
    );
    // Keys of the table itself come before its tables.
    format!("{head}{more}\n")
}

/// The scripted provider's usual person.
pub(crate) fn ada() -> Value {
    json!({
        "preferred_username": "ada", "email": "ada@example.com", "email_verified": true,
        "given_name": "Ada", "family_name": "Lovelace", "groups": ["staff"],
    })
}

/// A scripted provider with Ada, and a daemon that knows it.
pub(super) async fn scripted(more: &str) -> Result<(ScriptedProvider, Daemon)> {
    let provider = ScriptedProvider::start("ada-1", &ada()).await?;
    let daemon = site::start(daemon(provider.issuer(), more)).await?;
    Ok((provider, daemon))
}

/// Goes to the provider and back, and on to the page where that ends.
pub(super) async fn through(daemon: &Daemon, browser: &Browser, connector: &str) -> Result<Page> {
    browser.open(daemon.url(&format!("/login/{connector}"))).await
}

/// Whom this browser is signed in as.
pub(super) async fn whoami(daemon: &Daemon, browser: &Browser) -> Result<Option<String>> {
    let page = browser.get(daemon.url("/account")).await?;
    if page.status != 200 {
        return Ok(None);
    }
    let (_, after) = page.body.split_once("<dt>User name</dt><dd>").context("no user name")?;
    Ok(after.split_once("</dd>").map(|(name, _)| name.to_owned()))
}

/// The last refusal's reason and detail.
pub(super) async fn last_refusal(daemon: &Daemon) -> Result<(String, String)> {
    let events = site::events(daemon, "login.refused").await?;
    let last = events.last().context("no refusal in the trail")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&last["reason"]), text(&last["detail"]["detail"])))
}

/// Expects that a sign-in through `up` is refused for `reason` and leaves nobody signed in.
pub(super) async fn refused(daemon: &Daemon, reason: &str) -> Result<()> {
    let before = site::events(daemon, "login.refused").await?.len();
    let browser = Browser::new()?;
    let page = through(daemon, &browser, UP).await?;
    ensure!(page.status == 403, "{reason}: {}", page.describe());
    ensure!(page.body.contains("sign_in_refused"), "{}", page.describe());
    ensure!(!page.body.contains(reason), "the page tells the reason: {}", page.describe());
    ensure!(whoami(daemon, &browser).await?.is_none(), "{reason}: signed in");
    let events = site::events(daemon, "login.refused").await?;
    ensure!(events.len() == before + 1, "{reason}: {} events", events.len() - before);
    let (found, detail) = last_refusal(daemon).await?;
    ensure!(found == reason, "refused for {found} ({detail}), not {reason}");
    Ok(())
}
