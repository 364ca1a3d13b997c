//! A program that is posted to: it keeps what came, in order, and answers as it is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::hmac;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::task::JoinHandle;

/// What came.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: String,
    /// Status of the answer.
    pub status: u16,
}

impl Posted {
    /// A header as text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The event of a post, once its signature is right (Standard Webhooks).
    ///
    /// # Errors
    /// The signature is not that of `secret` (`whsec_` and base64), or the body is no JSON.
    pub fn verified(&self, secret: &str) -> Result<Value> {
        let (id, at) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let key = STANDARD.decode(secret.strip_prefix("whsec_").context("whsec_")?)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signed = format!("{id}.{at}.{}", self.body);
        let signature = self.header("webhook-signature").strip_prefix("v1,").context("v1")?;
        hmac::verify(&key, signed.as_bytes(), &STANDARD.decode(signature)?)
            .ok()
            .context("signature")?;
        ensure!(id.starts_with("evt_"), "{id}");
        Ok(serde_json::from_str(&self.body)?)
    }
}

#[derive(Debug)]
struct Inner {
    posted: Vec<Posted>,
    status: u16,
}

/// A running receiver; dropping it stops it.
#[derive(Debug)]
pub struct Receiver {
    inner: Arc<Mutex<Inner>>,
    url: String,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Starts one that answers 200.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let inner = Arc::new(Mutex::new(Inner { posted: Vec::new(), status: 200 }));
        let app = axum::Router::new().route("/hook", post(take)).with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { inner, url, task })
    }

    /// Where to post.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).status = status;
    }

    /// What came so far.
    pub fn posted(&self) -> Vec<Posted> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).posted.clone()
    }

    /// What was answered with 200.
    pub fn taken(&self) -> Vec<Posted> {
        self.posted().into_iter().filter(|one| one.status == 200).collect()
    }

    /// Waits until the condition holds.
    ///
    /// # Errors
    /// It does not within `limit`.
    pub async fn wait(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        while !condition(self) {
            ensure!(began.elapsed() < limit, "{what}: not within {limit:?}: {:?}", self.posted());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

async fn take(
    State(inner): State<Arc<Mutex<Inner>>>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    let status = inner.status;
    inner.posted.push(Posted { headers, body, status });
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
}
