//! Metadata of a URL, while the daemon runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::simplesamlphp::SimpleSamlPhp;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::Value;

use super::given::{CORP, Site, introduce, refused, through, whoami};
use crate::site as common;

const LIMIT: Duration = Duration::from_secs(60);

fn connection(url: &str) -> String {
    format!(
        "[[saml]]\nid = \"{CORP}\"\nlabel = \"Corporation\"\nmetadata_url = \"{url}\"\n\
         metadata_refresh = \"10s\"\n"
    )
}

/// Waits until the log holds a line that is accepted.
async fn told(daemon: &Daemon, what: &str, accept: impl Fn(&Value) -> bool) -> Result<()> {
    let began = Instant::now();
    while !daemon.events().iter().any(&accept) {
        ensure!(began.elapsed() < LIMIT, "{what}: {:?}", daemon.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn is(name: &'static str) -> impl Fn(&Value) -> bool {
    move |event| event["event"] == name
}

/// A new key waits for an administrator; then it counts on the running daemon.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_counts_once_it_is_approved() -> Result<()> {
    let idp = SimpleSamlPhp::start().await?;
    let daemon = common::start(common::daemon().toml(&connection(&idp.metadata_url()))).await?;
    introduce(&idp, &daemon, CORP).await?;
    let site = Site { idp, daemon };
    let browser = Browser::new()?;
    through(&site, &browser, "alice").await?.expect(200)?;
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));

    site.idp.new_key()?;
    told(&site.daemon, "the new key is seen", is("saml.metadata_pending")).await?;
    let waiting = common::events(&site.daemon, "saml.metadata_pending").await?;
    ensure!(waiting.len() == 1 && waiting[0]["connector"] == CORP, "{waiting:?}");
    let browser = Browser::new()?;
    let page = through(&site, &browser, "alice").await?;
    refused(&site.daemon, &browser, &page, "signature_invalid").await?;

    let approve = ["saml", "approve-keys", "--connection", CORP];
    site.daemon.cli(&approve).await?.success()?;
    told(&site.daemon, "the connection follows", is("saml.connection_changed")).await?;
    let browser = Browser::new()?;
    through(&site, &browser, "alice").await?.expect(200)?;
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));
    Ok(())
}

/// What the URL gives: a status and a document.
type Given = Arc<std::sync::Mutex<(StatusCode, String)>>;

async fn server(given: Given) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/metadata", listener.local_addr()?);
    let answer = async |State(given): State<Given>| {
        given.lock().map(|given| given.clone()).unwrap_or_default()
    };
    let router = axum::Router::new().route("/metadata", get(answer)).with_state(given);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

fn give(given: &Given, status: StatusCode, document: &str) {
    if let Ok(mut given) = given.lock() {
        *given = (status, document.to_owned());
    }
}

/// A connection whose metadata is not there at the start becomes complete by itself, and what
/// cannot be read later takes nothing away.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_metadata_changes_nothing() -> Result<()> {
    let idp = SimpleSamlPhp::start().await?;
    let given: Given = Arc::default();
    give(&given, StatusCode::SERVICE_UNAVAILABLE, "");
    let url = server(Arc::clone(&given)).await?;
    let daemon = common::start(common::daemon().toml(&connection(&url))).await?;
    let browser = Browser::new()?;
    browser.get(daemon.url("/login/corp")).await?.expect(404)?;

    let genuine = idp.metadata().await?;
    give(&given, StatusCode::OK, &genuine);
    told(&daemon, "complete", is("saml.connection_changed")).await?;
    introduce(&idp, &daemon, CORP).await?;
    let site = Site { idp, daemon };
    through(&site, &browser, "alice").await?.expect(200)?;

    let too_large = "x".repeat(5 * 1024 * 1024);
    let another = genuine.replace("/simplesaml/idp", "/another/idp");
    let cases = [
        (StatusCode::INTERNAL_SERVER_ERROR, "", "500"),
        (StatusCode::OK, "<html>Sign in to the guest network</html>", "metadata_structure"),
        (StatusCode::OK, &too_large, "more than"),
        (StatusCode::FOUND, "", "302"),
    ];
    for (status, document, reason) in cases {
        give(&given, status, document);
        let failed = |event: &Value| {
            event["event"] == "saml.metadata_refresh_failed"
                && event["error"].as_str().is_some_and(|error| error.contains(reason))
        };
        told(&site.daemon, reason, failed).await?;
        let browser = Browser::new()?;
        through(&site, &browser, "alice").await?.expect(200)?;
    }
    // Another identity provider behind the same URL is nobody's to believe.
    give(&given, StatusCode::OK, &another);
    told(&site.daemon, "another one", is("saml.metadata_pending")).await?;
    let browser = Browser::new()?;
    through(&site, &browser, "alice").await?.expect(200)?;
    Ok(())
}
