//! People sign in.

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::http::Browser;
use auth_tests::harness::keycloak::Encryption;

use super::given::{CORP, account, answer, deliver, events, site, through, whoami};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_comes_back_to_the_same_account() -> Result<()> {
    let site = site(Encryption::Default, "").await?;
    let browser = Browser::taking_secure_cookies()?;
    let page = through(&site, &browser, "alice").await?.expect(200)?;
    ensure!(page.url.path() == "/account", "{}", page.describe());
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));
    let shown = account(&site.daemon, "alice").await?;
    ensure!(shown["email"] == "alice@example.org" && shown["last_name"] == "Ånderson", "{shown}");
    let subject = shown["identities"][0]["subject"].as_str().context("subject")?;
    ensure!(subject.contains("nameid-format:persistent"), "{subject}");

    let again = Browser::taking_secure_cookies()?;
    through(&site, &again, "alice").await?.expect(200)?;
    ensure!(whoami(&site.daemon, &again).await?.as_deref() == Some("alice"));
    let created = events(&site.daemon, "account.created").await?;
    ensure!(created.iter().filter(|event| event["account"] == "alice").count() == 1);
    Ok(())
}

/// A response is used once, also where it is within its minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_counts_once() -> Result<()> {
    let site = site(Encryption::Default, "").await?;
    let browser = Browser::taking_secure_cookies()?;
    let form = super::given::at_the_door(&site, &browser, "alice").await?;
    deliver(&browser, &form).await?.expect(200)?;
    let page = deliver(&browser, &form).await?;
    ensure!(page.status.is_client_error(), "{}", page.describe());
    let stranger = Browser::new()?;
    let page = deliver(&stranger, &form).await?;
    ensure!(page.status.is_client_error(), "{}", page.describe());
    ensure!(whoami(&site.daemon, &stranger).await?.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keycloak_begins_is_asked_about_or_refused() -> Result<()> {
    for (more, allowed) in [("", false), ("allow_idp_initiated = true", true)] {
        let site = site(Encryption::Default, more).await?;
        let browser = Browser::taking_secure_cookies()?;
        let page = browser.open(site.keycloak.unsolicited_url(&site.name)).await?.expect(200)?;
        let form = answer(&site, &browser, &page, "alice").await?;
        let page = deliver(&browser, &form).await?;
        ensure!(whoami(&site.daemon, &browser).await?.is_none(), "signed in unasked");
        if !allowed {
            ensure!(page.status.is_client_error(), "{}", page.describe());
            let refused = events(&site.daemon, "login.refused").await?;
            let last = refused.last().context("no refusal")?;
            ensure!(last["reason"] == "unsolicited" && last["connector"] == CORP, "{last}");
            continue;
        }
        let form = page.expect(200)?;
        let agree = form.form_to("/login/continue")?;
        let page = browser.submit(&form, &agree, &[]).await?;
        browser.follow(page, |_| false).await?.expect(200)?;
        ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));
    }
    Ok(())
}

/// A real browser, which takes Keycloak's own cookies as they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_goes_there_and_back() -> Result<()> {
    let site = site(Encryption::Default, "").await?;
    let chromium = Chromium::start().await?;
    chromium.goto(&site.daemon.url("/login")).await?;
    chromium.wait_for_css("a[href^='/login/corp?']").await?.click().await?;
    let there = site.keycloak.realm_url();
    chromium.wait_for_url(|url| url.as_str().starts_with(&there)).await?;
    chromium.type_into("username", "alice").await?;
    chromium.type_into("password", "alice-pass").await?;
    chromium.wait_for_css("#kc-login").await?.click().await?;
    chromium.wait_for_url(|url| url.path() == "/account").await?;
    ensure!(chromium.source().await?.contains("alice@example.org"));
    Ok(())
}
