//! A daemon with a client, a person, and as many client sessions as a measurement needs. All of
//! them come from real logins: one at the sign-in page, then one authorization code for each.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use auth_store::StoreOptions;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;

use super::connection::Request;
use crate::harness::daemon::Daemon;
use crate::harness::http::Browser;
use crate::harness::oidc::{RelyingParty, Tokens};
use crate::harness::postgres::PostgresServer;

const CLIENT: &str = "bench";
const SECRET: &str = "bench-client-secret-0123456789abcdef";
const REDIRECT_URI: &str = "http://localhost:9/callback";
const SCOPE: &str = "openid profile email";
/// The person who is signed in.
pub(super) const PERSON: &str = "bench";
/// Everybody's password.
pub(super) const PASSWORD: &str = "correct horse battery staple";

/// Which store a daemon has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backend<'a> {
    Sqlite,
    Postgres(&'a PostgresServer),
}

/// A running daemon and those that use it.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) daemon: Daemon,
    pub(super) party: RelyingParty,
    /// One client session each.
    pub(super) sessions: Vec<Tokens>,
    browser: Browser,
    store: StoreOptions,
}

impl Backend<'_> {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }
}

/// What a site is to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Number of client sessions.
    pub(super) sessions: usize,
    /// Number of the daemon's async threads; none for one per core.
    pub(super) threads: Option<usize>,
    /// How ID tokens are signed: `RS256` or `EdDSA`.
    pub(super) signature: &'static str,
}

impl Plan {
    /// So many client sessions, and the daemon's own defaults.
    pub(super) const fn of(sessions: usize) -> Self {
        Self { sessions, threads: None, signature: "RS256" }
    }
}

impl Site {
    /// Starts a daemon and signs in.
    pub(super) async fn start(backend: Backend<'_>, plan: Plan) -> Result<Self> {
        let mut client = toml::Table::new();
        client.insert("id".into(), CLIENT.into());
        client.insert("kind".into(), "oidc".into());
        client.insert("secret".into(), SECRET.into());
        client.insert("redirect_uris".into(), vec![REDIRECT_URI].into());
        client.insert("id_token_signed_response_alg".into(), plan.signature.into());
        let mut builder = Daemon::builder().array_entry("client", client);
        let mut store = StoreOptions::default();
        if let Backend::Postgres(server) = backend {
            store.url = server.url(&server.create_database()?);
            builder = builder.set("storage.url", store.url.as_str());
        }
        if let Some(threads) = plan.threads {
            builder = builder.environment("TOKIO_WORKER_THREADS", &threads.to_string());
        }
        let daemon = builder.start().await.context("daemon")?;
        if store.url.is_empty() {
            store.url = format!("sqlite://{}", daemon.folder().join("auth.db").display());
        }
        daemon.create_user(PERSON, "bench@example.org", PASSWORD).await.context("account")?;
        let party =
            RelyingParty::discover(daemon.issuer(), CLIENT, Some(SECRET), REDIRECT_URI).await?;
        let mut site =
            Self { daemon, party, sessions: Vec::new(), browser: Browser::new()?, store };
        site.sign_in(plan.sessions).await.context("client sessions")?;
        Ok(site)
    }

    /// The daemon's store, to be opened beside it in this process.
    pub(super) fn store(&self) -> StoreOptions {
        self.store.clone()
    }

    /// Where the public listener is.
    pub(super) fn address(&self) -> Result<SocketAddr> {
        let port = Url::parse(self.daemon.issuer())?.port().context("no port in the issuer")?;
        Ok((Ipv4Addr::LOCALHOST, port).into())
    }

    /// `Host` header of the daemon.
    pub(super) fn host(&self) -> String {
        let issuer = self.daemon.issuer();
        format!("Host: {}", issuer.split_once("://").map_or(issuer, |(_, host)| host))
    }

    /// Headers of a request of the client: host and HTTP Basic.
    pub(super) fn client_headers(&self) -> Vec<String> {
        let credentials = STANDARD.encode(format!("{CLIENT}:{SECRET}"));
        vec![self.host(), format!("Authorization: Basic {credentials}")]
    }

    /// One introspection request for each client session.
    pub(super) fn introspections(&self) -> Vec<Vec<u8>> {
        let headers = self.client_headers();
        let request = |tokens: &Tokens| {
            let body = format!("token={}", tokens.access_token);
            let (method, path) = ("POST", "/oauth2/introspect");
            Request { method, path, headers: &headers, body: &body }.bytes()
        };
        self.sessions.iter().map(request).collect()
    }

    /// One userinfo request for each client session.
    pub(super) fn userinfo_requests(&self) -> Vec<Vec<u8>> {
        let request = |tokens: &Tokens| {
            let bearer = format!("Authorization: Bearer {}", tokens.access_token);
            let headers = [self.host(), bearer];
            Request { method: "GET", path: "/oauth2/userinfo", headers: &headers, body: "" }.bytes()
        };
        self.sessions.iter().map(request).collect()
    }

    /// A request for the account page with the browser's session cookie.
    pub(super) fn account_request(&self) -> Result<Vec<u8>> {
        let headers = [self.host(), self.cookie()?];
        Ok(Request { method: "GET", path: "/account", headers: &headers, body: "" }.bytes())
    }

    /// The header with the browser's session cookie.
    pub(super) fn cookie(&self) -> Result<String> {
        let url = Url::parse(self.daemon.issuer())?;
        let cookie = self.browser.cookie(&url, "auth_session").context("no session cookie")?;
        Ok(format!("Cookie: auth_session={cookie}"))
    }

    /// Makes sure that what was measured was the checking of live sessions.
    pub(super) async fn ensure_live(&self) -> Result<()> {
        for tokens in [self.sessions.first(), self.sessions.last()].into_iter().flatten() {
            let answer = self.party.introspect(&tokens.access_token).await?;
            ensure!(answer["active"] == true, "the session is not live: {answer}");
            self.party.userinfo(&tokens.access_token).await?.expect(200)?;
        }
        self.browser.get(self.daemon.url("/account")).await?.expect(200)?;
        Ok(())
    }

    async fn sign_in(&mut self, sessions: usize) -> Result<()> {
        let first = self.party.authorize(SCOPE);
        let code = self.party.sign_in(&self.browser, &first, "local", PERSON, PASSWORD).await?;
        self.sessions.push(self.party.exchange(&first, &code).await?);
        while self.sessions.len() < sessions {
            let authorization = self.party.authorize(SCOPE);
            let page = self.browser.get(&authorization.url).await?;
            let page = self.browser.follow(page, |url| self.party.is_redirect_uri(url)).await?;
            let code = self.party.code(&authorization, &page.location()?)?;
            self.sessions.push(self.party.exchange(&authorization, &code).await?);
        }
        Ok(())
    }
}
