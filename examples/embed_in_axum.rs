//! A small axum chat server that signs people in by itself: LDAP and a second factor (TOTP), with
//! `auth-core` and, for its SQLite file, `auth-store`. There is no daemon.
//!
//! ```text
//! embed_in_axum --ldap ldaps://ldap.example.org --ca ca.pem --bind-dn cn=reader,dc=example,dc=org \
//!     --bind-password-file reader.txt --base-dn dc=example,dc=org --folder state --listen 127.0.0.1:8090
//! ```
//!
//! What signs a person in stands between the two rulers below. The rest is a chat room.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use auth_core::audit::Origin;
use auth_core::broker::{Broker, BrokerSettings, Connectors, Event, Step};
use auth_core::clock::{Clock as _, SystemClock};
use auth_core::connector::ldap::{LdapConnector, LdapSettings, Preset};
use auth_core::key_ring::{HASH_KEY_NAME, HashKey, KeyRing, file};
use auth_core::login::LoginRequest;
use auth_core::random::SystemRandom;
use auth_core::secret::{Secret, Token};
use auth_core::session::Session;
use axum::extract::{ConnectInfo, Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::Mutex;

struct Chat {
    broker: Broker,
    messages: Mutex<Vec<String>>,
}

// ---- signing a person in ---------------------------------------------------------------------

#[derive(Deserialize)]
struct Answer {
    csrf: String,
    username: Option<String>,
    password: Option<String>,
    code: Option<String>,
}

async fn begin(
    State(chat): State<Arc<Chat>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> Result<Response, Failure> {
    let browser = Token::generate(&SystemRandom::new());
    let (_, step) = chat.broker.begin(LoginRequest::default(), &browser, &origin(peer)).await?;
    Ok((set_cookie("login", browser.expose()), show(&step)).into_response())
}

async fn answer(
    State(chat): State<Arc<Chat>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(form): Form<Answer>,
) -> Result<Response, Failure> {
    let browser = cookie(&headers, "login").context("cookies are needed to sign in")?;
    let event = match (form.username, form.password, form.code) {
        (Some(username), Some(password), _) => Event::Credentials {
            connector: "directory".to_owned(),
            username,
            password: Secret::new(password),
        },
        (_, _, code) => Event::Code(Secret::new(code.unwrap_or_default())),
    };
    let step = chat.broker.submit(&form.csrf, &browser, event, None, &origin(peer)).await?;
    if let Step::Completed(done) = &step {
        let session = chat.broker.issue_cookie(&done.session).await?;
        return Ok((set_cookie("session", session.expose()), welcome(&done.recovery_codes))
            .into_response());
    }
    Ok(show(&step))
}

async fn signed_in(chat: &Chat, headers: &HeaderMap) -> Result<Option<Session>, Failure> {
    match cookie(headers, "session") {
        Some(token) => Ok(chat.broker.session_by_cookie(&token).await?),
        None => Ok(None),
    }
}

fn origin(peer: SocketAddr) -> Origin {
    Origin { ip: Some(peer.ip()), request_id: "chat".to_owned(), user_agent: None }
}

// ---- the pages -------------------------------------------------------------------------------

fn show(step: &Step) -> Response {
    let (status, fields, token) = match step {
        Step::AskCredentials(prompt) => (
            if prompt.notice.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK },
            r#"<input name="username" autocomplete="username"><input name="password" type="password">"#
                .to_owned(),
            &prompt.form_token,
        ),
        Step::AskFactor { form_token, notice, .. } => (
            if notice.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK },
            r#"<input name="code" autocomplete="one-time-code">"#.to_owned(),
            form_token,
        ),
        Step::AskEnrolment { form_token, seed, .. } => (
            StatusCode::OK,
            format!(
                r#"<code id="totp-secret">{}</code><input name="code">"#,
                seed.secret_in_groups().expose()
            ),
            form_token,
        ),
        _ => return (StatusCode::SERVICE_UNAVAILABLE, "Not possible right now.").into_response(),
    };
    let page = format!(
        r#"<form method="post" action="/login">{fields}<input type="hidden" name="csrf" value="{token}"><button>Sign in</button></form>"#
    );
    (status, Html(page)).into_response()
}

fn welcome(recovery_codes: &[Secret]) -> Response {
    if recovery_codes.is_empty() {
        return Redirect::to("/").into_response();
    }
    let codes: Vec<&str> = recovery_codes.iter().map(Secret::expose).collect();
    Html(format!("Keep these codes: {}. <a href=/>Go on</a>", codes.join(", "))).into_response()
}

async fn room(State(chat): State<Arc<Chat>>, headers: HeaderMap) -> Result<Response, Failure> {
    let Some(session) = signed_in(&chat, &headers).await? else {
        return Ok(Redirect::to("/login").into_response());
    };
    let account = session.account();
    Ok(Json(serde_json::json!({
        "username": account.username,
        "email": account.email,
        "roles": account.roles,
        "groups": account.groups,
        "acr": session.record().acr,
        "messages": *chat.messages.lock().await,
    }))
    .into_response())
}

async fn say(
    State(chat): State<Arc<Chat>>,
    headers: HeaderMap,
    text: String,
) -> Result<Response, Failure> {
    let Some(session) = signed_in(&chat, &headers).await? else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    chat.messages.lock().await.push(format!("{}: {text}", session.account().username));
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn set_cookie(name: &str, value: &str) -> [(header::HeaderName, String); 1] {
    // Behind https add `Secure` and the `__Host-` prefix.
    [(header::SET_COOKIE, format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax"))]
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<Token> {
    let text = headers.get(header::COOKIE)?.to_str().ok()?;
    let pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| Token::parse(value))
}

struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        tracing_line(&self.0);
        (StatusCode::BAD_REQUEST, "This did not work. Please begin anew at /login.").into_response()
    }
}

#[expect(clippy::print_stderr, reason = "an example's log")]
fn tracing_line(error: &anyhow::Error) {
    eprintln!("{error:#}");
}

// ---- building it -----------------------------------------------------------------------------

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1))
            .cloned()
            .with_context(|| format!("{name} is missing"))
    };
    let random = SystemRandom::new();
    let folder = argument("--folder")?;
    let mut directory = LdapSettings::new(
        "directory",
        Preset::OpenLdap,
        vec![argument("--ldap")?.parse().context("--ldap")?],
        &argument("--base-dn")?,
    );
    directory.ca_file = argument("--ca").ok().map(Into::into);
    directory.bind_dn = argument("--bind-dn").ok();
    directory.bind_password = match argument("--bind-password-file") {
        Ok(path) => Some(Secret::new(std::fs::read_to_string(path)?.trim_end().to_owned())),
        Err(_) => None,
    };
    let ring_path = Path::new(&folder).join("chat.keys");
    let ring = match file::load(&ring_path) {
        Ok(ring) => ring,
        Err(file::RingFileError::Missing { .. }) => {
            let ring = KeyRing::generate(&random, SystemClock.now());
            file::create_new(&ring_path, &ring)?;
            ring
        }
        Err(error) => return Err(error.into()),
    };
    let options = auth_store::StoreOptions {
        url: format!("sqlite://{folder}/chat.db"),
        ..Default::default()
    };
    let hash_key = HashKey::generate(&random).seal(&ring, &random);
    let store = auth_store::open(&options, &[(HASH_KEY_NAME, hash_key)]).await?;
    let connectors = Connectors {
        local: None,
        directories: vec![LdapConnector::new(directory, Arc::new(SystemRandom::new()))?],
        ..Connectors::default()
    };
    let mut settings = BrokerSettings::default();
    if arguments.iter().any(|argument| argument == "--require-second-factor") {
        settings.mfa.policy = auth_core::factor::MfaPolicy::Required;
    }
    let broker = Broker::new(store, Arc::new(ring), connectors, settings);
    let chat = Arc::new(Chat { broker, messages: Mutex::new(Vec::new()) });
    let app = Router::new()
        .route("/", get(room).post(say))
        .route("/login", get(begin).post(answer))
        .with_state(chat);
    let listener = tokio::net::TcpListener::bind(argument("--listen")?).await?;
    announce(listener.local_addr()?);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "says where it listens")]
fn announce(address: SocketAddr) {
    println!("listening on http://{address}");
}
