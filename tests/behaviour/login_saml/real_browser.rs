//! A real browser: the identity provider is another site (`127.0.0.1` against `localhost`), so the
//! session's cookie does not come along when it posts to us.

use anyhow::{Result, ensure};
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::simplesamlphp::SimpleSamlPhpOptions;
use url::Url;

use super::given::{Site, site_with};

async fn at_the_identity_provider(site: &Site, chromium: &Chromium) -> Result<()> {
    let there = site.idp.url();
    chromium.wait_for_url(|url: &Url| url.as_str().starts_with(&there)).await?;
    chromium.type_into("username", "alice").await?;
    chromium.type_into("password", "alice-pass").await?;
    chromium.wait_for_css("button[type='submit'], input[type='submit']").await?.click().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_goes_there_and_back_and_signs_out_of_both() -> Result<()> {
    for more in ["", "request_binding = \"post\""] {
        let options = SimpleSamlPhpOptions { encrypt: true, ..SimpleSamlPhpOptions::default() };
        let site = site_with(options, more, |daemon| daemon).await?;
        ensure!(site.daemon.issuer().contains("localhost"), "{}", site.daemon.issuer());
        let chromium = Chromium::start().await?;
        chromium.goto(&site.daemon.url("/login")).await?;
        chromium.wait_for_css("a[href^='/login/corp?']").await?.click().await?;
        if !more.is_empty() {
            chromium.wait_for_css("form button").await?.click().await?;
        }
        at_the_identity_provider(&site, &chromium).await?;
        chromium.wait_for_url(|url| url.path() == "/account").await?;
        ensure!(chromium.source().await?.contains("alice@example.org"));

        chromium.goto(&site.daemon.url("/logout")).await?;
        chromium.wait_for_css("form[action='/logout'] button").await?.click().await?;
        chromium.wait_for_url(|url| url.path() == "/saml/corp/slo").await?;
        ensure!(chromium.source().await?.contains("You are signed out"));
        chromium.goto(&site.daemon.url("/account")).await?;
        chromium.wait_for_url(|url| url.path() == "/login").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_the_identity_provider_sends_is_asked() -> Result<()> {
    let options = SimpleSamlPhpOptions::default();
    let site = site_with(options, "allow_idp_initiated = true", |daemon| daemon).await?;
    let ours = format!("{}/saml/corp/metadata", site.daemon.issuer());
    let chromium = Chromium::start().await?;
    chromium.goto(&site.idp.unsolicited_url(&ours, "deep")).await?;
    at_the_identity_provider(&site, &chromium).await?;
    chromium.wait_for_url(|url| url.path() == "/login/continue").await?;
    chromium.screenshot("saml-offer").await?;
    chromium.phone().await?;
    ensure!(chromium.sideways_overflow().await? <= 0, "the page is wider than a phone");
    chromium.screenshot("saml-offer-phone").await?;
    chromium.wait_for_css("form[action='/login/continue'] button").await?.click().await?;
    chromium.wait_for_url(|url| url.path() == "/account").await?;

    // Sign out there: here as well.
    chromium.goto(&site.idp.logout_url()).await?;
    let there = site.idp.url();
    chromium.wait_for_url(|url| url.as_str().starts_with(&there)).await?;
    chromium.goto(&site.daemon.url("/account")).await?;
    chromium.wait_for_url(|url| url.path() == "/login").await?;
    Ok(())
}
