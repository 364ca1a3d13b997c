//! Answers that are not what this browser asked for. What is wrong with a response by itself is
//! tested on the corpus.

use anyhow::{Context as _, Result, ensure};
use auth_tests::harness::html::Form;
use auth_tests::harness::http::Browser;
use auth_tests::harness::simplesamlphp::SimpleSamlPhpOptions;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::given::{
    CORP, answer_form, at_the_door, connection, deliver, introduce, posted, refused, site,
    site_with, whoami,
};
use crate::site as common;

fn with(form: &Form, name: &str, value: &str) -> Form {
    let mut form = form.clone();
    for field in &mut form.fields {
        if field.name == name {
            value.clone_into(&mut field.value);
        }
    }
    form
}

fn value(form: &Form, name: &str) -> Result<String> {
    Ok(form.field(name).with_context(|| format!("no {name}"))?.value.clone())
}

/// The answer to the login of one person in the browser of another: nobody is signed in, and the
/// answer is used up.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_in_the_browser_that_asked_only() -> Result<()> {
    let site = site("").await?;
    let (alice, victim) = (Browser::new()?, Browser::new()?);
    let form = at_the_door(&site, &alice, "alice").await?;
    // A visitor who has a login of their own pending, and one who was never here.
    victim.open(site.daemon.url("/login")).await?.expect(200)?;
    let page = deliver(&victim, &form).await?;
    refused(&site.daemon, &victim, &page, "login_of_another_browser").await?;
    let page = deliver(&alice, &form).await?;
    refused(&site.daemon, &alice, &page, "in_response_to").await?;

    let stranger = Browser::new()?;
    let form = at_the_door(&site, &alice, "alice").await?;
    let page = deliver(&stranger, &form).await?;
    refused(&site.daemon, &stranger, &page, "login_of_another_browser").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_used_once() -> Result<()> {
    let site = site("").await?;
    let browser = Browser::new()?;
    let form = at_the_door(&site, &browser, "alice").await?;
    deliver(&browser, &form).await?.expect(200)?;
    ensure!(whoami(&site.daemon, &browser).await?.is_some());
    // Again in the same browser, in another one, and under the login of another departure.
    let other = Browser::new()?;
    let page = deliver(&other, &form).await?;
    refused(&site.daemon, &other, &page, "in_response_to").await?;
    let second = at_the_door(&site, &other, "bob").await?;
    let moved = with(&form, "RelayState", &value(&second, "RelayState")?);
    let page = deliver(&other, &moved).await?;
    refused(&site.daemon, &other, &page, "in_response_to").await?;
    // The first answer used that request up: the genuine one comes too late.
    let page = deliver(&other, &second).await?;
    refused(&site.daemon, &other, &page, "in_response_to").await?;
    Ok(())
}

/// Two requests with one answer, at the same moment: one gets in at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_race_of_one_answer_is_won_once() -> Result<()> {
    let site = site("").await?;
    let browser = Browser::new()?;
    let form = at_the_door(&site, &browser, "alice").await?;
    let fields = form.filled(&[])?;
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (browser, action, fields) = (browser.clone(), form.action.clone(), fields.clone());
        posts.spawn(async move {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            browser.post(action, &fields).await
        });
    }
    let mut parked = Vec::new();
    while let Some(page) = posts.join_next().await {
        let page = page??;
        if page.status == 303 {
            parked.push(page.location()?);
        }
    }
    ensure!(parked.len() == 1, "{} answers were taken", parked.len());
    let target = parked.pop().context("none")?;
    let mut redeems = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (browser, target) = (browser.clone(), target.clone());
        redeems.spawn(async move { browser.get(target).await });
    }
    while let Some(page) = redeems.join_next().await {
        page??;
    }
    ensure!(common::events(&site.daemon, "session.issued").await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_on_the_way_is_refused() -> Result<()> {
    let site = site("").await?;
    let encoded = |document: &str| STANDARD.encode(document);
    type Change = fn(&str) -> String;
    let cases: [(&str, &str, Change); 3] = [
        ("another name", "signature_invalid", |document| document.replace(">alice<", ">admin<")),
        ("no signature", "unsigned", |document| {
            let mut rest = document;
            let mut out = String::new();
            while let Some((before, after)) = rest.split_once("<ds:Signature ") {
                out += before;
                rest = after.split_once("</ds:Signature>").map_or("", |(_, rest)| rest);
            }
            out + rest
        }),
        ("no document", "malformed_xml", |_| "junk".to_owned()),
    ];
    for (what, reason, change) in cases {
        let browser = Browser::new()?;
        let form = at_the_door(&site, &browser, "alice").await?;
        let document = STANDARD.decode(value(&form, "SAMLResponse")?)?;
        let changed = change(std::str::from_utf8(&document)?);
        let page = deliver(&browser, &with(&form, "SAMLResponse", &encoded(&changed))).await?;
        refused(&site.daemon, &browser, &page, reason).await.context(what)?;
    }
    let browser = Browser::new()?;
    let form = at_the_door(&site, &browser, "alice").await?;
    let page = deliver(&browser, &with(&form, "RelayState", "https://evil.example/")).await?;
    refused(&site.daemon, &browser, &page, "in_response_to").await?;
    ensure!(!page.url.as_str().contains("evil"), "{}", page.describe());
    let large = "A".repeat(600 * 1024);
    let page = browser.post(&form.action, &[("SAMLResponse", &large)]).await?;
    ensure!(page.status == 413, "{}", page.describe());
    Ok(())
}

/// One identity provider behind two connections: an answer counts at the one that asked.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_move_to_another_connection() -> Result<()> {
    let second = connection("second", "");
    let site =
        site_with(SimpleSamlPhpOptions::default(), "", |daemon| daemon.toml(&second)).await?;
    introduce(&site.idp, &site.daemon, "second").await?;
    let browser = Browser::new()?;
    let mut form = at_the_door(&site, &browser, "alice").await?;
    form.action = form.action.replace("/corp/", "/second/");
    let page = deliver(&browser, &form).await?;
    ensure!(page.status.is_client_error(), "{}", page.describe());
    ensure!(whoami(&site.daemon, &browser).await?.is_none());
    let events = common::events(&site.daemon, "login.refused").await?;
    let last = events.last().context("no refusal")?;
    ensure!(last["reason"] == "in_response_to" && last["connector"] == "second", "{last}");
    // And it is not lost by that: the connection that asked still takes it.
    form.action = form.action.replace("/second/", "/corp/");
    deliver(&browser, &form).await?.expect(200)?;
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));
    // The same person through the second connection is nobody that is known: an address alone
    // links nobody.
    let other = Browser::new()?;
    let page = other.open(site.daemon.url("/login/second")).await?.expect(200)?;
    let form = posted(&answer_form(&other, &page, "alice").await?)?;
    deliver(&other, &form).await?.expect(403)?;
    ensure!(whoami(&site.daemon, &other).await?.is_none());
    Ok(())
}

/// An answer that lay too long, and one that is not ours to judge because the connection is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_answer_is_found_by_its_handle_only() -> Result<()> {
    let site = site("").await?;
    let browser = Browser::new()?;
    let form = at_the_door(&site, &browser, "alice").await?;
    let fields = form.filled(&[])?;
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let parked = browser.post(&form.action, &fields).await?.expect(303)?.location()?;
    ensure!(whoami(&site.daemon, &browser).await?.is_none(), "signed in by the post alone");
    // A guess of the handle, and none.
    for path in
        ["/login/continue", "/login/continue?login=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
    {
        let page = browser.get(site.daemon.url(path)).await?;
        ensure!(page.status.is_client_error(), "{}", page.describe());
    }
    // The form of the login that it is parked under is over, and starting anew forgets it.
    let page = browser.open(site.daemon.url(&format!("/login/{CORP}"))).await?;
    ensure!(page.status == 200, "{}", page.describe());
    browser.open(parked.as_str()).await?.expect(200)?;
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));
    Ok(())
}
