//! The calls, and what their answers mean for whether to call again.

use std::time::Duration;

use auth_core::handoff::mattermost::{AUTH_SERVICE, RemoteUser};
use auth_core::reach::Reach;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use url::Url;

use crate::outbound::{Answer, Outbound, send};
use crate::outbox::MattermostTarget;

/// A page of 200 accounts with all their properties stays far below.
const ANSWER: usize = 8 * 1024 * 1024;
/// Accounts of one page, the most that Mattermost gives.
const PAGE: usize = 200;

/// Why a call did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// There is no such thing there.
    #[error("not found")]
    NotFound,
    /// Refused for what was asked; asking again is no use.
    #[error("refused with {status}: {id} {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Mattermost's own id of the error.
        id: String,
        /// Its text.
        message: String,
    },
    /// Not now: the server is down or busy, or does not accept the token.
    #[error("{error}")]
    Later {
        /// What it asked for.
        retry_after: Option<Duration>,
        /// What happened.
        error: String,
    },
}

/// The API of one server.
#[derive(Clone, Copy)]
pub(crate) struct Api<'a> {
    pub(crate) http: &'a Outbound,
    pub(crate) target: &'a MattermostTarget,
}

impl Api<'_> {
    /// The account whose token we hold.
    pub(crate) async fn me(&self) -> Result<RemoteUser, CallError> {
        read(self.call(Method::GET, &["users", "me"], &[], None).await?)
    }

    /// One account.
    pub(crate) async fn user(&self, id: &str) -> Result<RemoteUser, CallError> {
        read(self.call(Method::GET, &["users", id], &[], None).await?)
    }

    /// One page of all accounts; an empty one is the end.
    pub(crate) async fn users(&self, page: usize) -> Result<Vec<RemoteUser>, CallError> {
        let query = [("page", page.to_string()), ("per_page", PAGE.to_string())];
        read(self.call(Method::GET, &["users"], &query, None).await?)
    }

    /// Makes an account.
    pub(crate) async fn create_user(&self, user: Value) -> Result<RemoteUser, CallError> {
        read(self.call(Method::POST, &["users"], &[], Some(user)).await?)
    }

    /// Lets an account sign in, or keeps it out.
    pub(crate) async fn set_active(&self, id: &str, active: bool) -> Result<(), CallError> {
        let body = json!({ "active": active });
        self.call(Method::PUT, &["users", id, "active"], &[], Some(body)).await.map(drop)
    }

    /// Ends all sessions of an account.
    pub(crate) async fn end_sessions(&self, id: &str) -> Result<(), CallError> {
        let path = ["users", id, "sessions", "revoke", "all"];
        self.call(Method::POST, &path, &[], None).await.map(drop)
    }

    /// Ends everybody's sessions.
    pub(crate) async fn end_all_sessions(&self) -> Result<(), CallError> {
        let path = ["users", "sessions", "revoke", "all"];
        self.call(Method::POST, &path, &[], None).await.map(drop)
    }

    /// Changes fields of an account.
    pub(crate) async fn patch(
        &self,
        id: &str,
        fields: Map<String, Value>,
    ) -> Result<(), CallError> {
        let body = Some(Value::Object(fields));
        self.call(Method::PUT, &["users", id, "patch"], &[], body).await.map(drop)
    }

    /// Makes an account sign in through us, as this number. Its password is dead from then on.
    pub(crate) async fn set_auth(&self, id: &str, numeric_id: i64) -> Result<(), CallError> {
        let body = json!({ "auth_service": AUTH_SERVICE, "auth_data": numeric_id.to_string() });
        self.call(Method::PUT, &["users", id, "auth"], &[], Some(body)).await.map(drop)
    }

    /// Id of a team by its name.
    pub(crate) async fn team_id(&self, team: &str) -> Result<String, CallError> {
        id_of(&self.call(Method::GET, &["teams", "name", team], &[], None).await?)
    }

    /// Id of a channel by its name and its team's id.
    pub(crate) async fn channel_id(&self, team: &str, name: &str) -> Result<String, CallError> {
        let path = ["teams", team, "channels", "name", name];
        id_of(&self.call(Method::GET, &path, &[], None).await?)
    }

    /// Whether an account belongs to a team or channel (`teams` or `channels`).
    pub(crate) async fn is_member(
        &self,
        kind: &str,
        of: &str,
        user: &str,
    ) -> Result<bool, CallError> {
        match self.call(Method::GET, &[kind, of, "members", user], &[], None).await {
            // A former member of a team is still there, with the time of leaving.
            Ok(member) => Ok(member.get("delete_at").and_then(Value::as_i64).unwrap_or(0) == 0),
            Err(CallError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds an account to a team or channel.
    pub(crate) async fn add_member(
        &self,
        kind: &str,
        of: &str,
        user: &str,
    ) -> Result<(), CallError> {
        let body = match kind {
            "teams" => json!({ "team_id": of, "user_id": user }),
            _ => json!({ "user_id": user }),
        };
        self.call(Method::POST, &[kind, of, "members"], &[], Some(body)).await.map(drop)
    }

    /// Takes an account out of a team or channel.
    pub(crate) async fn remove_member(
        &self,
        kind: &str,
        of: &str,
        user: &str,
    ) -> Result<(), CallError> {
        self.call(Method::DELETE, &[kind, of, "members", user], &[], None).await.map(drop)
    }

    /// Settings that the server shows to everybody, by their names of old.
    pub(crate) async fn client_config(&self) -> Result<Map<String, Value>, CallError> {
        let query = [("format", "old".to_owned())];
        read(self.call(Method::GET, &["config", "client"], &query, None).await?)
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<Value, CallError> {
        let later = |error: String| CallError::Later { retry_after: None, error };
        let url = self.url(path)?;
        let request = self.target_request(method, &url).map_err(later)?.query(query);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = send(request, ANSWER).await.map_err(later)?;
        judge(&answer)?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| later(format!("the answer is no JSON: {error}")))
    }

    fn target_request(&self, method: Method, url: &Url) -> Result<reqwest::RequestBuilder, String> {
        let request = self.http.request(method, url, Reach::Local)?;
        Ok(request.bearer_auth(self.target.token.expose()))
    }

    /// Ids and names come from elsewhere: each is one segment, and none may lead out of its place.
    fn url(&self, path: &[&str]) -> Result<Url, CallError> {
        let refused = |message: &str| CallError::Refused {
            status: 0,
            id: String::new(),
            message: message.to_owned(),
        };
        let sound = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !path.iter().all(sound) {
            return Err(refused("an id or name holds characters that it cannot hold"));
        }
        let mut url = self.target.url.clone();
        url.path_segments_mut()
            .map_err(|()| refused("the server's address takes no path"))?
            .pop_if_empty()
            .extend(["api", "v4"])
            .extend(path);
        Ok(url)
    }
}

fn judge(answer: &Answer) -> Result<(), CallError> {
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |key: &str| {
        let text = told.get(key).and_then(Value::as_str).unwrap_or_default();
        text.chars().filter(|c| !c.is_control()).take(200).collect::<String>()
    };
    let id = text("id");
    let later = |error: String| CallError::Later { retry_after: answer.retry_after(), error };
    Err(match status {
        StatusCode::NOT_FOUND => CallError::NotFound,
        StatusCode::UNAUTHORIZED => later("the server does not accept the token (401)".to_owned()),
        StatusCode::FORBIDDEN => {
            later(format!("the token may not do that (403 {id}): is it a system administrator's?"))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            later(format!("answered {status}"))
        }
        _ if status.is_server_error() || status.is_redirection() => {
            later(format!("answered {status} {id}"))
        }
        _ => CallError::Refused { status: status.as_u16(), id, message: text("message") },
    })
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, CallError> {
    serde_json::from_value(value).map_err(|error| CallError::Later {
        retry_after: None,
        error: format!("the answer is not what it should be: {error}"),
    })
}

fn id_of(value: &Value) -> Result<String, CallError> {
    let id = value.get("id").and_then(Value::as_str).map(str::to_owned);
    id.ok_or_else(|| CallError::Later {
        retry_after: None,
        error: "the answer names no id".to_owned(),
    })
}
