//! Webhooks, back-channel logout and the stream of events.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::receiver::{Posted, Receiver};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKey as _;
use openidconnect::core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use reqwest::Method;
use serde_json::Value;

use super::site::LIMIT;
use crate::site::{self, CLIENT, JANE, PASSWORD, REDIRECT, SECRET};

const HOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND: Duration = Duration::from_secs(1);

/// A daemon whose client `chat` listens with these keys.
async fn start(keys: &str) -> Result<Daemon> {
    let client = format!(
        "[[client]]\nid = \"{CLIENT}\"\nkind = \"oidc\"\nsecret = \"{SECRET}\"\n\
         redirect_uris = [\"{REDIRECT}\"]\n{keys}\n[[client]]\nid = \"other\"\nkind = \"oidc\"\n\
         secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT}\"]\n"
    );
    let builder = Daemon::builder()
        .set("password.argon2.memory_kib", 8192)
        .set("password.argon2.iterations", 1)
        .toml(&client);
    site::start(builder).await
}

fn hook(receiver: &Receiver) -> String {
    format!("webhook = {{ url = \"{}\", secret = \"{HOOK_SECRET}\" }}", receiver.url())
}

fn types(posted: &[Posted]) -> Result<Vec<String>> {
    posted
        .iter()
        .map(|one| Ok(one.verified(HOOK_SECRET)?["type"].as_str().context("type")?.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_come_signed_in_order_and_once_the_receiver_is_back() -> Result<()> {
    let receiver = Receiver::start().await?;
    let mut daemon = start(&hook(&receiver)).await?;
    let party = site::relying_party(&daemon).await?;
    site::sign_in(&party, &Browser::new()?).await?;
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    ensure!(receiver.posted().is_empty(), "a login is nobody's business: {:?}", receiver.posted());
    daemon.cli(&["user", "disable", JANE]).await?.success()?;
    receiver.wait("disabled", SECOND, |r| r.taken().len() == 2).await?;
    ensure!(types(&receiver.taken())? == ["account.disabled", "session.revoked"]);
    let event = receiver.taken()[0].verified(HOOK_SECRET)?;
    ensure!(event["data"]["account"] == shown["id"], "{event}");
    ensure!(
        event["data"]["numeric_id"] == shown["numeric_id"]
            && event["data"]["reason"] == "administrator",
        "{event}"
    );
    ensure!(!receiver.taken()[0].body.contains(JANE), "no name leaves the house");

    receiver.answer(500);
    for word in ["enable", "disable", "enable"] {
        daemon.cli(&["user", word, JANE]).await?.success()?;
    }
    receiver.wait("a failure", LIMIT, |r| r.posted().iter().any(|one| one.status == 500)).await?;
    daemon.restart().await?;
    receiver
        .wait("another try", LIMIT, |r| {
            r.posted().iter().filter(|one| one.status == 500).count() > 1
        })
        .await?;
    receiver.answer(200);
    receiver.wait("all", LIMIT, |r| r.taken().len() == 5).await?;
    let all = ["account.enabled", "account.disabled", "account.enabled"];
    ensure!(types(&receiver.taken()[2..])? == all, "{:?}", receiver.taken());
    // A retry is the same event with the same id.
    let ids: Vec<_> =
        receiver.posted().iter().map(|one| one.header("webhook-id").to_owned()).collect();
    let failed = receiver.posted().iter().position(|one| one.status == 500).context("failed")?;
    ensure!(ids[failed] == receiver.taken()[2].header("webhook-id"), "{ids:?}");
    // What is answered with 410 is given up, and can be tried again.
    receiver.answer(410);
    daemon.cli(&["session", "revoke", "--user", JANE]).await?.success()?;
    let load = async || daemon.cli(&["client", "deliveries", "--json"]).await?.success()?.json();
    let began = std::time::Instant::now();
    while load().await?[0]["dead"] != 1 {
        ensure!(began.elapsed() < LIMIT, "{}", load().await?);
    }
    receiver.answer(200);
    daemon.cli(&["client", "deliveries", "--client", CLIENT, "--retry"]).await?.success()?;
    receiver.wait("revived", LIMIT, |r| r.taken().len() == 6).await?;
    ensure!(types(&receiver.taken())?.last().is_some_and(|one| one == "sessions.revoked"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_reaches_the_relying_party_by_a_logout_token() -> Result<()> {
    let receiver = Receiver::start().await?;
    let keys = format!(
        "backchannel_logout_uri = \"{}\"\nid_token_signed_response_alg = \"EdDSA\"",
        receiver.url()
    );
    let daemon = start(&keys).await?;
    let party = site::relying_party(&daemon).await?;
    ensure!(party.document["backchannel_logout_supported"] == true, "{}", party.document);
    ensure!(party.document["backchannel_logout_session_supported"] == true);
    let browser = Browser::new()?;
    let (_, tokens) = site::sign_in(&party, &browser).await?;
    let sid = party.introspect(&tokens.access_token).await?["sid"].clone();
    let page = browser.get(daemon.url("/logout")).await?.expect(200)?;
    browser.submit(&page, &page.form_to("/logout")?, &[]).await?.expect(200)?;
    receiver.wait("logout token", SECOND, |r| r.taken().len() == 1).await?;
    let posted = receiver.taken().remove(0);
    ensure!(posted.header("content-type") == "application/x-www-form-urlencoded");
    let token = posted.body.strip_prefix("logout_token=").context("logout_token")?.to_owned();
    let (signed, signature) = token.rsplit_once('.').context("a JWS")?;
    let part = |n: usize| -> Result<Value> {
        let part = signed.split('.').nth(n).context("part")?;
        Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
    };
    let (header, claims) = (part(0)?, part(1)?);
    ensure!(header["alg"] == "EdDSA" && header["typ"] == "logout+jwt", "{header}");
    let jwks = Browser::new()?.get(daemon.url("/oauth2/jwks")).await?.json()?;
    let keys: CoreJsonWebKeySet = serde_json::from_value(jwks)?;
    let key =
        keys.keys().iter().find(|key| key.key_id().is_some_and(|id| header["kid"] == id.as_str()));
    key.context("the key is published")?.verify_signature(
        &CoreJwsSigningAlgorithm::EdDsa,
        signed.as_bytes(),
        &URL_SAFE_NO_PAD.decode(signature)?,
    )?;
    ensure!(
        claims["aud"] == CLIENT && claims["iss"] == daemon.issuer() && claims["sid"] == sid,
        "{claims}"
    );
    ensure!(
        claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object(),
        "{claims}"
    );
    ensure!(
        claims["sub"].is_string() && claims["jti"].is_string() && claims.get("nonce").is_none(),
        "{claims}"
    );
    // It is no ID token: our own authorization endpoint does not take it as a hint.
    let hinted = format!("{}&prompt=none&id_token_hint={token}", party.authorize(site::SCOPE).url);
    let answer = Browser::new()?.get(&hinted).await?.location()?;
    ensure!(answer.as_str().contains("error=login_required"), "{answer}");
    Ok(())
}

/// Reads a stream until it has `count` events; each as id, name and data.
async fn read(
    daemon: &Daemon,
    last: Option<&str>,
    count: usize,
) -> Result<Vec<(String, String, Value)>> {
    let (mut response, mut text) = (open(daemon, CLIENT, last).await?, String::new());
    ensure!(response.status() == 200, "{}", response.status());
    ensure!(response.headers()["content-type"] == "text/event-stream");
    loop {
        let events: Vec<_> = text.split("\n\n").filter_map(event).collect();
        if events.len() >= count {
            return Ok(events);
        }
        let chunk =
            tokio::time::timeout(LIMIT, response.chunk()).await.with_context(|| text.clone())??;
        text.push_str(std::str::from_utf8(&chunk.context("the stream ended")?)?);
    }
}

async fn open(daemon: &Daemon, client: &str, last: Option<&str>) -> Result<reqwest::Response> {
    let browser = Browser::new()?;
    let mut request = browser.request(Method::GET, daemon.url("/api/v1/events"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    Ok(request.basic_auth(client, Some(SECRET)).send().await?)
}

fn event(block: &str) -> Option<(String, String, Value)> {
    let line = |name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    Some((line("id:")?, line("event:")?, serde_json::from_str(&line("data:")?).ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_tells_at_once_and_resumes() -> Result<()> {
    let mut daemon = start("").await?;
    let party = site::relying_party(&daemon).await?;
    site::sign_in(&party, &Browser::new()?).await?;
    let live = async { read(&daemon, None, 2).await };
    let act = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        daemon.cli(&["user", "disable", JANE]).await?.success()
    };
    let (events, _) = tokio::try_join!(live, act)?;
    let names: Vec<&str> = events.iter().map(|(_, name, _)| name.as_str()).collect();
    ensure!(names == ["account.disabled", "session.revoked"], "{events:?}");
    ensure!(events[1].2["data"]["session"].is_string(), "{events:?}");
    daemon.cli(&["user", "enable", JANE]).await?.success()?;
    daemon.restart().await?;
    daemon.cli(&["user", "disable", JANE]).await?.success()?;
    let later = read(&daemon, Some(&events[0].0), 3).await?;
    let names: Vec<&str> = later.iter().map(|(_, name, _)| name.as_str()).collect();
    ensure!(names == ["session.revoked", "account.enabled", "account.disabled"], "{later:?}");
    ensure!(later[0] == events[1], "the same event with the same id");
    // Another client is not told of this one's sessions.
    let mut other = open(&daemon, "other", Some("0")).await?;
    let mut text = String::new();
    while !text.contains("account.enabled") {
        let chunk = tokio::time::timeout(LIMIT, other.chunk()).await??.context("ended")?;
        text.push_str(std::str::from_utf8(&chunk)?);
    }
    ensure!(!text.contains("event: session.revoked"), "{text}");
    // From beyond the end: the client is told that it lost the thread.
    let lost = read(&daemon, Some("900000"), 1).await?;
    ensure!(lost[0].1 == "resync", "{lost:?}");
    ensure!(open(&daemon, CLIENT, Some("x")).await?.status() == 400);
    let browser = Browser::new()?;
    let request = browser.request(Method::GET, daemon.url("/api/v1/events"));
    browser.send(request.basic_auth(CLIENT, Some("wrong"))).await?.expect(401)?;
    browser.get(daemon.url("/api/v1/events")).await?.expect(401)?;
    // An open stream does not hold the daemon's end up.
    let began = std::time::Instant::now();
    let mut open = open(&daemon, CLIENT, None).await?;
    daemon.stop().await?;
    ensure!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    while open.chunk().await?.is_some() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_subjects_of_its_own_hears_those() -> Result<()> {
    let receiver = Receiver::start().await?;
    let daemon = start(&format!("subject_type = \"pairwise\"\n{}", hook(&receiver))).await?;
    let party = site::relying_party(&daemon).await?;
    let (_, tokens) = site::sign_in(&party, &Browser::new()?).await?;
    let own = party.introspect(&tokens.access_token).await?["sub"].clone();
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    ensure!(own.is_string() && own != shown["id"], "{own}");
    daemon.cli(&["user", "disable", JANE]).await?.success()?;
    receiver.wait("both", SECOND, |r| r.taken().len() == 2).await?;
    let posted = receiver.taken();
    ensure!(types(&posted)? == ["account.disabled", "session.revoked"]);
    let streamed = read(&daemon, Some("0"), 2).await?.into_iter().map(|(_, _, event)| event);
    let told = posted.iter().map(|one| one.verified(HOOK_SECRET)).collect::<Result<Vec<_>>>()?;
    let all = told.into_iter().chain(streamed);
    let public = shown["id"].as_str().context("id")?;
    for event in all {
        ensure!(event["data"]["account"] == own, "{event}");
        ensure!(event["data"].get("numeric_id").is_none(), "{event}");
        ensure!(!event.to_string().contains(public), "{event}");
    }
    // The other client, whose subjects are public, hears those still.
    let mut other = open(&daemon, "other", Some("0")).await?;
    let mut text = String::new();
    while !text.contains("account.disabled") {
        let chunk = tokio::time::timeout(LIMIT, other.chunk()).await??.context("ended")?;
        text.push_str(std::str::from_utf8(&chunk)?);
    }
    ensure!(text.contains(public) && !text.contains(own.as_str().context("sub")?), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_the_work_and_a_frozen_one_does_nothing_twice() -> Result<()> {
    use auth_tests::harness::postgres::PostgresServer;
    let server = PostgresServer::start()?;
    let database = server.create_database()?;
    let receiver = Receiver::start().await?;
    let mut first = start_on(&server.url(&database), &receiver, None).await?;
    let ring = first.folder().join("auth-daemon.keys").display().to_string();
    let mut second = start_on(&server.url(&database), &receiver, Some(&ring)).await?;
    first.create_user(JANE, "jane@example.org", PASSWORD).await?;
    first.cli(&["user", "disable", JANE]).await?.success()?;
    receiver.wait("disabled", SECOND, |r| r.taken().len() == 1).await?;
    // Frozen between the answer and its own note of it, a node would leave the delivery to the other,
    // which makes it again: at least once is what is promised. Here it has noted it.
    let began = std::time::Instant::now();
    let load = async || second.cli(&["client", "deliveries", "--json"]).await?.success()?.json();
    while load().await?.as_array().is_none_or(|all| !all.is_empty()) {
        ensure!(began.elapsed() < LIMIT, "{}", load().await?);
    }
    // The one that works is frozen; the other takes over, and the first goes on later.
    first.signal("STOP")?;
    second.cli(&["user", "enable", JANE]).await?.success()?;
    receiver.wait("enabled", LIMIT, |r| r.taken().len() == 2).await?;
    first.signal("CONT")?;
    second.cli(&["user", "disable", JANE]).await?.success()?;
    receiver.wait("again", LIMIT, |r| r.taken().len() == 3).await?;
    let words = ["account.disabled", "account.enabled", "account.disabled"];
    ensure!(types(&receiver.taken())? == words, "{:?}", receiver.taken());
    second.kill()?;
    first.cli(&["user", "enable", JANE]).await?.success()?;
    // The killed one may have had no time to note its last delivery, which then comes again.
    let back = |r: &Receiver| {
        types(&r.taken()[3..])
            .is_ok_and(|later| later.last().is_some_and(|one| one == "account.enabled"))
    };
    receiver.wait("after a crash", LIMIT, back).await?;
    Ok(())
}

async fn start_on(url: &str, receiver: &Receiver, ring: Option<&str>) -> Result<Daemon> {
    let mut builder = site::daemon().set("storage.url", url).toml(&format!(
        "[[client]]\nid = \"hook\"\nkind = \"oidc\"\nsecret = \"{SECRET}\"\n\
         redirect_uris = [\"{REDIRECT}\"]\n{}\n",
        hook(receiver)
    ));
    if let Some(ring) = ring {
        builder = builder.set("keys.ring_file", ring);
    }
    builder.start().await
}
