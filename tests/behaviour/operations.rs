//! What an operator meets: health, metrics, bad configuration, wrong keys, a store that goes away,
//! the end of the process at any moment.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::postgres::PostgresServer;
use auth_tests::harness::slapd::Slapd;

use crate::site::{self, CLIENT, JANE, PASSWORD, REDIRECT, SECRET};

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_metrics_stand_on_their_listeners() -> Result<()> {
    let mut slapd = Slapd::start()?;
    let daemon = site::start(site::daemon().directory("corp", &slapd)).await?;
    let client = Browser::new()?;
    client.get(daemon.url("/healthz")).await?.expect(200)?;
    for path in ["/readyz", "/metrics"] {
        client.get(daemon.url(path)).await?.expect(404)?;
    }
    let ready = client.get(daemon.admin_url("/readyz")?).await?.expect(200)?.json()?;
    ensure!(ready["status"] == "ok", "{ready}");
    site::attempt(&daemon, &Browser::new()?, "corp", "alice", "secret-alice").await?.expect(303)?;
    site::attempt(&daemon, &Browser::new()?, "corp", "alice", "wrong").await?.expect(401)?;
    let metrics = client.get(daemon.admin_url("/metrics")?).await?.expect(200)?.body;
    for line in [
        "auth_logins_total{connector=\"corp\",result=\"accepted\"} 1",
        "auth_logins_total{connector=\"corp\",result=\"refused\"} 1",
        "auth_login_duration_seconds_bucket{connector=\"corp\"",
        "auth_hash_queue",
        "auth_ldap_pool_connections",
        "auth_sessions",
    ] {
        ensure!(metrics.contains(line), "{line} not in:\n{metrics}");
    }
    // A directory that is down makes it degraded; local people still get in.
    slapd.kill()?;
    let ready = client.get(daemon.admin_url("/readyz")?).await?.expect(200)?.json()?;
    ensure!(ready["status"] == "degraded", "{ready}");
    let down = site::attempt(&daemon, &Browser::new()?, "corp", "alice", "secret-alice").await?;
    let down = down.expect(503)?;
    ensure!(!down.header("retry-after").is_empty(), "{}", down.describe());
    site::attempt(&daemon, &Browser::new()?, "local", JANE, PASSWORD).await?.expect(303)?;
    let failed = site::events(&daemon, "login.failed").await?;
    ensure!(failed.len() == 1 && failed[0]["reason"] == "directory_unavailable", "{failed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused_with_the_key_and_its_repair() -> Result<()> {
    let cases = [
        ("[session]\nidle_timout = \"8h\"", &["session.idle_timout", "idle_timeout"][..]),
        (
            "[[client]]\nid = \"x\"\nkind = \"oidc\"\nsecret = \"a\"\nsecret_file = \"b\"\nredirect_uris = [\"https://a.example/\"]",
            &["secret", "secret_file"],
        ),
        ("public_url = \"http://sso.example.com\"", &["public_url", "https"]),
        (
            "[[directory]]\nid = \"local\"\npreset = \"openldap\"\nservers = [\"ldaps://x.example\"]\nbase_dn = \"dc=x\"",
            &["id", "local"],
        ),
        ("[session]\nidle_timeout = \"soon\"", &["session.idle_timeout", "duration"]),
    ];
    for (text, words) in cases {
        let output = site::daemon().toml(text).run(&["serve"]).await?.expect(78)?;
        for word in words {
            ensure!(output.stderr.contains(word), "{word:?} not in {}", output.stderr);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_ring_belongs_to_its_store() -> Result<()> {
    let mut daemon = site::start(site::daemon()).await?;
    let ring = daemon.folder().join("auth-daemon.keys");
    let mode = std::fs::metadata(&ring)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "mode {mode:o}");
    daemon.stop().await?;
    let kept = std::fs::read(&ring)?;
    let store = std::fs::read(daemon.folder().join("auth.db"))?;

    std::fs::remove_file(&ring)?;
    let output = daemon.cli(&["serve"]).await?.expect(78)?;
    ensure!(output.stderr.contains("auth-daemon.keys"), "{}", output.stderr);
    ensure!(!ring.exists(), "a new ring was made over an old store");

    let other = site::start(site::daemon()).await?;
    std::fs::copy(other.folder().join("auth-daemon.keys"), &ring)?;
    let output = daemon.cli(&["serve"]).await?.expect(78)?;
    ensure!(output.stderr.contains("key"), "{}", output.stderr);
    ensure!(std::fs::read(daemon.folder().join("auth.db"))? == store, "the store was changed");

    std::fs::write(&ring, &kept)?;
    std::fs::set_permissions(&ring, Permissions::from_mode(0o644))?;
    let output = daemon.cli(&["serve"]).await?.expect(78)?;
    ensure!(output.stderr.contains("chmod 600"), "{}", output.stderr);
    std::fs::set_permissions(&ring, Permissions::from_mode(0o600))?;
    daemon.restart().await?;
    site::attempt(&daemon, &Browser::new()?, "local", JANE, PASSWORD).await?.expect(303)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused() -> Result<()> {
    let mut daemon = site::start(site::daemon()).await?;
    daemon.stop().await?;
    let file = rusqlite::Connection::open(daemon.folder().join("auth.db"))?;
    file.execute(
        "INSERT INTO schema_migration SELECT 9999, 'future', checksum, applied_at \
         FROM schema_migration LIMIT 1",
        [],
    )?;
    drop(file);
    let output = daemon.cli(&["serve"]).await?.expect(78)?;
    ensure!(output.stderr.contains("9999"), "{}", output.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_that_was_answered() -> Result<()> {
    let mut daemon = site::start(site::daemon()).await?;
    let party = site::relying_party(&daemon).await?;
    let browser = Browser::new()?;
    let (_, kept) = site::sign_in(&party, &browser).await?;
    let (_, ended) = site::sign_in(&party, &Browser::new()?).await?;
    let authorization = party.authorize(site::SCOPE);
    let page = browser.get(&authorization.url).await?;
    let code = party.code(&authorization, &page.location()?)?;
    let used = party.exchange(&authorization, &code).await?;
    let rotated = party.refresh(site::refresh_token(&kept)?).await?;
    party.revoke(site::refresh_token(&ended)?).await?;
    daemon.kill()?;
    daemon.restart().await?;
    ensure!(party.introspect(&rotated.access_token).await?["active"] == true, "session lost");
    ensure!(party.introspect(&ended.access_token).await?["active"] == false, "revocation lost");
    ensure!(party.introspect(&used.access_token).await?["active"] == true);
    party.refresh(site::refresh_token(&rotated)?).await.context("refresh token lost")?;
    ensure!(party.exchange(&authorization, &code).await.is_err(), "a used code came back");
    browser.get(daemon.url("/account")).await?.expect(200).context("browser session lost")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_finish_when_the_process_is_asked_to_end() -> Result<()> {
    let mut daemon = site::start(site::daemon()).await?;
    let browser = Browser::new()?;
    let page = browser.open(daemon.url("/login/local")).await?.expect(200)?;
    let answer = {
        let browser = browser.clone();
        tokio::spawn(async move { browser.sign_in(&page, "local", JANE, "wrong").await })
    };
    daemon
        .wait_for_log("the refusal", Duration::from_secs(20), |line| {
            line.contains("wrong_password")
        })
        .await?;
    // The answer is held back to the floor; the end comes first.
    let status = daemon.stop().await?;
    ensure!(status.success(), "{status}");
    answer.await??.expect(401)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_postgresql_see_each_others_revocations() -> Result<()> {
    let mut server = PostgresServer::start()?;
    let database = server.url(&server.create_database()?);
    let ring = "shared.keys";
    let first = site::daemon().set("storage.url", database.as_str()).set("keys.ring_file", ring);
    let first = site::start(first).await?;
    let keys = std::fs::read_to_string(first.folder().join(ring))?;
    // The second node answers under the first one's name, as behind one address.
    let second_ring = tempfile::tempdir()?;
    let path = second_ring.path().join("ring");
    std::fs::write(&path, keys)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    let second = site::daemon()
        .set("storage.url", database.as_str())
        .set("keys.ring_file", path.display().to_string())
        .start()
        .await?;
    let party = site::relying_party(&first).await?;
    let (_, tokens) = site::sign_in(&party, &Browser::new()?).await?;
    let on_second = || async {
        let request = Browser::new()?
            .request(reqwest::Method::POST, second.url("/oauth2/introspect"))
            .basic_auth(CLIENT, Some(SECRET))
            .form(&[("token", tokens.access_token.as_str())]);
        Browser::new()?.send(request).await?.expect(200)?.json()
    };
    ensure!(on_second().await?["active"] == true, "{}", on_second().await?);
    party.revoke(site::refresh_token(&tokens)?).await?;
    let deadline = Instant::now() + Duration::from_secs(1);
    while on_second().await?["active"] == true {
        ensure!(Instant::now() < deadline, "the other node still says active after a second");
    }
    // The database goes away and comes back; so does the service.
    server.stop()?;
    let gone = Browser::new()?.get(first.admin_url("/readyz")?).await?;
    ensure!(gone.status == 503 && gone.json()?["status"] == "down", "{}", gone.describe());
    let page = Browser::new()?.get(first.url("/login")).await?;
    ensure!(page.status == 503, "{}", page.describe());
    server.restart()?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while Browser::new()?.get(first.admin_url("/readyz")?).await?.status != 200 {
        ensure!(Instant::now() < deadline, "not ready after the database came back");
    }
    site::sign_in(&party, &Browser::new()?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_keys_are_kept_by_the_command_line() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    let added = daemon
        .cli(&["client", "add", "second", "--redirect-uri", REDIRECT, "--json"])
        .await?
        .success()?
        .json()?;
    let secret = added["secret"].as_str().context("the secret")?.to_owned();
    let taken = daemon.cli(&["client", "add", CLIENT, "--redirect-uri", REDIRECT]).await?;
    ensure!(taken.code != 0, "an id of the configuration was added to the store");
    let party = auth_tests::harness::oidc::RelyingParty::discover(
        daemon.issuer(),
        "second",
        Some(&secret),
        REDIRECT,
    )
    .await?;
    // The running daemon learns of it by itself.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let page = Browser::new()?.open(&party.authorize(site::SCOPE).url).await?;
        if page.status == 200 {
            break;
        }
        ensure!(Instant::now() < deadline, "the new client stays unknown: {}", page.describe());
    }
    let (_, tokens) = site::sign_in(&party, &Browser::new()?).await?;
    let shown = daemon.cli(&["client", "show", "second", "--json"]).await?.success()?;
    ensure!(!shown.stdout.contains(&secret), "the secret is shown again");
    let rotated =
        daemon.cli(&["client", "rotate-secret", "second", "--json"]).await?.success()?.json()?;
    ensure!(rotated["secret"].as_str().is_some_and(|new| new != secret), "{rotated}");
    daemon.cli(&["client", "remove", "second", "--dry-run"]).await?.success()?;
    daemon.cli(&["client", "remove", "second"]).await?.success()?;
    let list = daemon.cli(&["client", "list", "--json"]).await?.success()?.json()?;
    ensure!(!list.to_string().contains("second"), "{list}");
    drop(tokens);
    let keys = daemon.cli(&["key", "list", "--json"]).await?.success()?.json()?;
    ensure!(keys.to_string().contains("RS256") && keys.to_string().contains("EdDSA"), "{keys}");
    daemon.cli(&["key", "rotate", "--dry-run"]).await?.success()?;
    daemon.cli(&["key", "rotate"]).await?.success()?;
    let more = daemon.cli(&["key", "list", "--json"]).await?.success()?.json()?;
    ensure!(more.to_string().len() > keys.to_string().len(), "{more}");
    // Tokens signed by the old key still verify, and new ones are still signed by it.
    let party = site::relying_party(&daemon).await?;
    let (authorization, tokens) = site::sign_in(&party, &Browser::new()?).await?;
    party.verify(&tokens.id_token.context("ID token")?, &authorization.nonce)?;
    Ok(())
}
