//! An application at the identity provider that was made for Mattermost and is left as it is.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::nginx::Nginx;
use auth_tests::harness::port;
use auth_tests::harness::simplesamlphp::SimpleSamlPhp;

use super::given::{CORP, Site, answer_form, connection, deliver, introduce, posted, whoami};
use crate::site as common;

/// As docs/saml.md tells: the chat server's nginx hands what is posted to Mattermost's address to us,
/// and the browser goes on here.
#[tokio::test(flavor = "multi_thread")]
async fn it_works_at_the_address_that_it_has() -> Result<()> {
    let chat = port::free()?;
    let theirs = format!("http://127.0.0.1:{chat}/login/sso/saml");
    let idp = SimpleSamlPhp::start().await?;
    let more = format!("sp_entity_id = \"{theirs}\"\nacs_url = \"{theirs}\"");
    let daemon = common::daemon().file("corp.xml", &idp.metadata().await?);
    let daemon = common::start(daemon.toml(&connection(CORP, &more))).await?;
    introduce(&idp, &daemon, CORP).await?;
    let ours = daemon.issuer();
    let http = format!(
        "server {{ listen 127.0.0.1:{chat}; location = /login/sso/saml {{ \
         proxy_pass {}/saml/{CORP}/acs; proxy_redirect / {ours}/; }} }}",
        ours.replace("localhost", "127.0.0.1")
    );
    let _nginx = Nginx::start(&http, &[(Ipv4Addr::LOCALHOST, chat)]).await?;

    let site = Site { idp, daemon };
    let browser = Browser::new()?;
    let page = browser.open(site.daemon.url("/login/corp")).await?.expect(200)?;
    let form = posted(&answer_form(&browser, &page, "alice").await?)?;
    ensure!(form.action == theirs, "{}", form.action);
    let page = deliver(&browser, &form).await?.expect(200)?;
    ensure!(page.url.as_str() == site.daemon.url("/account"), "{}", page.describe());
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));
    let accepted = common::events(&site.daemon, "login.accepted").await?;
    ensure!(accepted.last().context("accepted")?["connector"] == CORP, "{accepted:?}");

    // It counts once, here as anywhere.
    let stranger = Browser::new()?;
    let page = deliver(&stranger, &form).await?;
    ensure!(page.status.is_client_error(), "{}", page.describe());
    ensure!(whoami(&site.daemon, &stranger).await?.is_none());
    Ok(())
}
