//! Keycloak as an upstream OpenID provider.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::keycloak::Keycloak;
use serde_json::json;

use super::given::{account, daemon, events, whoami};

const LIMIT: Duration = Duration::from_secs(30);
const SECRET: &str = "secret-of-the-broker-at-keycloak";

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_is_signed_out_by_an_administrator_there() -> Result<()> {
    let keycloak = Keycloak::shared().await?;
    let id = format!("broker-{}", std::process::id());
    let connection = format!(
        "[[oidc]]\nid = \"up\"\nlabel = \"Keycloak\"\nissuer = \"{}\"\nclient_id = \"{id}\"\n\
         client_secret = \"{SECRET}\"\n",
        keycloak.realm_url()
    );
    let daemon = daemon().toml(&connection).start().await?;
    let more = json!({ "attributes": {
        "backchannel.logout.url": daemon.url("/oidc/up/backchannel-logout"),
        "backchannel.logout.session.required": "true",
    }});
    let redirect = daemon.url("/oidc/up/callback");
    keycloak.add_oidc_client(&id, SECRET, &[&redirect], &more).await?;

    let browser = Browser::taking_secure_cookies()?;
    let page = browser.open(daemon.url("/login/up")).await?.expect(200)?;
    let page = Keycloak::answer_form(&browser, &page, "dave").await?.expect(200)?;
    ensure!(page.url.path() == "/account", "{}\n{}", page.describe(), keycloak.log());
    ensure!(whoami(&daemon, &browser).await?.as_deref() == Some("dave"));
    let shown = account(&daemon, "dave").await?;
    ensure!(shown["email"] == "dave@example.org" && shown["first_name"] == "Dave", "{shown}");

    keycloak.sign_out("dave").await?;
    let began = Instant::now();
    while whoami(&daemon, &browser).await?.is_some() {
        let refused = events(&daemon, "upstream_logout.refused").await?;
        ensure!(began.elapsed() < LIMIT, "{refused:?}\n{}", keycloak.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
