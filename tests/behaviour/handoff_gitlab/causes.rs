//! Whatever ends a session reaches the chat server within one second.

use std::time::Duration;

use anyhow::{Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::receiver::{Posted, Receiver};
use auth_tests::harness::slapd::Slapd;
use serde_json::Value;

use crate::site::{self, CLIENT, JANE, PASSWORD, REDIRECT, SCOPE, SECRET};

const SECOND: Duration = Duration::from_secs(1);
const PEOPLE: &str = "ou=people,dc=example,dc=org";

/// Whether these posts tell of the end of this session.
fn tells(posted: &[Posted], sid: &Value) -> bool {
    posted
        .iter()
        .filter_map(|one| serde_json::from_str::<Value>(&one.body).ok())
        .any(|event| event["type"] == "session.revoked" && event["data"]["session"] == *sid)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_is_told_within_a_second() -> Result<()> {
    let (slapd, receiver) = (Slapd::start()?, Receiver::start().await?);
    slapd.modify(&format!(
        "dn: uid=twin2,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: tom@example.org\n"
    ))?;
    let client = format!(
        "[[client]]\nid = \"{CLIENT}\"\nkind = \"oidc\"\nsecret = \"{SECRET}\"\n\
         redirect_uris = [\"{REDIRECT}\"]\n\
         webhook = {{ url = \"{}\", secret = \"{SECRET}\" }}\n",
        receiver.url()
    );
    let daemon = site::start(
        Daemon::builder()
            .set("password.argon2.memory_kib", 8192)
            .set("password.argon2.iterations", 1)
            .directory("corp", &slapd)
            .toml(&client),
    )
    .await?;
    let sync = ["sync", "run", "--directory", "corp", "--full"];
    daemon.cli(&sync).await?.success()?;
    let party = site::relying_party(&daemon).await?;
    let enter = async |connector: &str, name: &str, password: &str| -> Result<(String, Value)> {
        let browser = Browser::new()?;
        let page =
            site::attempt(&daemon, &browser, connector, name, password).await?.expect(303)?;
        browser.follow(page, |_| false).await?.expect(200)?;
        let authorization = party.authorize(SCOPE);
        let answer = browser.get(&authorization.url).await?.location()?;
        let code = party.code(&authorization, &answer)?;
        let token = party.exchange(&authorization, &code).await?.access_token;
        let said = party.introspect(&token).await?;
        ensure!(said["active"] == true && said["sid"].is_string(), "{said}");
        Ok((token, said["sid"].clone()))
    };
    let new = "eighteen loud otters";
    let commands: [(&[&str], &str); 4] = [
        (&["session", "revoke", "--user", JANE], PASSWORD),
        (&["user", "reset-mfa", JANE], PASSWORD),
        (&["user", "set-password", JANE, "--password-stdin"], PASSWORD),
        (&["user", "disable", JANE], new),
    ];
    for (command, password) in commands {
        let (token, sid) = enter("local", JANE, password).await?;
        daemon.cli_with_input(command, new).await?.success()?;
        let told = receiver.wait("the end", SECOND, |r| tells(&r.taken(), &sid)).await;
        ensure!(told.is_ok(), "{command:?}: {:?}", receiver.posted());
        ensure!(party.introspect(&token).await?["active"] == false, "{command:?}");
    }
    // By a synchronisation, since the person is gone from the directory.
    let (token, sid) = enter("corp", "bob", "secret-bob").await?;
    slapd.modify(&format!("dn: uid=bob,{PEOPLE}\nchangetype: delete\n"))?;
    daemon.cli(&sync).await?.success()?;
    let told = receiver.wait("the end", SECOND, |r| tells(&r.taken(), &sid)).await;
    ensure!(told.is_ok(), "sync: {:?}", receiver.posted());
    ensure!(party.introspect(&token).await?["active"] == false, "sync");
    Ok(())
}
