//! Start-up: from the start of the program to its `listening` lines, and the memory that it holds
//! when nobody has signed in yet.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::figures::median;
use super::process::{mebibytes, resident};
use super::report::{Report, Row};
use crate::harness::daemon::Daemon;
use crate::harness::http::Browser;

const STARTS: usize = 7;
const TIME_GOAL: Duration = Duration::from_millis(200);
const MEMORY_GOAL: u64 = 20 * 1024 * 1024;

/// Measures first start, later starts and idle memory.
pub(super) async fn measure(report: &mut Report) -> Result<()> {
    let begun = Instant::now();
    let mut daemon = Daemon::builder().start().await?;
    let first = begun.elapsed();
    let mut times = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..STARTS {
        daemon.stop().await?;
        let begun = Instant::now();
        daemon.restart().await?;
        times.push(begun.elapsed().as_secs_f64());
        // It answers, so all of it is there.
        Browser::new()?.get(daemon.admin_url("/readyz")?).await?.expect(200)?;
        memory.push(resident(daemon.process_id()?)? as f64);
    }
    let time = Duration::from_secs_f64(median(&times)?);
    report.add(Row {
        what: "start-up, exec to listening".into(),
        of: format!("SQLite, median of {STARTS}"),
        daemon: format!("{:.0} ms", time.as_secs_f64() * 1000.0),
        goal: "under 200 ms".into(),
        reached: Some(time < TIME_GOAL),
        ..Row::default()
    });
    report.add(Row {
        what: "first start: schema, key ring, signing keys".into(),
        of: "SQLite, once".into(),
        daemon: format!("{:.0} ms", first.as_secs_f64() * 1000.0),
        ..Row::default()
    });
    let memory = median(&memory)? as u64;
    report.add(Row {
        what: "idle RSS before the first login".into(),
        of: format!("SQLite, median of {STARTS}"),
        daemon: mebibytes(memory),
        goal: "under 20 MiB".into(),
        reached: Some(memory < MEMORY_GOAL),
        ..Row::default()
    });
    Ok(())
}
