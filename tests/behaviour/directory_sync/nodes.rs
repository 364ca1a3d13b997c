//! Two nodes on one PostgreSQL: one runs, and one that stood still writes nothing any more.

use auth_tests::harness::postgres::PostgresServer;

use super::*;

/// A second node on the store and the key ring of the first.
pub(super) fn second_node(server: &Slapd, keys: &str, first: &Daemon, url: &str) -> Builder {
    let ring = first.folder().join("auth-daemon.keys").display().to_string();
    with_directory(server, keys).set("storage.url", url).set("keys.ring_file", ring)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_stood_still_changes_no_row_after_it_was_taken_over() -> Result<()> {
    let postgres = PostgresServer::start()?;
    let database = postgres.create_database()?;
    let url = postgres.url(&database);
    let server = slapd()?;
    server.add_people("many", 3000)?;
    let builder = with_directory(&server, "").set("storage.url", url.as_str());
    let first = site::start(builder).await?;
    let second = second_node(&server, "", &first, &url).start().await?;

    let mut old = start_run(&first, &[])?;
    first_batch(&mut old).await?;
    old.signal("STOP")?;
    let taken_over = run(&second, 0).await?;
    ensure!(taken_over["applied"].as_u64().is_some_and(|it| it > 0), "{taken_over:#}");
    // Somebody else is gone meanwhile, so that the old plan is wrong as well.
    server.modify(&delete("many2999"))?;
    ensure_counts(&run(&second, 0).await?, &[("deactivate", 1)])?;

    let rows =
        || -> Result<Vec<String>> {
            let mut rows = Vec::new();
            for table in ["accounts", "identities", "sync_directories", "sync_jobs"] {
                rows.extend(postgres.query(
                    &database,
                    &format!("SELECT CAST(t AS text) FROM {table} t ORDER BY 1"),
                )?);
            }
            Ok(rows)
        };
    let before = rows()?;
    let trail = site::audit(&second).await?.len();
    old.signal("CONT")?;
    let status = old.wait_exit(LIMIT).await?;
    ensure!(status.code() == Some(1), "{status}: {}", old.tail());
    ensure!(rows()? == before, "the run that stood still changed a row");
    ensure!(site::audit(&second).await?.len() == trail, "or left an event");
    ensure!(accounts(&second).await?.len() == 3000 + MADE as usize);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_runs_and_the_other_takes_over_from_a_dead_one() -> Result<()> {
    let postgres = PostgresServer::start()?;
    let database = postgres.create_database()?;
    let url = postgres.url(&database);
    let server = slapd()?;
    let keys = "operation_timeout = \"60s\"\ntotal_timeout = \"60s\"\n\
                [directory.sync]\nschedule = \"*/2 * * * * *\"\n";
    let builder = with_directory(&server, keys).set("storage.url", url.as_str());
    let mut first = builder.start().await?;
    let mut second = second_node(&server, keys, &first, &url).start().await?;

    // Some runs: never two at once, never twice for one moment.
    let history = wait_for_history(&first, |jobs| jobs.len() >= 5).await?;
    let mut last_end = String::new();
    for job in history.iter().rev().filter(|job| job["state"] != "running") {
        ensure!(job["state"] == "succeeded" && job["trigger"] == "schedule", "{job:#}");
        let begin = job["started_at"].as_str().unwrap_or_default();
        ensure!(begin >= last_end.as_str(), "two runs at once: {history:#?}");
        last_end = job["finished_at"].as_str().unwrap_or_default().to_owned();
    }
    let begins: std::collections::BTreeSet<i64> =
        history.iter().filter_map(|job| moment(&job["started_at"])).collect();
    ensure!(begins.len() == history.len(), "two runs for one moment: {history:#?}");
    ensure!(accounts(&first).await?.len() as u64 == MADE);

    // The directory stands still, so that a run is under way when its node dies.
    server.pause()?;
    let holder = wait_for_holder(&first).await?;
    let processes = [first.process_id()?, second.process_id()?];
    let dies = processes.iter().position(|id| holder.ends_with(&format!("process {id}")));
    let dies = dies.with_context(|| format!("{holder:?} is none of {processes:?}"))?;
    let survivor = if dies == 0 {
        first.kill()?;
        &second
    } else {
        second.kill()?;
        &first
    };
    server.resume()?;
    let history = wait_for_history(survivor, |jobs| {
        let dead = jobs.iter().position(|job| job["state"] == "abandoned");
        dead.is_some_and(|dead| jobs[..dead].iter().any(|job| job["state"] == "succeeded"))
    })
    .await?;
    let survived = &history[0]["holder"];
    ensure!(*survived != holder.as_str(), "{survived}");
    Ok(())
}

/// Seconds of an RFC 3339 time, cut to the two-second moments of the schedule.
fn moment(at: &Value) -> Option<i64> {
    Some(auth_core::clock::Timestamp::parse_rfc3339(at.as_str()?)?.seconds() / 2)
}

pub(super) async fn wait_for_history(
    daemon: &Daemon,
    accept: impl Fn(&[Value]) -> bool,
) -> Result<Vec<Value>> {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let history = sync(daemon, &["history", "-n", "50"], 0).await?;
        let jobs = history.as_array().cloned().unwrap_or_default();
        if accept(&jobs) {
            return Ok(jobs);
        }
        ensure!(std::time::Instant::now() < deadline, "{history:#}\n{:#?}", daemon.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn wait_for_holder(daemon: &Daemon) -> Result<String> {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let status = sync(daemon, &["status"], 0).await?;
        if let (true, Some(holder)) = (status["running"] == true, status["holder"].as_str()) {
            return Ok(holder.to_owned());
        }
        ensure!(std::time::Instant::now() < deadline, "nobody runs: {status:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
