//! What the identity provider begins by itself.

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::html::Form;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::simplesamlphp::SimpleSamlPhpOptions;

use super::given::{Site, answer_form, deliver, posted, refused, site, site_with, whoami};
use crate::site as common;

async fn unasked(site: &Site, browser: &Browser, user: &str, relay_state: &str) -> Result<Form> {
    let ours = format!("{}/saml/corp/metadata", site.daemon.issuer());
    let page = browser.open(site.idp.unsolicited_url(&ours, relay_state)).await?.expect(200)?;
    posted(&answer_form(browser, &page, user).await?)
}

async fn agree(browser: &Browser, page: &Page) -> Result<Page> {
    let form = page.form_to("/login/continue")?;
    let page = browser.submit(page, &form, &[]).await?;
    browser.follow(page, |_| false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_not_unless_the_connection_says_so() -> Result<()> {
    let site = site("").await?;
    let browser = Browser::new()?;
    let form = unasked(&site, &browser, "alice", "").await?;
    let page = deliver(&browser, &form).await?;
    refused(&site.daemon, &browser, &page, "unsolicited").await
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_may_the_person_is_asked_first() -> Result<()> {
    let site = site("allow_idp_initiated = true").await?;
    let browser = Browser::new()?;
    let form = unasked(&site, &browser, "alice", "https://evil.example/").await?;
    let page = deliver(&browser, &form).await?.expect(200)?;
    ensure!(page.body.contains("Continue as alice?"), "{}", page.describe());
    ensure!(whoami(&site.daemon, &browser).await?.is_none(), "signed in unasked");
    ensure!(common::events(&site.daemon, "session.issued").await?.is_empty());

    // Without the form's token, and from another browser: nothing.
    let url = site.daemon.url("/login/continue");
    browser.post(&url, &[("csrf", "x")]).await?.expect(403)?;
    let other = Browser::new()?;
    let token = page.form_to("/login/continue")?.field("csrf").context("csrf")?.value.clone();
    let foreign = other.post(&url, &[("csrf", &token)]).await?;
    ensure!(foreign.status.is_client_error(), "{}", foreign.describe());

    let done = agree(&browser, &page).await?.expect(200)?;
    ensure!(done.url.path() == "/account", "RelayState leads nowhere: {}", done.describe());
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));

    // Once: the same answer again, and the same question again.
    let again = Browser::new()?;
    let page = deliver(&again, &form).await?;
    if page.status == 200 {
        let page = agree(&again, &page).await?;
        refused(&site.daemon, &again, &page, "replayed").await?;
    } else {
        refused(&site.daemon, &again, &page, "replayed").await?;
    }
    browser.post(&url, &[("csrf", &token)]).await?;
    ensure!(common::events(&site.daemon, "session.issued").await?.len() == 1);
    Ok(())
}

/// The address of the question is of use to the first browser that opens it, and to no other.
#[tokio::test(flavor = "multi_thread")]
async fn the_question_belongs_to_the_first_browser() -> Result<()> {
    let site = site("allow_idp_initiated = true").await?;
    let (browser, thief) = (Browser::new()?, Browser::new()?);
    let form = unasked(&site, &browser, "alice", "").await?;
    let fields = form.filled(&[])?;
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let handle = browser.post(&form.action, &fields).await?.expect(303)?.location()?;
    let page = browser.open(handle.as_str()).await?.expect(200)?;
    ensure!(page.body.contains("Continue as alice?"), "{}", page.describe());
    for address in [handle.as_str(), page.url.as_str()] {
        let stolen = thief.open(address).await?;
        ensure!(stolen.status.is_client_error(), "{}", stolen.describe());
        ensure!(!stolen.body.contains("alice"), "{}", stolen.describe());
    }
    agree(&browser, &page).await?.expect(200)?;
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_session_is_never_replaced() -> Result<()> {
    let site = site("allow_idp_initiated = true").await?;
    let browser = Browser::new()?;
    let signed_in =
        common::attempt(&site.daemon, &browser, "local", common::JANE, common::PASSWORD).await?;
    browser.follow(signed_in, |_| false).await?.expect(200)?;
    let form = unasked(&site, &browser, "alice", "").await?;
    let page = deliver(&browser, &form).await?.expect(200)?;
    ensure!(page.body.contains("You are signed in already"), "{}", page.describe());
    ensure!(page.form_to("/login/continue").is_err(), "{}", page.describe());
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some(common::JANE));

    // Who asked before signing in elsewhere: the question is open, then a session comes.
    let second = Browser::new()?;
    let form = unasked(&site, &second, "alice", "").await?;
    let question = deliver(&second, &form).await?.expect(200)?;
    let signed_in =
        common::attempt(&site.daemon, &second, "local", common::JANE, common::PASSWORD).await?;
    second.follow(signed_in, |_| false).await?.expect(200)?;
    let page = agree(&second, &question).await?;
    ensure!(page.body.contains("You are signed in already"), "{}", page.describe());
    ensure!(whoami(&site.daemon, &second).await?.as_deref() == Some(common::JANE));
    Ok(())
}

/// RelayState names a client: the person ends where a sign-in at that client begins.
#[tokio::test(flavor = "multi_thread")]
async fn the_relay_state_may_name_a_client() -> Result<()> {
    let start = "http://127.0.0.1:9/start";
    let toml = format!(
        "[[client]]\nid = \"startable\"\nsecret = \"{0}\"\nredirect_uris = [\"{1}\"]\n\
         initiate_login_uri = \"{start}\"\n",
        common::SECRET,
        common::REDIRECT
    );
    let options = SimpleSamlPhpOptions::default();
    let site =
        site_with(options, "allow_idp_initiated = true", |daemon| daemon.toml(&toml)).await?;
    for (relay_state, ends_there) in [("startable", true), (common::CLIENT, false)] {
        let browser = Browser::new()?;
        let form = unasked(&site, &browser, "alice", relay_state).await?;
        let question = deliver(&browser, &form).await?.expect(200)?;
        let page = agree(&browser, &question).await?.expect(200)?;
        let target = page.header("refresh");
        let expected = format!("url={start}?iss=http%3A%2F%2Flocalhost");
        ensure!(target.contains(&expected) == ends_there, "{relay_state}: {}", page.describe());
        ensure!((page.url.path() == "/account") != ends_there, "{}", page.describe());
        ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));
    }
    Ok(())
}
