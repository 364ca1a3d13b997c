//! Introspection and session checks per second against a bare axum JSON handler: the same client,
//! the same requests, the same cores in turn. The servers have half of the cores and the client the
//! other half, so that the figure is the server's own.

use std::path::Path;

use anyhow::Result;

use super::bare::Bare;
use super::cores::Split;
use super::figures::median;
use super::process::processor_time;
use super::report::{Report, Row, per_second};
use super::site::{Backend, Plan, Site};
use super::wrk::Load;

const ROUNDS: usize = 3;
const SECONDS: u32 = 2;
const SESSIONS: usize = 200;
const GOAL: f64 = 0.8;

/// One server under one kind of request.
struct Side {
    address: String,
    process: u32,
    rates: Vec<f64>,
    /// Processor time of one request, in microseconds.
    costs: Vec<f64>,
}

/// Measures all checks on one backend.
pub(super) async fn measure(
    report: &mut Report,
    backend: Backend<'_>,
    program: &Path,
) -> Result<()> {
    let cores = Split::halves()?;
    let threads = cores.server_threads();
    let plan = Plan { threads: Some(threads), ..Plan::of(SESSIONS) };
    let mut site = Site::start(backend, plan).await?;
    let bare = Bare::start(program, threads).await?;
    let daemon = (site.address()?.to_string(), site.daemon.process_id()?);
    let bare = (&bare, (bare.address.clone(), bare.process_id()));
    cores.pin_server(daemon.1)?;
    cores.pin_server(bare.1.1)?;
    let kinds = [
        ("introspection (RFC 7662)", site.introspections(), true),
        ("session check by access token (userinfo)", site.userinfo_requests(), true),
        ("browser session check (account page)", vec![site.account_request()?], false),
    ];
    for (what, requests, has_goal) in kinds {
        site.ensure_live().await?;
        let load = Load::new(&requests)?;
        let (mut ours, mut theirs) = (Side::new(&daemon), Side::new(&bare.1));
        // Caches and connections are warm on both sides before anything is counted.
        load.run(&theirs.address, &cores, 1).await?;
        load.run(&ours.address, &cores, 1).await?;
        for _ in 0..ROUNDS {
            theirs.round(&load, &cores).await?;
            ours.round(&load, &cores).await?;
        }
        site.ensure_live().await?;
        let (rate, beside) = (median(&ours.rates)?, median(&theirs.rates)?);
        report.add(Row {
            what: what.into(),
            of: backend.name().into(),
            daemon: format!("{}, {:.1} us CPU", per_second(rate), median(&ours.costs)?),
            beside: format!(
                "bare axum {}, {:.1} us CPU",
                per_second(beside),
                median(&theirs.costs)?
            ),
            ratio: Some(rate / beside),
            goal: if has_goal { "ratio at least 0.80".into() } else { String::new() },
            reached: Some(rate / beside >= GOAL),
        });
    }
    Ok(())
}

impl Side {
    fn new((address, process): &(String, u32)) -> Self {
        let (rates, costs) = (Vec::new(), Vec::new());
        Self { address: address.clone(), process: *process, rates, costs }
    }

    async fn round(&mut self, load: &Load, cores: &Split) -> Result<()> {
        let before = processor_time(self.process)?;
        let rate = load.run(&self.address, cores, SECONDS).await?;
        let spent = processor_time(self.process)?.saturating_sub(before);
        self.rates.push(rate);
        self.costs.push(spent.as_secs_f64() * 1e6 / (rate * f64::from(SECONDS)));
        Ok(())
    }
}
