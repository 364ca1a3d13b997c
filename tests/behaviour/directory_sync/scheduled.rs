//! The daemon synchronises by itself, says so in its metrics, and ends in good order.

use auth_tests::harness::http::Browser;

use super::nodes::wait_for_history;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_fires_and_the_metrics_tell() -> Result<()> {
    let server = twins()?;
    let keys = "[directory.sync]\nschedule = \"*/1 * * * * *\"\nfull_every = \"1h\"\n";
    let mut daemon = site::start(with_directory(&server, keys)).await?;
    let jobs = wait_for_history(&daemon, |jobs| {
        jobs.iter().filter(|job| job["state"] == "succeeded").count() >= 3
    })
    .await?;
    let first = jobs.last().context("a run")?;
    ensure!(first["kind"] == "full" && first["counts"]["conflict"] == 2, "{first:#}");
    ensure!(jobs.iter().any(|job| job["kind"] == "incremental"), "{jobs:#?}");
    ensure!(accounts(&daemon).await?.len() as u64 == MADE - 2);
    let client = Browser::new()?;
    let metrics = client.get(daemon.admin_url("/metrics")?).await?.expect(200)?.body;
    let value = |name: &str| -> Option<f64> {
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let of = "{directory=\"corp\"";
    let runs = value(&format!("auth_sync_runs_total{of},result=\"succeeded\"}}"));
    ensure!(runs.is_some_and(|runs| runs >= 3.0), "{metrics}");
    let created = value(&format!("auth_sync_changes_total{of},op=\"create\"}}"));
    ensure!(created == Some((MADE - 2) as f64), "{metrics}");
    let age = value(&format!("auth_sync_last_success_age_seconds{of}}}"));
    ensure!(age.is_some_and(|age| age < 30.0), "{metrics}");
    ensure!(metrics.contains("auth_sync_duration_seconds_bucket"), "{metrics}");
    ensure!(daemon.events().iter().any(|event| event["event"] == "sync.finished"));

    // The age grows while the directory is down, and the failure is said.
    server.pause()?;
    daemon.stop().await?;
    server.resume()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_the_last_success_grows_while_nothing_succeeds() -> Result<()> {
    let mut server = slapd()?;
    let keys = "[directory.sync]\nschedule = \"*/1 * * * * *\"\n";
    let daemon = site::start(with_directory(&server, keys)).await?;
    wait_for_history(&daemon, |jobs| jobs.iter().any(|job| job["state"] == "succeeded")).await?;
    server.kill()?;
    wait_for_history(&daemon, |jobs| {
        jobs.iter().take_while(|job| job["state"] == "failed").count() >= 3
    })
    .await?;
    let client = Browser::new()?;
    let metrics = client.get(daemon.admin_url("/metrics")?).await?.expect(200)?.body;
    ensure!(metrics.contains("auth_sync_runs_total{directory=\"corp\",result=\"failed\"}"));
    let name = "auth_sync_last_success_age_seconds{directory=\"corp\"}";
    let age: Option<f64> =
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    ensure!(age.is_some_and(|age| age >= 1.0), "{metrics}");
    ensure!(daemon.events().iter().any(|event| event["event"] == "sync.failed"));
    ensure!(active(&daemon).await? as u64 == MADE, "nobody is shut out");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_daemon_ends_a_run_in_good_order() -> Result<()> {
    let server = slapd()?;
    let keys = "operation_timeout = \"60s\"\ntotal_timeout = \"60s\"\n\
                [directory.sync]\nschedule = \"every 1h\"\n";
    server.pause()?;
    let mut daemon = site::start(with_directory(&server, keys)).await?;
    wait_for_history(&daemon, |jobs| jobs.first().is_some_and(|job| job["state"] == "running"))
        .await?;
    let status = daemon.stop().await?;
    ensure!(status.success(), "{status}");
    server.resume()?;
    let status = sync(&daemon, &["status"], 0).await?;
    ensure!(status["running"] == false && status["last"]["state"] == "stopped", "{status:#}");
    // Nobody has to wait for its lease.
    let output = output(&daemon, &["run"]).await?.expect(0)?;
    ensure!(!output.stderr.contains("waiting"), "{}", output.stderr);
    Ok(())
}
