//! `openid-client` (npm), certified by the OpenID Foundation: code with PKCE, pushed requests,
//! private_key_jwt, refresh, introspection, logout, and the device grant.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::packages;
use auth_tests::harness::script::Script;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{answer, is_signed_in, script};
use crate::site::{self, JANE, PASSWORD, REDIRECT, SECRET};

const BYE: &str = "http://127.0.0.1:9/bye";

fn node(folder: &Path, mode: &str) -> Result<Script> {
    let mut command = Command::new("node");
    command.arg(script("openid_client.mjs")).arg(mode).current_dir(folder);
    Script::start(command)
}

fn client(id: &str, extra: &str) -> String {
    format!(
        "[[client]]\nid = \"{id}\"\nredirect_uris = [\"{REDIRECT}\"]\n\
         post_logout_redirect_uris = [\"{BYE}\"]\n{extra}\n"
    )
}

async fn whole_life(daemon: &Daemon, folder: &Path, mode: &str, settings: Value) -> Result<()> {
    let browser = Browser::new()?;
    let mut party = node(folder, mode)?;
    party.say(&settings.to_string()).await?;
    let authorize = party.hear_text("authorize").await?;
    ensure!(authorize.contains("request_uri=") == (mode == "signed"), "{authorize}");
    party.say(answer(&browser, &authorize, REDIRECT).await?.as_str()).await?;
    let told = party.hear().await?;
    ensure!(told["claims"]["preferred_username"] == JANE, "{told}");
    ensure!(told["info"]["email"] == "jane@example.org", "{told}");
    ensure!(told["rotated"] == true && told["active"] == true, "{told}");
    ensure!(is_signed_in(daemon, &browser).await?);
    let logout = party.hear_text("logout").await?;
    let page = browser.get(logout).await?.expect(303)?;
    ensure!(page.location()?.as_str() == format!("{BYE}?state=out"), "{}", page.describe());
    ensure!(!is_signed_in(daemon, &browser).await?);
    party.say("done").await?;
    let told = party.hear().await?;
    ensure!(told["active"] == false && told["refresh"] == "invalid_grant", "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_in_refreshes_and_signs_out_by_secret_and_by_key() -> Result<()> {
    let Some(folder) = packages::node()? else { return Ok(()) };
    let keys = node(&folder, "keys")?.hear().await?;
    let builder = Daemon::builder()
        .set("password.argon2.memory_kib", 8192)
        .set("password.argon2.iterations", 1)
        .file("jwks.json", &keys["public"].to_string())
        .toml(&client("secret", &format!("secret = \"{SECRET}\"")))
        .toml(&client(
            "signed",
            "token_endpoint_auth_method = \"private_key_jwt\"\njwks_file = \"jwks.json\"\n\
             id_token_signed_response_alg = \"EdDSA\"",
        ));
    let daemon = site::start(builder).await?;
    let settings = |id: &str, name: &str, value: Value| {
        let mut settings = json!({
            "issuer": daemon.issuer(), "id": id, "redirect": REDIRECT, "bye": BYE,
        });
        settings[name] = value;
        settings
    };
    let secret = settings("secret", "secret", json!(SECRET));
    whole_life(&daemon, &folder, "secret", secret).await.context("by secret")?;
    let signed = settings("signed", "key", keys["private"].clone());
    whole_life(&daemon, &folder, "signed", signed).await.context("by key")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lets_a_device_in() -> Result<()> {
    let Some(folder) = packages::node()? else { return Ok(()) };
    let daemon =
        site::start(site::daemon().public_client("tool", &["http://127.0.0.1/tool"])).await?;
    let mut tool = node(&folder, "device")?;
    tool.say(&json!({ "issuer": daemon.issuer(), "id": "tool" }).to_string()).await?;
    let device = tool.hear().await?;
    let page = device["page"].as_str().context("page")?;
    let browser = Browser::new()?;
    let page = browser.open(page).await?.expect(200)?;
    let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?;
    let page = browser.follow(page, |_| false).await?.expect(200)?;
    let code = device["code"].as_str().context("code")?;
    let form = page.form_to("/device")?;
    let question = browser.submit(&page, &form, &[("user_code", code)]).await?.expect(200)?;
    let form = question.form_to("/device")?;
    let csrf = &form.field("csrf").context("csrf")?.value;
    let fields = [("csrf", csrf.as_str()), ("user_code", code), ("decision", "approve")];
    browser.post(daemon.url("/device"), &fields).await?.expect(200)?;
    ensure!(tool.hear().await?["email"] == "jane@example.org");
    Ok(())
}
