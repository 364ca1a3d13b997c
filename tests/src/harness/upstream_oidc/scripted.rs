//! A provider in this process whose answers a test writes: wrong signatures, wrong claims, other
//! keys, huge and slow answers. Its honest answers are those of a provider that follows the
//! specification.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use auth_core::clock::{Clock as _, SystemClock};
use aws_lc_rs::digest;
use axum::extract::{Form, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::CLIENT_ID;
use super::signing::{Keys, Signing, sign};

/// An endpoint of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Metadata.
    Metadata,
    /// Keys.
    Keys,
    /// Tokens.
    Token,
    /// Userinfo.
    UserInfo,
}

/// What the provider says of itself in its answer to the browser (RFC 9207).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerParameter {
    /// Itself.
    Right,
    /// Nothing.
    Missing,
    /// Somebody else.
    Wrong(String),
}

type Edit = Arc<dyn Fn(&mut Map<String, Value>) + Send + Sync>;

struct Script {
    person: Map<String, Value>,
    edit: Option<Edit>,
    signing: Signing,
    at_hash: Option<String>,
    userinfo: Option<Value>,
    metadata: Map<String, Value>,
    issuer_parameter: IssuerParameter,
    answer: Option<String>,
    huge: Option<Endpoint>,
    slow: Option<(Endpoint, Duration)>,
    rotate_before_token: bool,
    keys: Arc<Keys>,
    fetched: HashMap<&'static str, usize>,
    nonces: HashMap<String, Asked>,
}

#[derive(Clone, Default)]
struct Asked {
    nonce: String,
    challenge: String,
    fresh: bool,
}

/// A provider that says what a test wants. It ends when the value is dropped.
pub struct ScriptedProvider {
    issuer: String,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for ScriptedProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedProvider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Shared {
    issuer: String,
    script: Arc<Mutex<Script>>,
}

impl ScriptedProvider {
    /// Starts one whose person is `sub` with these further claims.
    ///
    /// # Errors
    /// No port, or no keys.
    pub async fn start(sub: &str, claims: &Value) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let script = Arc::new(Mutex::new(Script {
            person: person(sub, claims),
            edit: None,
            signing: Signing::Rs256,
            at_hash: None,
            userinfo: None,
            metadata: Map::new(),
            issuer_parameter: IssuerParameter::Right,
            answer: None,
            huge: None,
            slow: None,
            rotate_before_token: false,
            keys: Arc::new(Keys::generate(1)?),
            fetched: HashMap::new(),
            nonces: HashMap::new(),
        }));
        let shared = Shared { issuer: issuer.clone(), script: Arc::clone(&script) };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/{tenant}/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(jwks))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .route("/login/oauth/authorize", get(authorize))
            .route("/login/oauth/access_token", post(plain_token))
            .route("/api/v3/user", get(plain_user))
            .route("/api/v3/user/emails", get(plain_emails))
            .with_state(shared);
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { issuer, script, task })
    }

    /// Its issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// From now on another person.
    pub fn person(&self, sub: &str, claims: &Value) {
        self.with(|script| script.person = person(sub, claims));
    }

    /// From now on changes the claims of every ID token last.
    pub fn edit(&self, edit: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static) {
        self.with(|script| script.edit = Some(Arc::new(edit)));
    }

    /// From now on signs this way.
    pub fn sign(&self, signing: Signing) {
        self.with(|script| script.signing = signing);
    }

    /// From now on this `at_hash`.
    pub fn at_hash(&self, at_hash: &str) {
        self.with(|script| script.at_hash = Some(at_hash.to_owned()));
    }

    /// From now on this userinfo answer.
    pub fn userinfo(&self, answer: Value) {
        self.with(|script| script.userinfo = Some(answer));
    }

    /// From now on this member of the metadata.
    pub fn metadata(&self, name: &str, value: Value) {
        self.with(|script| script.metadata.insert(name.to_owned(), value));
    }

    /// From now on this `iss` in the answers to the browser.
    pub fn issuer_parameter(&self, parameter: IssuerParameter) {
        self.with(|script| script.issuer_parameter = parameter);
    }

    /// From now on the browser brings back this query beside the state, and nothing else.
    pub fn answer(&self, query: &str) {
        self.with(|script| script.answer = Some(query.to_owned()));
    }

    /// From now on this endpoint answers without end.
    pub fn huge(&self, endpoint: Endpoint) {
        self.with(|script| script.huge = Some(endpoint));
    }

    /// From now on this endpoint answers so late.
    pub fn slow(&self, endpoint: Endpoint, delay: Duration) {
        self.with(|script| script.slow = Some((endpoint, delay)));
    }

    /// New keys, the old ones are gone.
    ///
    /// # Errors
    /// The crypto library fails.
    pub fn rotate(&self) -> Result<()> {
        self.with(Script::rotate)
    }

    /// New keys between the browser's return and the next token.
    pub fn rotate_before_token(&self) {
        self.with(|script| script.rotate_before_token = true);
    }

    /// How often the keys were fetched.
    pub fn keys_fetched(&self) -> usize {
        self.with(|script| script.fetched.get("keys").copied().unwrap_or(0))
    }

    /// A logout token with these claims over the right ones.
    ///
    /// # Errors
    /// The crypto library fails.
    pub fn logout_token(&self, over: &Value) -> Result<String> {
        let now = SystemClock.now().seconds();
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 120,
            "jti": format!("jti-{}", uuid::Uuid::now_v7()),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        let object = claims.as_object_mut().context("an object")?;
        for (name, value) in over.as_object().context("an object")? {
            if value.is_null() {
                object.remove(name);
            } else {
                object.insert(name.clone(), value.clone());
            }
        }
        self.with(|script| sign(&script.keys, script.signing, "logout+jwt", object))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        act(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for ScriptedProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Script {
    fn rotate(&mut self) -> Result<()> {
        self.keys = Arc::new(Keys::generate(self.keys.generation + 1)?);
        Ok(())
    }
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        act(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the test wants of this endpoint instead of an honest answer.
    async fn misbehave(&self, endpoint: Endpoint) -> Option<Response> {
        let (huge, slow) = self.with(|script| (script.huge, script.slow));
        if let Some((at, delay)) = slow
            && at == endpoint
        {
            tokio::time::sleep(delay).await;
        }
        (huge == Some(endpoint)).then(|| {
            let body = format!("{{\"padding\":\"{}\"}}", "x".repeat(3 * 1024 * 1024));
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        })
    }
}

async fn metadata(State(shared): State<Shared>) -> Response {
    if let Some(other) = shared.misbehave(Endpoint::Metadata).await {
        return other;
    }
    let issuer = &shared.issuer;
    let mut metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "end_session_endpoint": format!("{issuer}/end"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "authorization_response_iss_parameter_supported": true,
    });
    for (name, value) in shared.with(|script| script.metadata.clone()) {
        metadata[name] = value;
    }
    Json(metadata).into_response()
}

async fn jwks(State(shared): State<Shared>) -> Response {
    if let Some(other) = shared.misbehave(Endpoint::Keys).await {
        return other;
    }
    let keys = shared.with(|script| {
        *script.fetched.entry("keys").or_insert(0) += 1;
        Arc::clone(&script.keys)
    });
    match keys.jwks() {
        Ok(keys) => Json(keys).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn authorize(
    State(shared): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let value = |name: &str| query.get(name).cloned().unwrap_or_default();
    let good = value("response_type") == "code"
        && value("client_id") == CLIENT_ID
        && value("code_challenge_method") == "S256"
        && value("state").len() > 20;
    if !good {
        return (StatusCode::BAD_REQUEST, format!("{query:?}")).into_response();
    }
    let Ok(mut back) = url::Url::parse(&value("redirect_uri")) else {
        return (StatusCode::BAD_REQUEST, "redirect_uri").into_response();
    };
    let code = uuid::Uuid::new_v4().simple().to_string();
    let asked = Asked {
        nonce: value("nonce"),
        challenge: value("code_challenge"),
        fresh: value("prompt") == "login" && value("max_age") == "0",
    };
    let (answer, issuer) = shared.with(|script| {
        script.nonces.insert(code.clone(), asked);
        (script.answer.clone(), script.issuer_parameter.clone())
    });
    back.query_pairs_mut().append_pair("state", &value("state"));
    match answer {
        Some(answer) => {
            let query = format!("{}&{answer}", back.query().unwrap_or_default());
            back.set_query(Some(&query));
        }
        None => {
            back.query_pairs_mut().append_pair("code", &code);
            match issuer {
                IssuerParameter::Right => {
                    back.query_pairs_mut().append_pair("iss", &shared.issuer);
                }
                IssuerParameter::Wrong(other) => {
                    back.query_pairs_mut().append_pair("iss", &other);
                }
                IssuerParameter::Missing => {}
            }
        }
    }
    (StatusCode::SEE_OTHER, [(header::LOCATION, back.to_string())]).into_response()
}

async fn token(
    State(shared): State<Shared>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    if let Some(other) = shared.misbehave(Endpoint::Token).await {
        return other;
    }
    let Some(asked) = shared.redeem(&form) else {
        let error = json!({ "error": "invalid_grant" });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let access_token = "access-token-of-the-scripted-provider";
    let id_token = shared.with(|script| {
        if std::mem::take(&mut script.rotate_before_token) {
            script.rotate()?;
        }
        let now = SystemClock.now().seconds();
        let mut claims = script.person.clone();
        let at_hash = script.at_hash.clone().unwrap_or_else(|| {
            // SHA-512 for EdDSA, SHA-256 for all others of the list.
            let algorithm = match script.signing {
                Signing::EdDsa => &digest::SHA512,
                _ => &digest::SHA256,
            };
            let hash = digest::digest(algorithm, access_token.as_bytes());
            let half = hash.as_ref().len() / 2;
            URL_SAFE_NO_PAD.encode(&hash.as_ref()[..half])
        });
        let own = json!({
            "iss": shared.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300,
            "nonce": asked.nonce, "at_hash": at_hash,
        });
        for (name, value) in own.as_object().into_iter().flatten() {
            claims.insert(name.clone(), value.clone());
        }
        if asked.fresh {
            claims.insert("auth_time".into(), now.into());
        }
        if let Some(edit) = script.edit.clone() {
            edit(&mut claims);
        }
        sign(&script.keys, script.signing, "JWT", &claims)
    });
    match id_token {
        Ok(id_token) => Json(json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": 60,
            "id_token": id_token,
        }))
        .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

impl Shared {
    /// The departure that a code belongs to, once, if the PKCE verifier fits.
    fn redeem(&self, form: &HashMap<String, String>) -> Option<Asked> {
        let asked = self.with(|script| script.nonces.remove(form.get("code")?))?;
        let verifier = form.get("code_verifier")?;
        let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
        (URL_SAFE_NO_PAD.encode(hash) == asked.challenge).then_some(asked)
    }
}

async fn userinfo(State(shared): State<Shared>) -> Response {
    if let Some(other) = shared.misbehave(Endpoint::UserInfo).await {
        return other;
    }
    let answer = shared.with(|script| {
        script.userinfo.clone().unwrap_or_else(|| Value::Object(script.person.clone()))
    });
    Json(answer).into_response()
}

async fn plain_token(
    State(shared): State<Shared>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    // As GitHub does: an error is answered with 200.
    if shared.redeem(&form).is_none() {
        return Json(json!({ "error": "bad_verification_code" })).into_response();
    }
    Json(json!({ "access_token": "gho_x", "token_type": "bearer", "scope": "" })).into_response()
}

async fn plain_user(State(shared): State<Shared>) -> Response {
    Json(shared.with(|script| script.person.clone())).into_response()
}

async fn plain_emails(State(shared): State<Shared>) -> Response {
    let emails = shared.with(|script| script.userinfo.clone());
    Json(emails.unwrap_or_else(|| json!([]))).into_response()
}

fn person(sub: &str, claims: &Value) -> Map<String, Value> {
    let mut person = claims.as_object().cloned().unwrap_or_default();
    person.insert("sub".into(), sub.into());
    person
}
