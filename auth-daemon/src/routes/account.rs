//! Self-service: who am I, where am I signed in.

use std::sync::Arc;

use auth_core::broker::sessions::RevokeTarget;
use auth_core::store::{SessionFilter, SessionId};
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::app::App;
use crate::error::PublicError;
use crate::extract::origin::RequestOrigin;
use crate::extract::signed_in::SignedIn;
use crate::pages;

/// Which session to end.
#[derive(Deserialize)]
pub(super) struct SessionForm {
    csrf: String,
    session: String,
}

/// `GET /account`.
pub(super) async fn show(signed_in: SignedIn) -> Response {
    let account = signed_in.session.account();
    let record = signed_in.session.record();
    let names = [account.first_name.as_deref(), account.last_name.as_deref()];
    let page = pages::Account {
        username: &account.username,
        name: &names.into_iter().flatten().collect::<Vec<_>>().join(" "),
        email: account.email.as_deref().unwrap_or_default(),
        connector: &record.connector,
        since: &record.created_at.rfc3339(),
        since_shown: &pages::moment(record.created_at),
        csrf: &signed_in.csrf,
    };
    pages::render(&page)
}

/// `GET /account/sessions`.
pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    signed_in: SignedIn,
) -> Result<Response, PublicError> {
    let account = Some(signed_in.session.account().id);
    let filter = SessionFilter { account, after: None, limit: 200 };
    let sessions: Vec<pages::SessionItem> = app
        .broker
        .list_sessions(filter)
        .await?
        .into_iter()
        .rev()
        .map(|session| pages::SessionItem {
            id: session.id.to_string(),
            current: session.id == signed_in.session.id(),
            what: session.client.unwrap_or_else(|| "Browser".to_owned()),
            last_seen_at: session.last_seen_at.rfc3339(),
            last_seen_shown: pages::moment(session.last_seen_at),
            ip: session.ip.unwrap_or_default(),
            user_agent: session.user_agent.unwrap_or_default(),
        })
        .collect();
    Ok(pages::render(&pages::Sessions { sessions: &sessions, csrf: &signed_in.csrf }))
}

/// `POST /account/sessions`: ends one of the person's own sessions, or all of them.
pub(super) async fn end_sessions(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    signed_in: SignedIn,
    Form(form): Form<SessionForm>,
) -> Result<Response, PublicError> {
    signed_in.check_form(&form.csrf)?;
    let account = signed_in.session.account();
    if form.session == "all" {
        let target = RevokeTarget::Account(Box::new(account.clone()));
        app.broker.revoke_sessions(target, "logout_everywhere", &origin).await?;
        return Ok(Redirect::to("/login").into_response());
    }
    let id = form.session.parse().map(SessionId).map_err(|_| PublicError::BadRequest)?;
    // A handle is no secret, so it must be one of the person's own.
    let own = app.broker.store().session(id).await?;
    if own.is_none_or(|session| session.account != account.id) {
        return Err(PublicError::NotFound);
    }
    app.broker.revoke_sessions(RevokeTarget::Session(id), "logout", &origin).await?;
    Ok(Redirect::to("/account/sessions").into_response())
}
