//! Password logins per second against the bare cost of argon2 with the same parameters and number
//! of threads, and how long a session check takes while everybody signs in.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use argon2::{Algorithm, Argon2, Block, Version};
use tokio::task::JoinSet;

use super::accounts;
use super::connection::{Answer, BlockingConnection, Connection, Request};
use super::figures::{Window, median, percentile};
use super::report::{Report, Row, per_second};
use super::site::{Backend, PASSWORD, Plan, Site};
use crate::harness::html;

const CLIENTS: usize = 16;
const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_millis(500);
const LENGTH: Duration = Duration::from_secs(4);
const BARE_LENGTH: Duration = Duration::from_secs(3);
const GOAL: f64 = 0.95;

const CHECKS: usize = 1000;
const CHECK_EVERY: Duration = Duration::from_millis(5);
const CHECK_GOAL: Duration = Duration::from_millis(5);

/// Measures logins and, beside them, session checks.
pub(super) async fn measure(report: &mut Report) -> Result<()> {
    let site = Site::start(Backend::Sqlite, Plan::of(CLIENTS)).await?;
    let people = accounts::create(&site, CLIENTS).await?;
    let threads = hash_threads();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(tokio::task::spawn_blocking(move || bare_argon2(threads)).await??);
        let window = Window::default();
        let crowd = Crowd::start(&site, &people, &window).await?;
        ours.push(window.rate(WARM_UP, LENGTH).await);
        crowd.end().await?;
    }
    let (rate, beside) = (median(&ours)?, median(&theirs)?);
    report.add(Row {
        what: "password login, page and form".into(),
        of: format!("SQLite, {CLIENTS} clients, {threads} hash threads"),
        daemon: per_second(rate),
        beside: format!("argon2 alone {}", per_second(beside)),
        ratio: Some(rate / beside),
        goal: "ratio at least 0.95".into(),
        reached: Some(rate / beside >= GOAL),
    });
    checks(report, &site, &people).await
}

/// Hash threads of a daemon on this machine: one less than cores, at least one.
pub(super) fn hash_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    cores.saturating_sub(1).max(1)
}

async fn checks(report: &mut Report, site: &Site, people: &[String]) -> Result<()> {
    let quiet = timed_checks(site).await?;
    let window = Window::default();
    let crowd = Crowd::start(site, people, &window).await?;
    tokio::time::sleep(WARM_UP).await;
    let busy = timed_checks(site).await;
    window.close();
    crowd.end().await?;
    let busy = busy?;
    let worst = percentile(&busy, 0.99)?;
    report.add(Row {
        what: "session check during a login storm, p99".into(),
        of: format!("SQLite, {CLIENTS} people sign in, {CHECKS} introspections"),
        daemon: format!(
            "{} (p50 {}, worst {})",
            millis(worst),
            millis(percentile(&busy, 0.5)?),
            millis(percentile(&busy, 1.0)?)
        ),
        beside: format!("without logins p99 {}", millis(percentile(&quiet, 0.99)?)),
        goal: "under 5 ms".into(),
        reached: Some(worst < CHECK_GOAL),
        ..Row::default()
    });
    site.ensure_live().await
}

/// Introspects at a steady pace, on a thread of its own. A late answer makes the next ones late:
/// their time counts from when they were due.
async fn timed_checks(site: &Site) -> Result<Vec<Duration>> {
    let (requests, address) = (site.introspections(), site.address()?);
    tokio::task::spawn_blocking(move || {
        let mut connection = BlockingConnection::open(address)?;
        let mut times = Vec::with_capacity(CHECKS);
        let mut due = Instant::now();
        for request in requests.iter().cycle().take(CHECKS) {
            due += CHECK_EVERY;
            let early = due.saturating_duration_since(Instant::now());
            // What the system wakes us too late is not the server's.
            let counted_from = if early.is_zero() {
                due
            } else {
                std::thread::sleep(early);
                Instant::now()
            };
            let answer = connection.send(request)?.expect(200)?;
            times.push(counted_from.elapsed());
            ensure!(answer.body.starts_with(b"{\"active\":true"), "a session is not live");
        }
        Ok(times)
    })
    .await?
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// Hashes per second with as many threads, each with memory of its own that is used again.
fn bare_argon2(threads: usize) -> Result<f64> {
    let begun = Instant::now();
    let workers: Vec<_> = (0..threads).map(|_| std::thread::spawn(move || hashes(begun))).collect();
    let mut count = 0u32;
    for worker in workers {
        count += worker.join().map_err(|_| anyhow::anyhow!("a hash thread panicked"))??;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

fn hashes(begun: Instant) -> Result<u32> {
    let configured = auth_core::connector::password::Argon2Parameters::default();
    let (memory, iterations) = (configured.memory_kib, configured.iterations);
    let params = argon2::Params::new(memory, iterations, configured.parallelism, Some(32));
    let params = params.map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
    let mut blocks = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; 32];
    let mut count = 0;
    while begun.elapsed() < BARE_LENGTH {
        argon2
            .hash_password_into_with_memory(
                PASSWORD.as_bytes(),
                b"0123456789abcdef",
                &mut output,
                &mut blocks,
            )
            .map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
        count += 1;
    }
    Ok(count)
}

/// People who sign in again and again.
struct Crowd(JoinSet<Result<()>>);

impl Crowd {
    async fn start(site: &Site, people: &[String], window: &Window) -> Result<Self> {
        let mut tasks = JoinSet::new();
        for name in people {
            let mut visitor = Visitor::open(site).await?;
            let (name, window) = (name.clone(), window.clone());
            tasks.spawn(async move {
                while !window.is_closed() {
                    let page = visitor.page().await?;
                    let answer = visitor.submit(&page, &name).await?.expect(303)?;
                    ensure!(answer.cookie("auth_session").is_some(), "{name} got no session");
                    window.completed();
                }
                Ok(())
            });
        }
        Ok(Self(tasks))
    }

    async fn end(mut self) -> Result<()> {
        while let Some(person) = self.0.join_next().await {
            person??;
        }
        Ok(())
    }
}

/// A browser at the sign-in page, without cookies at first.
pub(super) struct Visitor {
    connection: Connection,
    host: String,
    origin: String,
}

/// A sign-in page as far as it is needed to answer it.
pub(super) struct SignInPage {
    csrf: String,
    cookie: String,
}

impl Visitor {
    pub(super) async fn open(site: &Site) -> Result<Self> {
        let address: SocketAddr = site.address()?;
        let connection = Connection::open(address).await?;
        let origin = format!("Origin: {}", site.daemon.issuer());
        Ok(Self { connection, host: site.host(), origin })
    }

    /// Opens the sign-in page.
    pub(super) async fn page(&mut self) -> Result<SignInPage> {
        let headers = [self.host.clone()];
        let request = Request { method: "GET", path: "/login", headers: &headers, body: "" };
        let answer = self.connection.send(&request.bytes()).await?.expect(200)?;
        let cookie = answer.cookie("auth_login").context("no login cookie")?;
        let forms = html::forms(std::str::from_utf8(&answer.body)?)?;
        let form = forms.iter().find(|form| form.action == "/login/local");
        let field = form.and_then(|form| form.field("csrf")).context("no form for passwords")?;
        Ok(SignInPage { csrf: field.value.clone(), cookie })
    }

    /// Sends the form.
    pub(super) async fn submit(&mut self, page: &SignInPage, name: &str) -> Result<Answer> {
        let headers = [self.host.clone(), self.origin.clone(), format!("Cookie: {}", page.cookie)];
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("csrf", page.csrf.as_str()), ("username", name)])
            .append_pair("password", PASSWORD)
            .finish();
        let request =
            Request { method: "POST", path: "/login/local", headers: &headers, body: &body };
        self.connection.send(&request.bytes()).await
    }
}
