//! A chat server written from Mattermost's published API and sources, not from ours: its side of
//! the sign-in by GitLab, and the REST calls of version 4 that a single sign-on needs.
//!
//! It judges: whatever Mattermost would refuse, it refuses, with the same status. It keeps a list
//! of all calls with their time, and can be made slow, busy or broken.

mod api;
mod rules;
mod sign_in;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Token of the system administrator that every server begins with.
pub const ADMIN_TOKEN: &str = "admin-personal-access-token";

/// An account as Mattermost stores it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Id of 26 characters.
    pub id: String,
    /// User name.
    pub username: String,
    /// Address.
    pub email: String,
    /// Whether it was proved.
    pub email_verified: bool,
    /// Empty for a password.
    pub auth_service: String,
    /// Unique over all services; never told.
    pub auth_data: Option<String>,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Nickname.
    pub nickname: String,
    /// Position.
    pub position: String,
    /// Language.
    pub locale: String,
    /// Roles, separated by blanks.
    pub roles: String,
    /// When it was deactivated; 0 for never.
    pub delete_at: i64,
    /// Whether it is a bot's.
    pub is_bot: bool,
    /// Tokens of its sessions.
    pub sessions: BTreeSet<String>,
}

/// A call that came to the REST API.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method and path below `/api/v4`, for example `PUT /users/ID/active`.
    pub line: String,
    /// Status of the answer.
    pub status: u16,
    /// When it was answered.
    pub at: Instant,
}

/// Settings `GitLabSettings`.
#[derive(Clone, Debug, Default)]
pub struct GitLabSettings {
    /// Client id.
    pub id: String,
    /// Client secret.
    pub secret: String,
    /// Issuer of the provider, from which the three endpoints follow.
    pub issuer: String,
    /// Scope; left out when empty.
    pub scope: String,
}

/// What every handler shares.
#[derive(Debug, Default)]
struct Server {
    site: String,
    gitlab: GitLabSettings,
    users: BTreeMap<String, User>,
    /// Pending sign-ins: token of the state, and cookie.
    states: BTreeMap<String, String>,
    /// Team names and ids, channel names and ids by team id.
    teams: BTreeMap<String, String>,
    channels: BTreeMap<(String, String), String>,
    /// (team or channel id, user id).
    members: BTreeSet<(String, String)>,
    calls: Vec<Call>,
    /// Answers that the next calls get instead of their own: status and `Retry-After`.
    trouble: Vec<(u16, Option<u64>)>,
    /// Answers every call with this status until it is taken away.
    outage: Option<u16>,
    next_id: u64,
}

type Shared = Arc<parking::Lock<Server>>;

/// A lock whose poison is of no interest: a panicking handler fails the test anyway.
mod parking {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    #[derive(Debug, Default)]
    pub(super) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        pub(super) fn open(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Mattermost {
    server: Shared,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Mattermost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mattermost {
    /// Starts one with an administrator (`root`) and a bot.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server: Shared = Shared::default();
        {
            let mut state = server.open();
            state.site = format!("http://{address}");
            for (name, roles, is_bot) in
                [("root", "system_user system_admin", false), ("robot", "system_user", true)]
            {
                let id = state.new_id();
                state.users.insert(
                    id.clone(),
                    User {
                        id,
                        username: name.to_owned(),
                        email: format!("{name}@example.org"),
                        email_verified: true,
                        roles: roles.to_owned(),
                        is_bot,
                        ..User::default()
                    },
                );
            }
        }
        let app = router(Arc::clone(&server));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { server, address, task })
    }

    /// Its Site URL.
    pub fn site(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The two redirect URIs that its documentation tells to register.
    pub fn redirect_uris(&self) -> [String; 2] {
        ["signup", "login"].map(|word| format!("{}/{word}/gitlab/complete", self.site()))
    }

    /// Sets `GitLabSettings`.
    pub fn connect(&self, issuer: &str, id: &str, secret: &str) {
        self.server.open().gitlab = GitLabSettings {
            id: id.to_owned(),
            secret: secret.to_owned(),
            issuer: issuer.to_owned(),
            scope: "read_user".to_owned(),
        };
    }

    /// Adds an account as it was before the single sign-on.
    pub fn add_user(&self, user: User) -> String {
        let mut state = self.server.open();
        let id = state.new_id();
        state.users.insert(id.clone(), User { id: id.clone(), ..user });
        id
    }

    /// Changes an account behind the API's back.
    pub fn change_user(&self, id: &str, change: impl FnOnce(&mut User)) {
        if let Some(user) = self.server.open().users.get_mut(id) {
            change(user);
        }
    }

    /// Adds a team with channels.
    pub fn add_team(&self, name: &str, channels: &[&str]) {
        let mut state = self.server.open();
        let team = state.new_id();
        state.teams.insert(name.to_owned(), team.clone());
        for channel in channels {
            let id = state.new_id();
            state.channels.insert((team.clone(), (*channel).to_owned()), id);
        }
    }

    /// Puts somebody into a team by hand.
    pub fn join(&self, team: &str, user: &str) {
        let mut state = self.server.open();
        if let Some(id) = state.teams.get(team).cloned() {
            state.members.insert((id, user.to_owned()));
        }
    }

    /// Names of the teams and channels (`team/channel`) that somebody is in.
    pub fn memberships(&self, user: &str) -> Vec<String> {
        let state = self.server.open();
        let is_in = |id: &String| state.members.contains(&(id.clone(), user.to_owned()));
        let teams = state.teams.iter().filter(|(_, id)| is_in(id)).map(|(name, _)| name.clone());
        let channels =
            state.channels.iter().filter(|(_, id)| is_in(id)).map(|((team, name), _)| {
                let team =
                    state.teams.iter().find(|(_, id)| *id == team).map(|(name, _)| name.as_str());
                format!("{}/{name}", team.unwrap_or("?"))
            });
        let mut all: Vec<String> = teams.chain(channels).collect();
        all.sort();
        all
    }

    /// The account with this user name.
    ///
    /// # Errors
    /// There is none.
    pub fn user(&self, username: &str) -> Result<User> {
        let state = self.server.open();
        let found = state.users.values().find(|user| user.username == username);
        found.cloned().with_context(|| {
            let names: Vec<_> = state.users.values().map(|user| &user.username).collect();
            format!("no user {username:?} among {names:?}")
        })
    }

    /// All accounts.
    pub fn users(&self) -> Vec<User> {
        self.server.open().users.values().cloned().collect()
    }

    /// Calls of the REST API so far.
    pub fn calls(&self) -> Vec<Call> {
        self.server.open().calls.clone()
    }

    /// The next calls get these answers instead of their own.
    pub fn trouble(&self, answers: &[(u16, Option<u64>)]) {
        self.server.open().trouble = answers.iter().rev().copied().collect();
    }

    /// Every call gets this status, or its own again.
    pub fn outage(&self, status: Option<u16>) {
        self.server.open().outage = status;
    }

    /// Waits until the condition holds; gives how long that took.
    ///
    /// # Errors
    /// It does not within `limit`; the message holds the calls.
    pub async fn wait(
        &self,
        what: &str,
        limit: std::time::Duration,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<std::time::Duration> {
        let began = Instant::now();
        while !condition(self) {
            ensure!(began.elapsed() < limit, "{what}: not within {limit:?}; {:?}", self.calls());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Ok(began.elapsed())
    }
}

impl Server {
    /// 26 characters, as Mattermost's ids have.
    fn new_id(&mut self) -> String {
        self.next_id += 1;
        format!("{:0>26}", format!("mm{}", self.next_id))
    }
}

fn router(server: Shared) -> Router {
    let api = Router::new()
        .route("/users", get(api::list).post(api::create))
        .route("/users/me", get(api::me))
        .route("/users/sessions/revoke/all", post(api::revoke_everybody))
        .route("/users/{id}", get(api::show))
        .route("/users/{id}/active", put(api::set_active))
        .route("/users/{id}/auth", put(api::set_auth))
        .route("/users/{id}/patch", put(api::patch))
        .route("/users/{id}/sessions/revoke/all", post(api::revoke_all))
        .route("/config/client", get(api::client_config))
        .route("/teams/name/{name}", get(api::team))
        .route("/teams/{id}/channels/name/{name}", get(api::channel))
        .route("/{kind}/{id}/members", post(api::add_member))
        .route("/{kind}/{id}/members/{user}", get(api::member))
        .route("/{kind}/{id}/members/{user}", delete(api::remove_member))
        .layer(from_fn_with_state(Arc::clone(&server), note));
    Router::new()
        .route("/", get(|| async { axum::response::Html("<h1>Mattermost</h1>") }))
        .route("/oauth/gitlab/login", get(sign_in::begin))
        .route("/signup/gitlab/complete", get(sign_in::complete))
        .route("/login/gitlab/complete", get(sign_in::complete))
        .nest("/api/v4", api)
        .with_state(server)
}

/// Notes each call, and answers it wrongly where that was asked for.
async fn note(State(server): State<Shared>, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    let trouble = {
        let mut state = server.open();
        state.outage.map(|status| (status, None)).or_else(|| state.trouble.pop())
    };
    let response = match trouble {
        None => next.run(request).await,
        Some((status, retry_after)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            let mut response = refusal(status, "test.trouble", "in trouble");
            if let Some(seconds) = retry_after {
                response.headers_mut().insert("retry-after", seconds.into());
            }
            response
        }
    };
    let status = response.status().as_u16();
    server.open().calls.push(Call { line, status, at: Instant::now() });
    response
}

/// An error in the form of `model.AppError`.
fn refusal(status: StatusCode, id: &str, message: &str) -> Response {
    let body = json!({
        "id": id, "message": message, "detailed_error": "", "request_id": "",
        "status_code": status.as_u16(),
    });
    (status, axum::Json(body)).into_response()
}

fn ok(value: Value) -> Response {
    axum::Json(value).into_response()
}
