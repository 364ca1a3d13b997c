//! The GitLab-compatible provider's endpoints for programs.

use std::sync::Arc;

use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::provider::{authorization, bearer, failure, grant_label, json};
use crate::app::App;
use crate::extract::origin::RequestOrigin;
use crate::mattermost::sign_in;

/// `POST /oauth/token`. Mattermost takes nothing but 200 for a good answer.
pub(super) async fn token(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Response {
    let grant = grant_label(&pairs);
    let outcome = app.provider.gitlab_token(authorization(&headers), &pairs, &origin).await;
    let result = if outcome.is_ok() { "issued" } else { "refused" };
    metrics::counter!("auth_tokens_total", "grant" => grant, "result" => result).increment(1);
    match outcome {
        Ok(tokens) => json(StatusCode::OK, tokens.body().to_string()),
        Err(error) => failure(&error),
    }
}

/// `GET /api/v4/user`.
pub(super) async fn user(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
) -> Response {
    match app.provider.gitlab_identity(bearer(&headers), &origin).await {
        Ok(identity) => {
            let (store, now) = (app.broker.store(), app.broker.now());
            sign_in::prepare(store.as_ref(), &app.targets, &identity, &origin, now).await;
            json(StatusCode::OK, identity.user().to_string())
        }
        Err(error) => failure(&error),
    }
}
