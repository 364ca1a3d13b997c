//! Authlib (PyPI): code with PKCE, ID token, refresh, introspection, logout.

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::packages;
use auth_tests::harness::script::Script;
use serde_json::json;
use tokio::process::Command;

use super::{answer, is_signed_in, script};
use crate::site::{self, JANE, REDIRECT, SECRET};

const BYE: &str = "http://127.0.0.1:9/bye";

#[tokio::test(flavor = "multi_thread")]
async fn signs_in_refreshes_and_signs_out() -> Result<()> {
    let Some(python) = packages::authlib()? else { return Ok(()) };
    let builder = Daemon::builder()
        .set("password.argon2.memory_kib", 8192)
        .set("password.argon2.iterations", 1)
        .toml(&format!(
            "[[client]]\nid = \"python\"\nsecret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT}\"]\n\
             post_logout_redirect_uris = [\"{BYE}\"]\n"
        ));
    let daemon = site::start(builder).await?;
    for method in ["client_secret_basic", "client_secret_post"] {
        let browser = Browser::new()?;
        let mut command = Command::new(&python);
        command.arg(script("authlib_client.py")).env("AUTHLIB_INSECURE_TRANSPORT", "1");
        let mut party = Script::start(command)?;
        let settings = json!({
            "issuer": daemon.issuer(), "id": "python", "secret": SECRET, "redirect": REDIRECT,
            "bye": BYE, "method": method,
        });
        party.say(&settings.to_string()).await?;
        let authorize = party.hear_text("authorize").await?;
        party.say(answer(&browser, &authorize, REDIRECT).await?.as_str()).await?;
        let told = party.hear().await.context(method)?;
        ensure!(told["username"] == JANE && told["email"] == "jane@example.org", "{told}");
        ensure!(told["rotated"] == true && told["active"] == true, "{told}");
        let page = browser.get(party.hear_text("logout").await?).await?.expect(303)?;
        ensure!(page.location()?.as_str() == BYE, "{}", page.describe());
        ensure!(!is_signed_in(&daemon, &browser).await?);
        party.say("done").await?;
        let told = party.hear().await?;
        ensure!(told["active"] == false && told["refresh"] == "invalid_grant", "{told}");
    }
    Ok(())
}
