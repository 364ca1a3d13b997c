//! Sign-outs in both directions.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::keycloak::{Encryption, form_with};

use super::given::{deliver, events, site, through, whoami};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_here_signs_out_there() -> Result<()> {
    let site = site(Encryption::Default, "").await?;
    let browser = Browser::taking_secure_cookies()?;
    through(&site, &browser, "bob").await?.expect(200)?;
    let page = browser.get(site.daemon.url("/logout")).await?.expect(200)?;
    let form = page.form_to("/logout")?;
    let page = browser.submit(&page, &form, &[]).await?.expect(200)?;
    ensure!(whoami(&site.daemon, &browser).await?.is_none());
    let target = page.header("refresh").split_once("url=").context("no refresh")?.1.to_owned();
    ensure!(target.starts_with(&site.keycloak.realm_url()), "{target}");
    // Keycloak answers by a form, which a browser would send on by itself.
    let page = browser.open(target).await?.expect(200)?;
    let answer = form_with(&page, "SAMLResponse").with_context(|| site.keycloak.log())?;
    ensure!(answer.action == site.daemon.url("/saml/corp/slo"), "{}", answer.action);
    let page = deliver(&browser, &answer).await?;
    let refused = events(&site.daemon, "upstream_logout.refused").await?;
    ensure!(refused.is_empty(), "{refused:?}");
    ensure!(page.body.contains("You are signed out"), "{}", page.describe());
    ensure!(events(&site.daemon, "upstream_logout.answered").await?.len() == 1);

    // There, too: a password is wanted again.
    let page = browser.open(site.daemon.url("/login/corp")).await?;
    ensure!(page.body.contains("name=\"password\""), "{}", page.describe());
    Ok(())
}

/// Keycloak's administrator ends the sessions of a person: Keycloak tells us by a signed form,
/// without any browser.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_there_ends_the_session_here() -> Result<()> {
    let site = site(Encryption::Default, "").await?;
    let browser = Browser::taking_secure_cookies()?;
    through(&site, &browser, "carol").await?.expect(200)?;
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("carol"));
    site.keycloak.sign_out("carol").await?;
    let began = Instant::now();
    while whoami(&site.daemon, &browser).await?.is_some() {
        let refused = events(&site.daemon, "upstream_logout.refused").await?;
        ensure!(began.elapsed() < LIMIT, "{refused:?}\n{}", site.keycloak.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ended = events(&site.daemon, "session.revoked").await?;
    let upstream = ended.iter().filter(|event| event["detail"]["reason"] == "upstream_logout");
    ensure!(upstream.count() == 1, "{ended:?}");
    Ok(())
}
