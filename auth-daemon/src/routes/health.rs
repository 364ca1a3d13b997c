//! Liveness, readiness and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;

/// `GET /healthz`: the process answers.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: `ok`, `degraded` (a directory is down: the others still let people in), or 503
/// `down` (store or key ring).
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let store = app.broker.store().ping().await;
    let keys = app.provider.ready().await;
    let mut directories = serde_json::Map::new();
    let mut degraded = false;
    for directory in &app.broker.connectors().directories {
        let health = directory.health().await;
        degraded |= health.is_err();
        let state = health.map_or_else(|error| json!(error.reason()), |()| json!("ok"));
        directories.insert(directory.id().to_owned(), state);
    }
    let down = store.is_err() || keys.is_err();
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
        "store": word(store.is_ok()),
        "key_ring": word(keys.is_ok()),
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
