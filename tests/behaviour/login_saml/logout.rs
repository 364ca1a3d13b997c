//! Sign-outs in both directions.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::oidc::RelyingParty;
use auth_tests::harness::receiver::{Posted, Receiver};
use auth_tests::harness::simplesamlphp::SimpleSamlPhpOptions;
use serde_json::Value;
use url::Url;

use super::given::{Site, site, site_with, through, whoami};
use crate::site as common;

/// Signs out here, and gives the address that the page leads on to.
async fn sign_out(site: &Site, browser: &Browser) -> Result<Page> {
    let page = browser.get(site.daemon.url("/logout")).await?.expect(200)?;
    let form = page.form_to("/logout")?;
    browser.submit(&page, &form, &[]).await?.expect(200)
}

fn onward(page: &Page) -> Result<Url> {
    let target = page.header("refresh").split_once("url=").context("no refresh")?.1;
    Ok(target.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_here_signs_out_there() -> Result<()> {
    let site = site("").await?;
    let browser = Browser::new()?;
    through(&site, &browser, "alice").await?.expect(200)?;
    let page = sign_out(&site, &browser).await?;
    ensure!(whoami(&site.daemon, &browser).await?.is_none());
    let target = onward(&page)?;
    ensure!(target.as_str().starts_with(&site.idp.url()), "{target}");
    ensure!(target.as_str().contains("Signature="), "{target}");
    let page = browser.open(target.as_str()).await?;
    let refused = common::events(&site.daemon, "upstream_logout.refused").await?;
    ensure!(refused.is_empty(), "{refused:?}");
    ensure!(page.url.path() == "/saml/corp/slo", "{}\n{}", page.describe(), site.idp.log());
    ensure!(page.body.contains("You are signed out"), "{}", page.describe());
    let answered = common::events(&site.daemon, "upstream_logout.answered").await?;
    ensure!(answered.len() == 1 && answered[0]["connector"] == "corp", "{answered:?}");

    // There, too: a password is wanted again.
    let page = browser.open(site.daemon.url("/login/corp")).await?;
    ensure!(page.body.contains("name=\"password\""), "{}", page.describe());
    // The answer again: nobody waits for it.
    let again = browser.get(page_url(&site, &answered_query(&target)?)).await?;
    ensure!(again.status == 400, "{}", again.describe());
    Ok(())
}

fn page_url(site: &Site, query: &str) -> String {
    site.daemon.url(&format!("/saml/corp/slo?{query}"))
}

/// A query that is no answer to anything: our own request.
fn answered_query(target: &Url) -> Result<String> {
    Ok(target.query().context("query")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_here_can_stay_here() -> Result<()> {
    let site = site("sign_out_upstream = false").await?;
    let browser = Browser::new()?;
    through(&site, &browser, "alice").await?.expect(200)?;
    let page = sign_out(&site, &browser).await?;
    ensure!(page.header("refresh").is_empty(), "{}", page.describe());
    ensure!(whoami(&site.daemon, &browser).await?.is_none());
    Ok(())
}

/// The identity provider's request ends the session here and those of the chat servers, which hear
/// of it within a second.
#[tokio::test(flavor = "multi_thread")]
async fn signing_out_there_signs_out_here() -> Result<()> {
    let receiver = Receiver::start().await?;
    let listener = format!(
        "[[client]]\nid = \"listener\"\nsecret = \"{}\"\nredirect_uris = [\"{}\"]\n\
         webhook = {{ url = \"{}\", secret = \"{}\" }}\n",
        common::SECRET,
        common::REDIRECT,
        receiver.url(),
        common::SECRET,
    );
    let usual = SimpleSamlPhpOptions::default();
    let site = site_with(usual, "", |daemon| daemon.toml(&listener)).await?;
    let (browser, elsewhere) = (Browser::new()?, Browser::new()?);
    through(&site, &browser, "alice").await?.expect(200)?;
    through(&site, &elsewhere, "alice").await?.expect(200)?;
    let issuer = site.daemon.issuer();
    let secret = Some(common::SECRET);
    let party = RelyingParty::discover(issuer, "listener", secret, common::REDIRECT).await?;
    let authorization = party.authorize(common::SCOPE);
    let page = browser.get(authorization.url.as_str()).await?;
    let page = browser.follow(page, |url| url.as_str().starts_with(common::REDIRECT)).await?;
    let callback = page.location()?;
    let code = callback.query_pairs().find(|(name, _)| name == "code").context("code")?.1;
    let tokens = party.exchange(&authorization, &code).await?;
    party.userinfo(&tokens.access_token).await?.expect(200)?;
    let sid = party.introspect(&tokens.access_token).await?["sid"].clone();

    let page = browser.open(site.idp.logout_url()).await?;
    ensure!(page.status == 200, "{}\n{}", page.describe(), site.idp.log());
    ensure!(page.url.as_str().starts_with(&site.idp.url()), "{}", page.describe());
    ensure!(whoami(&site.daemon, &browser).await?.is_none(), "{}", site.idp.log());
    party.userinfo(&tokens.access_token).await?.expect(401)?;
    let of_it = |posted: &Posted| {
        let event = serde_json::from_str::<Value>(&posted.body).unwrap_or_default();
        event["type"] == "session.revoked" && event["data"]["session"] == sid
    };
    receiver.wait("the end", Duration::from_secs(1), |r| r.taken().iter().any(of_it)).await?;
    // Another session there, in another browser, goes on.
    ensure!(whoami(&site.daemon, &elsewhere).await?.as_deref() == Some("alice"));
    let ended = common::events(&site.daemon, "session.revoked").await?;
    let upstream = ended.iter().filter(|event| event["detail"]["reason"] == "upstream_logout");
    ensure!(upstream.count() == 1, "{ended:?}");
    Ok(())
}

/// What is not signed, or not by the identity provider, or was there before, ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_sign_out_ends_nothing() -> Result<()> {
    let site = site("").await?;
    let browser = Browser::new()?;
    through(&site, &browser, "alice").await?.expect(200)?;
    let stranger = Browser::new()?;

    // The genuine request, caught before it arrives.
    let page = browser.get(site.idp.logout_url()).await?;
    let page = browser.follow(page, |url| url.path() == "/saml/corp/slo").await?;
    let genuine = page.location()?;
    let query = genuine.query().context("query")?;
    ensure!(query.starts_with("SAMLRequest="), "{query}");
    let unsigned: Vec<&str> = query.split('&').filter(|part| !part.starts_with("Sig")).collect();
    let (message, rest) = query.split_once('&').context("parameters")?;
    let cases = [
        ("unsigned", unsigned.join("&")),
        ("no algorithm", query.replace("SigAlg=", "SigAlgo=")),
        ("another RelayState", query.replace("RelayState=", "RelayState=x")),
        ("twice", format!("{query}&{message}")),
        ("reordered and doubled", format!("{rest}&{message}&{rest}")),
        ("cut", query[..query.len() - 4].to_owned()),
        ("nothing", String::new()),
        ("junk", "SAMLRequest=x&SigAlg=y&Signature=z".to_owned()),
    ];
    for (what, query) in cases {
        let page = stranger.get(site.daemon.url(&format!("/saml/corp/slo?{query}"))).await?;
        ensure!(page.status == 400, "{what}: {}", page.describe());
        ensure!(whoami(&site.daemon, &browser).await?.is_some(), "{what}: signed out");
    }
    let refused = common::events(&site.daemon, "upstream_logout.refused").await?;
    ensure!(refused.len() == 8, "{refused:?}");
    // An unsigned form.
    let page = stranger.post(site.daemon.url("/saml/corp/slo"), &[("SAMLRequest", "PGEvPg==")]);
    page.await?.expect(400)?;
    ensure!(whoami(&site.daemon, &browser).await?.is_some(), "signed out");

    // The genuine one counts, from whatever browser it comes; then it is over.
    stranger.get(genuine.as_str()).await?.expect(303)?;
    ensure!(whoami(&site.daemon, &browser).await?.is_none());
    through(&site, &browser, "alice").await?.expect(200)?;
    stranger.get(genuine.as_str()).await?.expect(400)?;
    ensure!(whoami(&site.daemon, &browser).await?.is_some(), "a replay signs out");
    Ok(())
}

/// An identity provider that does not sign its messages cannot end anything.
#[tokio::test(flavor = "multi_thread")]
async fn unsigned_requests_of_the_identity_provider_are_refused() -> Result<()> {
    let options = SimpleSamlPhpOptions { sign_logout: false, ..SimpleSamlPhpOptions::default() };
    let site = site_with(options, "", |daemon| daemon).await?;
    let browser = Browser::new()?;
    through(&site, &browser, "alice").await?.expect(200)?;
    let page = browser.open(site.idp.logout_url()).await?;
    ensure!(page.status == 400, "{}", page.describe());
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));
    Ok(())
}
