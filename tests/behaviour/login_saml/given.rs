//! What these tests begin with: an identity provider, and a daemon with the connection `corp` to it.

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::daemon::{Builder, Daemon};
use auth_tests::harness::html::Form;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::simplesamlphp::{SimpleSamlPhp, SimpleSamlPhpOptions};
use serde_json::Value;

use crate::site;

/// The connection's id.
pub(super) const CORP: &str = "corp";

/// Both sides of the connection.
pub(super) struct Site {
    pub(super) idp: SimpleSamlPhp,
    pub(super) daemon: Daemon,
}

/// An identity provider, and a daemon that knows it; `more` is TOML of the connection.
pub(super) async fn site(more: &str) -> Result<Site> {
    site_with(SimpleSamlPhpOptions::default(), more, |daemon| daemon).await
}

/// The same with these options of the identity provider, and more of the daemon.
pub(super) async fn site_with(
    options: SimpleSamlPhpOptions,
    more: &str,
    builder: impl FnOnce(Builder) -> Builder,
) -> Result<Site> {
    let idp = SimpleSamlPhp::start_with(options).await?;
    let connection = connection(CORP, more);
    let daemon = site::daemon().file("corp.xml", &idp.metadata().await?).toml(&connection);
    let daemon = site::start(builder(daemon)).await?;
    introduce(&idp, &daemon, CORP).await?;
    Ok(Site { idp, daemon })
}

/// `[[saml]]` of one connection to the identity provider of `corp.xml`.
pub(crate) fn connection(id: &str, more: &str) -> String {
    format!(
        "[[saml]]\nid = \"{id}\"\nlabel = \"Corporation {id}\"\nmetadata_file = \"corp.xml\"\n{more}\n"
    )
}

/// Tells the identity provider of our side.
pub(crate) async fn introduce(idp: &SimpleSamlPhp, daemon: &Daemon, id: &str) -> Result<()> {
    let ours = daemon.cli(&["saml", "metadata", "--connection", id]).await?.success()?.stdout;
    idp.trust(id, &ours)
}

/// Sends the identity provider's sign-in form and gives the page that would post to us.
pub(crate) async fn answer_form(browser: &Browser, page: &Page, user: &str) -> Result<Page> {
    let form = page.forms()?.into_iter().find(|form| form.field("password").is_some());
    let form = form.with_context(|| format!("no sign-in form: {}", page.describe()))?;
    let password = format!("{user}-pass");
    let values = [("username", user), ("password", password.as_str())];
    let answer = browser.submit(page, &form, &values).await?;
    browser.follow(answer, |_| false).await
}

/// What the identity provider's page posts to us.
pub(crate) fn posted(page: &Page) -> Result<Form> {
    let form = page.forms()?.into_iter().find(|form| form.field("SAMLResponse").is_some());
    form.with_context(|| format!("nothing is posted: {}", page.describe()))
}

/// From our sign-in page through the identity provider's form, until its answer is at hand.
pub(super) async fn at_the_door(site: &Site, browser: &Browser, user: &str) -> Result<Form> {
    let url = site.daemon.url(&format!("/login/{CORP}"));
    let page = browser.open(url).await?.expect(200)?;
    // Who has a session there is not asked again.
    match posted(&page) {
        Ok(form) => Ok(form),
        Err(_) => posted(&answer_form(browser, &page, user).await?),
    }
}

/// Posts an answer, as the identity provider's page would, and goes on to where that ends.
pub(crate) async fn deliver(browser: &Browser, form: &Form) -> Result<Page> {
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

/// Expects that the last sign-in was refused for `reason`, on a neutral page, for nobody.
pub(super) async fn refused(
    daemon: &Daemon,
    browser: &Browser,
    page: &Page,
    reason: &str,
) -> Result<()> {
    ensure!(page.status.is_client_error(), "{reason}: {}", page.describe());
    ensure!(!page.body.contains(reason), "the page tells the reason: {}", page.describe());
    ensure!(whoami(daemon, browser).await?.is_none(), "{reason}: signed in");
    let events = site::events(daemon, "login.refused").await?;
    let last = events.last().context("no refusal in the trail")?;
    ensure!(last["reason"] == reason && last["connector"] == CORP, "not {reason}: {last}");
    let trail = Value::Array(events).to_string();
    ensure!(!trail.contains("alice@example.org"), "the trail holds the assertion: {trail}");
    Ok(())
}
