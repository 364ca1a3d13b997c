//! The REST API, version 4, as far as a single sign-on needs it.

use axum::Json;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ADMIN_TOKEN, Server, Shared, User, ok, refusal, rules};

/// Whoever holds the administrator's token.
pub(super) struct Admin;

impl FromRequestParts<Shared> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Response> {
        if bearer(&parts.headers) == Some(ADMIN_TOKEN) {
            return Ok(Self);
        }
        Err(refusal(StatusCode::UNAUTHORIZED, "api.context.session_expired.app_error", "expired"))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// An account without what the API never tells.
fn shown(user: &User) -> Value {
    json!({
        "id": user.id, "username": user.username, "email": user.email,
        "email_verified": user.email_verified, "auth_service": user.auth_service, "auth_data": "",
        "first_name": user.first_name, "last_name": user.last_name, "nickname": user.nickname,
        "position": user.position, "locale": user.locale, "roles": user.roles,
        "delete_at": user.delete_at, "is_bot": user.is_bot, "update_at": 1,
    })
}

fn not_found() -> Response {
    refusal(StatusCode::NOT_FOUND, "app.user.missing_account.const", "not found")
}

fn change(
    state: &mut Server,
    id: &str,
    change: impl FnOnce(&mut User),
) -> Result<Response, Response> {
    let user = state.users.get(id).ok_or_else(not_found)?;
    let mut changed = user.clone();
    change(&mut changed);
    if let Err(error) = state.check_unique(&changed) {
        return Err(refusal(StatusCode::BAD_REQUEST, error, "taken"));
    }
    let answer = shown(&changed);
    state.users.insert(id.to_owned(), changed);
    Ok(ok(answer))
}

pub(super) async fn me(State(server): State<Shared>, headers: HeaderMap) -> Response {
    let state = server.open();
    let token = bearer(&headers).unwrap_or_default();
    let is_holder = |user: &&User| {
        user.sessions.contains(token) || (token == ADMIN_TOKEN && user.username == "root")
    };
    match state.users.values().find(is_holder) {
        Some(user) => ok(shown(user)),
        None => {
            let id = "api.context.session_expired.app_error";
            refusal(StatusCode::UNAUTHORIZED, id, "session expired")
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Page {
    page: usize,
    per_page: usize,
}

pub(super) async fn list(
    _: Admin,
    State(server): State<Shared>,
    Query(page): Query<Page>,
) -> Response {
    let state = server.open();
    let size = page.per_page.min(200);
    let users = state.users.values().skip(page.page * size).take(size).map(shown);
    ok(Value::Array(users.collect()))
}

pub(super) async fn show(
    _: Admin,
    State(server): State<Shared>,
    Path(id): Path<String>,
) -> Response {
    server.open().users.get(&id).map_or_else(not_found, |user| ok(shown(user)))
}

pub(super) async fn create(
    _: Admin,
    State(server): State<Shared>,
    Json(body): Json<Value>,
) -> Response {
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let mut state = server.open();
    let user = User {
        id: state.new_id(),
        username: text("username"),
        email: text("email"),
        email_verified: body["email_verified"].as_bool().unwrap_or(false),
        auth_service: text("auth_service"),
        auth_data: body["auth_data"].as_str().filter(|data| !data.is_empty()).map(str::to_owned),
        first_name: text("first_name"),
        last_name: text("last_name"),
        nickname: text("nickname"),
        position: text("position"),
        locale: text("locale"),
        roles: "system_user".to_owned(),
        ..User::default()
    };
    if !rules::is_valid_username(&user.username) {
        return refusal(StatusCode::BAD_REQUEST, "model.user.is_valid.username.app_error", "name");
    }
    if user.auth_data.is_none() && body["password"].as_str().is_none() {
        return refusal(StatusCode::BAD_REQUEST, "model.user.is_valid.pwd.app_error", "password");
    }
    if let Err(error) = state.check_unique(&user) {
        return refusal(StatusCode::BAD_REQUEST, error, "taken");
    }
    let answer = shown(&user);
    state.users.insert(user.id.clone(), user);
    let mut response = ok(answer);
    *response.status_mut() = StatusCode::CREATED;
    response
}

pub(super) async fn set_active(
    _: Admin,
    State(server): State<Shared>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let Some(active) = body["active"].as_bool() else {
        return refusal(StatusCode::BAD_REQUEST, "api.context.invalid_body_param.app_error", "");
    };
    let mut state = server.open();
    let Some(user) = state.users.get_mut(&id) else { return not_found() };
    if user.auth_service == "ldap" {
        return refusal(StatusCode::FORBIDDEN, "api.user.update_active.cannot_modify_status", "");
    }
    user.delete_at = if active { 0 } else { 1_764_000_000_000 };
    if !active {
        user.sessions.clear();
    }
    ok(json!({ "status": "OK" }))
}

pub(super) async fn set_auth(
    _: Admin,
    State(server): State<Shared>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let (Some(service), Some(data)) = (text("auth_service"), text("auth_data")) else {
        return refusal(StatusCode::BAD_REQUEST, "api.user.update_user_auth.invalid_request", "");
    };
    let mut state = server.open();
    let changed = change(&mut state, &id, |user| {
        (user.auth_service, user.auth_data) = (service, Some(data));
    });
    changed.unwrap_or_else(|refusal| refusal)
}

pub(super) async fn patch(
    _: Admin,
    State(server): State<Shared>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let mut state = server.open();
    let Some(user) = state.users.get(&id) else { return not_found() };
    // Names belong to the sign-in provider, for an administrator too.
    let locked = ["username", "first_name", "last_name", "email"];
    if user.auth_service == "gitlab" && locked.iter().any(|key| body.get(*key).is_some()) {
        let id = "api.user.patch_user.login_provider_attribute_set.app_error";
        return refusal(StatusCode::CONFLICT, id, "set by the login provider");
    }
    let changed = change(&mut state, &id, |user| {
        for (key, field) in [
            ("nickname", &mut user.nickname),
            ("position", &mut user.position),
            ("locale", &mut user.locale),
        ] {
            if let Some(value) = body[key].as_str() {
                value.clone_into(field);
            }
        }
    });
    changed.unwrap_or_else(|refusal| refusal)
}

pub(super) async fn revoke_all(
    _: Admin,
    State(server): State<Shared>,
    Path(id): Path<String>,
) -> Response {
    let mut state = server.open();
    let Some(user) = state.users.get_mut(&id) else { return not_found() };
    user.sessions.clear();
    ok(json!({ "status": "OK" }))
}

pub(super) async fn revoke_everybody(_: Admin, State(server): State<Shared>) -> Response {
    server.open().users.values_mut().for_each(|user| user.sessions.clear());
    ok(json!({ "status": "OK" }))
}

pub(super) async fn client_config(State(server): State<Shared>) -> Response {
    ok(json!({
        "Version": "10.11.0",
        "SiteURL": server.open().site,
        "EnableSignUpWithGitLab": "true",
    }))
}

pub(super) async fn team(
    _: Admin,
    State(server): State<Shared>,
    Path(name): Path<String>,
) -> Response {
    let state = server.open();
    state.teams.get(&name).map_or_else(not_found, |id| ok(json!({ "id": id, "name": name })))
}

pub(super) async fn channel(
    _: Admin,
    State(server): State<Shared>,
    Path((team, name)): Path<(String, String)>,
) -> Response {
    let state = server.open();
    let found = state.channels.get(&(team, name.clone()));
    found.map_or_else(not_found, |id| ok(json!({ "id": id, "name": name })))
}

pub(super) async fn member(
    _: Admin,
    State(server): State<Shared>,
    Path((_, id, user)): Path<(String, String, String)>,
) -> Response {
    if server.open().members.contains(&(id.clone(), user.clone())) {
        return ok(json!({ "team_id": id, "user_id": user, "delete_at": 0 }));
    }
    not_found()
}

pub(super) async fn add_member(
    _: Admin,
    State(server): State<Shared>,
    Path((kind, id)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    let mut state = server.open();
    let user = body["user_id"].as_str().unwrap_or_default().to_owned();
    if !state.users.contains_key(&user) {
        return not_found();
    }
    if kind == "channels" {
        // Only members of the team can join its channels.
        let team = state.channels.iter().find(|(_, channel)| **channel == id);
        let team = team.map(|((team, _), _)| team.clone()).unwrap_or_default();
        if !state.members.contains(&(team, user.clone())) {
            return refusal(StatusCode::FORBIDDEN, "api.channel.add_user.to.channel.failed", "");
        }
    } else if body["team_id"] != id.as_str() {
        return refusal(StatusCode::BAD_REQUEST, "api.context.invalid_body_param.app_error", "");
    }
    state.members.insert((id, user));
    let mut response = ok(json!({}));
    *response.status_mut() = StatusCode::CREATED;
    response
}

pub(super) async fn remove_member(
    _: Admin,
    State(server): State<Shared>,
    Path((_, id, user)): Path<(String, String, String)>,
) -> Response {
    let mut state = server.open();
    if !state.members.remove(&(id, user)) {
        return not_found();
    }
    ok(json!({ "status": "OK" }))
}
