//! Refresh token rotations per second, durable: through the whole daemon, and by the store alone in
//! this process, on the same database and in turn. Each client has a session of its own and uses
//! the token that it was given last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use auth_core::clock::{Clock as _, SystemClock};
use auth_core::random::SystemRandom;
use auth_core::secret::{Token, TokenHash};
use auth_core::store::{AccessTokenRecord, RefreshRotation, RefreshTokenRecord, Store, TokenIssue};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::connection::{Connection, Request};
use super::figures::{Window, median};
use super::report::{Report, Row, per_second};
use super::site::{Backend, Plan, Site};

const MOST: usize = 64;
/// Numbers of clients by how their ID tokens are signed: RS256 is the default and by far the
/// larger part of the work, EdDSA is what a client can ask for.
const CLIENTS: [(&str, &[usize]); 2] = [("RS256", &[1, 16, MOST]), ("EdDSA", &[MOST])];
const ROUNDS: usize = 2;
const WARM_UP: Duration = Duration::from_millis(300);
const LENGTH: Duration = Duration::from_millis(1700);
const RATIO_GOAL: f64 = 0.5;
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Measures rotations on one backend.
pub(super) async fn measure(report: &mut Report, backend: Backend<'_>) -> Result<()> {
    for (signature, clients) in CLIENTS {
        signed(report, backend, signature, clients).await?;
    }
    Ok(())
}

async fn signed(
    report: &mut Report,
    backend: Backend<'_>,
    signature: &'static str,
    clients: &[usize],
) -> Result<()> {
    let mut site = Site::start(backend, Plan { signature, ..Plan::of(2 * MOST) }).await?;
    let mut through_daemon = Vec::new();
    let mut by_store = Vec::new();
    for (index, tokens) in std::mem::take(&mut site.sessions).into_iter().enumerate() {
        let token = tokens.refresh_token.context("no refresh token")?;
        if index < MOST { through_daemon.push(token) } else { by_store.push(token) }
    }
    let alone = StoreAlone::open(&site, &by_store).await?;
    let daemon = WholeDaemon { address: site.address()?, headers: site.client_headers() };
    let mut hashes = alone.hashes.clone();
    for &clients in clients {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(alone.round(&mut hashes, clients).await?);
            ours.push(daemon.round(&mut through_daemon, clients).await?);
        }
        let (rate, beside) = (median(&ours)?, median(&theirs)?);
        let absolute = match backend {
            Backend::Sqlite => 8000.0,
            Backend::Postgres(_) => 5000.0,
        };
        let (goal, reached) = if clients == MOST {
            (
                format!("ratio at least 0.50, {}", per_second(absolute)),
                rate / beside >= RATIO_GOAL && rate >= absolute,
            )
        } else {
            ("ratio at least 0.50".into(), rate / beside >= RATIO_GOAL)
        };
        report.add(Row {
            what: "refresh rotation, durable".into(),
            of: format!("{}, {clients} clients, {signature}", backend.name()),
            daemon: per_second(rate),
            beside: format!("store alone {}", per_second(beside)),
            ratio: Some(rate / beside),
            goal,
            reached: Some(reached),
        });
    }
    alone.close().await;
    Ok(())
}

struct WholeDaemon {
    address: SocketAddr,
    headers: Vec<String>,
}

#[derive(Deserialize)]
struct Refreshed {
    refresh_token: String,
}

impl WholeDaemon {
    async fn round(&self, tokens: &mut [String], clients: usize) -> Result<f64> {
        let window = Window::default();
        let mut tasks = JoinSet::new();
        for (index, token) in tokens.iter().take(clients).enumerate() {
            let (token, headers, window) = (token.clone(), self.headers.clone(), window.clone());
            let connection = Connection::open(self.address).await?;
            tasks.spawn(async move {
                Ok::<_, anyhow::Error>((index, refresh(connection, &headers, token, window).await?))
            });
        }
        let rate = window.rate(WARM_UP, LENGTH).await;
        while let Some(client) = tasks.join_next().await {
            let (index, token) = client??;
            *tokens.get_mut(index).context("client")? = token;
        }
        Ok(rate)
    }
}

async fn refresh(
    mut connection: Connection,
    headers: &[String],
    mut token: String,
    window: Window,
) -> Result<String> {
    while !window.is_closed() {
        let body = format!("grant_type=refresh_token&refresh_token={token}");
        let request = Request { method: "POST", path: "/oauth2/token", headers, body: &body };
        let answer = connection.send(&request.bytes()).await?.expect(200)?;
        let refreshed: Refreshed = serde_json::from_slice(&answer.body)?;
        ensure!(refreshed.refresh_token != token, "the token was not rotated");
        token = refreshed.refresh_token;
        window.completed();
    }
    Ok(token)
}

/// The store, with one thread per core as the daemon has them.
struct StoreAlone {
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
    hashes: Vec<TokenHash>,
}

impl StoreAlone {
    async fn open(site: &Site, tokens: &[String]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let options = site.store();
        // There, because what drives its connections belongs to the runtime that opens it.
        let store = runtime.spawn(async move { auth_store::open(&options, &[]).await }).await??;
        let hashes = tokens.iter().map(|token| Token::parse(token).map(|token| token.hash()));
        let hashes =
            hashes.collect::<Option<Vec<_>>>().context("a refresh token of another form")?;
        Ok(Self { runtime, store, hashes })
    }

    async fn round(&self, hashes: &mut [TokenHash], clients: usize) -> Result<f64> {
        let window = Window::default();
        let mut tasks = JoinSet::new();
        for (index, hash) in hashes.iter().copied().take(clients).enumerate() {
            let (store, window) = (Arc::clone(&self.store), window.clone());
            let client = async move {
                Ok::<_, anyhow::Error>((index, rotate(store.as_ref(), hash, window).await?))
            };
            tasks.spawn_on(client, self.runtime.handle());
        }
        let rate = window.rate(WARM_UP, LENGTH).await;
        while let Some(client) = tasks.join_next().await {
            let (index, hash) = client??;
            *hashes.get_mut(index).context("client")? = hash;
        }
        Ok(rate)
    }

    async fn close(self) {
        self.store.close().await;
        self.runtime.shutdown_background();
    }
}

async fn rotate(store: &dyn Store, mut presented: TokenHash, window: Window) -> Result<TokenHash> {
    let random = SystemRandom::new();
    let found = store.refresh_token(presented).await?.context("no such refresh token")?;
    let (session, scope) = (found.session.id, found.session.scope);
    while !window.is_closed() {
        let now = SystemClock.now();
        let successor = Token::generate(&random).hash();
        let access = AccessTokenRecord {
            hash: Token::generate(&random).hash(),
            session,
            scope: scope.clone(),
            created_at: now,
            expires_at: now + LIFETIME,
        };
        let refresh = RefreshTokenRecord {
            hash: successor,
            session,
            predecessor: Some(presented),
            created_at: now,
            expires_at: now + LIFETIME,
            used_at: None,
        };
        let issue = TokenIssue { access, refresh: Some(refresh) };
        let rotation =
            RefreshRotation { presented, first_use: true, now, issue, audit: Vec::new() };
        ensure!(store.rotate_refresh_token(rotation).await?, "the store refused a rotation");
        presented = successor;
        window.completed();
    }
    Ok(presented)
}
