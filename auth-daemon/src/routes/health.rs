//! Liveness, readiness and metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::app::App;

/// How long a part may take to answer a probe.
const PROBE: Duration = Duration::from_secs(2);

/// `GET /healthz`: the process answers.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: `ok`, `degraded` (a directory is down: the others still let people in), or 503
/// `down` (store or key ring).
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    // A probe that hangs is a probe that fails: what does not answer in time is down.
    let store = async { matches!(timeout(PROBE, app.broker.store().ping()).await, Ok(Ok(()))) };
    let keys = async { matches!(timeout(PROBE, app.provider.ready()).await, Ok(Ok(()))) };
    let asked = app.broker.connectors().directories.iter().map(|directory| async {
        let state = match timeout(PROBE, directory.health()).await {
            Ok(Ok(())) => "ok",
            Ok(Err(error)) => error.reason(),
            Err(_) => "directory_timeout",
        };
        (directory.id().to_owned(), state)
    });
    let (store, keys, asked) = futures::join!(store, keys, futures::future::join_all(asked));
    let degraded = asked.iter().any(|(_, state)| *state != "ok");
    let directories: serde_json::Map<String, Value> =
        asked.into_iter().map(|(id, state)| (id, json!(state))).collect();
    let down = !store || !keys;
    let status = if down {
        "down"
    } else if degraded {
        "degraded"
    } else {
        "ok"
    };
    let word = |good: bool| if good { "ok" } else { "down" };
    let body = json!({
        "status": status,
        "store": word(store),
        "key_ring": word(keys),
        "directories": directories,
    });
    let code = if down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(body)).into_response()
}

/// `GET /metrics`: Prometheus text format.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.observe().await;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], app.metrics.render()).into_response()
}
