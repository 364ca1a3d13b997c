//! Memory of the daemon while 1,000 people send their password at the same moment.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::accounts;
use super::login::{Visitor, hash_threads};
use super::process::{mebibytes, peak, resident};
use super::report::{Report, Row};
use super::site::{Backend, Plan, Site};

const PEOPLE: usize = 1000;
const MEBIBYTE: u64 = 1024 * 1024;

/// Measures the peak of resident memory.
pub(super) async fn measure(report: &mut Report) -> Result<()> {
    let mut site = Site::start(Backend::Sqlite, Plan::of(1)).await?;
    let people = accounts::create(&site, PEOPLE).await?;
    let start = Arc::new(Barrier::new(PEOPLE + 1));
    let mut tasks = JoinSet::new();
    for name in people {
        let mut visitor = Visitor::open(&site).await?;
        let start = Arc::clone(&start);
        tasks.spawn(async move {
            let page = visitor.page().await?;
            start.wait().await;
            Ok::<_, anyhow::Error>(visitor.submit(&page, &name).await?.status)
        });
    }
    // A visitor who got no page will not come: its error ends the wait.
    tokio::select! {
        _ = start.wait() => {}
        Some(failed) = tasks.join_next() => {
            bail!("a sign-in page could not be opened: {:?}", failed?.err());
        }
    }
    let begun = Instant::now();
    let (mut accepted, mut busy) = (0, 0);
    while let Some(status) = tasks.join_next().await {
        match status?? {
            303 => accepted += 1,
            503 => busy += 1,
            other => bail!("a login was answered by {other}"),
        }
    }
    let took = begun.elapsed();
    let process = site.daemon.process_id()?;
    let (most, after) = (peak(process)?, resident(process)?);
    let threads = hash_threads();
    let allowed = threads as u64 * 19 * MEBIBYTE + 64 * MEBIBYTE;
    report.add(Row {
        what: "peak RSS, 1,000 logins at once".into(),
        of: format!(
            "SQLite, {threads} hash threads; {accepted} signed in, {busy} told to come again, \
             {:.1} s",
            took.as_secs_f64()
        ),
        daemon: format!("{} ({} afterwards)", mebibytes(most), mebibytes(after)),
        goal: format!("at most {}", mebibytes(allowed)),
        reached: Some(most <= allowed),
        ..Row::default()
    });
    Ok(())
}
