//! What a session check costs when the store holds a million live sessions: the same requests, one
//! after the other on each of a few connections, before and after the others are there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use auth_core::secret::{Token, TokenHash};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::task::JoinSet;

use super::connection::{Connection, Request};
use super::figures::{median, percentile};
use super::report::{Report, Row};
use super::site::{Backend, Plan, Site};

/// Sessions that are put beside those in use.
const CROWD: u64 = 1_000_000;
const IN_USE: usize = 200;
const CONNECTIONS: usize = 4;
const REQUESTS: usize = 5000;
const ROUNDS: usize = 5;
const GOAL: f64 = 1.2;

/// Measures checks on one backend.
pub(super) async fn measure(report: &mut Report, backend: Backend<'_>) -> Result<()> {
    let site = Site::start(backend, Plan::of(IN_USE)).await?;
    let used = site.introspections();
    let few = rounds(&site, &used).await?;
    fill(&site, backend).await?;
    let many = rounds(&site, &used).await?;
    report.add(Row {
        what: "session check, p99, a million live sessions".into(),
        of: format!("{}, {IN_USE} of them in use, {CONNECTIONS} connections", backend.name()),
        daemon: microseconds(many),
        beside: format!("{IN_USE} sessions {}", microseconds(few)),
        ratio: Some(many / few),
        goal: "ratio at most 1.20".into(),
        reached: Some(many / few <= GOAL),
    });
    // Nobody of these was seen lately: each check reads the store.
    let step = CROWD / REQUESTS as u64;
    let headers = site.client_headers();
    let anybody: Vec<Vec<u8>> = (0..REQUESTS as u64)
        .map(|number| {
            let body = format!("token={}", text(number * step + 1));
            let (method, path) = ("POST", "/oauth2/introspect");
            Request { method, path, headers: &headers, body: &body }.bytes()
        })
        .collect();
    let cold = round(&site, &anybody).await?;
    report.add(Row {
        what: "session check, p99, anybody of a million".into(),
        of: format!("{}, each for the first time, {CONNECTIONS} connections", backend.name()),
        daemon: microseconds(cold),
        ..Row::default()
    });
    Ok(())
}

async fn rounds(site: &Site, requests: &[Vec<u8>]) -> Result<f64> {
    round(site, requests).await?;
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        all.push(round(site, requests).await?);
    }
    median(&all)
}

/// The 99th percentile of the time of one request, in microseconds.
async fn round(site: &Site, requests: &[Vec<u8>]) -> Result<f64> {
    let mut tasks = JoinSet::new();
    for number in 0..CONNECTIONS {
        let mut connection = Connection::open(site.address()?).await?;
        let own: Vec<Vec<u8>> =
            requests.iter().skip(number).step_by(CONNECTIONS).cloned().collect();
        tasks.spawn(async move {
            let mut times = Vec::new();
            for request in own.iter().cycle().take(REQUESTS / CONNECTIONS) {
                let begun = Instant::now();
                let answer = connection.send(request).await?.expect(200)?;
                times.push(begun.elapsed());
                let active = answer.body.starts_with(b"{\"active\":true");
                ensure!(active, "{}", String::from_utf8_lossy(&answer.body));
            }
            Ok::<_, anyhow::Error>(times)
        });
    }
    let mut times: Vec<Duration> = Vec::new();
    while let Some(connection) = tasks.join_next().await {
        times.extend(connection??);
    }
    Ok(percentile(&times, 0.99)?.as_secs_f64() * 1e6)
}

fn microseconds(value: f64) -> String {
    format!("{value:.0} us")
}

/// The access token of a session of the crowd, as text: the same as the statement below makes.
fn text(number: u64) -> String {
    URL_SAFE_NO_PAD.encode(TokenHash::of(&number.to_be_bytes()).as_bytes())
}

/// Copies a client session that is there, each with an access token of its own.
async fn fill(site: &Site, backend: Backend<'_>) -> Result<()> {
    match backend {
        Backend::Sqlite => {
            let path = site.store().url.trim_start_matches("sqlite://").to_owned();
            tokio::task::spawn_blocking(move || fill_file(&path)).await?
        }
        Backend::Postgres(server) => {
            let url = site.store().url;
            let database = url.rsplit('/').next().and_then(|rest| rest.split('?').next());
            let database = database.context("the database's name")?;
            for statement in [
                format!(
                    "INSERT INTO sessions SELECT \
                     ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, account, client, \
                     parent, kind, connector, amr, acr, scope, authenticated_at, created_at, \
                     last_seen_at, idle_timeout_millis, expires_at, ip, user_agent, NULL, NULL \
                     FROM (SELECT * FROM sessions WHERE client IS NOT NULL LIMIT 1) AS one, \
                     generate_series(1, {CROWD}) AS n"
                ),
                format!(
                    "INSERT INTO access_tokens SELECT \
                     sha256(convert_to(translate(rtrim(encode(sha256(int8send(n)), 'base64'), '='), \
                     '+/', '-_'), 'UTF8')), \
                     ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, scope, \
                     created_at, expires_at FROM (SELECT * FROM access_tokens LIMIT 1) AS one, \
                     generate_series(1::bigint, {CROWD}::bigint) AS n"
                ),
                "VACUUM ANALYZE".to_owned(),
            ] {
                server.query(database, &statement)?;
            }
            Ok(())
        }
    }
}

fn fill_file(path: &str) -> Result<()> {
    let mut connection = rusqlite::Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    let transaction = connection.transaction()?;
    {
        let mut session = transaction.prepare(
            "INSERT INTO session SELECT ?1, account, client, parent, kind, connector, amr, acr, \
             scope, authenticated_at, created_at, last_seen_at, idle_timeout_millis, expires_at, \
             ip, user_agent, NULL, NULL FROM session WHERE client IS NOT NULL LIMIT 1",
        )?;
        let mut token = transaction.prepare(
            "INSERT INTO access_token SELECT ?1, ?2, scope, created_at, expires_at \
             FROM access_token LIMIT 1",
        )?;
        for number in 1..=CROWD {
            let mut id = [0; 16];
            id[8..].copy_from_slice(&number.to_be_bytes());
            let hash = Token::parse(&text(number)).context("a token")?.hash();
            session.execute([&id[..]])?;
            token.execute([&hash.as_bytes()[..], &id[..]])?;
        }
    }
    transaction.commit()?;
    Ok(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
}
