//! A chat server, as small as it can be, that signs people in through the daemon.
//!
//! It shows the whole life of a session: `/login` and `/callback` begin it, `/` uses it, `/check`
//! asks the daemon whether it still stands, `/refresh` prolongs it, `/logout` ends it. What it says
//! to the daemon is in `relying_party.rs`.
//!
//! ```text
//! chat_server --issuer http://localhost:8080 --client-id chat --listen 127.0.0.1:8090
//! ```
//! with the client's secret in `CHAT_CLIENT_SECRET`, and `http://localhost:8090/callback` among the
//! client's redirect URIs.

mod relying_party;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use clap::Parser;
use openidconnect::{CsrfToken, IssuerUrl, RedirectUrl};
use relying_party::{PendingLogin, Person, RelyingParty, Standing, Tokens};
use serde::Deserialize;

const SESSION: &str = "chat_session";
const LOGIN: &str = "chat_login";
/// A login that takes longer has to begin again.
const LOGIN_LIMIT: Duration = Duration::from_secs(600);
/// Nothing unknown is kept for everybody who opens `/login`.
const LOGINS_MAX: usize = 10_000;

/// An example chat server that signs people in by OpenID Connect.
#[derive(Parser)]
struct Settings {
    /// The daemon's `public_url`.
    #[arg(long, env = "CHAT_ISSUER")]
    issuer: String,
    /// This client's id at the daemon.
    #[arg(long, env = "CHAT_CLIENT_ID", default_value = "chat")]
    client_id: String,
    /// This client's secret; better given in the environment, where other people do not see it.
    #[arg(long, env = "CHAT_CLIENT_SECRET", hide_env_values = true)]
    client_secret: String,
    /// Address to listen on.
    #[arg(long, env = "CHAT_LISTEN", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Where browsers reach it; by default `http://localhost` with the port of `--listen`.
    #[arg(long, env = "CHAT_PUBLIC_URL")]
    public_url: Option<String>,
}

struct Chat {
    relying_party: RelyingParty,
    /// By the `state` of the authorization request.
    logins: Mutex<HashMap<String, (PendingLogin, Instant)>>,
    /// By the value of the session cookie. A real chat server keeps these in its database.
    sessions: Mutex<HashMap<String, Session>>,
}

struct Session {
    person: Person,
    /// Locked while the daemon is asked: a refresh token must not be used twice at a time.
    tokens: Arc<tokio::sync::Mutex<Tokens>>,
    checked_at: Instant,
}

type Shared = State<Arc<Chat>>;

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    let listener = tokio::net::TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("listening on {}", settings.listen))?;
    let port = listener.local_addr()?.port();
    let own = settings.public_url.unwrap_or_else(|| format!("http://localhost:{port}"));
    let redirect_uri = RedirectUrl::new(format!("{}/callback", own.trim_end_matches('/')))?;
    let relying_party = RelyingParty::discover(
        IssuerUrl::new(settings.issuer)?,
        settings.client_id,
        settings.client_secret,
        redirect_uri,
    )
    .await?;
    let chat = Chat { relying_party, logins: Mutex::default(), sessions: Mutex::default() };
    let router = Router::new()
        .route("/", get(home))
        .route("/login", get(login))
        .route("/callback", get(callback))
        .route("/check", post(check))
        .route("/refresh", post(refresh))
        .route("/logout", post(logout))
        .with_state(Arc::new(chat));
    eprintln!("chat server: {own}");
    axum::serve(listener, router).await?;
    Ok(())
}

async fn home(State(chat): Shared, headers: HeaderMap) -> Response {
    let Some((person, checked)) = cookie(&headers, SESSION).and_then(|id| chat.person(id)) else {
        return page("<p>Nobody is signed in.</p><p><a href=\"/login\">Sign in</a></p>");
    };
    let button = |action: &str, text: &str| {
        format!("<form method=\"post\" action=\"/{action}\"><button>{text}</button></form>")
    };
    page(&format!(
        "<p>Signed in as <b id=\"username\">{}</b></p>\
         <dl><dt>Name</dt><dd id=\"name\">{}</dd><dt>E-mail</dt><dd id=\"email\">{}</dd>\
         <dt>Account</dt><dd id=\"subject\">{}</dd>\
         <dt>Last checked</dt><dd>{} seconds ago</dd></dl>{}{}{}",
        escape(&person.username),
        escape(&person.name),
        escape(&person.email),
        escape(&person.subject),
        checked.elapsed().as_secs(),
        button("check", "Check the session"),
        button("refresh", "Refresh the session"),
        button("logout", "Sign out"),
    ))
}

async fn login(State(chat): Shared) -> Response {
    let (url, state, pending) = chat.relying_party.begin_login();
    let state = state.secret().clone();
    chat.remember_login(state.clone(), pending);
    // The browser that began the login is the only one that can finish it.
    (set_cookie(LOGIN, &state, LOGIN_LIMIT.as_secs()), Redirect::to(url.as_str())).into_response()
}

#[derive(Deserialize)]
struct Callback {
    state: String,
    code: Option<String>,
    error: Option<String>,
}

async fn callback(
    State(chat): Shared,
    headers: HeaderMap,
    Query(answer): Query<Callback>,
) -> Result<Response, Problem> {
    if cookie(&headers, LOGIN) != Some(answer.state.as_str()) {
        return Err(Problem::refused("This login was not begun in this browser."));
    }
    let pending = chat.take_login(&answer.state);
    let pending = pending.ok_or_else(|| Problem::refused("This login is over; begin again."))?;
    if let Some(error) = answer.error {
        return Err(Problem::refused(&format!("The login was refused: {error}.")));
    }
    let code = answer.code.ok_or_else(|| Problem::refused("The answer has no code."))?;
    let (person, tokens) = chat.relying_party.finish_login(pending, code).await?;
    // A new id for every login: one that was known before would stay known.
    let id = CsrfToken::new_random_len(32).secret().clone();
    let tokens = Arc::new(tokio::sync::Mutex::new(tokens));
    let session = Session { person, tokens, checked_at: Instant::now() };
    lock(&chat.sessions).insert(id.clone(), session);
    let cookies = AppendHeaders([
        (SET_COOKIE, cookie_line(LOGIN, "", 0)),
        (SET_COOKIE, cookie_line(SESSION, &id, 30 * 24 * 3600)),
    ]);
    Ok((cookies, Redirect::to("/")).into_response())
}

async fn check(State(chat): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    chat.ask_daemon(&headers, async |chat, subject, tokens| {
        chat.relying_party.check(subject, tokens).await
    })
    .await
}

async fn refresh(State(chat): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    chat.ask_daemon(&headers, async |chat, subject, tokens| {
        chat.relying_party.refresh(subject, tokens).await
    })
    .await
}

async fn logout(State(chat): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    let session = cookie(&headers, SESSION).and_then(|id| lock(&chat.sessions).remove(id));
    if let Some(session) = session {
        chat.relying_party.revoke(&*session.tokens.lock().await).await?;
    }
    Ok((set_cookie(SESSION, "", 0), Redirect::to("/")).into_response())
}

impl Chat {
    fn person(&self, id: &str) -> Option<(Person, Instant)> {
        let sessions = lock(&self.sessions);
        sessions.get(id).map(|session| (session.person.clone(), session.checked_at))
    }

    fn remember_login(&self, state: String, login: PendingLogin) {
        let mut logins = lock(&self.logins);
        logins.retain(|_, (_, begun)| begun.elapsed() < LOGIN_LIMIT);
        if logins.len() < LOGINS_MAX {
            logins.insert(state, (login, Instant::now()));
        }
    }

    fn take_login(&self, state: &str) -> Option<PendingLogin> {
        let (login, begun) = lock(&self.logins).remove(state)?;
        (begun.elapsed() < LOGIN_LIMIT).then_some(login)
    }

    /// Asks the daemon about the browser's session and keeps what it answers. When the daemon
    /// cannot be reached, the session stays as it is.
    async fn ask_daemon(
        &self,
        headers: &HeaderMap,
        question: impl AsyncFnOnce(&Self, &str, &Tokens) -> Result<Standing>,
    ) -> Result<Response, Problem> {
        let id = cookie(headers, SESSION).unwrap_or_default();
        let found = lock(&self.sessions)
            .get(id)
            .map(|session| (session.person.subject.clone(), session.tokens.clone()));
        let Some((subject, tokens)) = found else {
            return Ok(Redirect::to("/").into_response());
        };
        let mut tokens = tokens.lock().await;
        match question(self, &subject, &tokens).await? {
            Standing::Active(renewed) => {
                if let Some(renewed) = renewed {
                    *tokens = renewed;
                }
                if let Some(session) = lock(&self.sessions).get_mut(id) {
                    session.checked_at = Instant::now();
                }
                Ok(Redirect::to("/").into_response())
            }
            Standing::Ended => {
                lock(&self.sessions).remove(id);
                Ok((set_cookie(SESSION, "", 0), Redirect::to("/")).into_response())
            }
        }
    }
}

/// What a person sees instead of the page; the cause goes to the log.
struct Problem {
    status: StatusCode,
    text: String,
}

impl Problem {
    fn refused(text: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.to_owned() }
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        eprintln!("chat server: {error:#}");
        let text = "The login service gave no usable answer; try again later.".to_owned();
        Self { status: StatusCode::BAD_GATEWAY, text }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content = format!("<p>{}</p><p><a href=\"/\">Back</a></p>", escape(&self.text));
        (self.status, page(&content)).into_response()
    }
}

fn page(content: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Chat</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <style>body {{ font: 1rem/1.5 sans-serif; max-width: 30rem; margin: 2rem auto; \
         padding: 0 1rem }} form {{ display: inline }} dt {{ font-weight: bold }}</style>\
         </head><body><h1>Chat</h1>{content}</body></html>"
    );
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
                  frame-ancestors 'none'; base-uri 'none'";
    let headers = [(CONTENT_SECURITY_POLICY, policy), (CACHE_CONTROL, "no-store")];
    (headers, Html(page)).into_response()
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split("; ")).filter_map(|it| it.split_once('='));
    pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
}

fn set_cookie(name: &str, value: &str, seconds: u64) -> AppendHeaders<[(HeaderName, String); 1]> {
    AppendHeaders([(SET_COOKIE, cookie_line(name, value, seconds))])
}

/// Lax: the browser that comes back from the daemon brings the cookie, a foreign form does not.
/// A chat server with https adds `Secure` and the prefix `__Host-`.
fn cookie_line(name: &str, value: &str, seconds: u64) -> String {
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}")
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
