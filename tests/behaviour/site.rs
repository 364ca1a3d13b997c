//! A daemon with one chat server and one local person, as most behaviours need it.

use anyhow::{Context, Result};
use auth_tests::harness::daemon::{Builder, Daemon};
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::oidc::{Authorization, RelyingParty, Tokens};
use serde_json::Value;

pub(crate) const CLIENT: &str = "chat";
pub(crate) const SECRET: &str = "chat-secret-of-the-tests-0123456789";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:9/callback";
pub(crate) const SCOPE: &str = "openid profile email groups";
pub(crate) const JANE: &str = "jane";
pub(crate) const PASSWORD: &str = "seventeen quiet otters";

/// The daemon of most tests: cheap hashing, so that a test takes milliseconds.
pub(crate) fn daemon() -> Builder {
    Daemon::builder()
        .set("password.argon2.memory_kib", 8192)
        .set("password.argon2.iterations", 1)
        .client(CLIENT, SECRET, &[REDIRECT])
}

/// Starts it and makes the local person.
pub(crate) async fn start(builder: Builder) -> Result<Daemon> {
    let daemon = builder.start().await?;
    daemon.create_user(JANE, "jane@example.org", PASSWORD).await?;
    Ok(daemon)
}

pub(crate) async fn relying_party(daemon: &Daemon) -> Result<RelyingParty> {
    RelyingParty::discover(daemon.issuer(), CLIENT, Some(SECRET), REDIRECT).await
}

/// Signs the local person in and exchanges the code.
pub(crate) async fn sign_in(
    party: &RelyingParty,
    browser: &Browser,
) -> Result<(Authorization, Tokens)> {
    let authorization = party.authorize(SCOPE);
    let code = party.sign_in(browser, &authorization, "local", JANE, PASSWORD).await?;
    let tokens = party.exchange(&authorization, &code).await?;
    Ok((authorization, tokens))
}

/// Opens the sign-in page and answers it.
pub(crate) async fn attempt(
    daemon: &Daemon,
    browser: &Browser,
    connector: &str,
    username: &str,
    password: &str,
) -> Result<Page> {
    let page = browser.open(daemon.url(&format!("/login/{connector}"))).await?.expect(200)?;
    browser.sign_in(&page, connector, username, password).await
}

/// The audit trail.
pub(crate) async fn audit(daemon: &Daemon) -> Result<Vec<Value>> {
    daemon.cli(&["audit", "export", "--json"]).await?.success()?.json_lines()
}

/// Audit events of this name.
pub(crate) async fn events(daemon: &Daemon, name: &str) -> Result<Vec<Value>> {
    Ok(audit(daemon).await?.into_iter().filter(|event| event["event"] == name).collect())
}

/// The refresh token of an answer.
pub(crate) fn refresh_token(tokens: &Tokens) -> Result<&str> {
    tokens.refresh_token.as_deref().context("no refresh token")
}
