//! The plainest server that could answer a check: axum, one handler, the same JSON every time. It
//! runs as a program of its own (`bench --bare-axum`), with as many threads as the daemon.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;

use crate::harness::process::Process;

/// The option that makes the program this server.
pub const OPTION: &str = "--bare-axum";

const START: Duration = Duration::from_secs(10);
const LISTENING: &str = "listening on ";

/// As much as an introspection answer says.
#[derive(Serialize)]
struct Answer {
    active: bool,
    scope: &'static str,
    client_id: &'static str,
    username: &'static str,
    token_type: &'static str,
    exp: i64,
    iat: i64,
    sub: &'static str,
    aud: &'static str,
    iss: &'static str,
    sid: &'static str,
    acr: &'static str,
    auth_time: i64,
}

/// Serves until the process is killed.
///
/// # Errors
/// No address can be had.
pub async fn serve() -> Result<()> {
    let router = Router::new()
        .route("/oauth2/introspect", post(answer))
        .route("/oauth2/userinfo", get(answer))
        .route("/account", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{LISTENING}{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

async fn answer() -> Json<Answer> {
    Json(Answer {
        active: true,
        scope: "openid profile email",
        client_id: "bench",
        username: "bench",
        token_type: "Bearer",
        exp: 1_764_000_600,
        iat: 1_764_000_000,
        sub: "019ab000-0000-7000-8000-000000000000",
        aud: "bench",
        iss: "http://localhost:18000",
        sid: "019ab000-0000-7000-8000-000000000001",
        acr: "urn:auth:aal1",
        auth_time: 1_764_000_000,
    })
}

/// The bare server as a running program.
#[derive(Debug)]
pub(super) struct Bare {
    process: Process,
    /// Address and port.
    pub(super) address: String,
}

impl Bare {
    /// Starts it with so many threads.
    pub(super) async fn start(program: &Path, threads: usize) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg(OPTION).env("TOKIO_WORKER_THREADS", threads.to_string());
        let mut process = Process::start("bare axum", command)?;
        let pick = |line: &str| line.strip_prefix(LISTENING).map(str::to_owned);
        let address = process.wait_for("address", START, pick).await.context("bare axum")?;
        Ok(Self { process, address })
    }

    /// Process id.
    pub(super) fn process_id(&self) -> u32 {
        self.process.id()
    }
}
