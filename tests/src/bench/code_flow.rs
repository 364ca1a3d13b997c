//! Whole authorization code flows per second: a signed-in browser's request with PKCE, its code, and
//! the code's exchange for an ID token, an access token and a refresh token. And what the daemon
//! held at most meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use auth_core::secret::TokenHash;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::task::JoinSet;

use super::connection::{Connection, Request};
use super::figures::median;
use super::process::{mebibytes, peak, processor_time};
use super::report::{Report, Row, per_second};
use super::site::{Backend, Plan, Site};

const CLIENTS: usize = 16;
const ROUNDS: usize = 3;
const LENGTH: Duration = Duration::from_secs(2);
/// A code verifier has 43 characters at least (RFC 7636 section 4.1).
const VERIFIER: &str = "0123456789012345678901234567890123456789012";
const MEMORY_GOAL: u64 = 60 << 20;

/// Measures flows on one backend.
pub(super) async fn measure(report: &mut Report, backend: Backend<'_>) -> Result<()> {
    for signature in ["RS256", "EdDSA"] {
        let mut site = Site::start(backend, Plan { signature, ..Plan::of(1) }).await?;
        let flow = Flow::of(&site)?;
        let process = site.daemon.process_id()?;
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let before = processor_time(process)?;
            let begun = Instant::now();
            let flows = flow.crowd().await?;
            let (took, spent) = (begun.elapsed(), processor_time(process)?.saturating_sub(before));
            // The first one warms caches and connections.
            if round > 0 {
                rates.push(flows as f64 / took.as_secs_f64());
                costs.push(spent.as_secs_f64() * 1e6 / flows as f64);
            }
        }
        report.add(Row {
            what: "authorization code flow with PKCE, to tokens".into(),
            of: format!("{}, {CLIENTS} browsers, {signature}", backend.name()),
            daemon: format!("{}, {:.0} us CPU", per_second(median(&rates)?), median(&costs)?),
            ..Row::default()
        });
        let most = peak(process)?;
        report.add(Row {
            what: "peak RSS under a load of code flows".into(),
            of: format!("{}, {CLIENTS} browsers, {signature}", backend.name()),
            daemon: mebibytes(most),
            goal: format!("under {}", mebibytes(MEMORY_GOAL)),
            reached: Some(most < MEMORY_GOAL),
            ..Row::default()
        });
    }
    Ok(())
}

#[derive(Clone)]
struct Flow {
    address: SocketAddr,
    authorize: Vec<u8>,
    client: Vec<String>,
    redirect_uri: String,
}

impl Flow {
    fn of(site: &Site) -> Result<Self> {
        let challenge = URL_SAFE_NO_PAD.encode(TokenHash::of(VERIFIER.as_bytes()).as_bytes());
        let mut url = site.party.authorize("openid profile email").url;
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| !name.starts_with("code_challenge"))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(kept)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let redirect_uri = url.query_pairs().find(|(name, _)| name == "redirect_uri");
        let redirect_uri = redirect_uri.context("redirect_uri")?.1;
        let redirect_uri = url::form_urlencoded::byte_serialize(redirect_uri.as_bytes()).collect();
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let headers = [site.host(), site.cookie()?];
        let authorize = Request { method: "GET", path: &path, headers: &headers, body: "" }.bytes();
        Ok(Self {
            address: site.address()?,
            authorize,
            client: site.client_headers(),
            redirect_uri,
        })
    }

    /// All clients for a while; the number of flows.
    async fn crowd(&self) -> Result<u64> {
        let end = Instant::now() + LENGTH;
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            let flow = self.clone();
            tasks.spawn(async move {
                let mut connection = Connection::open(flow.address).await?;
                let mut flows = 0u64;
                while Instant::now() < end {
                    flow.once(&mut connection).await?;
                    flows += 1;
                }
                Ok::<_, anyhow::Error>(flows)
            });
        }
        let mut flows = 0;
        while let Some(client) = tasks.join_next().await {
            flows += client??;
        }
        Ok(flows)
    }

    async fn once(&self, connection: &mut Connection) -> Result<()> {
        let answer = connection.send(&self.authorize).await?.expect(303)?;
        let location = answer.header("location").next().context("no location")?;
        let code = location.split_once("code=").context("no code")?.1;
        let code = code.split('&').next().unwrap_or_default();
        let body = format!(
            "grant_type=authorization_code&code={code}&code_verifier={VERIFIER}&redirect_uri={}",
            self.redirect_uri
        );
        let headers = &self.client;
        let request = Request { method: "POST", path: "/oauth2/token", headers, body: &body };
        let answer = connection.send(&request.bytes()).await?.expect(200)?;
        let tokens: Value = serde_json::from_slice(&answer.body)?;
        ensure!(tokens["id_token"].is_string() && tokens["access_token"].is_string(), "no tokens");
        Ok(())
    }
}
