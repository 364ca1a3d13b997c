//! What these tests begin with: the server, and a daemon with the connection `corp` to it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use auth_tests::harness::daemon::{Builder, Daemon};
use auth_tests::harness::html::Form;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::keycloak::{Encryption, Keycloak, form_with};
use serde_json::Value;

/// The connection's id.
pub(super) const CORP: &str = "corp";

/// Both sides of a connection.
pub(super) struct Site {
    pub(super) keycloak: Arc<Keycloak>,
    pub(super) daemon: Daemon,
    /// What Keycloak calls us in its URLs.
    pub(super) name: String,
}

/// A daemon with cheap hashing.
pub(super) fn daemon() -> Builder {
    Daemon::builder().set("password.argon2.memory_kib", 8192).set("password.argon2.iterations", 1)
}

/// A daemon that knows Keycloak by its metadata, and Keycloak's client made of ours; `more` is TOML
/// of the connection.
pub(super) async fn site(encryption: Encryption, more: &str) -> Result<Site> {
    let keycloak = Keycloak::shared().await?;
    let connection = format!(
        "[[saml]]\nid = \"{CORP}\"\nlabel = \"Keycloak\"\npreset = \"keycloak\"\n\
         metadata_file = \"keycloak.xml\"\n{more}\n"
    );
    let daemon = daemon().file("keycloak.xml", &keycloak.metadata().await?).toml(&connection);
    let daemon = daemon.start().await?;
    let metadata = ["saml", "metadata", "--connection", CORP];
    let ours = daemon.cli(&metadata).await?.success()?.stdout;
    let port = daemon.issuer().rsplit(':').next().context("a port")?.to_owned();
    let name = format!("corp-{port}");
    keycloak.add_saml_client(&name, &ours, encryption).await?;
    Ok(Site { keycloak, daemon, name })
}

/// From our sign-in page through Keycloak's form, until its answer is at hand.
pub(super) async fn at_the_door(site: &Site, browser: &Browser, user: &str) -> Result<Form> {
    let page = browser.open(site.daemon.url(&format!("/login/{CORP}"))).await?.expect(200)?;
    answer(site, browser, &page, user).await
}

/// Signs in on Keycloak's page, and gives what it would post to us.
pub(super) async fn answer(
    site: &Site,
    browser: &Browser,
    page: &Page,
    user: &str,
) -> Result<Form> {
    let page = Keycloak::answer_form(browser, page, user).await?;
    form_with(&page, "SAMLResponse").with_context(|| site.keycloak.log())
}

/// Posts an answer, as Keycloak's page would, and goes on to where that ends.
pub(super) async fn deliver(browser: &Browser, form: &Form) -> Result<Page> {
    let fields = form.filled(&[])?;
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let page = browser.post(&form.action, &fields).await?;
    browser.follow(page, |_| false).await
}

/// All of it.
pub(super) async fn through(site: &Site, browser: &Browser, user: &str) -> Result<Page> {
    let form = at_the_door(site, browser, user).await?;
    deliver(browser, &form).await
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

/// What the daemon knows of an account.
pub(super) async fn account(daemon: &Daemon, name: &str) -> Result<Value> {
    daemon.cli(&["user", "show", name, "--json"]).await?.success()?.json()
}

/// Audit events of this name.
pub(super) async fn events(daemon: &Daemon, name: &str) -> Result<Vec<Value>> {
    let trail = daemon.cli(&["audit", "export", "--json"]).await?.success()?.json_lines()?;
    Ok(trail.into_iter().filter(|event| event["event"] == name).collect())
}
