//! The sign-in by GitLab as Mattermost does it (`server/channels/app/oauth.go`): cookie, state,
//! exchange of the code, and the one question who it is.

use axum::extract::{Query, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::{GitLabSettings, Shared, rules};

#[derive(Deserialize)]
pub(super) struct Begin {
    redirect_to: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Complete {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// `GET /oauth/gitlab/login`.
pub(super) async fn begin(State(server): State<Shared>, Query(query): Query<Begin>) -> Response {
    let mut state = server.open();
    let (token, cookie) = (format!("{}token", state.new_id()), state.new_id());
    state.states.insert(token.clone(), cookie.clone());
    let mut props = json!({ "action": "login", "isMobile": "false", "token": token });
    if let Some(to) = query.redirect_to {
        props["redirect_to"] = to.into();
    }
    let props = STANDARD.encode(props.to_string());
    let escape = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let GitLabSettings { id, issuer, scope, .. } = &state.gitlab;
    // The client id is put in as it is, and the endpoint may hold no query.
    let mut location = format!(
        "{issuer}/oauth/authorize?response_type=code&client_id={id}&redirect_uri={}&state={}",
        escape(&format!("{}/signup/gitlab/complete", state.site)),
        escape(&props),
    );
    if !scope.is_empty() {
        location.push_str(&format!("&scope={}", escape(scope)));
    }
    let cookie = format!("MMOAUTH={cookie}; Path=/; Max-Age=1800; HttpOnly");
    (StatusCode::FOUND, [("location", location), ("set-cookie", cookie)]).into_response()
}

/// `GET /signup/gitlab/complete`.
pub(super) async fn complete(
    State(server): State<Shared>,
    Query(query): Query<Complete>,
    headers: HeaderMap,
) -> Response {
    let page = |status: StatusCode, message: &str| -> Response {
        (status, axum::response::Html(format!("<p id=\"error\">{message}</p>"))).into_response()
    };
    let bad = |message: &str| page(StatusCode::BAD_REQUEST, message);
    if let Some(error) = query.error {
        return bad(if error == "access_denied" {
            "oauth_access_denied"
        } else {
            "oauth_missing_code"
        });
    }
    let Some(code) = query.code.filter(|code| !code.is_empty()) else {
        return bad("oauth_missing_code");
    };
    let props = query.state.as_deref().and_then(|state| STANDARD.decode(state).ok());
    let props = props.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some(props) = props else { return bad("Invalid state") };
    let token = props["token"].as_str().unwrap_or_default();
    let (gitlab, site) = {
        let mut state = server.open();
        let Some(cookie) = state.states.remove(token) else { return bad("Invalid state token") };
        let sent = headers.get(COOKIE).and_then(|all| all.to_str().ok()).unwrap_or_default();
        if !sent.split("; ").any(|pair| pair == format!("MMOAUTH={cookie}")) {
            return bad("Invalid state");
        }
        (state.gitlab.clone(), state.site.clone())
    };
    let user = match exchange(&gitlab, &site, &code).await {
        Ok(user) => user,
        Err(message) => return page(StatusCode::INTERNAL_SERVER_ERROR, &message),
    };
    let mut state = server.open();
    let id = match rules::user_of_gitlab(&user).and_then(|user| state.admit(user)) {
        Ok(id) => id,
        Err(message) => return bad(message),
    };
    let session = format!("session-{}", state.new_id());
    if let Some(user) = state.users.get_mut(&id) {
        user.sessions.insert(session.clone());
    }
    let to = props["redirect_to"].as_str().unwrap_or("/");
    let mut response =
        (StatusCode::TEMPORARY_REDIRECT, [("location", format!("{site}{to}"))]).into_response();
    for cookie in [
        "MMOAUTH=; Path=/; Max-Age=0".to_owned(),
        format!("MMAUTHTOKEN={session}; Path=/; HttpOnly"),
    ] {
        if let Ok(value) = cookie.parse() {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    response
}

/// The two calls to the provider, field by field as Mattermost sends them and as strictly read.
async fn exchange(gitlab: &GitLabSettings, site: &str, code: &str) -> Result<Value, String> {
    let http = crate::harness::http::client_builder().build().map_err(|error| error.to_string())?;
    let redirect_uri = format!("{site}/signup/gitlab/complete");
    let fields = [
        ("client_id", gitlab.id.as_str()),
        ("client_secret", &gitlab.secret),
        ("code", code),
        ("grant_type", "authorization_code"),
        ("redirect_uri", &redirect_uri),
    ];
    let answer = http
        .post(format!("{}/oauth/token", gitlab.issuer))
        .form(&fields)
        .header("accept", "application/json")
        .header("user-agent", "Mattermost-Bot/1.1")
        .header("accept-encoding", "gzip")
        .send()
        .await
        .map_err(|error| error.to_string())?;
    if answer.status() != 200 {
        return Err(format!("Bad response from token request: {}", answer.status()));
    }
    let token: Value = read(answer).await?;
    let access = token["access_token"].as_str().filter(|token| !token.is_empty());
    let access = access.ok_or("Missing access token")?;
    if token["token_type"].as_str().unwrap_or_default().to_lowercase() != "bearer" {
        return Err("Bad token type".to_owned());
    }
    if token["expires_in"].as_i64().and_then(|seconds| i32::try_from(seconds).ok()).is_none() {
        return Err("expires_in is no int32".to_owned());
    }
    let answer = http
        .get(format!("{}/api/v4/user", gitlab.issuer))
        .bearer_auth(access)
        .header("accept", "application/json")
        .header("content-type", "application/x-www-form-urlencoded")
        .send()
        .await
        .map_err(|error| error.to_string())?;
    if answer.status() != 200 {
        return Err(format!("Could not get user: {}", answer.status()));
    }
    read(answer).await
}

async fn read(answer: reqwest::Response) -> Result<Value, String> {
    let body = answer.text().await.map_err(|error| error.to_string())?;
    serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))
}
